"""Recovers withheld data: half of the cells are enough.

    blob = recover_blob(versioned_hash, {index: cell, ...})         # 64 or more
    blobs = recover_blobs(header, {column: cells, ...})             # a whole block's, from 64 or more columns

Source: consensus-specs `fulu/das-core`, `recover_matrix`. What comes back has been compared with the commitment: wrong cells
raise and never give wrong blobs. Who wants to know *which* cell was wrong verifies each when it arrives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dougong.availability.kzg.library import commit, on_all_cores, recover
from dougong.availability.kzg.params import CELLS_PER_EXT_BLOB
from dougong.availability.kzg.roots import versioned_hash
from dougong.errors import InvalidProof
from dougong.types import BlobsHeader, KzgCell

__all__ = ["recover_blob", "recover_blobs"]


def recover_blob(expected: bytes, cells: Mapping[int, bytes]) -> bytes:
    """The blob with this versioned hash, of which these cells, by index, are known. Raises `NotEnoughCells` or `InvalidInput` as
    `recover`, `InvalidProof` when they are another blob's."""
    recovered, _ = recover(dict(cells))
    blob = b"".join(recovered[: CELLS_PER_EXT_BLOB // 2])
    if versioned_hash(commit(blob)) != expected:
        raise InvalidProof("the cells are not those of the blob that the block commits to")
    return blob


def recover_blobs(header: BlobsHeader, columns: Mapping[int, Sequence[KzgCell]]) -> list[bytes]:
    """All blobs of the block under this (checked) header, in order. A column has one cell for each; `verify_column` checks it."""
    hashes = [blob_hash for tx in header.transactions for blob_hash in tx.versioned_hashes]
    if any(len(column) != len(hashes) for column in columns.values()):
        raise InvalidProof(f"a column of this block has {len(hashes)} cells")
    return on_all_cores(
        lambda row: recover_blob(hashes[row], {index: column[row].share for index, column in columns.items()}), range(len(hashes))
    )
