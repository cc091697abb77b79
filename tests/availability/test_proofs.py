"""Proofs: right ones are accepted, and every other one is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.availability import (
    BlobTx,
    ServedSquare,
    SquareBuilder,
    choose_cells,
    confidence,
    proven_placement,
    samples_needed,
    verify_blob_proof,
    verify_cell,
    verify_header,
    verify_namespace_data,
    verify_share_proof,
)
from dougong.availability.square.namespaces import PAY_FOR_BLOB, PRIMARY_RESERVED_PADDING, TAIL_PADDING, TRANSACTION
from dougong.availability.square.nmt import inner_node, leaf_node, verify_namespace, verify_range
from dougong.availability.square.reading import blob_in_shares, shares_at
from dougong.availability.square.shares import padding_share, share_namespace, split_blob
from dougong.errors import InvalidHeader, InvalidInput, InvalidProof, NotFound
from dougong.testing.mutations import mutations
from dougong.types import Blob, Namespace, NmtProof, Placement, SquareCell, SquareHeader, SquareNamespaceData


def square_data() -> bytes:
    """An 8 x 8 square with as many of 20 fixed blobs as fit, in seven namespaces with gaps between them."""
    builder = SquareBuilder(max_size=8)
    builder.append_tx(b"plain transaction")
    for seed in range(20):
        blob = Blob(Namespace.user(bytes([1, 2 * (seed % 7) + 1])), bytes([seed + 1]) * (600 + 1997 * seed % 4500))
        builder.append_blob_tx(BlobTx(b"pay for blobs %d" % seed, (blob,)))
    return builder.square().data


SERVED = ServedSquare.extend(square_data(), height=7, time_ns=1)
HEADER = SERVED.header
K = SERVED.size
NAMESPACES = sorted({share_namespace(share) for share in SERVED.original()})
USER = [Namespace(raw) for raw in NAMESPACES if raw > PRIMARY_RESERVED_PADDING.raw and raw < TAIL_PADDING.raw]
MUTATION_STEP = 29


def refused(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except (InvalidProof, InvalidHeader):
        return True
    return False


def test_the_square_is_as_wide_as_it_should_be() -> None:
    assert K == 8
    assert len(USER) >= 4


def test_headers() -> None:
    verify_header(HEADER)
    for changed in mutations(HEADER, MUTATION_STEP):
        if replace(changed, height=HEADER.height, time_ns=HEADER.time_ns) != HEADER:
            assert refused(verify_header, changed)
    with pytest.raises(InvalidHeader):
        verify_header(SquareHeader(1, 0, HEADER.data_root, HEADER.column_roots, HEADER.row_roots))


@pytest.mark.parametrize("axis", [0, 1])
def test_every_cell_is_proven_to_its_row_and_column(axis: int) -> None:
    for row in range(2 * K):
        for column in range(2 * K):
            verify_cell(HEADER, SERVED.cell(row, column, axis))
    with pytest.raises(NotFound):
        SERVED.cell(2 * K, 0, axis)
    with pytest.raises(NotFound):
        SERVED.cell(0, -1, axis)


@pytest.mark.parametrize("place", [(0, 0), (1, 5), (3, 12), (12, 3), (15, 15)])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_changed_cell_is_accepted(place: tuple[int, int], axis: int) -> None:
    cell = SERVED.cell(*place, axis)
    for changed in mutations(cell):
        if not refused(verify_cell, HEADER, changed):
            # Rows of tail padding are equal: their cells prove each other, and that is true.
            assert changed == SERVED.cell(changed.row, changed.column, changed.axis)
            assert changed.share == cell.share


def test_a_cell_of_an_original_share_cannot_pose_as_parity() -> None:
    honest = SERVED.cell(0, 0)
    moved = SquareCell(0, K, honest.share, 0, replace(honest.proof, start=K, end=K + 1))
    assert refused(verify_cell, HEADER, moved)


def every_blob() -> list[tuple[Placement, Namespace]]:
    return [(one.placement, ns) for ns in USER for one in SERVED.namespace_data(ns).blobs]


def test_every_blob_is_proven_at_its_place() -> None:
    assert len(every_blob()) >= 6
    for placement, namespace in every_blob():
        proof = SERVED.prove(placement)
        blob = verify_blob_proof(placement, namespace, proof)
        assert blob in [one.blob for one in SERVED.namespace_data(namespace).blobs]
        assert proven_placement(7, proof) == placement
        for wrong in (
            replace(placement, start_share=placement.start_share + 1),
            replace(placement, share_count=placement.share_count + 1),
            replace(placement, data_root=bytes(32)),
        ):
            assert refused(verify_blob_proof, wrong, namespace, proof)
            if wrong.data_root != HEADER.data_root:
                with pytest.raises(NotFound):
                    SERVED.prove(wrong)


def test_no_changed_share_proof_is_accepted() -> None:
    spanning = [(p, ns) for p, ns in every_blob() if len(SERVED.prove(p).rows) > 1]
    assert spanning
    for placement, namespace in [every_blob()[0], spanning[0]]:
        proof = SERVED.prove(placement)
        for changed in mutations(proof, 1 if placement.share_count < 3 else MUTATION_STEP):
            assert refused(verify_blob_proof, placement, namespace, changed)


@given(st.integers(0, K * K - 1), st.integers(1, K * K))
def test_runs_of_one_namespace_are_proven_and_others_are_not(start: int, count: int) -> None:
    placement = Placement(7, HEADER.data_root, start, count)
    if start + count > K * K:
        with pytest.raises(NotFound):
            SERVED.prove(placement)
        return
    proof = SERVED.prove(placement)
    namespaces = {share_namespace(share) for share in SERVED.original()[start : start + count]}
    if len(namespaces) == 1:
        verify_share_proof(proof)
        assert proven_placement(7, proof) == placement
    else:
        assert refused(verify_share_proof, proof)


def absent() -> list[Namespace]:
    return [
        Namespace.user(bytes([1, 1, 0])),
        Namespace.user(bytes([1, 2, 9])),
        Namespace.user(b"\xff" * 10),
        Namespace.user(b"\1\0"),
    ]


def test_all_of_a_namespace_or_provably_nothing() -> None:
    seen = 0
    for namespace in USER:
        data = SERVED.namespace_data(namespace)
        verify_namespace_data(HEADER, data)
        seen += len(data.blobs)
    assert seen == len(every_blob())
    for namespace in absent():
        data = SERVED.namespace_data(namespace)
        verify_namespace_data(HEADER, data)
        assert data.blobs == ()


def test_absence_is_proven_inside_a_row() -> None:
    between = [ns for ns in gaps() if SERVED.namespace_data(ns).rows]
    assert between, "some row's range covers a namespace that is not there"
    for namespace in between:
        data = SERVED.namespace_data(namespace)
        verify_namespace_data(HEADER, data)
        for changed in mutations(data):
            if not refused(verify_namespace_data, HEADER, changed):
                # The proof shows the whole gap empty, for whatever namespace lies in it.
                assert replace(changed, namespace=namespace) == data
                assert SERVED.namespace_data(changed.namespace) == changed


def gaps() -> list[Namespace]:
    """Namespaces just behind each of those in use."""
    return [Namespace((int.from_bytes(ns.raw, "big") + 1).to_bytes(29, "big")) for ns in USER]


def test_no_changed_namespace_data_is_accepted() -> None:
    for namespace in USER[:3]:
        data = SERVED.namespace_data(namespace)
        for changed in mutations(data, MUTATION_STEP):
            assert refused(verify_namespace_data, HEADER, changed)


def test_leaving_out_is_refused_even_with_a_true_range_proof() -> None:
    """The attack: prove a part of a namespace's shares, each of them truly there."""
    for namespace in USER:
        data = SERVED.namespace_data(namespace)
        for number, entry in enumerate(data.rows):
            for start, end in ((entry.proof.start + 1, entry.proof.end), (entry.proof.start, entry.proof.end - 1)):
                if start >= end:
                    continue
                nodes = tuple(SERVED.extended.prove_range(0, entry.row, start, end))
                first = start - entry.proof.start
                shares = entry.shares[first : first + end - start]
                part = replace(entry, shares=shares, proof=NmtProof(start, end, nodes))
                verify_range(HEADER.row_roots[entry.row], [leaf_node(namespace.raw, s) for s in shares], part.proof, 2 * K)
                rows = (*data.rows[:number], part, *data.rows[number + 1 :])
                for blobs in (data.blobs, data.blobs[:-1], ()):
                    cut = SquareNamespaceData(7, namespace, blobs, rows)
                    assert refused(verify_namespace_data, HEADER, cut)


