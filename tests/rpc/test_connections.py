"""Connections that say little, never end or come in thousands, over real sockets: who holds them holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from dougong.rpc.server import RpcServer
from tests.rpc.test_server import LIMITS, call, serving

HEAD = b"POST /alpha HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
ELSEWHERE = "127.0.0.2"  # another client of the same machine


@asynccontextmanager
async def connected(server: RpcServer, count: int, said: bytes = b"") -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections that have said `said` and now wait."""
    opened = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection(*server.address))
            opened[-1][1].write(said)
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def is_served(reply: bytes) -> bool:
    return reply != b"" and not reply.startswith(b"HTTP/1.1 503 ")


async def ask_from(address: str, server: RpcServer) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=address)) as client:
        return await client.post(server.url("alpha"), json=call("add", ["0x1"]))


@pytest.mark.parametrize(
    "said", [b"", HEAD, HEAD + b"content-length: 100\r\n\r\n{", HEAD + b"transfer-encoding: chunked\r\n\r\n"]
)
async def test_a_thousand_connections_that_say_nothing_more_are_one_clients_part(said: bytes) -> None:
    patient = dataclasses.replace(LIMITS, head_seconds=600.0, body_seconds=600.0)
    async with serving(limits=patient, max_connections=1_200, client_connections=1_000) as server:
        async with connected(server, 1_000, said):
            assert (await ask_from(ELSEWHERE, server)).json()["result"] == "0x2"
            reader, writer = await asyncio.open_connection(*server.address)
            with contextlib.suppress(ConnectionError):
                writer.write(HEAD)
                assert not is_served(await reader.read(1_000))  # beyond his part: told so before he is listened to
            writer.close()
        async with asyncio.timeout(30):
            while True:  # once they have gone he is served again
                with contextlib.suppress(httpx.HTTPError):
                    assert (await ask_from("127.0.0.1", server)).json()["result"] == "0x2"
                    break
                await asyncio.sleep(0.01)


async def test_connections_beyond_all_places_are_cut_off_and_those_that_are_there_are_served() -> None:
    async with (
        serving(max_connections=50, client_connections=100) as server,
        httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=ELSEWHERE)) as client,
    ):
        assert (await client.post(server.url("alpha"), json=call("add", ["0x1"]))).status_code == 200
        async with connected(server, 49):
            reader, writer = await asyncio.open_connection(*server.address)
            with contextlib.suppress(ConnectionError):
                assert not is_served(await reader.read(1_000))
            writer.close()
            assert (await client.post(server.url("alpha"), json=call("add", ["0x1"]))).json()["result"] == "0x2"


async def test_a_named_proxy_has_as_many_connections_as_there_are() -> None:
    async with serving(max_connections=50, client_connections=3, proxies=("127.0.0.1",)) as server, connected(server, 10, HEAD):
        assert (await ask_from("127.0.0.1", server)).json()["result"] == "0x2"


async def test_hundreds_of_bodies_that_trickle_are_cut_off_and_others_served_meanwhile() -> None:
    limits = dataclasses.replace(LIMITS, body_seconds=0.5)
    slow = HEAD + b"content-length: 100\r\n\r\n{"
    async with serving(limits=limits) as server, connected(server, 200, slow) as readers:
        assert (await ask_from(ELSEWHERE, server)).json()["result"] == "0x2"
        replies = await asyncio.gather(*(reader.read(-1) for reader in readers))
        assert all(reply.startswith(b"HTTP/1.1 408 ") for reply in replies)


@pytest.mark.parametrize("path", [b"/alpha", b"/nothing"])  # read by the application, and answered before it ended
@pytest.mark.parametrize("endless", [b"a: b\r\n" * 200, b"a: " + b"b" * 1_000, b"b" * 1_000])
async def test_trailers_without_end_are_cut_off(path: bytes, endless: bytes) -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        reading = asyncio.create_task(reader.read(-1))
        writer.write(HEAD.replace(b"/alpha", path) + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"c: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1_000):
                writer.write(endless)
                await writer.drain()
                await asyncio.sleep(0)  # the other end has its turn
            pytest.fail("a megabyte of trailers was taken")
        with contextlib.suppress(ConnectionError):
            await reading
        writer.close()


@pytest.mark.parametrize("rest", [b"", b"x"])
async def test_the_rest_of_a_body_that_was_answered_before_its_end_is_not_waited_for(rest: bytes) -> None:
    async with serving(limits=dataclasses.replace(LIMITS, head_seconds=0.3)) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(HEAD.replace(b"/alpha", b"/nothing") + b"content-length: 100000\r\n\r\n{")
        assert b" 404 " in await reader.readuntil(b"}}")
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while not (reader.at_eof() or writer.is_closing()):  # a reset is no end of a file
                    writer.write(rest)
                    await asyncio.sleep(0.02)
        writer.close()


async def test_small_chunks_and_short_trailers_are_a_body_like_any_other() -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        body = b'{"jsonrpc":"2.0","id":1,"method":"add","params":["0x1"]}' + b" " * 9_000
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\nexpires: now\r\n\r\n"
        for _ in range(2):
            writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks)
            assert b'"result":"0x2"' in await reader.readuntil(b"}")
        writer.close()


@pytest.mark.parametrize(
    "lengths",
    [
        b"content-length: 2\r\ncontent-length: 60\r\n",
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 2\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"content-length: +2\r\n",
        b"content-length: 2, 2\r\n",
        b"content-length : 2\r\n",
        b"content-length: 99999999999999999999\r\n",
    ],
)
async def test_a_request_whose_end_is_unclear_is_not_read(lengths: bytes) -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        second = b"GET /alpha HTTP/1.1\r\nhost: a\r\n\r\n"
        writer.write(HEAD + lengths + b"\r\n0\r\n\r\n" + second)
        with contextlib.suppress(ConnectionError):
            reply = await reader.read(-1)
            assert reply.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")), reply
            assert b'"latest"' not in reply  # the second one was never taken for one
        writer.close()


async def test_a_client_that_waits_to_be_told_to_go_on_is_told_before_its_body_came() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"add","params":["0x1"]}'
    async with serving() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        async with asyncio.timeout(30):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert b'"result":"0x2"' in await reader.readuntil(b"}")
        writer.close()


async def test_a_reply_of_nothing_but_a_head_is_sent_too() -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\nOPTIONS /alpha HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(30):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        writer.close()
