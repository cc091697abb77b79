"""Callers that take more than their part: by asking, by not reading, and from web pages."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dougong.rpc.celestia import CelestiaLimits, allowed_by_level
from dougong.rpc.throttle import ClientLimits
from tests.rpc.celestia.test_methods import NS
from tests.rpc.celestia.test_server import ask, hear, socket
from tests.rpc.celestia.world import World, calling, running

EVERYTHING = json.dumps([{"jsonrpc": "2.0", "id": number, "method": "share.GetEDS", "params": [1]} for number in range(100)])


async def test_web_pages_are_refused_whatever_they_bring(tmp_path: Path) -> None:
    """Cross-origin, or of a name that was made to lead here: a browser says `Origin` with either."""
    async with running(tmp_path, without_token=allowed_by_level("read")) as world:
        body = {"jsonrpc": "2.0", "id": 1, "method": "header.LocalHead", "params": []}
        for origin in ("https://evil.example", world.url, "null"):
            headers = {"Origin": origin, "Authorization": f"Bearer {world.token('admin')}"}
            async with httpx.AsyncClient() as http:
                assert (await http.post(world.url, json=body, headers=headers)).status_code == 403
                assert "access-control-allow-origin" not in (await http.options(world.url, headers=headers)).headers
            with pytest.raises(InvalidStatus) as refused:
                async with connect(world.url.replace("http", "ws", 1), additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 403


async def test_who_may_not_write_has_nothing_long_to_say(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for level, limit in (("", 64 << 10), ("read", 1 << 20), ("write", 16 << 20)):
            async with calling(world, level) as caller:
                assert (await caller.post(b" " * limit)).status_code == 200
                with suppress(httpx.TransportError):  # cut off in the middle of the body
                    assert (await caller.post(b" " * (limit + 1))).status_code == 413
        async with socket(world) as opened:
            with pytest.raises(ConnectionClosed) as closed:
                await opened.send("x" * ((1 << 20) + 1))
                await opened.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009


async def test_each_client_has_a_part_and_is_told_when_to_come_back(tmp_path: Path) -> None:
    limits = CelestiaLimits(client=ClientLimits(bytes_per_s=20_000, burst_bytes=100_000, requests=2))
    async with running(tmp_path, limits=limits, block_time=0.5) as world, calling(world) as caller:
        await caller.call("share.GetNamespaceData", 1, NS)
        await caller.call("share.GetNamespaceData", 1, NS)
        refused = await caller.refused("share.GetNamespaceData", 1, NS)
        assert refused["data"]["retryAfter"] > 0
        async with socket(world) as opened:  # values wait for their time, and none is left out
            await ask(opened, 1, "header.Subscribe")
            assert (await hear(opened))["result"] == 1
            heights = [int((await hear(opened))["params"][1]["header"]["height"]) for _ in range(3)]
            assert heights == list(range(heights[0], heights[0] + 3))
            async with socket(world):
                assert (await caller.post(b"{}")).status_code == 429
                with pytest.raises(InvalidStatus):
                    async with socket(world):
                        pass


async def test_a_namespace_is_asked_for_once(tmp_path: Path) -> None:
    async with running(tmp_path) as world, calling(world) as caller:
        assert (await caller.refused("blob.GetAll", 1, [NS, NS]))["code"] == -32602


async def test_a_batch_of_squares_ends_where_a_reply_does(tmp_path: Path) -> None:
    async with running(tmp_path) as world, calling(world) as caller:
        world.server._limits = world.server._limits.__class__(batch=100, reply_bytes=20_000, concurrent_calls=16)
        answers = (await caller.post(EVERYTHING)).json()
        assert [one["id"] for one in answers] == list(range(100))
        assert sum("result" in one for one in answers) < 10
        assert any("left out" in one["error"]["message"] for one in answers if "error" in one)


async def large_request(world: World) -> bytes:
    """Squares again and again, of 32 x 32 cells: more than sockets hold."""
    async with calling(world) as caller:
        data = [{"namespace": NS, "data": "QUFB" * 20_000, "share_version": 0, "commitment": "", "index": -1}]
        height = await caller.call("blob.Submit", data, None)
        return EVERYTHING.replace('"params": [1]', f'"params": [{height}]').encode()


def head(world: World, *lines: str) -> bytes:
    return "\r\n".join(["Host: x", f"Authorization: Bearer {world.token('read')}", *lines, "", ""]).encode()


async def unread(world: World, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request on its way to somebody who never reads."""
    reader, writer = await asyncio.open_connection(*world.server.address, limit=1 << 10)
    writer.write(request)
    await writer.drain()
    return reader, writer


