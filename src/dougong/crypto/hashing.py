"""The two hashes of the house: SHA-256 where a circuit may have to follow, keccak256 where only contracts and guests do."""

from __future__ import annotations

import hashlib

from dougong._native import keccak256

__all__ = ["keccak256", "sha256"]


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the concatenation."""
    if len(parts) == 1:
        return hashlib.sha256(parts[0]).digest()
    return hashlib.sha256(b"".join(parts)).digest()
