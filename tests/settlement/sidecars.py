"""Sidecars of blob transactions, made once a session: proofs take a quarter of a second a blob."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

import ckzg  # type: ignore[import-not-found, unused-ignore]
import eth_account

from dougong.types import BlobSidecar

SETUP = Path(eth_account.__file__).parent / "typed_transactions/blob_transactions/kzg_trusted_setup.txt"


@cache
def _setup() -> object:
    return ckzg.load_trusted_setup(str(SETUP), 0)


@cache
def _blob(data: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """The blob of these bytes (at most 31), its commitment and its cells' proofs."""
    blob = (b"\0" + data).ljust(131_072, b"\0")
    _, proofs = ckzg.compute_cells_and_kzg_proofs(blob, _setup())
    return blob, ckzg.blob_to_kzg_commitment(blob, _setup()), tuple(proofs)


def sidecar(*contents: bytes) -> BlobSidecar:
    """One blob for each of the contents."""
    made = [_blob(content) for content in contents]
    return BlobSidecar(
        blobs=tuple(blob for blob, _, _ in made),
        commitments=tuple(commitment for _, commitment, _ in made),
        versioned_hashes=tuple(b"\1" + sha256(commitment).digest()[1:] for _, commitment, _ in made),
        cell_proofs=tuple(proof for _, _, proofs in made for proof in proofs),
    )
