"""Shares, transactions on the wire, and layout: what is written is read back, and nothing else is read."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.availability import (
    ServedSquare,
    SquareBuilder,
    build_square,
    check_blob_namespace,
    construct_square,
    decode_blob_tx,
    decode_index_wrapper,
    encode_blob_tx,
    encode_index_wrapper,
    parse_blobs,
    parse_transactions,
    shares_needed,
    split_blob,
    split_transactions,
)
from dougong.availability.square.commitment import next_share_index, subtree_sizes, subtree_width
from dougong.availability.square.namespaces import MIN_SECONDARY_RESERVED, PARITY, PAY_FOR_BLOB, TAIL_PADDING, TRANSACTION
from dougong.availability.square.shares import padding_share
from dougong.availability.square.wire import BlobTx
from dougong.codec.protobuf import Writer
from dougong.errors import InvalidBlob, InvalidInput, InvalidNamespace, InvalidTransaction
from dougong.types import Blob, Namespace

USER = Namespace.user(b"alpha")


@st.composite
def blobs(draw: st.DrawFn, max_size: int = 3000) -> Blob:
    label = draw(st.sampled_from([b"a", b"b", b"bb", b"z\0", b"\xff" * 10])).rjust(3, b"\1")
    size = draw(st.one_of(st.integers(1, max_size), st.sampled_from([1, 457, 458, 459, 477, 478, 479, 960, 961])))
    data = draw(st.binary(min_size=1, max_size=8)) * size
    version = draw(st.sampled_from([0, 1]))
    return Blob(Namespace.user(label), data[:size], version, b"signer of twenty byt" * version)


@st.composite
def blocks(draw: st.DrawFn) -> list[bytes]:
    """Well-formed transactions in the order that a block has them."""
    plain = draw(st.lists(st.binary(min_size=1, max_size=900).map(lambda tx: b"\xff" + tx), max_size=6))
    paid = draw(st.lists(st.tuples(st.binary(max_size=300), st.lists(blobs(), min_size=1, max_size=3)), max_size=4))
    return plain + [encode_blob_tx(tx, inside) for tx, inside in paid]


@given(st.lists(blobs(), max_size=5))
def test_blobs_come_back_from_their_shares(wanted: list[Blob]) -> None:
    shares: list[bytes] = []
    for blob in wanted:
        pieces = split_blob(blob)
        assert len(pieces) == shares_needed(len(blob.data), blob.share_version)
        assert all(len(piece) == 512 for piece in pieces)
        shares += [*pieces, padding_share(blob.namespace, blob.share_version)]
    assert [found.blob for found in parse_blobs(shares)] == wanted


@given(blobs(), st.data())
def test_no_other_shares_are_read_as_the_blob(blob: Blob, data: st.DataObject) -> None:
    shares = split_blob(blob)
    which = data.draw(st.integers(0, len(shares) - 1))
    at, bit = data.draw(st.integers(0, 511)), data.draw(st.integers(0, 7))
    share = bytearray(shares[which])
    share[at] ^= 1 << bit
    shares[which] = bytes(share)
    assert [found.blob for found in parse_blobs(shares)] != [blob]


@given(blobs(), st.integers(1, 600))
def test_cut_shares_are_no_blob(blob: Blob, cut: int) -> None:
    shares = split_blob(blob)
    assert parse_blobs([*shares[:-1], shares[-1][:-cut]]) == []
    assert parse_blobs(shares[:-1]) == []
    assert parse_blobs(shares[1:]) == []


def of_version(version: int, count: int) -> list[bytes]:
    """A sequence of a share version that is not known here, as Celestia's version 2: whatever its shares hold."""
    first = USER.raw + bytes([version << 1 | 1]) + (478 * count - 50).to_bytes(4)
    return [(first if not number else USER.raw + bytes([version << 1])).ljust(512, b"\xa5") for number in range(count)]


@given(st.lists(blobs(), min_size=1, max_size=4), st.data())
def test_what_is_unknown_or_malformed_spoils_no_blob_beside_it(wanted: list[Blob], data: st.DataObject) -> None:
    wanted = [Blob(USER, blob.data, blob.share_version, blob.signer) for blob in wanted]
    junk = st.one_of(
        st.builds(of_version, st.integers(2, 127), st.integers(1, 5)),
        st.binary(min_size=482, max_size=482).map(lambda rest: [USER.raw + b"\2" + rest]),  # continues no sequence
        st.binary(min_size=4, max_size=4).map(lambda size: [(USER.raw + b"\1" + size).ljust(512, b"\1")]),
        st.just([padding_share(USER, 2)]),
        st.just([padding_share(USER)[:-1] + b"\1"]),
        st.just(split_blob(Blob(USER, b"cut" * 400))[:2]),
    )
    shares, places = [], []
    for blob in wanted:
        for spoilt in data.draw(st.lists(junk, max_size=3)):
            shares += spoilt
        places.append(len(shares))
        shares += split_blob(blob)
    shares += [share for spoilt in data.draw(st.lists(junk, max_size=3)) for share in spoilt]
    found = parse_blobs(shares)
    assert [one.blob for one in found] == wanted
    assert [one.start for one in found] == places


