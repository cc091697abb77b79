"""Bit for bit what rsmt2d, nmt and go-square compute, asked now: squares, roots, proofs, layouts, shares, commitments, repair."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest

from dougong._native import ExtendedSquare, repair_square
from dougong.availability import (
    build_square,
    construct_square,
    decode_blob_tx,
    encode_blob_tx,
    parse_blobs,
    share_commitment,
    split_blob,
)
from dougong.availability.square.shares import shares_needed
from dougong.errors import InvalidInput
from dougong.types import Blob, Namespace
from tests.availability.oracle import Oracle, decode, encode, running

SIZES = [1 << bit for bit in range(10)]


@pytest.fixture(scope="module")
def go() -> Iterator[Oracle]:
    with running() as oracle:
        yield oracle


def original(k: int, seed: int = 0) -> bytes:
    """Shares of noise, a few to a namespace; no namespace is odd."""
    picker = random.Random(f"{k}/{seed}")
    namespaces = sorted(256 + 2 * picker.randrange(2 * k) for _ in range(k * k))
    return b"".join(namespace.to_bytes(29, "big") + picker.randbytes(483) for namespace in namespaces)


def is_header(square: ExtendedSquare, answer: dict[str, object]) -> bool:
    """Whether all cells, all roots and the data root are those that the oracle found."""
    return answer == {
        "rows": [encode(root) for root in square.row_roots()],
        "columns": [encode(root) for root in square.column_roots()],
        "data_root": encode(square.data_root()),
        "cells_sha256": encode(hashlib.sha256(square).digest()),
    }


@pytest.mark.parametrize("k", SIZES)
def test_squares_are_extended_as_by_rsmt2d(go: Oracle, k: int) -> None:
    data = original(k)
    assert is_header(ExtendedSquare(data), go.ask("extend", data))


@pytest.mark.parametrize("k", [*SIZES[:8], 256])
def test_ranges_are_proven_as_by_nmt(go: Oracle, k: int) -> None:
    square, picker = ExtendedSquare(original(k)), random.Random(k)
    for _ in range(12 if k < 256 else 4):
        axis, index, start = picker.randrange(2), picker.randrange(2 * k), picker.randrange(2 * k)
        end = picker.choice([start + 1, picker.randint(start + 1, 2 * k)])
        answer = go.ask("prove_range", b"".join(square.axis(axis, index)), index=index, start=start, end=end)
        assert (answer["start"], answer["end"]) == (start, end)
        assert [decode(node) for node in answer["nodes"] or []] == square.prove_range(axis, index, start, end)


@pytest.mark.parametrize("k", [1, 2, 4, 16, 64])
def test_namespaces_are_proven_as_by_nmt_there_or_not(go: Oracle, k: int) -> None:
    square = ExtendedSquare(original(k))
    seen = {"there": 0, "absent": 0, "outside": 0}
    for row in {0, k // 2, k - 1}:
        cells = square.axis(0, row)
        own = {int.from_bytes(cell[:29], "big") for cell in cells[:k]}
        picked = random.Random(row).sample(range(min(own), max(own) + 1), min(12, max(own) + 1 - min(own)))
        for number in {*picked, min(own), max(own), min(own) - 1, max(own) + 1}:
            namespace = number.to_bytes(29, "big")
            answer = go.ask("prove_namespace", b"".join(cells), index=row, namespace=encode(namespace))
            nodes, leaf = [decode(node) for node in answer["nodes"] or []], decode(answer["leaf"])
            ours = square.prove_namespace(row, namespace)
            if ours is None:
                assert answer["start"] == answer["end"] == 0
                seen["outside"] += 1
            else:
                assert ours == (answer["start"], answer["end"], nodes, leaf)
                assert bool(leaf) == (number not in own)
                seen["absent" if leaf else "there"] += 1
    assert seen["there"]
    assert seen["outside"]
    assert seen["absent"] or k < 4


@pytest.mark.parametrize("k", [1, 2, 4, 8, 16, 32, 128])
def test_squares_are_repaired_where_and_as_by_rsmt2d(go: Oracle, k: int) -> None:
    square, picker, width = ExtendedSquare(original(k)), random.Random(k), 2 * k
    cells, rows, columns = bytes(square), square.row_roots(), square.column_roots()
    solved = []
    for share_missing in [0.1, 0.4, 0.5, 0.55, 0.6, 0.62, 0.65, 0.7, 0.9] if k < 128 else [0.4]:
        missing = [picker.random() < share_missing for _ in range(width * width)]
        ours = repair_square(cells, rows, columns, bytes(not gone for gone in missing))
        answer = go.ask(
            "repair",
            cells,
            missing="".join("01"[gone] for gone in missing),
            rows=[encode(root) for root in rows],
            columns=[encode(root) for root in columns],
        )
        if isinstance(ours, ExtendedSquare):
            assert is_header(ours, answer)
        else:
            assert isinstance(ours, int)
            assert answer == {"unsolved": True}
        solved.append(isinstance(ours, ExtendedSquare))
    assert True in solved
    assert False in solved or k == 128


@pytest.mark.parametrize("k", [1, 2, 8, 32])
@pytest.mark.parametrize("quadrant", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_bad_encodings_are_found_where_rsmt2d_finds_them(go: Oracle, k: int, quadrant: tuple[int, int]) -> None:
    """A producer changed one cell and committed to it. Whatever else is hidden, both name one of the two axes through it."""
    width, picker = 2 * k, random.Random(f"{k}{quadrant}")
    honest = bytes(ExtendedSquare(original(k)))
    row, column = quadrant[0] * k + picker.randrange(k), quadrant[1] * k + picker.randrange(k)
    at = (row * width + column) * 512
    cells = honest[: at + 29] + bytes(byte ^ 0x5A for byte in honest[at + 29 : at + 512]) + honest[at + 512 :]
    square = ExtendedSquare.from_cells(cells)
    assert is_header(square, go.ask("commit", cells))
    for hidden in [0, 0.3]:
        missing = [picker.random() < hidden and n != row * width + column for n in range(width * width)]
        ours = repair_square(cells, square.row_roots(), square.column_roots(), bytes(not gone for gone in missing))
        answer = go.ask(
            "repair",
            cells,
            missing="".join("01"[gone] for gone in missing),
            rows=[encode(root) for root in square.row_roots()],
            columns=[encode(root) for root in square.column_roots()],
        )
        if isinstance(ours, int):
            assert answer == {"unsolved": True}
            continue
        assert isinstance(ours, tuple)
        assert ours[:2] in {(0, row), (1, column)}
        assert tuple(answer["bad"]) in {(0, row), (1, column)}


def blob(picker: random.Random, size: int, version: int) -> Blob:
    namespace = Namespace.user(b"\1" + picker.randbytes(picker.choice([1, 9])))
    return Blob(namespace, picker.randbytes(size), version, picker.randbytes(20) if version else b"")


def as_json(blobs: list[Blob]) -> list[dict[str, object]]:
    return [
        {"namespace": encode(b.namespace.raw), "data": encode(b.data), "version": b.share_version, "signer": encode(b.signer)}
        for b in blobs
    ]


@pytest.mark.parametrize("version", [0, 1])
def test_blobs_are_split_committed_to_and_parsed_as_by_go_square(go: Oracle, version: int) -> None:
    picker, first = random.Random(version), 478 - 20 * version
    sizes = {1, 2, first - 1, first, first + 1, first + 482, first + 483}
    for count in (3, 4, 5, 16, 17, 63, 64, 65, 128, 129, 1024, 1025, 4097):
        sizes |= {first + 482 * (count - 1) - 1, first + 482 * (count - 1), first + 482 * (count - 1) + 1}
    blobs = [blob(picker, size, version) for size in sorted(sizes) + [picker.randrange(1, 60000) for _ in range(40)]]
    for ours, answer in zip(blobs, go.ask("blobs", blobs=as_json(blobs)), strict=True):
        shares = split_blob(ours)
        assert b"".join(shares) == decode(answer["shares"])
        assert len(shares) == shares_needed(len(ours.data), version)
        assert share_commitment(ours) == decode(answer["commitment"])
    some = sorted(blobs[:20], key=lambda one: one.namespace.raw)
    run = [share for one in some for share in split_blob(one)]
    answer = go.ask("parse", b"".join(run))
    assert [{**entry, "signer": entry["signer"] or ""} for entry in answer] == as_json(some)
    assert [placed.blob for placed in parse_blobs(run)] == some


def block(seed: int) -> list[bytes]:
    """Transactions of all sizes, plain ones and such with blobs of both versions, in any order."""
    picker = random.Random(seed)
    txs = [b"\xff" + picker.randbytes(picker.choice([0, 10, 470, 600, 3000])) for _ in range(picker.randrange(12))]
    for _ in range(picker.randrange(10)):
        sizes = [picker.randint(1, picker.choice([10, 500, 5000, 70000])) for _ in range(picker.randint(1, 4))]
        blobs = [blob(random.Random(picker.randrange(6)), size, picker.randrange(2)) for size in sizes]
        txs.append(encode_blob_tx(picker.randbytes(picker.randint(50, 600)), blobs))
    picker.shuffle(txs)
    return txs


@pytest.mark.parametrize("seed", range(60))
def test_blocks_are_laid_out_as_by_go_square(go: Oracle, seed: int) -> None:
    txs, max_size = block(seed), random.Random(-seed).choice([1, 2, 4, 8, 16, 32, 64, 128])
    square, kept = build_square(txs, max_size)
    answer = go.ask("build", txs=[encode(tx) for tx in txs], max_size=max_size)
    assert [decode(tx) for tx in answer["txs"] or []] == kept
    assert (answer["size"], decode(answer["shares_sha256"])) == (square.size, hashlib.sha256(square.data).digest())
    assert answer == go.ask("construct", txs=[encode(tx) for tx in kept], max_size=max_size)
    assert construct_square(kept, max_size) == square
    ranges = []
    blob_txs = [found for tx in kept if (found := decode_blob_tx(tx))]
    for starts, blob_tx in zip(square.blob_starts, blob_txs, strict=True):
        counts = [shares_needed(len(b.data), b.share_version) for b in blob_tx.blobs]
        ranges.append([[start, start + count] for start, count in zip(starts, counts, strict=True)])
    assert answer["ranges"] == ranges


def test_neither_lays_out_what_does_not_fit_or_is_out_of_order(go: Oracle) -> None:
    plain, with_blob = b"\xffplain", encode_blob_tx(b"pfb", [Blob(Namespace.user(b"a"), b"x" * 5000)])
    for txs, max_size in [([with_blob, plain], 64), ([with_blob], 2), ([plain, with_blob, plain], 64)]:
        with pytest.raises(ValueError, match=r".+"):
            go.ask("construct", txs=[encode(tx) for tx in txs], max_size=max_size)
        with pytest.raises(InvalidInput):
            construct_square(txs, max_size)
