"""Columns and recovery: who keeps what, what samples tell, and what brings data back."""

from __future__ import annotations

import math
import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.availability.kzg import (
    NotEnoughCells,
    choose_columns,
    column_confidence,
    columns_needed,
    compute_columns_for_custody_group,
    get_custody_groups,
    recover,
    recover_blob,
    recover_blobs,
    sampled_columns,
    versioned_hash,
)
from dougong.availability.kzg.params import BLS_MODULUS
from dougong.errors import InvalidInput, InvalidProof
from tests.availability.kzg.world import FOREIGN, cell, commitment, extended, header, rows

TRIALS = 10_000
MAX_ID = 2**256 - 1


def test_custody_groups_by_hand() -> None:
    """das-core: the first 8 bytes of SHA-256 of the little-endian id, little-endian, modulo 128; then of the next id."""
    by_hand = [int.from_bytes(sha256(node.to_bytes(32, "little")).digest()[:8], "little") % 128 for node in (MAX_ID, 0, 1, 2)]
    assert sorted(by_hand) == get_custody_groups(MAX_ID, 4) == [1, 47, 87, 102]


@given(st.integers(0, MAX_ID), st.integers(0, 127))
def test_more_custody_extends_less(node_id: int, count: int) -> None:
    fewer, more = get_custody_groups(node_id, count), get_custody_groups(node_id, count + 1)
    assert len(set(fewer)) == count
    assert more == sorted(more)
    assert set(fewer) < set(more) <= set(range(128))


def test_custody_has_bounds() -> None:
    assert get_custody_groups(7, 128) == list(range(128))
    for node_id, count in ((-1, 4), (MAX_ID + 1, 4), (0, -1), (0, 129)):
        with pytest.raises(InvalidInput):
            get_custody_groups(node_id, count)
    assert [compute_columns_for_custody_group(group) for group in (0, 127)] == [[0], [127]]
    for group in (-1, 128):
        with pytest.raises(InvalidInput):
            compute_columns_for_custody_group(group)
    assert len(sampled_columns(5)) == 8
    assert set(get_custody_groups(5, 4)) < set(sampled_columns(5))
    assert len(sampled_columns(5, 20)) == 20


def test_confidence_is_what_counting_says() -> None:
    for samples in range(64):
        assert math.isclose(1 - column_confidence(samples), math.comb(63, samples) / math.comb(128, samples), abs_tol=1e-12)
    assert column_confidence(0) == 0
    assert column_confidence(64) == 1
    for wanted in (0.5, 0.9, 0.99, 0.9999999):
        needed = columns_needed(wanted)
        assert column_confidence(needed - 1) < wanted <= column_confidence(needed)
    for wrong in (0.0, 1.0, -1.0, 2.0):
        with pytest.raises(InvalidInput):
            columns_needed(wrong)


def test_samplers_are_deceived_as_seldom_as_stated() -> None:
    """65 columns are withheld, the fewest that keep the data away. Trials are seeded; the bound is five standard deviations."""
    source = random.Random(4844)
    for samples in (1, 3, 6):
        deceived = 0
        for _ in range(TRIALS):
            withheld = set(source.sample(range(128), 65))
            deceived += withheld.isdisjoint(choose_columns(samples, source))
        expected = 1 - column_confidence(samples)
        assert abs(deceived / TRIALS - expected) < 5 * math.sqrt(expected * (1 - expected) / TRIALS)


def test_choices_are_distinct() -> None:
    assert len(set(choose_columns(128))) == 128
    assert sorted(choose_columns(1000)) == list(range(128))
    assert choose_columns(16) != choose_columns(16)


@pytest.mark.parametrize("known", [range(64), range(64, 128), range(0, 128, 2), sorted(random.Random(7).sample(range(128), 64))])
def test_any_64_cells_bring_everything_back(known: list[int]) -> None:
    cells, proofs = extended(FOREIGN)
    partial = {index: cells[index] for index in known}
    assert recover(partial) == (cells, proofs)
    assert recover_blob(versioned_hash(commitment(FOREIGN)), partial) == FOREIGN


def test_63_do_not() -> None:
    cells, _ = extended(FOREIGN)
    with pytest.raises(NotEnoughCells) as error:
        recover({index: cells[index] for index in range(63)})
    assert error.value.known == 63
    with pytest.raises(NotEnoughCells):
        recover({})


def test_wrong_cells_never_give_a_wrong_blob() -> None:
    cells, _ = extended(FOREIGN)
    expected = versioned_hash(commitment(FOREIGN))
    honest = {index: cells[index] for index in range(40, 104)}
    forged = honest | {41: cells[41][:-1] + bytes([cells[41][-1] ^ 1])}
    with pytest.raises(InvalidInput):
        recover_blob(expected, forged)
    with pytest.raises(InvalidInput):
        recover_blob(expected, forged | {39: cells[39]})
    with pytest.raises(InvalidInput):
        recover_blob(expected, honest | {41: cells[42], 42: cells[41]})
    with pytest.raises(InvalidInput):
        recover_blob(expected, honest | {41: BLS_MODULUS.to_bytes(32) + cells[41][32:]})
    for odd in ({128: cells[0]}, {-1: cells[0]}, {39: cells[39][:-1]}, {39: b""}):
        with pytest.raises(InvalidInput):
            recover(honest | odd)
    with pytest.raises(InvalidProof):
        recover_blob(bytes(32), honest)


def test_a_block_comes_back_from_half_of_its_columns() -> None:
    columns = {column: [cell(row, column) for row in range(len(rows()))] for column in range(1, 128, 2)}
    assert recover_blobs(header(), columns) == rows()
    columns[1] = columns[1][:-1]
    with pytest.raises(InvalidProof):
        recover_blobs(header(), columns)
