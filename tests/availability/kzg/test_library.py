"""The wrapper over c-kzg: known answers, and refusals that are errors of ours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dougong.availability.kzg import (
    cells_and_proofs,
    commit,
    da_id,
    frame,
    make_sidecar,
    sidecar_of,
    verify_cells,
    versioned_hash,
)
from dougong.availability.kzg.params import BLS_MODULUS, BYTES_PER_BLOB, BYTES_PER_CELL
from dougong.errors import InvalidBlob, InvalidInput, InvalidProof
from dougong.types import Blob
from tests.availability.kzg.world import FOREIGN, MINE, OURS, commitment, extended

# The point at infinity, and the group's generator: what zero and the constant one commit to.
INFINITY = bytes([0xC0]) + bytes(47)
G1 = bytes.fromhex("97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb")


def test_constants_commit_to_multiples_of_the_generator() -> None:
    """p(x) = c has the commitment c · G and, the quotient being zero, the proof 0 everywhere."""
    assert commit(bytes(BYTES_PER_BLOB)) == INFINITY
    one = (bytes(31) + b"\1") * 4096
    assert commit(one) == G1
    cells, proofs = cells_and_proofs(one)
    assert set(cells) == {one[:BYTES_PER_CELL]}
    assert set(proofs) == {INFINITY}
    minus_one = (BLS_MODULUS - 1).to_bytes(32) * 4096
    assert commit(minus_one) == bytes([G1[0] ^ 0x20]) + G1[1:], "minus G: the other sign of y"


def test_versioned_hashes_are_eip_4844s() -> None:
    assert versioned_hash(INFINITY).hex() == "010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014"
    with pytest.raises(InvalidInput):
        versioned_hash(INFINITY[1:])


def test_layers_of_different_chains_have_different_names() -> None:
    assert da_id(1) != da_id(2)
    assert len(da_id(2**64)) == 32


@pytest.mark.parametrize("value", [BLS_MODULUS, 2**255, 2**256 - 1])
@pytest.mark.parametrize("at", [0, 4095])
def test_elements_from_the_modulus_on_are_refused(value: int, at: int) -> None:
    blob = FOREIGN[: 32 * at] + value.to_bytes(32) + FOREIGN[32 * (at + 1) :]
    for call in (commit, cells_and_proofs):
        with pytest.raises(InvalidInput):
            call(blob)


@pytest.mark.parametrize("size", [0, 1, BYTES_PER_BLOB - 1, BYTES_PER_BLOB + 1, 2 * BYTES_PER_BLOB])
def test_blobs_have_one_size(size: int) -> None:
    for call in (commit, cells_and_proofs):
        with pytest.raises(InvalidInput):
            call(bytes(size))


def test_cells_are_verified_together() -> None:
    cells, proofs = extended(FOREIGN)
    own = commitment(FOREIGN)
    verify_cells([own] * 128, range(128), cells, proofs)
    verify_cells([], [], [], [])
    verify_cells([own, own], [3, 3], [cells[3]] * 2, [proofs[3]] * 2)
    for wrong in (
        ([own], [0], [cells[1]], [proofs[1]]),
        ([own] * 2, [0, 1], cells[:2], proofs[:1]),
        ([own] * 2, [0, 1], cells[:2], [proofs[1], proofs[0]]),
        ([own], [128], [cells[0]], [proofs[0]]),
        ([own], [-1], [cells[0]], [proofs[0]]),
        ([own], [2**64], [cells[0]], [proofs[0]]),
        ([own[:-1]], [0], [cells[0]], [proofs[0]]),
        ([own], [0], [cells[0] + b"\0"], [proofs[0]]),
        ([own], [0], [cells[0]], [b""]),
    ):
        with pytest.raises(InvalidProof):
            verify_cells(*wrong)


@settings(max_examples=50)
@given(st.binary(min_size=48, max_size=48), st.binary(min_size=32, max_size=32), st.binary(min_size=48, max_size=48))
def test_no_bytes_of_a_cell_break_the_verifier(any_commitment: bytes, element: bytes, proof: bytes) -> None:
    with pytest.raises(InvalidProof):
        verify_cells([any_commitment], [0], [element * 64], [proof])


def test_sidecars_hold_what_a_transaction_takes_along() -> None:
    sidecar = make_sidecar(MINE)
    (blob,) = sidecar.blobs
    assert sidecar.blobs == frame(MINE)
    assert sidecar.commitments == (commitment(blob),)
    assert sidecar.versioned_hashes == (versioned_hash(commitment(blob)),)
    assert list(sidecar.cell_proofs) == extended(blob)[1]
    with pytest.raises(InvalidBlob):
        make_sidecar(Blob(OURS, b""))
    with pytest.raises(InvalidInput):
        sidecar_of([bytes(5)])
