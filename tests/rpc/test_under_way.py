"""What requests hold while they wait for their answers is bounded: in bytes, in objects, and in parts of a batch's reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from dougong.rpc.protocol import Limits, Methods, Param
from dougong.rpc.server import RpcServer
from dougong.rpc.under_way import weight_of
from tests.rpc.test_server import call, healthy
from tests.services.settled import running

ELSEWHERE = "127.0.0.2"
JSON = {"content-type": "application/json"}


class Waiting:
    """A method that waits for `gate`, and knows how many calls are in it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = 0
        self.entered = asyncio.Condition()

    async def wait(self, given: object) -> str:
        async with self.entered:
            self.inside += 1
            self.entered.notify_all()
        await self.gate.wait()
        return "done"

    async def until(self, count: int) -> None:
        async with self.entered:
            await self.entered.wait_for(lambda: self.inside >= count)


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[RpcServer, Waiting]]:
    server, waiting, methods = RpcServer.bind("127.0.0.1", 0, **options), Waiting(), Methods()

    async def large() -> str:
        return "x" * 400_000

    methods.add("wait", waiting.wait, Param("given", lambda value: value, None))
    methods.add("large", large)
    server.mount("alpha", methods, healthy)
    async with running(server.run):
        try:
            yield server, waiting
        finally:
            waiting.gate.set()


async def ask(server: RpcServer, body: object, address: str = "127.0.0.1") -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=address), timeout=60) as client:
        reply = await client.post(server.url("alpha"), content=content, headers=JSON)
    return reply.status_code, reply.json()


async def test_requests_that_wait_hold_so_much_and_leave_room_for_others() -> None:
    request = call("wait", ["x" * 100_000])
    async with serving(requests_bytes=2_000_000) as (server, waiting):
        held = [asyncio.create_task(ask(server, request)) for _ in range(4)]
        await waiting.until(4)
        status, refused = await ask(server, request)
        assert (status, refused["error"]["code"]) == (503, -32005)
        others = asyncio.create_task(ask(server, request, ELSEWHERE))
        await waiting.until(5)
        waiting.gate.set()
        assert [reply["result"] for _, reply in await asyncio.gather(*held, others)] == ["done"] * 5
        assert (await ask(server, request))[1]["result"] == "done"


async def test_objects_weigh_more_than_their_bytes() -> None:
    nothing = b"[" + b"[]," * 30_000 + b"[]]"
    body = b'{"jsonrpc":"2.0","id":1,"method":"wait","params":[' + nothing + b"]}"
    assert weight_of(body) > 64 * len(body)
    async with serving(requests_bytes=10_000_000) as (server, waiting):
        status, refused = await ask(server, body)
        assert (status, refused["error"]["code"]) == (503, -32005)
        assert waiting.inside == 0


async def test_bodies_that_have_not_come_yet_count_for_what_there_is_of_them() -> None:
    async with serving(requests_bytes=2_000_000, limits=Limits(body_seconds=600.0)) as (server, waiting):
        head = b"POST /alpha HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
        opened = [await asyncio.open_connection(*server.address) for _ in range(20)]
        refusals = [asyncio.create_task(reader.readline()) for reader, _ in opened]
        for _, writer in opened:
            writer.write(head + b" " * 900_000)
        await asyncio.wait(refusals, return_when=asyncio.FIRST_COMPLETED)
        assert b" 503 " in next(task for task in refusals if task.done()).result()
        other = asyncio.create_task(ask(server, call("wait"), ELSEWHERE))
        await waiting.until(1)
        waiting.gate.set()
        assert (await other)[1]["result"] == "done"
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*refusals, return_exceptions=True)


async def test_parts_of_replies_that_wait_for_the_rest_are_counted() -> None:
    batch = [*(call("large", [], number) for number in range(2)), call("wait", [], "last")]
    async with serving(requests_bytes=4_000_000) as (server, waiting):
        held = [asyncio.create_task(ask(server, batch)) for _ in range(4)]
        await waiting.until(4)
        waiting.gate.set()
        replies = [reply for _, reply in await asyncio.gather(*held)]
        assert all(reply[-1]["result"] == "done" for reply in replies)
        large = [part for reply in replies for part in reply[:-1]]
        assert sum("result" in part for part in large) == 4
        assert {part["error"]["code"] for part in large if "error" in part} == {-32005}


async def test_messages_of_a_websocket_count_too() -> None:
    message = json.dumps(call("wait", ["x" * 100_000]))
    async with (
        serving(requests_bytes=2_000_000) as (server, waiting),
        connect(server.url("alpha").replace("http", "ws")) as socket,
    ):
        for _ in range(6):
            await socket.send(message)
        assert [json.loads(await socket.recv())["error"]["code"] for _ in range(2)] == [-32005, -32005]
        await waiting.until(4)
        waiting.gate.set()
        assert [json.loads(await socket.recv())["result"] for _ in range(4)] == ["done"] * 4


@pytest.mark.parametrize("fragmented", [False, True])
async def test_a_message_is_not_taken_in_beyond_what_one_may_hold(fragmented: bool) -> None:
    async with serving() as (server, _), connect(server.url("alpha").replace("http", "ws"), max_size=None) as socket:
        pieces = ["x" * 300_000] * 5
        await socket.send(pieces if fragmented else "".join(pieces))
        await socket.wait_closed()
        assert socket.close_code == 1009
