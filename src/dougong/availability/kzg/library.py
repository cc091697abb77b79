"""The polynomial arithmetic, thin over c-kzg: every argument is bytes from outside, every refusal an error of ours.

    commitment = commit(blob)                           # 65 ms on one core
    cells, proofs = cells_and_proofs(blob)              # 128 of each; 220 ms
    verify_cells([commitment], [0], [cells[0]], [proofs[0]])    # 4 ms; 128 cells of one blob 21 ms

Sources: consensus-specs `deneb/polynomial-commitments` (`blob_to_kzg_commitment`) and `fulu/polynomial-commitments-sampling`
(`compute_cells_and_kzg_proofs`, `verify_cell_kzg_proof_batch`, `recover_cells_and_kzg_proofs`). The trusted setup is the
one of Ethereum's KZG ceremony, which c-kzg brings; it is loaded by the first call, which takes 3 s and 100 MB more. No call holds
the interpreter's lock: on an event loop, give them to a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dougong._native import kzg_cells_and_proofs, kzg_commitment, kzg_recover, kzg_verify_cells
from dougong.availability.kzg.params import (
    BYTES_PER_BLOB,
    BYTES_PER_CELL,
    BYTES_PER_COMMITMENT,
    BYTES_PER_PROOF,
    CELLS_PER_EXT_BLOB,
)
from dougong.errors import InvalidInput, InvalidProof

__all__ = ["NotEnoughCells", "cells_and_proofs", "commit", "on_all_cores", "recover", "verify_cells"]

T = TypeVar("T")
R = TypeVar("R")


class NotEnoughCells(InvalidInput):
    """`known` distinct cells of a blob are too few to recover it: half of them, 64, suffice."""

    def __init__(self, known: int) -> None:
        super().__init__(f"{known} of {CELLS_PER_EXT_BLOB} cells do not determine a blob: {CELLS_PER_EXT_BLOB // 2} do")
        self.known = known


def commit(blob: bytes) -> bytes:
    """The blob's commitment (48 bytes). Raises `InvalidInput` unless it is 4,096 field elements below the modulus."""
    return _of_blob(kzg_commitment, blob)


def cells_and_proofs(blob: bytes) -> tuple[list[bytes], list[bytes]]:
    """The 128 cells (2,048 bytes) of the extended blob, the first 64 of them the blob itself, and their proofs (48 bytes). Raises
    `InvalidInput` as `commit` does."""
    return _of_blob(kzg_cells_and_proofs, blob)


def verify_cells(commitments: Sequence[bytes], indices: Sequence[int], cells: Sequence[bytes], proofs: Sequence[bytes]) -> None:
    """Raises `InvalidProof` unless every cell is what its commitment's polynomial is at its index. The four run side by side: one
    entry a cell. Many cost little more than one."""
    if not len(commitments) == len(indices) == len(cells) == len(proofs):
        raise InvalidProof("commitments, indices, cells and proofs are not equally many")
    if any(not 0 <= index < CELLS_PER_EXT_BLOB for index in indices):
        raise InvalidProof(f"a cell's index is not below {CELLS_PER_EXT_BLOB}")
    sizes = ((commitments, BYTES_PER_COMMITMENT), (cells, BYTES_PER_CELL), (proofs, BYTES_PER_PROOF))
    if any(len(item) != size for items, size in sizes for item in items):
        raise InvalidProof("a commitment, a cell or a proof has another length than its kind")
    try:
        right = kzg_verify_cells(list(commitments), list(indices), list(cells), list(proofs))
    except ValueError as error:
        raise InvalidProof(f"a commitment or proof is no point of the curve, or a cell no field elements ({error})") from None
    if not right:
        raise InvalidProof("a cell is not what its commitment says")


def recover(cells: dict[int, bytes]) -> tuple[list[bytes], list[bytes]]:
    """All 128 cells and proofs of the blob of which these cells, by index, are known. Raises `NotEnoughCells` for less than
    64, and `InvalidInput` for cells that are none or lie on no polynomial of a blob. **The cells are believed**: any 64 give
    some blob, so verify them before, or compare the commitment after (`recover_blob`)."""
    if any(not 0 <= index < CELLS_PER_EXT_BLOB or len(cell) != BYTES_PER_CELL for index, cell in cells.items()):
        raise InvalidInput(f"a cell is {BYTES_PER_CELL} bytes at an index below {CELLS_PER_EXT_BLOB}")
    if 2 * len(cells) < CELLS_PER_EXT_BLOB:
        raise NotEnoughCells(len(cells))
    known = sorted(cells)
    try:
        return kzg_recover(known, [cells[index] for index in known])
    except ValueError as error:
        raise InvalidInput(f"the cells are not those of one blob ({error})") from None


def _of_blob(function: Callable[[bytes], R], blob: bytes) -> R:
    if len(blob) != BYTES_PER_BLOB:
        raise InvalidInput(f"a blob is {BYTES_PER_BLOB} bytes, not {len(blob)}")
    try:
        return function(blob)
    except ValueError as error:
        raise InvalidInput(f"a field element of the blob is not below the modulus ({error})") from None


def on_all_cores(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """One of these functions for each item, side by side. The first error raises."""
    listed = list(items)
    if len(listed) < 2:
        return [function(item) for item in listed]
    with ThreadPoolExecutor(min(len(listed), os.cpu_count() or 1)) as pool:
        return list(pool.map(function, listed))