def test_shares_that_all_begin_something_long_are_read_in_one_pass() -> None:
    began = USER.raw + b"\1" + (478 + 482 * 16_383).to_bytes(4)
    shares = [began.ljust(512, b"\1")] * 16_384
    started = time.process_time()
    assert parse_blobs(shares) == []
    assert time.process_time() - started < 5, "each of them read to the end would take minutes"


@given(st.lists(st.binary(max_size=1200), min_size=1, max_size=8))
def test_transactions_come_back_from_compact_shares(txs: list[bytes]) -> None:
    shares = split_transactions(TRANSACTION, txs)
    assert parse_transactions(shares) == txs


@given(st.lists(st.binary(max_size=700), min_size=1, max_size=4), st.data())
def test_mutated_compact_shares_are_not_read_as_the_same(txs: list[bytes], data: st.DataObject) -> None:
    shares = split_transactions(PAY_FOR_BLOB, txs)
    which = data.draw(st.integers(0, len(shares) - 1))
    at = data.draw(st.integers(0, 511))
    share = bytearray(shares[which])
    share[at] ^= 1
    shares[which] = bytes(share)
    with suppress(InvalidInput):
        assert parse_transactions(shares) != txs or share_is_of_another_namespace(bytes(share))


def share_is_of_another_namespace(share: bytes) -> bool:
    return share[:29] != PAY_FOR_BLOB.raw


@given(st.binary(max_size=600))
def test_decoders_raise_nothing_but_invalid_input(raw: bytes) -> None:
    for decode in (decode_blob_tx, decode_index_wrapper):
        with suppress(InvalidInput):
            decode(raw)
    for shares in ([raw], [raw.ljust(512, b"\0")], [USER.raw + raw.ljust(483, b"\1")[:483]] * 2):
        parse_blobs(shares)
        with suppress(InvalidInput):
            parse_transactions(shares)


