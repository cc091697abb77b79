"""What a layer of EIP-4844 blobs is called, and what commits to them.

    >>> da_id(1).hex()[:16]
    'c8bf1171a7f68daa'

- A placement's *data root* is SHA-256 over the versioned hashes of one transaction's blobs: all that the settlement contract sees
  is what BLOBHASH shows of its own transaction (`BlobTransaction.data_root`).
- A block's data root is the RFC 6962 root over `sender[20] ‖ data root[32]` of its blob-carrying transactions, in order.

Source: docs/spec/blobs.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.kzg.params import BYTES_PER_COMMITMENT, VERSIONED_HASH_VERSION_KZG
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput
from dougong.types import BlobTransaction

__all__ = ["block_data_root", "da_id", "versioned_hash"]


def versioned_hash(commitment: bytes) -> bytes:
    """EIP-4844's `kzg_to_versioned_hash`. Raises `InvalidInput` unless the commitment is 48 bytes."""
    if len(commitment) != BYTES_PER_COMMITMENT:
        raise InvalidInput(f"a commitment is {BYTES_PER_COMMITMENT} bytes, not {len(commitment)}")
    return VERSIONED_HASH_VERSION_KZG + sha256(commitment)[1:]


def block_data_root(transactions: Sequence[BlobTransaction]) -> bytes:
    return merkle.root([tx.sender + tx.data_root for tx in transactions])


def da_id(chain_id: int) -> bytes:
    """What settlement calls the blobs of an Ethereum chain."""
    return sha256(b"dougong/ethereum-blobs", chain_id.to_bytes(32))
