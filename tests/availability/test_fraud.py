"""Bad-encoding fraud proofs: every bad square can be proven bad, in few bytes; no honest one can, whatever the proof."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dougong.availability import (
    BadEncoding,
    ServedSquare,
    decode_bad_encoding,
    encode_bad_encoding,
    max_proof_bytes,
    prove_axis,
    prove_bad_encoding,
    verify_bad_encoding,
    verify_cell,
)
from dougong.errors import InvalidInput, InvalidProof, NotFound
from dougong.net.codec import from_json, to_json
from dougong.testing.mutations import mutations
from dougong.types import BadEncodingProof, SquareCell, SquareHeader
from tests.availability.bad_squares import Disordered, cells_of, committed, extended, shares

K = 4
WIDTH = 2 * K
HONEST = ServedSquare.extend(b"".join(shares(K)), height=7, time_ns=1)
QUADRANTS = {"original": (1, 2), "row parity": (1, K + 2), "column parity": (K + 1, 2), "both parity": (WIDTH - 1, WIDTH - 1)}


def changed(k: int, row: int, column: int, *, namespaces: int = 3) -> ServedSquare:
    """A square one of whose cells was changed after encoding."""
    cells = cells_of(k, namespaces=namespaces)
    at = row * 2 * k + column
    cells[at] = cells[at][:-1] + bytes([cells[at][-1] ^ 1])
    return committed(cells)


def repaired(served: ServedSquare | Disordered, seen: list[SquareCell]) -> BadEncoding:
    for cell in seen:
        verify_cell(served.header, cell)
    width = len(served.header.row_roots)
    known: list[bytes | None] = [None] * (width * width)
    for cell in seen:
        known[cell.row * width + cell.column] = cell.share
    with pytest.raises(BadEncoding) as caught:
        ServedSquare.repair(served.header, known)
    return caught.value


@pytest.mark.parametrize("k", [32, 64, 128])
@pytest.mark.parametrize("quadrant", QUADRANTS)
def test_a_proof_is_smaller_than_five_hundredths_of_the_original_square(k: int, quadrant: str) -> None:
    """And so of the extended one all the more. As many namespaces as shares: the largest nodes that there are."""
    row, column = QUADRANTS[quadrant]
    row, column = row + (k - K) * (row >= K), column + (k - K) * (column >= K)
    served = changed(k, row, column, namespaces=k * k)
    for axis, index in ((0, row), (1, column)):
        proof = prove_axis(served.header, axis, index, served.axis_cells(axis, index))
        assert proof is not None
        verify_bad_encoding(served.header, proof)
        raw = encode_bad_encoding(proof)
        assert len(raw) < k * k * 512 * 5 // 100, "of the original square, a quarter of the extended one"
        assert decode_bad_encoding(raw) == proof


def both_halves(served: ServedSquare, axis: int, index: int) -> list[SquareCell]:
    places = [(at, index) if axis else (index, at) for at in range(2 * served.size)]
    return [served.cell(row, column, 1 - axis) for row, column in places]


def test_the_largest_proof_is_within_its_bound() -> None:
    """The first half of an original row: every node has two namespaces of its own."""
    k = 32
    served = changed(k, 3, 5, namespaces=k * k)
    first = [served.cell(3, column, 1) for column in range(k)]
    proof = prove_axis(served.header, 0, 3, first)
    assert proof is not None
    assert len(encode_bad_encoding(proof)) <= max_proof_bytes(k) < 4 * k * k * 512 * 5 // 100


@pytest.mark.parametrize("quadrant", QUADRANTS)
@pytest.mark.parametrize("axis_seen", [0, 1])
@given(hidden=st.sets(st.integers(0, WIDTH * WIDTH - 1), max_size=20), seed=st.integers(0, 2**16))
@settings(max_examples=12, deadline=None)
def test_what_the_decoder_finds_can_be_proven(quadrant: str, axis_seen: int, hidden: set[int], seed: int) -> None:
    """From whatever cells were seen, and whichever of its two roots each was proven under."""
    served = changed(K, *QUADRANTS[quadrant])
    picker = random.Random(seed)
    places = [divmod(n, WIDTH) for n in range(WIDTH * WIDTH) if n not in hidden]
    seen = [served.cell(row, column, axis_seen if seed % 3 else picker.randrange(2)) for row, column in places]
    known: list[bytes | None] = [None if n in hidden else served.extended.share(*divmod(n, WIDTH)) for n in range(WIDTH * WIDTH)]
    try:
        ServedSquare.repair(served.header, known)
        raise AssertionError("a bad square was repaired")
    except BadEncoding as error:
        proof = prove_bad_encoding(served.header, error, seen)
    verify_bad_encoding(served.header, proof)
    assert decode_bad_encoding(encode_bad_encoding(proof)) == proof


def test_bad_row_parity() -> None:
    """Every parity cell of a row is noise, committed to by both roots."""
    cells = cells_of(K)
    for column in range(K, WIDTH):
        cells[2 * WIDTH + column] = bytes(range(256)) * 2
    convicted(committed(cells), {(0, 2)} | {(1, column) for column in range(K, WIDTH)})


def test_bad_column_parity() -> None:
    cells = cells_of(K)
    for row in range(K, WIDTH):
        cells[row * WIDTH + 1] = bytes(range(256)) * 2
    convicted(committed(cells), {(1, 1)} | {(0, row) for row in range(K, WIDTH)})


def test_swapped_cells() -> None:
    """Two cells of one namespace change places: the trees are in order, the codewords are not."""
    cells = cells_of(K, namespaces=1)
    cells[1 * WIDTH + 1], cells[2 * WIDTH + 3] = cells[2 * WIDTH + 3], cells[1 * WIDTH + 1]
    convicted(committed(cells), {(0, 1), (0, 2), (1, 1), (1, 3)})


def convicted(served: ServedSquare | Disordered, axes: set[tuple[int, int]]) -> None:
    """Exactly these axes are bad, and the half of each under the axes that cross shows it, or the repair of all cells."""
    found = set()
    for axis in (0, 1):
        for index in range(WIDTH):
            cells = served.axis_cells(axis, index)
            cells += [served.cell(at, index, 0) if axis else served.cell(index, at, 1) for at in range(K)]
            proof = prove_axis(served.header, axis, index, cells)
            if proof is not None:
                found.add((axis, index))
                verify_bad_encoding(served.header, proof)
    assert found == axes


def test_a_square_whose_namespaces_are_out_of_order() -> None:
    """Row and column codewords are right; two blobs changed their order in a row, and the producer hashed what nmt refuses."""
    original = shares(K, namespaces=K * K)
    original[4], original[5] = original[5], original[4]
    served = Disordered(extended(original, K), K)
    for cell in served.axis_cells(0, 1):
        verify_cell(served.header, cell)
    with pytest.raises(InvalidProof):
        verify_cell(served.header, served.cell(1, 0, 0))
    proof = prove_axis(served.header, 0, 1, served.axis_cells(0, 1))
    assert proof is not None
    verify_bad_encoding(served.header, proof)
    seen = [
        served.cell(row, column, 1 if column >= K else 0)
        for row in range(WIDTH)
        for column in range(WIDTH)
        if max(row, column) >= K
    ]
    error = repaired(served, seen)
    verify_bad_encoding(served.header, prove_bad_encoding(served.header, error, seen))


# --- soundness -----------------------------------------------------------------------------------------------------------


@given(
    st.integers(0, 1),
    st.integers(0, WIDTH - 1),
    st.permutations(range(WIDTH)),
    st.lists(st.integers(0, 1), min_size=K, max_size=K),
)
def test_no_honest_square_is_proven_bad(axis: int, index: int, order: list[int], under: list[int]) -> None:
    """By any k cells of any axis, under whichever of their roots."""
    cells = [
        HONEST.cell(at, index, root) if axis else HONEST.cell(index, at, root)
        for at, root in zip(sorted(order[:K]), under, strict=True)
    ]
    proof = BadEncodingProof(7, HONEST.header.data_root, axis, index, tuple(cells))
    with pytest.raises(InvalidProof, match="belong to the codeword"):
        verify_bad_encoding(HONEST.header, proof)
    assert prove_axis(HONEST.header, axis, index, both_halves(HONEST, axis, index)) is None


PROVEN = changed(K, 1, 2)
FOUND = prove_axis(PROVEN.header, 0, 1, both_halves(PROVEN, 0, 1))
assert FOUND is not None
PROOF: BadEncodingProof = FOUND


def test_every_change_of_a_proof_is_refused() -> None:
    count = 0
    for mutated in mutations(PROOF, step=7):
        count += 1
        with pytest.raises(InvalidProof):
            verify_bad_encoding(PROVEN.header, mutated)
    assert count > 500


def test_every_change_of_an_honest_axis_is_refused() -> None:
    """What a liar would try: cells of an honest square, with anything changed."""
    cells = tuple(HONEST.axis_cells(0, 1))
    for mutated in mutations(BadEncodingProof(7, HONEST.header.data_root, 0, 1, cells), step=13):
        with pytest.raises(InvalidProof):
            verify_bad_encoding(HONEST.header, mutated)


def test_a_proof_is_of_one_block() -> None:
    def refused(header: SquareHeader, proof: BadEncodingProof) -> None:
        with pytest.raises(InvalidProof):
            verify_bad_encoding(header, proof)

    refused(HONEST.header, PROOF)
    refused(HONEST.header, replace(PROOF, data_root=HONEST.header.data_root))
    refused(replace(PROVEN.header, height=8), PROOF)
    refused(PROVEN.header, replace(PROOF, cells=PROOF.cells[::-1]))
    refused(PROVEN.header, replace(PROOF, cells=PROOF.cells * 2))
    refused(PROVEN.header, replace(PROOF, cells=()))
    refused(PROVEN.header, replace(PROOF, axis=1))
    big = PROOF.cells[0]
    padded = replace(big, proof=replace(big.proof, nodes=big.proof.nodes * 1000))
    refused(PROVEN.header, replace(PROOF, cells=(padded, *PROOF.cells[1:])))


def test_too_few_cells_prove_nothing() -> None:
    assert prove_axis(PROVEN.header, 0, 1, PROVEN.axis_cells(0, 1)[1:]) is None
    error = repaired(PROVEN, [PROVEN.cell(row, column) for row in range(WIDTH) for column in range(WIDTH)])
    blind = BadEncoding(error.axis, error.index, error.shares, (None,) * WIDTH)
    with pytest.raises(NotFound):
        prove_bad_encoding(PROVEN.header, blind)


# --- bytes ---------------------------------------------------------------------------------------------------------------


def test_the_encoding_is_the_only_one() -> None:
    raw = encode_bad_encoding(PROOF)
    for mutated in mutations(raw):
        try:
            decoded = decode_bad_encoding(mutated)
        except InvalidInput:
            continue
        assert encode_bad_encoding(decoded) == mutated
        with pytest.raises(InvalidProof):
            verify_bad_encoding(PROVEN.header, decoded)


@given(
    st.binary(max_size=400)
    | st.builds(lambda head, tail: encode_bad_encoding(PROOF)[:head] + tail, st.integers(0, 3000), st.binary())
)
@settings(max_examples=300)
def test_the_decoder_is_total(raw: bytes) -> None:
    with suppress(InvalidInput):
        assert encode_bad_encoding(decode_bad_encoding(raw)) == raw


def test_what_is_no_proof_has_no_encoding() -> None:
    for mutated in mutations(PROOF, step=50):
        try:
            raw = encode_bad_encoding(mutated)
        except InvalidInput:
            continue
        assert decode_bad_encoding(raw) == mutated


def test_it_crosses_a_socket() -> None:
    assert from_json(BadEncodingProof, to_json(PROOF)) == PROOF


@pytest.mark.parametrize("k", [1, 2, 256])
def test_the_ends_of_both_fields(k: int) -> None:
    served = changed(k, 0, 2 * k - 1)
    cells = served.axis_cells(0, 0) if k > 1 else both_halves(served, 0, 0)
    proof = prove_axis(served.header, 0, 0, cells)
    assert proof is not None
    verify_bad_encoding(served.header, proof)
    assert decode_bad_encoding(encode_bad_encoding(proof)) == proof
    honest = ServedSquare.extend(b"".join(shares(k)), height=7, time_ns=1)
    assert prove_axis(honest.header, 0, 0, both_halves(honest, 0, 0)) is None