@given(st.binary(max_size=200), st.lists(blobs(), min_size=1, max_size=3), st.data())
def test_blob_transactions_round_trip_and_mutate_safely(tx: bytes, inside: list[Blob], data: st.DataObject) -> None:
    if decode_safely(tx) is not None:
        return
    raw = encode_blob_tx(tx, inside)
    assert decode_blob_tx(raw) == BlobTx(tx, tuple(inside))
    changed = bytearray(raw)
    changed[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(InvalidInput):
        assert decode_blob_tx(bytes(changed)) != BlobTx(tx, tuple(inside))


def decode_safely(tx: bytes) -> object:
    try:
        return decode_blob_tx(tx)
    except InvalidInput as error:
        return error


@given(st.binary(max_size=100), st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_index_wrappers_round_trip(tx: bytes, indexes: list[int]) -> None:
    found = decode_index_wrapper(encode_index_wrapper(tx, indexes))
    assert found is not None
    assert (found.tx, list(found.share_indexes)) == (tx, indexes)


def holding(blob: Writer) -> bytes:
    return Writer().message(2, blob.done()).string(3, "BLOB").done()


def test_a_blob_transaction_that_breaks_a_rule_is_not_a_plain_one() -> None:
    good = encode_blob_tx(b"signed", [Blob(USER, b"data")])
    wrong = {
        "unknown field": good + b"\x2a\x01x",
        "no blobs": Writer().bytes(1, b"signed").string(3, "BLOB").done(),
        "nested": encode_blob_tx(good, [Blob(USER, b"data")]),
        "blob of parity": holding(Writer().bytes(1, b"\xff" * 28).bytes(2, b"x").uint(4, 255)),
        "version that overflows": holding(Writer().bytes(1, bytes(28)).bytes(2, b"x").uint(4, 256)),
        "unknown field in a blob": holding(Writer().bytes(1, bytes(28)).bytes(2, b"x").uint(9, 1)),
    }
    for what, raw in wrong.items():
        with pytest.raises(InvalidInput):
            decode_blob_tx(raw)
            pytest.fail(what)
        with pytest.raises(InvalidInput):
            construct_square([raw], max_size=64)
        assert build_square([raw, good], max_size=64)[1] == [good]


@pytest.mark.parametrize(
    "blob",
    [
        Blob(USER, b""),
        Blob(USER, b"x", 2),
        Blob(USER, b"x", 1),
        Blob(USER, b"x", 1, bytes(19)),
        Blob(USER, b"x", 0, bytes(20)),
        Blob(TAIL_PADDING, b"x"),
    ],
    ids=["empty", "version", "no signer", "short signer", "signer", "namespace version"],
)
def test_blobs_that_no_square_can_hold(blob: Blob) -> None:
    with pytest.raises(InvalidBlob):
        split_blob(blob)
    with pytest.raises(InvalidBlob):
        encode_blob_tx(b"signed", [blob])


@pytest.mark.parametrize(
    "namespace", [TRANSACTION, PAY_FOR_BLOB, TAIL_PADDING, PARITY, MIN_SECONDARY_RESERVED, Namespace(bytes(29))]
)
def test_reserved_namespaces_are_not_for_blobs(namespace: Namespace) -> None:
    with pytest.raises(InvalidNamespace):
        check_blob_namespace(namespace)


def test_user_namespaces_next_to_the_reserved_are_for_blobs() -> None:
    check_blob_namespace(Namespace((256).to_bytes(29, "big")))
    check_blob_namespace(Namespace.user(b"\xff" * 10))


@given(blocks())
def test_a_square_is_what_its_block_says(txs: list[bytes]) -> None:
    square = construct_square(txs, max_size=64)
    assert build_square(txs, max_size=64) == (square, txs)
    assert len(square.shares) == square.size**2
    assert list(square.shares) == sorted(square.shares, key=lambda share: share[:29])

    def of(namespace: Namespace) -> list[bytes]:
        return [share for share in square.shares if share[:29] == namespace.raw]

    decoded = [(tx, decode_blob_tx(tx)) for tx in txs]
    assert parse_transactions(of(TRANSACTION)) == [tx for tx, blob_tx in decoded if blob_tx is None]
    wrapped = [decode_index_wrapper(raw) for raw in parse_transactions(of(PAY_FOR_BLOB))]
    paying = [blob_tx for _, blob_tx in decoded if blob_tx is not None]
    assert [w and (w.tx, w.share_indexes) for w in wrapped] == [
        (b.tx, s) for b, s in zip(paying, square.blob_starts, strict=True)
    ]
    for blob_tx, starts in zip(paying, square.blob_starts, strict=True):
        for blob, start in zip(blob_tx.blobs, starts, strict=True):
            count = shares_needed(len(blob.data), blob.share_version)
            assert list(square.shares[start : start + count]) == split_blob(blob)
            assert start % subtree_width(count) == 0
    ServedSquare.extend(square.data, height=1, time_ns=0)


def test_what_does_not_fit_is_left_out_or_refused() -> None:
    big = [encode_blob_tx(b"pay %d" % n, [Blob(USER, b"x" * 3000)]) for n in range(4)]
    square, kept = build_square([*big, b"\xffplain"], max_size=4)
    assert kept == [b"\xffplain", *big[:2]], "1 + 1 shares of transactions and 7 + 7 of blobs"
    assert square.size == 4
    with pytest.raises(InvalidInput, match="does not fit"):
        construct_square(big, max_size=4)
    assert SquareBuilder(4).append_tx(b"x" * 16 * 512) is False


def test_order_and_empty_transactions_are_judged() -> None:
    paying = encode_blob_tx(b"signed", [Blob(USER, b"data")])
    with pytest.raises(InvalidTransaction):
        construct_square([paying, b"\xffplain"], max_size=64)
    with pytest.raises(InvalidTransaction):
        construct_square([b""], max_size=64)


@pytest.mark.parametrize("size", [0, -4, 3, 1024])
def test_widths_that_are_not_of_a_square(size: int) -> None:
    with pytest.raises(InvalidInput):
        SquareBuilder(size)


@given(st.integers(1, 100_000), st.integers(0, 250_000))
def test_subtrees_of_a_placed_blob_are_nodes_of_the_rows(count: int, cursor: int) -> None:
    width = subtree_width(count)
    sizes = subtree_sizes(count, width)
    assert sum(sizes) == count
    assert max(sizes) <= width
    at = next_share_index(cursor, count)
    assert cursor <= at < cursor + width
    for size in sizes:
        assert at % size == 0
        at += size