def test_absence_cannot_be_claimed_of_what_is_there() -> None:
    """The attack: offer the leaf behind a namespace's last one as proof that there is none."""
    namespace = USER[0]
    entry = SERVED.namespace_data(namespace).rows[-1]
    at = entry.proof.end
    share = SERVED.extended.share(entry.row, at)
    leaf = leaf_node(share_namespace(share) if at < K else b"\xff" * 29, share)
    nodes = tuple(SERVED.extended.prove_range(0, entry.row, at, at + 1))
    with pytest.raises(InvalidProof):
        verify_namespace(HEADER.row_roots[entry.row], namespace, (), NmtProof(at, at + 1, nodes, leaf), 2 * K)


def test_compact_namespaces_are_not_read_as_blobs() -> None:
    found = SERVED.namespace_data(PAY_FOR_BLOB)
    assert found.blobs == ()
    assert any(row.shares for row in found.rows)
    verify_namespace_data(SERVED.header, found)


def test_what_is_no_blob_spoils_none_beside_it() -> None:
    """Anyone may publish under a rollup's namespace in a share version to come: nobody's reading must end there."""
    namespace = Namespace.user(b"alpha")
    ours = [Blob(namespace, b"first" * 300), Blob(namespace, b"second" * 300, 1, b"s" * 20)]
    unknown = [(namespace.raw + bytes([2 << 1 | (not number)])).ljust(512, b"\x55") for number in range(3)]
    run = [*split_blob(ours[0]), *unknown, padding_share(namespace, 2), *split_blob(ours[1])]
    filler = padding_share(Namespace.user(b"omega"))
    served = ServedSquare.extend(b"".join([*run, *[filler] * (16 - len(run))]), height=7, time_ns=0)
    found = served.namespace_data(namespace)
    assert [one.blob for one in found.blobs] == ours
    verify_namespace_data(served.header, found)
    for one in found.blobs:
        assert verify_blob_proof(one.placement, namespace, served.prove(one.placement)) == one.blob
    with pytest.raises(InvalidProof):
        verify_namespace_data(served.header, replace(found, blobs=found.blobs[:1]))


