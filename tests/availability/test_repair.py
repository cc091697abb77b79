"""Repair: any cells that suffice give the whole square; what cannot be is found and named."""

from __future__ import annotations

import mmap
import random
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dougong._native import ExtendedSquare, repair_square
from dougong.availability import BadEncoding, NotEnoughShares, ServedSquare, data_root
from dougong.availability.square.namespaces import PARITY
from dougong.availability.square.nmt import leaf_node, root_of_nodes
from dougong.availability.square.sampling import withheld_cells
from dougong.errors import InvalidHeader, InvalidInput
from dougong.types import SquareHeader

SHARES = [(256 + n // 3).to_bytes(29, "big") + shake_256(bytes([n])).digest(483) for n in range(64)]
SERVED = ServedSquare.extend(b"".join(SHARES), height=7, time_ns=1)
K = SERVED.size
WIDTH = 2 * K
CELLS: list[bytes] = [share for row in range(WIDTH) for share in SERVED.extended.axis(0, row)]


def check(cells: list[bytes | None], served: ServedSquare = SERVED) -> None:
    repaired = ServedSquare.repair(served.header, cells)
    width = 2 * served.size
    assert [repaired.extended.axis(0, row) for row in range(width)] == [served.extended.axis(0, row) for row in range(width)]
    assert repaired.header == served.header
    assert repaired.cell(1, 1) == served.cell(1, 1)


@pytest.mark.parametrize("rows", [range(K), range(K, WIDTH), range(0, WIDTH, 2)], ids=["original", "parity", "every other"])
@pytest.mark.parametrize("columns", [range(K), range(K, WIDTH), range(1, WIDTH, 2)], ids=["original", "parity", "every other"])
def test_any_quarter_that_is_a_grid_suffices(rows: range, columns: range) -> None:
    check([cell if n // WIDTH in rows and n % WIDTH in columns else None for n, cell in enumerate(CELLS)])


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_whatever_is_not_withheld_in_a_big_grid_suffices(seed: int) -> None:
    """Fewer than (k + 1)² cells withheld, wherever they are, never prevent repair."""
    picker = random.Random(seed)
    hidden = set(picker.sample(range(WIDTH * WIDTH), withheld_cells(K) - 1))
    check([None if n in hidden else cell for n, cell in enumerate(CELLS)])


def test_a_withheld_grid_of_k_plus_1_is_not_enough() -> None:
    cells = [None if n // WIDTH <= K and n % WIDTH <= K else cell for n, cell in enumerate(CELLS)]
    with pytest.raises(NotEnoughShares) as caught:
        ServedSquare.repair(SERVED.header, cells)
    assert (caught.value.known, caught.value.total) == (WIDTH * WIDTH - withheld_cells(K), WIDTH * WIDTH)
    with pytest.raises(NotEnoughShares):
        ServedSquare.repair(SERVED.header, [None] * len(cells))


@pytest.mark.parametrize("k", [1, 2, 256])
def test_repair_at_the_ends_of_both_fields(k: int) -> None:
    shares = [(256).to_bytes(29, "big") + n.to_bytes(4, "big") * 120 + b"end" for n in range(k * k)]
    served = ServedSquare.extend(b"".join(shares), height=1, time_ns=0)
    cells: list[bytes | None] = []
    for row in range(2 * k):
        axis = served.extended.axis(0, row)
        cells += [share if ((row + column) % 2 and row < 2 * k - 1) or row == 0 else None for column, share in enumerate(axis)]
    repaired = ServedSquare.repair(served.header, cells)
    assert repaired.original() == shares
    assert repaired.extended.axis(1, 2 * k - 1) == served.extended.axis(1, 2 * k - 1)


def roots_of(cells: list[bytes], k: int) -> SquareHeader:
    """The header of any cells, codeword or not: what a dishonest producer signs."""
    width = 2 * k

    def node(row: int, column: int) -> bytes:
        share = cells[row * width + column]
        return leaf_node(share[:29] if row < k and column < k else PARITY.raw, share)

    rows = tuple(root_of_nodes([node(i, j) for j in range(width)]) for i in range(width))
    columns = tuple(root_of_nodes([node(i, j) for i in range(width)]) for j in range(width))
    return SquareHeader(7, 1, data_root(rows, columns), rows, columns)


@pytest.mark.parametrize("place", [(2, 3), (2, K + 3), (K + 2, 3), (WIDTH - 1, WIDTH - 1)])
@pytest.mark.parametrize("hidden", ["nothing", "a quarter", "its row"])
def test_a_badly_encoded_square_is_evidence(place: tuple[int, int], hidden: str) -> None:
    """The producer changed one cell after encoding, and committed to that."""
    row, column = place
    bad = list(CELLS)
    changed = bytearray(bad[row * WIDTH + column])
    changed[100] ^= 1
    bad[row * WIDTH + column] = bytes(changed)
    header = roots_of(bad, K)
    given_cells: list[bytes | None] = list(bad)
    for n in range(len(bad)):
        r, c = divmod(n, WIDTH)
        if (hidden == "a quarter" and r % 4 == 1 and c != column) or (hidden == "its row" and r == row and c != column):
            given_cells[n] = None
    with pytest.raises(BadEncoding) as caught:
        ServedSquare.repair(header, given_cells)
    error = caught.value
    assert (error.axis, error.index) in {(0, row), (1, column)}
    assert len(error.shares) == WIDTH
    known = [share for share in error.shares if share is not None]
    assert len(known) >= K, "the evidence suffices to decode the axis and compare"
    for at, share in enumerate(error.shares):
        n = at * WIDTH + error.index if error.axis else error.index * WIDTH + at
        assert share is None or share == bad[n], "every share of the evidence lies under the roots"


def test_a_codeword_under_another_root_is_evidence_too() -> None:
    """The producer signed a row root that is not that of its row."""
    rows = list(SERVED.header.row_roots)
    rows[3] = rows[2]
    header = SquareHeader(7, 1, data_root(rows, SERVED.header.column_roots), tuple(rows), SERVED.header.column_roots)
    cells: list[bytes | None] = [None if n // WIDTH == 3 and n % WIDTH < K else cell for n, cell in enumerate(CELLS)]
    with pytest.raises(BadEncoding) as caught:
        ServedSquare.repair(header, cells)
    assert (caught.value.axis, caught.value.index) == (0, 3)
    assert caught.value.shares == (None,) * K + tuple(CELLS[3 * WIDTH + K : 4 * WIDTH])


@given(st.data())
@settings(max_examples=60)
def test_no_cells_give_another_square(data: st.DataObject) -> None:
    """Cells changed, exchanged and hidden by an adversary: the square, or evidence that shows a fault, or not enough."""
    cells: list[bytes | None] = list(CELLS)
    places = st.integers(0, len(CELLS) - 1)
    for place in data.draw(st.lists(places, max_size=8)):
        cells[place] = data.draw(st.binary(min_size=512, max_size=512) | places.map(CELLS.__getitem__))
    for line in data.draw(st.lists(st.integers(0, 2 * WIDTH - 1), max_size=WIDTH)):
        for at in range(WIDTH):
            cells[(at * WIDTH + line - WIDTH) if line >= WIDTH else (line * WIDTH + at)] = None
    roots = (SERVED.header.row_roots, SERVED.header.column_roots)
    repaired = repair_square(cells, *roots)
    if isinstance(repaired, tuple):
        axis, index, shares, _ = repaired
        codeword = SERVED.extended.axis(axis, index)
        assert any(share not in (None, right) for share, right in zip(shares, codeword, strict=True))
    elif isinstance(repaired, int):
        assert len(cells) - cells.count(None) <= repaired < len(cells)
    else:
        assert memoryview(repaired) == b"".join(CELLS)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_buffers_are_taken_and_lent(make: Callable[[bytes], bytearray | memoryview]) -> None:
    original, whole = make(b"".join(SHARES)), b"".join(CELLS)
    extended = ExtendedSquare(original)
    assert extended.data_root() == SERVED.header.data_root
    view = memoryview(extended)
    assert view.readonly
    assert view == whole
    del extended
    assert view[-512:] == CELLS[-1], "a view keeps its square"
    present = bytes(n % WIDTH % 2 for n in range(len(CELLS)))
    holes = b"".join(cell if there else b"\xee" * 512 for cell, there in zip(CELLS, present, strict=True))
    repaired = ServedSquare.repair(SERVED.header, make(holes), present)
    assert isinstance(repaired.extended, ExtendedSquare)
    assert memoryview(repaired.extended) == whole
    with pytest.raises(NotEnoughShares):
        ServedSquare.repair(SERVED.header, make(whole), bytes(len(CELLS)))
    assert ExtendedSquare.from_cells(make(whole)).data_root() == SERVED.header.data_root


def test_squares_come_from_mapped_files(tmp_path: Path) -> None:
    path = tmp_path / "square"
    path.write_bytes(b"".join(SHARES))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert ExtendedSquare(mapped).data_root() == SERVED.header.data_root


def test_wrong_buffers_are_refused() -> None:
    whole, header = bytearray(b"".join(CELLS)), SERVED.header
    everything = bytes([1]) * len(CELLS)
    cases: list[tuple[bytearray | memoryview, bytes]] = [
        (whole, everything[1:]),
        (whole, everything + b"\1"),
        (whole, b""),
        (whole[:-1], everything),
        (bytearray(), b""),
        (whole[: 512 * 16], everything[:16]),
        (memoryview(whole)[::2], everything[: len(CELLS) // 2]),
    ]
    for cells, present in cases:
        with pytest.raises(InvalidInput):
            ServedSquare.repair(header, cells, present)
    with pytest.raises(ValueError, match="contiguous"):
        ExtendedSquare(memoryview(whole)[::-1])


def test_wrong_shapes_are_refused() -> None:
    header = SERVED.header
    for cells in ([], CELLS[:-1], [*CELLS, None], [CELLS[0][:-1], *CELLS[1:]], [b"", *CELLS[1:]]):
        with pytest.raises(InvalidInput):
            ServedSquare.repair(header, list(cells))
    with pytest.raises(InvalidHeader):
        ServedSquare.repair(SquareHeader(7, 1, bytes(32), header.row_roots, header.column_roots), list(CELLS))


@pytest.mark.parametrize("size", [0, 1, 511, 513, 512 * 2, 512 * 9, 512 * 36])
def test_only_squares_are_extended(size: int) -> None:
    with pytest.raises(InvalidInput):
        ServedSquare.extend(bytes(size), height=1, time_ns=0)


def test_namespaces_out_of_order_are_not_extended() -> None:
    shares = [bytes([0] * 28 + [number]) + bytes(483) for number in (1, 2, 4, 3)]
    with pytest.raises(InvalidInput, match="order"):
        ServedSquare.extend(b"".join(shares), height=1, time_ns=0)


@pytest.mark.parametrize("k", [513, 1024])
def test_squares_over_the_limit_are_not_extended(k: int) -> None:
    with pytest.raises(InvalidInput):
        ServedSquare.extend(bytes(k * k * 512), height=1, time_ns=0)
