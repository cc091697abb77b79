"""Shares that are truncated, oversized, reordered, duplicated or of another namespace, into everything that takes shares.

And blobs at each limit and one over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dougong.availability.square.layout import SquareBuilder, construct_square
from dougong.availability.square.proofs import verify_blob_proof, verify_namespace_data, verify_share_proof
from dougong.availability.square.reading import blob_in_shares, shares_at
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.shares import MAX_BLOB_BYTES, check_blob_format, parse_blobs, shares_needed, split_blob
from dougong.availability.square.wire import BlobTx, encode_blob_tx
from dougong.errors import DougongError, InvalidBlob, InvalidInput
from dougong.types import Blob, Namespace, ShareProof, SquareNamespaceData

ALPHA, BETA = Namespace.user(b"alpha"), Namespace.user(b"beta")
BLOB = Blob(ALPHA, bytes(range(256)) * 12)
SHARES = split_blob(BLOB)
TX = encode_blob_tx(b"signed", [BLOB, Blob(BETA, b"beta's")])
SERVED = ServedSquare.extend(construct_square([TX], 16).data, height=4, time_ns=0)
FOUND = SERVED.namespace_data(ALPHA)
PLACEMENT = FOUND.blobs[0].placement

Spoil = Callable[[list[bytes]], list[bytes]]
SPOILED: dict[str, Spoil] = {
    "truncated run": lambda shares: shares[:-1],
    "truncated share": lambda shares: [*shares[:-1], shares[-1][:-1]],
    "oversized share": lambda shares: [shares[0] + b"\0", *shares[1:]],
    "empty share": lambda shares: [b"", *shares[1:]],
    "none": lambda shares: [],
    "reordered": lambda shares: [shares[0], *reversed(shares[1:])],
    "rotated": lambda shares: [*shares[1:], shares[0]],
    "duplicated": lambda shares: [shares[0], shares[1], *shares[1:]],
    "doubled": lambda shares: shares + shares,
    "another namespace": lambda shares: [BETA.raw + share[29:] for share in shares],
    "one of another namespace": lambda shares: [*shares[:2], BETA.raw + shares[2][29:], *shares[3:]],
    "no namespace": lambda shares: [b"\7" * 29 + share[29:] for share in shares],
    "another version": lambda shares: [share[:29] + bytes([share[29] | 0xFE]) + share[30:] for share in shares],
    "longer sequence": lambda shares: [shares[0][:30] + b"\xff\xff\xff\xff" + shares[0][34:], *shares[1:]],
    "bytes behind the end": lambda shares: [*shares[:-1], shares[-1][:-1] + b"\1"],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_spoilt_shares_are_not_the_blob(spoil: Spoil) -> None:
    spoilt = spoil(SHARES)
    assert blob_in_shares(spoilt, ALPHA) != BLOB
    assert [placed.blob for placed in parse_blobs(spoilt)] != [BLOB]


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_spoilt_shares_prove_nothing(spoil: Spoil) -> None:
    proof = SERVED.prove(PLACEMENT)
    for row, part in enumerate(proof.rows):
        changed = (
            tuple(spoil(list(part.shares))) if len(part.shares) > 2 else tuple(spoil([*part.shares] * 3)[: len(part.shares)])
        )
        if changed == part.shares:
            continue
        rows = (*proof.rows[:row], replace(part, shares=changed), *proof.rows[row + 1 :])
        forged = ShareProof(proof.data_root, rows)
        for verify in (
            lambda forged=forged: verify_share_proof(forged),
            lambda forged=forged: shares_at(PLACEMENT, forged),
            lambda forged=forged: verify_blob_proof(PLACEMENT, ALPHA, forged),
        ):
            with pytest.raises(InvalidInput):
                verify()


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_spoilt_shares_are_not_a_namespace(spoil: Spoil) -> None:
    for number, row in enumerate(FOUND.rows):
        changed = tuple(spoil(list(row.shares))) if len(row.shares) > 2 else ()
        if changed == row.shares:
            continue
        rows = (*FOUND.rows[:number], replace(row, shares=changed), *FOUND.rows[number + 1 :])
        with pytest.raises(InvalidInput):
            verify_namespace_data(SERVED.header, SquareNamespaceData(4, ALPHA, FOUND.blobs, rows))


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_spoilt_shares_are_another_square_or_none(spoil: Spoil) -> None:
    try:
        served = ServedSquare.extend(b"".join(spoil(SERVED.original())), height=4, time_ns=0)
    except InvalidInput:
        return
    assert served.header.data_root != SERVED.header.data_root


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_spoilt_cells_are_not_repaired_into_something_else(spoil: Spoil) -> None:
    cells = [share for row in range(2 * SERVED.size) for share in SERVED.extended.axis(0, row)]
    spoilt = spoil(cells)
    try:
        repaired = ServedSquare.repair(SERVED.header, spoilt)
    except DougongError:
        return
    assert repaired.original() == SERVED.original()


@pytest.mark.parametrize("version", [0, 1])
def test_blobs_of_no_byte_and_of_one(version: int) -> None:
    signer = bytes(20) if version else b""
    with pytest.raises(InvalidBlob):
        split_blob(Blob(ALPHA, b"", version, signer))
    one = Blob(ALPHA, b"\0", version, signer)
    assert [placed.blob for placed in parse_blobs(split_blob(one))] == [one]
    builder = SquareBuilder(2)
    assert builder.append_blob_tx(BlobTx(b"tx", (one,)))
    assert builder.square().size == 2


def test_a_blob_never_fills_more_than_a_sequence_can_say() -> None:
    class Long(bytes):
        """So many bytes that nobody has them."""

        size = MAX_BLOB_BYTES

        def __len__(self) -> int:
            return self.size

    data = Long(b"x")
    check_blob_format(Blob(ALPHA, data))
    data.size += 1
    with pytest.raises(InvalidBlob):
        check_blob_format(Blob(ALPHA, data))


@pytest.mark.parametrize("size", [2, 8, 32, 128])
def test_the_largest_blob_of_a_square_and_one_byte_more(size: int) -> None:
    def fits(length: int) -> bool:
        return SquareBuilder(size).append_blob_tx(BlobTx(b"tx", (Blob(ALPHA, bytes(length)),)))

    low, high = 1, size * size * 512
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    largest = Blob(ALPHA, b"\xa5" * low)
    builder = SquareBuilder(size)
    assert builder.append_blob_tx(BlobTx(b"tx", (largest,)))
    square = builder.square()
    assert square.size == size
    start = square.blob_starts[0][0]
    assert blob_in_shares(square.shares[start : start + shares_needed(low)], ALPHA) == largest
    assert not fits(low + 1)
    with pytest.raises(InvalidInput, match="does not fit"):
        construct_square([encode_blob_tx(b"tx", [Blob(ALPHA, b"\xa5" * (low + 1))])], size)


@pytest.mark.parametrize("count", [0, 2, 3, 5, 12, 4 * 513])
def test_what_is_no_square_is_refused(count: int) -> None:
    with pytest.raises(InvalidInput):
        ServedSquare.extend(bytes(512) * count, height=1, time_ns=0)
    with pytest.raises(InvalidInput):
        ServedSquare.extend(bytes(512 * max(count, 1) - 1), height=1, time_ns=0)
