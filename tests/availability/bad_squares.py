"""Squares that a dishonest producer commits to: any cells, hashed as they are."""

from __future__ import annotations

from hashlib import sha256, shake_256

from dougong._native import ExtendedSquare
from dougong.availability import ServedSquare, data_root
from dougong.availability.square.namespaces import PARITY
from dougong.availability.square.nmt import leaf_node
from dougong.types import NmtProof, SquareCell, SquareHeader


def shares(k: int, *, namespaces: int = 3) -> list[bytes]:
    """k² shares of some namespaces, in order."""
    count = k * k
    return [(256 + n * namespaces // count).to_bytes(29, "big") + shake_256(b"%d" % n).digest(483) for n in range(count)]


def cells_of(k: int, *, namespaces: int = 3) -> list[bytes]:
    """The 4k² cells of an honest square."""
    square = ExtendedSquare(b"".join(shares(k, namespaces=namespaces)))
    return [cell for row in range(2 * k) for cell in square.axis(0, row)]


def extended(original: list[bytes], k: int) -> list[bytes]:
    """The 4k² cells of shares in any order of their namespaces (k up to 128). The code works byte by byte, so the namespaces are
    encoded apart, as if they were data."""
    heads, bodies = (
        ExtendedSquare(b"".join(bytes(29) + part for part in parts))
        for parts in ([share[:29] + bytes(454) for share in original], [share[29:] for share in original])
    )
    places = [(row, column) for row in range(2 * k) for column in range(2 * k)]
    return [heads.share(*place)[29:58] + bodies.share(*place)[29:] for place in places]


def committed(cells: list[bytes], *, height: int = 7) -> ServedSquare:
    """The square of these cells as its producer serves it: its roots are those of exactly these cells."""
    square = ExtendedSquare.from_cells(b"".join(cells))
    rows, columns = tuple(square.row_roots()), tuple(square.column_roots())
    return ServedSquare(SquareHeader(height, 1, square.data_root(), rows, columns), square)


class Disordered:
    """As `committed`, with trees whose namespaces need not be in order: nmt refuses to make them, a liar does not."""

    def __init__(self, cells: list[bytes], k: int, *, height: int = 7) -> None:
        self._cells, self._width = cells, 2 * k
        self._trees = {(axis, at): self._tree(axis, at) for axis in (0, 1) for at in range(2 * k)}
        rows, columns = (tuple(self._trees[axis, at][-1][0] for at in range(2 * k)) for axis in (0, 1))
        self.header = SquareHeader(height, 1, data_root(rows, columns), rows, columns)

    def _tree(self, axis: int, index: int) -> list[list[bytes]]:
        width = self._width
        levels: list[list[bytes]] = [[]]
        for at in range(width):
            row, column = (at, index) if axis else (index, at)
            share = self._cells[row * width + column]
            levels[0].append(leaf_node(share[:29] if max(row, column) < width // 2 else PARITY.raw, share))
        while len(levels[-1]) > 1:
            level = levels[-1]
            levels.append([_inner(level[n], level[n + 1]) for n in range(0, len(level), 2)])
        return levels

    def cell(self, row: int, column: int, axis: int = 0) -> SquareCell:
        index, at = (column, row) if axis else (row, column)
        levels = self._trees[axis, index]
        beside = [(at >> depth) ^ 1 for depth in range(len(levels) - 1)]
        nodes = sorted(enumerate(beside), key=lambda pair: pair[1] << pair[0])  # left to right
        proof = NmtProof(at, at + 1, tuple(levels[depth][place] for depth, place in nodes))
        return SquareCell(row, column, self._cells[row * self._width + column], axis, proof)

    def axis_cells(self, axis: int, index: int) -> list[SquareCell]:
        half = range(self._width // 2, self._width)
        return [self.cell(at, index, 0) if axis else self.cell(index, at, 1) for at in half]


def _inner(left: bytes, right: bytes) -> bytes:
    highest = left[29:58] if right[:29] == PARITY.raw else right[29:58]
    return left[:29] + highest + sha256(b"\1" + left + right).digest()
