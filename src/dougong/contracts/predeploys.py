"""Contracts that a rollup's genesis block already holds.

>>> OUTBOX_ADDRESS.hex()
'd0d0000000000000000000000000000000000001'

`outbox()` gives code and storage of the outbox; what turns it into a genesis document is the execution layer's. Source:
docs/spec/derivation.md, "Outbox".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from dougong.contracts import artifact
from dougong.types import ZERO_HASH

__all__ = ["OUTBOX_ADDRESS", "OUTBOX_DEPTH", "Predeploy", "empty_outbox_root", "outbox", "outbox_root_slot"]

OUTBOX_ADDRESS = bytes.fromhex("d0d0000000000000000000000000000000000001")
OUTBOX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Predeploy:
    """An account of the genesis block: runtime code, and storage as 32-byte slots to 32-byte values."""

    address: bytes
    code: bytes
    storage: Mapping[bytes, bytes]


def outbox() -> Predeploy:
    """The outbox, empty. Raises `NotFound` while the contracts are not compiled."""
    return Predeploy(OUTBOX_ADDRESS, artifact("Outbox").runtime, {outbox_root_slot(): empty_outbox_root()})


def outbox_root_slot() -> bytes:
    """The storage slot (32 bytes) that holds the outbox root."""
    return artifact("Outbox").slot("root").to_bytes(32)


def empty_outbox_root() -> bytes:
    """The root of a tree of depth 32 whose leaves are all zero."""
    node = ZERO_HASH
    for _ in range(OUTBOX_DEPTH):
        node = hashlib.sha256(node + node).digest()
    return node