async def test_replies_that_nobody_reads_are_counted_and_cut_off(tmp_path: Path) -> None:
    limits = CelestiaLimits(replies_bytes=40 << 20, reply_seconds=1.0)
    async with running(tmp_path, limits=limits) as world, calling(world) as caller:
        request = await large_request(world)
        assert len((await caller.post(request)).content) > 20 << 20, "more than one may leave unread"
        start = b"POST / HTTP/1.1\r\n" + head(world, f"Content-Length: {len(request)}")
        _, writer = await unread(world, start + request)
        async with asyncio.timeout(20):
            for status in (503, 200):
                while (await caller.post(request)).status_code != status:
                    continue
        writer.close()


async def handshaken(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13")
    reader, writer = await unread(world, b"GET / HTTP/1.1\r\n" + head(world, *upgrade))
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    assert len(payload) < 1 << 16
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([opcode | (0x80 if last else 0)]) + size + bytes(4) + payload  # masked with zeros


async def refused(writer: asyncio.StreamWriter, flood: bytes, times: int) -> bool:
    """Whether the other end cuts the connection while this goes on."""
    try:
        for _ in range(times):
            writer.write(flood)
            await writer.drain()
            await asyncio.sleep(0)
        return False
    except ConnectionError:
        return True


async def test_pings_whose_answers_nobody_reads_are_not_answered_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        _, writer = await handshaken(world)
        async with asyncio.timeout(60):
            assert await refused(writer, frame(9, os.urandom(125)) * 500, 2_000)


async def test_a_message_does_not_come_in_ever_so_many_pieces(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        _, writer = await handshaken(world)
        writer.write(frame(1, b"{", last=False))
        assert await refused(writer, frame(0, b"", last=False) * 100, 200)
        reader, writer = await handshaken(world)  # as Go's clients send it
        request = b'{"jsonrpc":"2.0","id":1,"method":"node.Ready","params":[]}'.ljust(900_000)
        pieces = [request[at : at + 4_096] for at in range(0, len(request), 4_096)]
        writer.writelines(frame(0 if at else 1, piece, last=at == len(pieces) - 1) for at, piece in enumerate(pieces))
        assert b'"result":true' in await asyncio.wait_for(reader.readuntil(b"true"), 10)


async def test_who_asks_by_websocket_and_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path, limits=CelestiaLimits(replies_bytes=40 << 20, connections=1)) as world:
        request = await large_request(world)
        _, writer = await handshaken(world)
        with pytest.raises(InvalidStatus):
            async with socket(world):
                pass
        writer.writelines([frame(1, request)] * 4)
        async with asyncio.timeout(30):
            while not await answered(world):
                continue
        writer.close()


async def answered(world: World) -> bool:
    try:
        async with socket(world) as opened:
            await ask(opened, 1, "node.Ready")
            return (await hear(opened))["result"] is True
    except InvalidStatus:
        return False


async def test_a_subscription_ends_even_before_it_began(tmp_path: Path) -> None:
    async with running(tmp_path, limits=CelestiaLimits(subscriptions=1), block_time=5.0) as world, socket(world) as opened:
        for _ in range(20):
            await ask(opened, 1, "header.Subscribe")
            await opened.send(json.dumps({"jsonrpc": "2.0", "method": "xrpc.cancel", "params": [1]}))
        await ask(opened, 2, "node.Ready")
        while (await hear(opened)).get("id") != 2:
            pass
        await ask(opened, 3, "header.Subscribe")
        while (found := await hear(opened)).get("id") != 3:
            pass
        assert "result" in found, "no place is lost"
        deep = "[" * 500 + "]" * 500
        await opened.send(f'{{"jsonrpc":"2.0","id":{deep},"method":"header.Subscribe","params":[]}}')
        while (found := await hear(opened)).get("error") is None:
            pass
        assert found["id"] is None