def test_a_namespace_that_is_not_one_run_is_read_where_it_lies() -> None:
    """Rows and columns in order do not make the square so: a block's producers may sign it, and everybody must read the same."""
    low, middle, top = (Namespace.user(label) for label in (b"any", b"mid", b"top"))
    first, second = Blob(low, b"x" * 900), Blob(low, b"y" * 900)
    cells = [*split_blob(first), *[padding_share(middle)] * 2, *split_blob(second), *[padding_share(top)] * 10]
    served = ServedSquare.extend(b"".join(cells), height=7, time_ns=0)
    found = served.namespace_data(low)
    assert [(one.placement.start_share, one.blob) for one in found.blobs] == [(0, first), (4, second)]
    for one in found.blobs:
        assert blob_in_shares(shares_at(one.placement, served.prove(one.placement)), low) == one.blob
    assert share_namespace(SERVED.original()[0]) == TRANSACTION.raw


def test_nodes_out_of_order_do_not_hash() -> None:
    low, high = leaf_node(bytes(28) + b"\1", b"a"), leaf_node(bytes(28) + b"\2", b"b")
    inner_node(low, high)
    with pytest.raises(InvalidProof):
        inner_node(high, low)


def garbage() -> st.SearchStrategy[Any]:
    return st.binary(max_size=100) | st.sampled_from([HEADER.row_roots[0], SERVED.extended.share(0, 0)])


@given(st.integers(-2, 20), st.integers(-2, 20), st.lists(garbage(), max_size=9), garbage(), garbage())
def test_verifiers_raise_nothing_but_invalid_proof(start: int, end: int, nodes: list[bytes], leaf: bytes, share: bytes) -> None:
    proof = NmtProof(start, end, tuple(nodes), leaf)
    honest = SERVED.namespace_data(USER[0])
    row = replace(honest.rows[0], proof=proof, shares=(share,))
    share_proof = SERVED.prove(every_blob()[0][0])
    part = replace(share_proof.rows[0], nmt_proof=proof, shares=(share,), row_root=leaf)
    assert refused(verify_cell, HEADER, SquareCell(start, end, share, 0, proof))
    assert refused(verify_namespace_data, HEADER, replace(honest, rows=(row,)))
    assert refused(verify_share_proof, replace(share_proof, rows=(part,)))


def test_samples_reach_the_confidence_asked_for() -> None:
    for size in (1, 2, 16, 128, 512):
        for wanted in (0.5, 0.99, 0.999999):
            count = samples_needed(wanted, size)
            assert confidence(count, size) >= wanted
            assert count == 0 or confidence(count - 1, size) < wanted
    with pytest.raises(InvalidInput):
        samples_needed(1.0, 8)
    assert len(set(choose_cells(8, 16))) == 16
    assert sorted(choose_cells(1, 16)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
