"""Celestia's formats: transactions with blobs, shares, squares."""

from __future__ import annotations

from collections.abc import Iterator

from dougong._native import ExtendedSquare
from dougong.availability.chain.blob_tx import check_blob_tx, make_blob_tx, parse_signed_tx
from dougong.availability.square.layout import build_square, construct_square
from dougong.availability.square.namespaces import PAY_FOR_BLOB, TRANSACTION
from dougong.availability.square.reading import blob_in_shares
from dougong.availability.square.served import BadEncoding, NotEnoughShares, ServedSquare
from dougong.availability.square.shares import (
    SHARE_BYTES,
    padding_share,
    parse_blobs,
    parse_transactions,
    share_namespace,
    split_blob,
    split_transactions,
)
from dougong.availability.square.wire import (
    decode_blob_tx,
    decode_index_wrapper,
    encode_blob_tx,
    encode_index_wrapper,
)
from dougong.crypto.keys import Secp256k1Key
from dougong.types import Blob, Namespace, SquareHeader
from fuzz.target import Target, accepted, joined, pieces

KEY = Secp256k1Key(b"\1" * 32)
CHAIN = "fuzz-1"
ALPHA, BETA = Namespace.user(b"alpha"), Namespace.user(b"beta")
BLOBS = (Blob(ALPHA, b"one"), Blob(BETA, b"x" * 700))


def _blob_txs() -> Iterator[bytes]:
    yield make_blob_tx(KEY, CHAIN, 0, BLOBS[:1])
    yield make_blob_tx(KEY, CHAIN, 7, BLOBS)
    yield encode_blob_tx(b"signed", [Blob(ALPHA, b"x", 1, bytes(20))])


def _check_wire(data: bytes) -> None:
    blob_tx = accepted(decode_blob_tx, data)
    if blob_tx is not None:
        assert decode_blob_tx(encode_blob_tx(blob_tx.tx, blob_tx.blobs)) == blob_tx
    wrapper = accepted(decode_index_wrapper, data)
    if wrapper is not None:
        assert decode_index_wrapper(encode_index_wrapper(wrapper.tx, wrapper.share_indexes)) == wrapper


def _check_signed(data: bytes) -> None:
    accepted(parse_signed_tx, data)
    paid = accepted(lambda raw: check_blob_tx(raw, CHAIN), data)
    if paid is not None:
        blob_tx = decode_blob_tx(data)
        assert blob_tx is not None
        assert paid.blobs == blob_tx.blobs
        assert paid.signer == KEY_ADDRESS, "a signature of nobody's key was taken"


KEY_ADDRESS = check_blob_tx(next(_blob_txs()), CHAIN).signer


def _signed() -> Iterator[bytes]:
    for raw in _blob_txs():
        yield raw
        blob_tx = decode_blob_tx(raw)
        assert blob_tx is not None
        yield blob_tx.tx


def _cut(data: bytes) -> list[bytes]:
    return [data[at : at + SHARE_BYTES] for at in range(0, len(data), SHARE_BYTES)]


def _check_shares(data: bytes) -> None:
    shares = _cut(data)
    txs = accepted(parse_transactions, shares)  # type: ignore[arg-type]
    if txs:
        assert split_transactions(Namespace(share_namespace(shares[0])), txs) == shares
    found = parse_blobs(shares)
    for placed in found:
        assert split_blob(placed.blob) == shares[placed.start : placed.start + placed.count]
        assert blob_in_shares(shares[placed.start : placed.start + placed.count], placed.blob.namespace) == placed.blob
    covered = {at for placed in found for at in range(placed.start, placed.start + placed.count)}
    for at in set(range(len(shares))) - covered:
        namespace = accepted(lambda share: Namespace(share_namespace(share)), shares[at])
        assert all(not namespace or blob_in_shares(shares[at : at + size], namespace) is None for size in range(1, 9))


def _shares() -> Iterator[bytes]:
    yield b"".join(split_transactions(TRANSACTION, [b"a" * 300, b"b" * 600, b""]))
    yield b"".join(split_transactions(PAY_FOR_BLOB, [b"tx"]))
    yield b"".join(split_blob(Blob(ALPHA, b"y" * 1200)))
    yield b"".join([*split_blob(Blob(ALPHA, b"z" * 5, 1, bytes(20))), padding_share(ALPHA), *split_blob(Blob(ALPHA, b"w"))])
    yield (bytes(18) + b"\7" * 10 + bytes(1) + b"\1").ljust(SHARE_BYTES, b"\0")  # padding of a namespace that is none was skipped


def _check_square(data: bytes) -> None:
    txs = pieces(data)
    square, block = build_square(txs, 8)
    assert construct_square(block, 8) == square
    assert len(square.shares) == square.size**2 <= 64
    again = accepted(lambda _: construct_square(txs, 8), data)
    if again is not None:
        assert txs == block or not txs
    served = ServedSquare.extend(square.data, height=1, time_ns=0)
    assert served.original() == list(square.shares)


def _squares() -> Iterator[bytes]:
    yield b""
    yield joined([b"plain", *_blob_txs()])
    yield joined([*_blob_txs(), b"late"])


def _check_repair(data: bytes) -> None:
    """A square of 4 x 4 cells as somebody dishonest may make it, some cells withheld: what is not a codeword is never given back
    as one, and an honest square is never accused."""
    mask, k = int.from_bytes(data[:2].ljust(2, b"\0")), 2
    served = ServedSquare.extend(HONEST, height=1, time_ns=0)
    cells = [share for row in range(2 * k) for share in served.extended.axis(0, row)]
    changes = pieces(data[2:])
    for number, change in enumerate(changes[:4]):
        at = change[0] % len(cells) if change else number
        cells[at] = (cells[at][:29] + change[1:])[:SHARE_BYTES].ljust(SHARE_BYTES, b"\0")
    honest = cells == [share for row in range(2 * k) for share in served.extended.axis(0, row)]
    try:
        given = ExtendedSquare.from_cells(b"".join(cells))
    except ValueError:
        assert not honest
        return
    header = SquareHeader(1, 0, given.data_root(), tuple(given.row_roots()), tuple(given.column_roots()))
    shown = [None if mask >> at & 1 else cell for at, cell in enumerate(cells)]
    try:
        repaired = ServedSquare.repair(header, shown)
    except BadEncoding:
        assert not honest, "an honest square is accused"
    except NotEnoughShares:
        assert mask.bit_count() >= (k + 1) ** 2, "so few withheld cells cannot hide a square"
    else:
        found = [share for row in range(2 * k) for share in repaired.extended.axis(0, row)]
        assert all(was is None or was == now for was, now in zip(shown, found, strict=True))
        assert ServedSquare.extend(b"".join(repaired.original()), height=1, time_ns=0).header == header


HONEST = construct_square([make_blob_tx(KEY, CHAIN, 0, BLOBS[:1])], 8).data[: 4 * SHARE_BYTES]


def _repairs() -> Iterator[bytes]:
    yield b"\0\0"
    yield b"\x0f\0" + joined([b"\5" + bytes(400)])
    yield b"\xff\xff" + joined([b"\1\2\3", b"\x0f\1"])


TARGETS = (
    Target("wire", _check_wire, _blob_txs),
    Target("signed-tx", _check_signed, _signed, runs=8_000),
    Target("shares", _check_shares, _shares),
    Target("square", _check_square, _squares, runs=6_000),
    Target("repair", _check_repair, _repairs, runs=8_000, max_bytes=1024),
)
