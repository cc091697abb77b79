"""Proofs over blobs: right ones are accepted, and every other one is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dougong.availability.kzg import (
    frame,
    verify_blob_proof,
    verify_cell,
    verify_column,
    verify_header,
    verify_namespace_data,
)
from dougong.availability.kzg.params import BLS_MODULUS
from dougong.errors import InvalidHeader, InvalidProof
from dougong.testing.mutations import mutations
from dougong.types import BlobsHeader, KzgBlobProof, Namespace, Placement
from tests.availability.kzg.world import (
    ABSENT,
    FOREIGN,
    HEIGHT,
    KEY,
    LARGE,
    MINE,
    OURS,
    SIGNED,
    STRANGER,
    blob_proof,
    cell,
    commitment,
    extended,
    header,
    namespace_data,
    rows,
    signed,
    transactions,
)

# One place in every so many bytes is changed, where each costs a commitment.
STEP = 131_071 // 2


def refused(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except (InvalidProof, InvalidHeader):
        return True
    return False


def placement(number: int) -> Placement:
    tx = transactions()[number].tx
    return Placement(HEIGHT, tx.data_root, 0, len(tx.versioned_hashes))


def test_headers() -> None:
    verify_header(header())
    assert header().extent == (5, 128)
    assert [header().capacity(one.tx.data_root) for one in transactions()] == [1, 2, 1, 1]
    assert header().capacity(header().data_root) is None
    for changed in mutations(header()):
        if replace(changed, height=header().height, time_ns=header().time_ns) != header():
            assert refused(verify_header, changed)


def test_an_empty_block_has_a_header_too() -> None:
    empty = BlobsHeader(1, 1, bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), ())
    verify_header(empty)
    assert empty.extent == (0, 128)
    assert refused(verify_cell, empty, cell(0, 0))


@pytest.mark.parametrize("column", [0, 63, 64, 127])
def test_cells_are_proven_at_their_places(column: int) -> None:
    for row in range(len(rows())):
        verify_cell(header(), cell(row, column))
    verify_column(header(), column, [cell(row, column) for row in range(len(rows()))])


def test_the_first_64_cells_are_the_blob() -> None:
    for row, blob in enumerate(rows()):
        assert b"".join(cell(row, column).share for column in range(64)) == blob


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 127)])
def test_no_changed_cell_is_accepted(row: int, column: int) -> None:
    honest = cell(row, column)
    for changed in mutations(honest, 97):
        assert refused(verify_cell, header(), changed)
    for other in (cell(row, (column + 1) % 128), cell((row + 1) % 3, column)):
        assert refused(verify_cell, header(), replace(other, row=row, column=column))
        assert refused(verify_cell, header(), replace(honest, share=other.share))
        assert refused(verify_cell, header(), replace(honest, proof=other.proof))


@pytest.mark.parametrize("value", [BLS_MODULUS, BLS_MODULUS + 5, 2**256 - 1])
def test_field_elements_are_below_the_modulus(value: int) -> None:
    honest = cell(0, 0)
    assert refused(verify_cell, header(), replace(honest, share=value.to_bytes(32) + honest.share[32:]))
    blob = FOREIGN[:-32] + value.to_bytes(32)
    assert refused(verify_blob_proof, placement(0), OURS, KzgBlobProof(placement(0).data_root, b"", (blob,)))


def test_points_that_are_none_are_refused() -> None:
    honest = cell(0, 0)
    infinity = bytes([0xC0]) + bytes(47)
    # x = 0 is no point of the subgroup; a flag byte without the compression bit, and with x too large.
    for point in (
        bytes(48),
        bytes([0x80]) + bytes(47),
        b"\xff" * 48,
        bytes([0xC0]) + bytes(46) + b"\1",
        infinity,
        b"",
        bytes(49),
    ):
        assert refused(verify_cell, header(), replace(honest, proof=point))
        assert refused(verify_cell, header(), replace(honest, commitment=point))


def test_columns_are_whole_and_in_order() -> None:
    cells = [cell(row, 5) for row in range(len(rows()))]
    for wrong in (cells[:-1], cells[1:], cells[::-1], [*cells, cells[-1]], [], [*cells[:-1], cell(4, 6)]):
        assert refused(verify_column, header(), 5, wrong)
    assert refused(verify_column, header(), 6, cells)
    assert refused(verify_column, header(), 128, cells)
    assert refused(verify_column, header(), -1, cells)


def test_one_wrong_cell_spoils_a_column() -> None:
    cells = [cell(row, 5) for row in range(len(rows()))]
    assert refused(verify_column, header(), 5, [*cells[:2], replace(cells[2], proof=cells[1].proof), *cells[3:]])


def test_blobs_are_proven_at_their_places() -> None:
    assert verify_blob_proof(placement(1), OURS, blob_proof(1, False)) == LARGE
    assert verify_blob_proof(placement(2), SIGNED, blob_proof(2, True)) == MINE
    for wrong in (
        replace(placement(1), start_share=1),
        replace(placement(1), start_share=-1),
        replace(placement(1), share_count=1),
        replace(placement(1), data_root=bytes(32)),
        placement(2),
    ):
        assert refused(verify_blob_proof, wrong, OURS, blob_proof(1, False))
    assert refused(verify_blob_proof, placement(1), SIGNED, blob_proof(1, False))
    assert refused(verify_blob_proof, placement(0), OURS, blob_proof(0, False)), "no frame at all"


def test_no_changed_blob_proof_is_accepted() -> None:
    for number, namespace, step in ((1, OURS, STEP), (2, SIGNED, 17)):
        proof = blob_proof(number, namespace == SIGNED)
        for changed in mutations(replace(proof, blobs=()), step):
            assert refused(verify_blob_proof, placement(number), namespace, replace(changed, blobs=proof.blobs))
        for blobs in mutations(proof.blobs, STEP):
            assert refused(verify_blob_proof, placement(number), namespace, replace(proof, blobs=blobs))


def test_a_signer_is_proven_by_the_signature_alone() -> None:
    """The attack: publish another's signed blob, and show it as theirs."""
    for proof in (
        blob_proof(2, False),
        blob_proof(3, True),
        replace(blob_proof(2, True), transaction=signed(KEY, transactions()[1].tx.versioned_hashes)),
        replace(blob_proof(2, True), transaction=b"\x03"),
        replace(blob_proof(2, True), transaction=b"\x02" + blob_proof(2, True).transaction[1:]),
    ):
        assert refused(verify_blob_proof, placement(2), SIGNED, proof)
    assert refused(verify_blob_proof, placement(1), OURS, blob_proof(1, True)), "what proves nothing is not taken along"


