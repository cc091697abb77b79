"""What proves something about a square: proofs as they come over the node API, and proofs of bad encoding.

The square is an honest one, so whatever is accepted must be true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TypeVar

import orjson

from dougong.availability.chain.blob_tx import make_blob_tx
from dougong.availability.square.fraud import decode_bad_encoding, encode_bad_encoding, verify_bad_encoding
from dougong.availability.square.layout import construct_square
from dougong.availability.square.proofs import verify_blob_proof, verify_cell, verify_header, verify_namespace_data
from dougong.availability.square.reading import shares_at
from dougong.availability.square.served import ServedSquare
from dougong.errors import InvalidInput
from dougong.net.codec import from_json, to_json
from dougong.types import (
    BadEncodingProof,
    Blob,
    Namespace,
    NmtProof,
    Placement,
    ShareProof,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)
from fuzz.availability import ALPHA, BETA, BLOBS, CHAIN, KEY
from fuzz.target import Target, accepted, refused, round_trip

T = TypeVar("T")


@cache
def served() -> ServedSquare:
    """Made when it is first asked for: in the fork that fuzzes, because the Rust core's threads do not survive a fork."""
    tx = make_blob_tx(KEY, CHAIN, 0, [*BLOBS, Blob(ALPHA, b"y" * 3000)])
    return ServedSquare.extend(construct_square([tx], 16).data, height=3, time_ns=9)


@cache
def original() -> list[bytes]:
    return served().original()


@cache
def found_blobs() -> SquareNamespaceData:
    return served().namespace_data(BETA)


def placement() -> Placement:
    return found_blobs().blobs[0].placement


def _read(kind: type[T], data: bytes, verify: Callable[[T], object]) -> T | None:
    """The value that the JSON holds, if it is accepted."""
    try:
        value = from_json(kind, orjson.loads(data))
        assert from_json(kind, to_json(value)) == value
        verify(value)
    except (InvalidInput, orjson.JSONDecodeError):
        return None
    return value


def _check_cell(data: bytes) -> None:
    cell = _read(SquareCell, data, lambda cell: verify_cell(served().header, cell))
    if cell is not None:
        assert cell.share == served().extended.share(cell.row, cell.column), "a false cell is proven"


def _cells() -> Iterator[bytes]:
    for row, column, axis in ((0, 0, 0), (1, 5, 1), (2 * served().size - 1, 0, 0)):
        yield orjson.dumps(to_json(served().cell(row, column, axis)))


def _check_share_proof(data: bytes) -> None:
    proof = _read(ShareProof, data, lambda proof: shares_at(placement(), proof))
    if proof is not None:
        start = placement().start_share
        assert shares_at(placement(), proof) == original()[start : start + placement().share_count], "false shares are proven"
    named = _read(ShareProof, data, lambda proof: verify_blob_proof(placement(), BETA, proof))
    if named is not None:
        assert verify_blob_proof(placement(), BETA, named) == found_blobs().blobs[0].blob


def _share_proofs() -> Iterator[bytes]:
    yield orjson.dumps(to_json(served().prove(placement())))


def _check_namespace(data: bytes) -> None:
    found = _read(SquareNamespaceData, data, lambda found: verify_namespace_data(served().header, found))
    if found is not None:
        assert found.blobs == served().namespace_data(found.namespace).blobs, "a blob is left out or made up"


def _namespaces() -> Iterator[bytes]:
    for namespace in (ALPHA, BETA, Namespace.user(b"alpho")):
        yield orjson.dumps(to_json(served().namespace_data(namespace)))


def _check_header(data: bytes) -> None:
    header = _read(SquareHeader, data, verify_header)
    if header is not None and header.data_root == served().header.data_root:
        assert (header.row_roots, header.column_roots) == (served().header.row_roots, served().header.column_roots)


def _headers() -> Iterator[bytes]:
    yield orjson.dumps(to_json(served().header))
    yield orjson.dumps(to_json(ServedSquare.extend(original()[-1], height=1, time_ns=0).header))


def _check_bad_encoding(data: bytes) -> None:
    round_trip(decode_bad_encoding, encode_bad_encoding, data, canonical=True)
    proof = accepted(decode_bad_encoding, data)
    if proof is not None:
        assert refused(lambda: verify_bad_encoding(served().header, proof)), "an honest square is accused"


def _bad_encodings() -> Iterator[bytes]:
    for axis, index in ((0, 1), (1, 0), (0, 2 * served().size - 1)):
        places = [(at, index) if axis else (index, at) for at in range(served().size)]
        own = tuple(served().cell(row, column, axis) for row, column in places)
        crossing = tuple(served().cell(row, column, 1 - axis) for row, column in places)
        for cells in (own, crossing):
            yield encode_bad_encoding(BadEncodingProof(3, served().header.data_root, axis, index, cells))
    cell = SquareCell(0, 0, bytes(512), 0, NmtProof(0, 1, (bytes(90),)))
    yield encode_bad_encoding(BadEncodingProof(3, served().header.data_root, 0, 0, (cell,)))


TARGETS = (
    Target("cell", _check_cell, _cells, runs=10_000),
    Target("share-proof", _check_share_proof, _share_proofs, runs=6_000, max_bytes=16_384),
    Target("namespace", _check_namespace, _namespaces, runs=6_000, max_bytes=16_384),
    Target("header", _check_header, _headers, runs=8_000, max_bytes=8192),
    Target("bad-encoding", _check_bad_encoding, _bad_encodings, runs=6_000, max_bytes=16_384),
)
