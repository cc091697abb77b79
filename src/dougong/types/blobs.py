"""What an Ethereum transaction carries beside itself."""

from __future__ import annotations

from dataclasses import dataclass

GAS_PER_BLOB = 2**17
"""Blob gas, which has a price of its own. Source: EIP-4844."""


@dataclass(frozen=True, slots=True)
class BlobSidecar:
    """What travels with a blob transaction and lies in no block: blobs (131,072 bytes), their commitments (48), versioned hashes
    (32), and the proofs (48) of each blob's 128 cells, blob after blob. Source: EIP-7594, "Networking"."""

    blobs: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    versioned_hashes: tuple[bytes, ...]
    cell_proofs: tuple[bytes, ...]