@pytest.mark.parametrize(
    ("namespace", "whole", "blobs"),
    [
        (OURS, {1}, 1),
        (OURS, {0, 1, 2, 3}, 1),
        (SIGNED, {2}, 1),
        (SIGNED, {2, 3}, 1),
        (ABSENT, set(), 0),
        (ABSENT, {0, 1}, 0),
    ],
)
def test_all_of_a_namespace_or_provably_nothing(namespace: Namespace, whole: set[int], blobs: int) -> None:
    found = namespace_data(namespace, frozenset(whole))
    verify_namespace_data(header(), found)
    assert len(found.blobs) == blobs
    if namespace == SIGNED:
        assert found.blobs[0].placement == placement(2)


def test_leaving_out_is_refused() -> None:
    """The attacks: show the first cell of what is ours as if that were enough, drop the blob, drop the transaction."""
    whole = namespace_data(OURS, frozenset({1}))
    for wrong in (
        namespace_data(OURS, frozenset()),
        namespace_data(OURS, frozenset({0, 2, 3})),
        replace(whole, blobs=()),
        replace(whole, transactions=whole.transactions[:1] + whole.transactions[2:], blobs=()),
        replace(whole, transactions=(), blobs=()),
    ):
        assert refused(verify_namespace_data, header(), wrong)


def test_the_second_blobs_cell_does_not_stand_for_the_first() -> None:
    """The attack: the other blob of our transaction is no first one, and would look as if it were nobody's."""
    honest = namespace_data(OURS, frozenset({1}))
    for forged in (cell(2, 0), replace(cell(2, 0), row=1), cell(1, 1), replace(cell(1, 1), column=0), cell(0, 0)):
        shown = (honest.transactions[0], replace(honest.transactions[1], blobs=(), first_cell=forged), *honest.transactions[2:])
        assert refused(verify_namespace_data, header(), replace(honest, blobs=(), transactions=shown))


def test_no_changed_namespace_data_is_accepted() -> None:
    honest = namespace_data(SIGNED, frozenset({2}))
    for changed in mutations(replace(honest, transactions=()), 3):
        assert refused(verify_namespace_data, header(), replace(changed, transactions=honest.transactions))
    for number, content in enumerate(honest.transactions):
        for other in mutations(content, STEP if content.blobs else 211):
            shown = (*honest.transactions[:number], other, *honest.transactions[number + 1 :])
            assert refused(verify_namespace_data, header(), replace(honest, transactions=shown))
    both = replace(honest.transactions[2], first_cell=cell(3, 0))
    assert refused(
        verify_namespace_data, header(), replace(honest, transactions=(*honest.transactions[:2], both, honest.transactions[3]))
    )


def test_a_strangers_copy_is_nobodys() -> None:
    """Its first cell alone shows it: the signer that it names did not send it."""
    assert commitment(frame(MINE)[0]) == transactions()[3].commitments[0]
    assert transactions()[3].key is STRANGER
    only = frozenset({2})
    verify_namespace_data(header(), namespace_data(SIGNED, only))
    assert extended(frame(MINE)[0])[0][0] == cell(4, 0).share
