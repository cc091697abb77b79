"""The root that an axis ought to have, and squares whose roots commit to anything: what bad-encoding proofs are made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import shake_256
from typing import Any

import pytest

from dougong._native import ExtendedSquare, axis_root


def original(k: int) -> bytes:
    return b"".join((256 + n // 3).to_bytes(29, "big") + shake_256(f"{k}/{n}".encode()).digest(483) for n in range(k * k))


def roots(square: ExtendedSquare, axis: int) -> list[bytes]:
    return square.column_roots() if axis else square.row_roots()


@pytest.mark.parametrize("k", [1, 2, 8, 32, 256])
@pytest.mark.parametrize("axis", [0, 1])
def test_any_k_cells_of_an_axis_give_its_root(k: int, axis: int) -> None:
    square, picker = ExtendedSquare(original(k)), random.Random(k)
    for index in {0, k - 1, k, 2 * k - 1}:
        shares = square.axis(axis, index)
        for kept in (range(k), range(k, 2 * k), picker.sample(range(2 * k), k), range(2 * k)):
            given = [share if at in kept else None for at, share in enumerate(shares)]
            assert axis_root(k, axis, index, given) == roots(square, axis)[index]


def test_only_the_first_k_count() -> None:
    k = 8
    shares: list[bytes | None] = list(ExtendedSquare(original(k)).axis(0, 3))
    want = axis_root(k, 0, 3, shares)
    changed = [*shares[:k], *(bytes(512) for _ in range(k))]
    assert axis_root(k, 0, 3, changed) == want
    assert axis_root(k, 0, 3, [bytes(512), *changed[1:]]) != want
    assert axis_root(k, 0, 3, [None, *changed[1:]]) != want, "now a wrong one is among them"


def test_an_axis_without_order_has_no_root() -> None:
    k = 4
    shares: list[bytes | None] = [bytes([0] * 28 + [namespace]) + bytes(483) for namespace in (4, 3, 2, 1)]
    shares += [None] * k
    assert axis_root(k, 0, 0, shares) is None
    assert axis_root(k, 1, k - 1, shares) is None
    root = axis_root(k, 0, k, shares)
    assert root is not None, "outside the original quadrant all cells are parity"
    assert root[:58] == b"\xff" * 58


@pytest.mark.parametrize(
    ("k", "axis", "index", "shares"),
    [
        (0, 0, 0, []),
        (3, 0, 0, [bytes(512)] * 6),
        (1024, 0, 0, [bytes(512)] * 2048),
        (2**70, 0, 0, [bytes(512)] * 4),
        (-2, 0, 0, [bytes(512)] * 4),
        (2, 2, 0, [bytes(512)] * 4),
        (2, 2**40, 0, [bytes(512)] * 4),
        (2, -1, 0, [bytes(512)] * 4),
        (2, 0, 4, [bytes(512)] * 4),
        (2, 0, -1, [bytes(512)] * 4),
        (2, 0, 2**70, [bytes(512)] * 4),
        (2, 0, 0, [bytes(512)] * 3),
        (2, 0, 0, [bytes(512)] * 5),
        (2, 0, 0, []),
        (2, 0, 0, [bytes(512), None, None, None]),
        (2, 0, 0, [bytes(512), bytes(511), bytes(512), bytes(512)]),
        (2, 0, 0, [bytes(512), bytes(512), bytes(512), bytes(513)]),
        (2, 0, 0, [bytes(512), b"", bytes(512), None]),
    ],
)
def test_wrong_shapes_have_no_root(k: int, axis: int, index: int, shares: Sequence[Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        axis_root(k, axis, index, shares)


@pytest.mark.parametrize("k", [1, 2, 16])
def test_a_square_of_given_cells_is_hashed_as_it_is(k: int) -> None:
    honest = ExtendedSquare(original(k))
    cells = [share for row in range(2 * k) for share in honest.axis(0, row)]
    same = ExtendedSquare.from_cells(b"".join(cells))
    assert (same.k, same.data_root(), same.row_roots(), same.column_roots()) == (
        k,
        honest.data_root(),
        honest.row_roots(),
        honest.column_roots(),
    )
    row, column = 2 * k - 1, k
    cells[row * 2 * k + column] = bytes(512)
    bad = ExtendedSquare.from_cells(b"".join(cells))
    assert bad.share(row, column) == bytes(512)
    changed = [(axis, n) for axis in (0, 1) for n in range(2 * k) if roots(bad, axis)[n] != roots(honest, axis)[n]]
    assert changed == [(0, row), (1, column)]
    assert bad.data_root() != honest.data_root()
    given = [None, *bad.axis(0, row)[1:]] if k > 1 else bad.axis(0, row)
    assert axis_root(k, 0, row, given) != bad.row_roots()[row], "and it is shown to be bad"


@pytest.mark.parametrize("size", [0, 1, 512, 512 * 4 - 1, 512 * 9, 512 * 36, 512 * 8])
def test_only_squares_are_taken_as_cells(size: int) -> None:
    with pytest.raises(ValueError, match="not a square"):
        ExtendedSquare.from_cells(bytes(size))


def test_given_cells_have_an_order_too() -> None:
    cells = [bytes([0] * 28 + [namespace]) + bytes(483) for namespace in (2, 1, 9, 9, 2, 2, 9, 9, *[1] * 8)]
    with pytest.raises(ValueError, match="order"):
        ExtendedSquare.from_cells(b"".join(cells))
