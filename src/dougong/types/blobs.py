"""What an Ethereum transaction carries beside itself: blobs, their commitments and the proofs of their cells.

    sidecar = BlobSidecar(blobs, commitments, proofs)
    sidecar.versioned_hashes                        # what the transaction names
    sidecar.data_root                               # and settlement keeps

Source: EIP-4844, EIP-7594.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

BLOB_BYTES = 131_072
CELLS_PER_BLOB = 128  # of the extended blob
COMMITMENT_BYTES = PROOF_BYTES = 48
VERSIONED_HASH_KZG = b"\x01"


def versioned_hash(commitment: bytes) -> bytes:
    """Of a KZG commitment (48 bytes): what the execution layer names a blob by (32 bytes)."""
    return VERSIONED_HASH_KZG + sha256(commitment).digest()[1:]


def blob_data_root(versioned_hashes: tuple[bytes, ...]) -> bytes:
    """The data root of one transaction's blobs: SHA-256 over their versioned hashes, in their order."""
    return sha256(b"".join(versioned_hashes)).digest()


def blob_da_id(chain_id: int) -> bytes:
    """The DA id of a chain's blobs: the settlement contract on it makes the same."""
    return sha256(b"dougong/ethereum-blobs" + chain_id.to_bytes(32)).digest()


@dataclass(frozen=True, slots=True)
class BlobSidecar:
    """`blobs` of 131,072 bytes, a commitment (48 bytes) for each, and the proofs of each one's 128 cells (48 bytes), blob by blob."""

    blobs: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    proofs: tuple[bytes, ...]

    @property
    def versioned_hashes(self) -> tuple[bytes, ...]:
        return tuple(versioned_hash(commitment) for commitment in self.commitments)

    @property
    def data_root(self) -> bytes:
        return blob_data_root(self.versioned_hashes)
