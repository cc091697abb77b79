"""Beacon nodes of every kind, honest and not: what they give is compared with the block, and nothing they do breaks a reader."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson
import pytest

from dougong.availability.ethereum import Beacon, BlobReader, EthereumBlock
from dougong.errors import Unavailable
from dougong.net.jsonrpc import JsonRpc
from tests.availability.kzg.world import FOREIGN, cell, header, rows, transactions

BLOCK = EthereumBlock(header(), b"\x0b" * 32, 1_700_000_000 + 12 * 777, tuple(one.raw for one in transactions()))
WHOLE = [one.blobs for one in transactions()]
HASHES = BLOCK.versioned_hashes
SPEC = {"/eth/v1/config/spec": {"SECONDS_PER_SLOT": "12"}, "/eth/v1/beacon/genesis": {"genesis_time": "1700000000"}}

Answer = httpx.Response | dict[str, Any] | list[Any] | bytes | None


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


class Node:
    """A beacon node that has what its handlers give; a path is answered by the first prefix that fits."""

    def __init__(self, **handlers: Callable[[dict[str, list[str]]], Answer]) -> None:
        self.handlers = {name.replace("__", "/"): handler for name, handler in handlers.items()}
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if request.url.path in SPEC:
            return httpx.Response(200, json={"data": SPEC[request.url.path]})
        for name, handler in self.handlers.items():
            if f"/{name}/777" in request.url.path:
                answer = handler(parse_qs(request.url.query.decode()))
                if isinstance(answer, httpx.Response):
                    return answer
                if isinstance(answer, bytes):
                    return httpx.Response(200, content=answer, headers={"content-type": "application/octet-stream"})
                if answer is not None:
                    return httpx.Response(200, json={"data": answer})
        return httpx.Response(404, json={"code": 404, "message": "not found"})


def plain(query: dict[str, list[str]]) -> Answer:
    return [hexed(blob) for blob in chosen(query)]


def ssz(query: dict[str, list[str]]) -> Answer:
    return b"".join(chosen(query))


def chosen(query: dict[str, list[str]]) -> list[bytes]:
    wanted = query.get("versioned_hashes", [hexed(one) for one in HASHES])
    return [blob for blob, one in zip(rows(), HASHES, strict=True) if hexed(one) in wanted]


def sidecars(_: dict[str, list[str]]) -> Answer:
    return [{"index": str(index), "blob": hexed(blob)} for index, blob in reversed(list(enumerate(rows())))]


def columns(known: range, spoilt: range = range(0)) -> Callable[[dict[str, list[str]]], Answer]:
    def answer(query: dict[str, list[str]]) -> Answer:
        wanted = [int(one) for one in query.get("indices", [str(index) for index in known])]
        found = []
        for index in sorted(set(wanted) & set(known)):
            cells = [cell(row, index) for row in range(len(rows()))]
            proofs = [hexed(one.proof) for one in cells]
            found.append(
                {
                    "index": str(index),
                    "column": [hexed(one.share) for one in cells],
                    "kzg_commitments": [hexed(one.commitment) for one in cells],
                    "kzg_proofs": proofs[::-1] if index in spoilt else proofs,
                }
            )
        return found

    return answer


def reading(node: Node) -> BlobReader:
    return BlobReader(JsonRpc("http://unused"), beacon(node), 0)


def beacon(node: Node, **options: Any) -> Beacon:
    return Beacon("http://beacon/", transport=httpx.MockTransport(node), **{"attempts": 1, **options})


@pytest.mark.parametrize(
    "node",
    [
        Node(blobs=plain),
        Node(blobs=ssz),
        Node(blobs=lambda _: plain({})),
        Node(blobs=lambda _: [hexed(blob) for blob in rows()[::-1]]),
        Node(blobs=lambda query: plain({name: values[-1:] for name, values in query.items()})),
        Node(blob_sidecars=sidecars),
        Node(blobs=lambda _: [], data_column_sidecars=columns(range(64))),
        Node(data_column_sidecars=columns(range(64))),
        Node(data_column_sidecars=columns(range(60, 128), spoilt=range(60, 64))),
    ],
    ids=[
        "json",
        "ssz",
        "no filter",
        "another order",
        "half a filter",
        "before Fulu",
        "64 columns and no blobs",
        "64 columns",
        "wrong columns too",
    ],
)
async def test_every_kind_of_node_is_read(node: Node) -> None:
    assert await reading(node).contents(BLOCK, [0, 1, 2, 3]) == WHOLE
    if "blobs" in node.handlers:
        assert await reading(node).content(BLOCK, 1) == WHOLE[1]
    assert "/eth/v1/config/spec" in node.asked, "the slot follows from the block's time"


async def test_a_small_answer_cannot_become_a_large_one() -> None:
    asked: list[str] = []

    def bomb(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        packed = gzip.compress(b'{"data":[' + b" " * (1 << 24) + b"]}")
        return httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})

    reader = BlobReader(JsonRpc("http://node"), Beacon("http://beacon", attempts=1, transport=httpx.MockTransport(bomb)))
    with pytest.raises(Unavailable, match="compressed"):
        await reader.content(BLOCK, 0)
    assert set(asked) == {"identity"}


async def test_only_what_is_wanted_is_downloaded() -> None:
    queries: list[dict[str, list[str]]] = []

    def noting(query: dict[str, list[str]]) -> Answer:
        queries.append(query)
        return ssz(query)

    reader = reading(Node(blobs=noting))
    assert await reader.content(BLOCK, 0) == WHOLE[0]
    assert await reader.content(BLOCK, 0) == WHOLE[0]
    assert queries == [{"versioned_hashes": [hexed(HASHES[0])]}]


def garbage(body: bytes, kind: str = "application/json", status: int = 200) -> Callable[[dict[str, list[str]]], Answer]:
    return lambda _: httpx.Response(status, content=body, headers={"content-type": kind})


@pytest.mark.parametrize(
    "node",
    [
        Node(),
        Node(blobs=lambda _: []),
        Node(blobs=lambda _: [hexed(FOREIGN)] * 5),
        Node(blobs=lambda _: [hexed(FOREIGN[:-1])] * 5),
        Node(blobs=lambda _: [hexed(b"\xff" * len(FOREIGN))] * 5),
        Node(blobs=lambda _: [None] * 5),
        Node(blobs=lambda _: [["0x"]]),
        Node(blobs=lambda _: {"a": 1}),
        Node(blobs=garbage(b"")),
        Node(blobs=garbage(b"[]")),
        Node(blobs=garbage(b"null")),
        Node(blobs=garbage(b"\xff\xfe{")),
        Node(blobs=garbage(b"x", "application/octet-stream")),
        Node(blobs=garbage(b"", status=500)),
        Node(blobs=garbage(b"", status=400)),
        Node(blobs=garbage(b"", status=302)),
        Node(blob_sidecars=lambda _: [{"index": "0"}] * 5),
        Node(blob_sidecars=lambda _: [{"blob": "0x"}] * 5),
        Node(blob_sidecars=lambda _: [7]),
        Node(blob_sidecars=lambda _: [{"index": "-1", "blob": "0x"}]),
        Node(data_column_sidecars=columns(range(63))),
        Node(data_column_sidecars=columns(range(127), spoilt=range(64))),
        Node(data_column_sidecars=lambda _: [{"index": "5"}]),
        Node(data_column_sidecars=lambda _: [{"index": "5", "column": ["0x"], "kzg_commitments": [], "kzg_proofs": []}]),
        Node(data_column_sidecars=lambda _: [{"index": "128", "column": [], "kzg_commitments": [], "kzg_proofs": []}]),
        Node(data_column_sidecars=lambda _: [None]),
    ],
)
async def test_a_node_that_lies_or_has_nothing_makes_data_unavailable(node: Node) -> None:
    with pytest.raises(Unavailable):
        await reading(node).content(BLOCK, 1)


async def test_answers_are_bounded() -> None:
    node = Node(blobs=plain)
    with pytest.raises(Unavailable, match="more than"):
        await beacon(node, max_bytes=100_000).blobs(BLOCK, [0])


async def test_a_node_without_slots_is_asked_by_block_hash() -> None:
    asked: list[str] = []

    def anvil(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if "/blobs/" not in request.url.path:
            return httpx.Response(404)
        return httpx.Response(200, content=b"".join(rows()), headers={"content-type": "application/octet-stream"})

    source = Beacon("http://anvil", transport=httpx.MockTransport(anvil))
    assert await source.blobs(BLOCK, range(5)) == rows()
    assert asked == ["/eth/v1/config/spec", "/eth/v1/beacon/blobs/" + hexed(BLOCK.block_hash)]


NONSENSE: list[object] = [{}, {"SECONDS_PER_SLOT": "0"}, {"SECONDS_PER_SLOT": "x"}, [], None, {"SLOT_DURATION_MS": "-5"}]


@pytest.mark.parametrize("config", NONSENSE)
async def test_a_clock_that_makes_no_sense_is_refused(config: object) -> None:
    def node(request: httpx.Request) -> httpx.Response:
        answer = config if "spec" in request.url.path else {"genesis_time": "1"}
        return httpx.Response(200, content=orjson.dumps({"data": answer}))

    with pytest.raises(Unavailable):
        await Beacon("http://beacon", transport=httpx.MockTransport(node)).blobs(BLOCK, [0])


@pytest.mark.parametrize("genesis", ["9" * 4300, "1" + "0" * 20, "-1", None])
async def test_a_chain_that_began_at_no_time_is_refused(genesis: object) -> None:
    def node(request: httpx.Request) -> httpx.Response:
        answer = {"SLOT_DURATION_MS": "1"} if "spec" in request.url.path else {"genesis_time": genesis}
        return httpx.Response(200, content=orjson.dumps({"data": answer}))

    with pytest.raises(Unavailable, match="when its slots are"):
        await Beacon("http://beacon", transport=httpx.MockTransport(node)).blobs(BLOCK, [0])


async def test_a_busy_node_is_asked_again() -> None:
    left = [503, 429]

    def busy(query: dict[str, list[str]]) -> Answer:
        return httpx.Response(left.pop()) if left else ssz(query)

    assert await beacon(Node(blobs=busy), attempts=3).blobs(BLOCK, range(5)) == rows()


async def test_a_node_that_never_answers_does_not_hold_a_reader_up() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    handler: Callable[[httpx.Request], Awaitable[httpx.Response]] = never
    with pytest.raises(Unavailable):
        await Beacon("http://b", transport=httpx.MockTransport(handler), timeout=0.01, attempts=2).blobs(BLOCK, [0])  # type: ignore[arg-type]


async def test_what_others_read_meanwhile_takes_nothing_away() -> None:
    def crowded(query: dict[str, list[str]]) -> Answer:
        if reader is not None:
            reader._contents.clear()  # as reads of many other blocks do it, while this one waits
        return ssz(query)

    reader: BlobReader | None = None
    reader = reading(Node(blobs=crowded))
    first = await reader.content(BLOCK, 0)
    assert await reader.contents(BLOCK, [0, 1]) == [first, tuple(WHOLE[1])]


async def test_cells_come_from_columns_or_else_from_blobs() -> None:
    expected = cell(2, 100)
    by_column = Node(data_column_sidecars=columns(range(128)))
    assert await reading(by_column).cell(BLOCK, 2, 100) == expected
    by_blob = Node(blobs=ssz)
    assert await reading(by_blob).cell(BLOCK, 2, 100) == expected
    wrong = Node(blobs=ssz, data_column_sidecars=columns(range(128), spoilt=range(128)))
    assert await reading(wrong).cell(BLOCK, 2, 100) == expected, "a wrong column is no reason to believe in withholding"
    half = Node(data_column_sidecars=columns(range(64)))
    assert await reading(half).cell(BLOCK, 2, 100) == expected, "recovered"
    with pytest.raises(Unavailable):
        await reading(Node(data_column_sidecars=columns(range(63)))).cell(BLOCK, 2, 100)
