"""A square's cells in a file: the first halves of its 2k rows, whose parity is made when a row is read.

    write_durably(path, cells_file(header, extended))
    cells = ArchivedCells(path, header)             # offers what `ExtendedSquare` does

Layout: `dougong square 1\\n` and the data root in 64 bytes, then for each of the 2k rows its first k cells of 512 bytes.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

from dougong._native import ExtendedAxis
from dougong.availability.square.served import Cells
from dougong.availability.square.shares import SHARE_BYTES
from dougong.errors import StoreCorrupt
from dougong.types import SquareHeader

__all__ = ["ArchivedCells", "cells_file"]

_MAGIC = b"dougong square 1\n"
_HEAD_BYTES = 64
_KEPT_ROWS = 4


def cells_file(header: SquareHeader, cells: Cells) -> bytes:
    """The file of a square: 64 bytes and twice its original shares."""
    rows = (share for row in range(2 * cells.k) for share in cells.axis(0, row)[: cells.k])
    return b"".join((_head(header), *rows))


def _head(header: SquareHeader) -> bytes:
    return (_MAGIC + header.data_root).ljust(_HEAD_BYTES, b"\0")


class ArchivedCells:
    """`Cells` of a file, which is held open: to whoever has it the square stays readable after it was pruned. A row costs
    one read, an encoding and 4k hashes, well under a millisecond; a column of the parity half costs k rows. What is read is
    compared with its root first: anything else raises `StoreCorrupt`."""

    def __init__(self, path: Path, header: SquareHeader) -> None:
        """Raises `OSError`, `StoreCorrupt`."""
        self._path = path
        self._header = header
        self._file = path.open("rb", buffering=0)
        self._rows: OrderedDict[int, ExtendedAxis] = OrderedDict()
        self._lock = threading.Lock()
        wanted = _HEAD_BYTES + 2 * self.k * self.k * SHARE_BYTES
        if os.fstat(self._file.fileno()).st_size != wanted or self._read(0, _HEAD_BYTES) != _head(header):
            raise self._corrupt("not the file of its height's square")

    @property
    def k(self) -> int:
        return self._header.square_size

    def share(self, row: int, column: int) -> bytes:
        return self._row(row).shares(column, column + 1)[0]

    def axis(self, axis: int, index: int) -> list[bytes]:
        return self._axis(axis, index).shares(0, 2 * self.k)

    def prove_range(self, axis: int, index: int, start: int, end: int) -> list[bytes]:
        return self._axis(axis, index).prove_range(start, end)

    def prove_namespace(self, row: int, namespace: bytes) -> tuple[int, int, list[bytes], bytes] | None:
        return self._row(row).prove_namespace(namespace)

    def _axis(self, axis: int, index: int) -> ExtendedAxis:
        if axis == 0:
            return self._row(index)
        half = b"".join(self.share(row, index) for row in range(self.k))
        return self._checked(axis, index, half, self._header.column_roots[index])

    def _row(self, row: int) -> ExtendedAxis:
        with self._lock:
            kept = self._rows.get(row)
            if kept is not None:
                self._rows.move_to_end(row)
                return kept
        size = self.k * SHARE_BYTES
        made = self._checked(0, row, self._read(_HEAD_BYTES + row * size, size), self._header.row_roots[row])
        with self._lock:
            self._rows[row] = made
            while len(self._rows) > _KEPT_ROWS:
                self._rows.popitem(last=False)
        return made

    def _checked(self, axis: int, index: int, half: bytes, root: bytes) -> ExtendedAxis:
        try:
            made = ExtendedAxis(axis, index, half)
        except ValueError as error:
            raise self._corrupt(str(error)) from None
        if made.root() != root:
            raise self._corrupt(f"{'column' if axis else 'row'} {index} does not lead to its root")
        return made

    def _read(self, offset: int, size: int) -> bytes:
        try:
            found = os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise self._corrupt(str(error)) from error
        if len(found) != size:
            raise self._corrupt("it is cut")
        return found

    def _corrupt(self, why: str) -> StoreCorrupt:
        return StoreCorrupt(f"the archived square {self._path} is damaged: {why}", remedy="it is made anew from its block")
