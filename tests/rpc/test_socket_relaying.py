"""WebSockets that a stack's server relays to a rollup's own process: whole, in order, bounded, and ended at both ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dougong.rpc.relaying import Relay
from dougong.rpc.server import RpcServer
from dougong.rpc.sessions import SocketLimits
from dougong.rpc.throttle import ClientLimits
from tests.rpc.rollup import Socket, rolling

HERE = ("127.0.0.1",)


@dataclass
class Front:
    server: RpcServer
    relay: Relay
    url: str

    @asynccontextmanager
    async def opened(self, client: str = "203.0.113.7", **options: Any) -> AsyncIterator[Socket]:
        headers = {"x-forwarded-for": client}
        options = {"max_size": None, "compression": None, **options}
        async with connect(self.url, additional_headers=headers, **options) as connection:
            yield Socket(connection)


@asynccontextmanager
async def front(url: str | None, **options: Any) -> AsyncIterator[Front]:
    relay = Relay("alpha")
    relay.url = url
    server = RpcServer.bind("127.0.0.1", 0, proxies=HERE, **options)
    server.relay("alpha", relay)
    serving = asyncio.create_task(server.run())
    try:
        yield Front(server, relay, server.url("alpha").replace("http", "ws"))
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await relay.close()


async def held(server: RpcServer, client: str, connections: int) -> None:
    """Once the server holds no more than so many of the client's connections."""
    known = server._throttle.client(client)
    async with asyncio.timeout(20):
        while known._held["connections"] > connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert known._held["subscriptions"] <= connections


async def test_calls_batches_and_events_pass_whole_and_in_order(tmp_path: Path) -> None:
    async with rolling(tmp_path, proxies=HERE) as rollup, front(rollup.url) as relaying, relaying.opened() as socket:
        assert await socket.call("eth_chainId") == "0x10cd"
        name = await socket.subscribe("newHeads")
        hashes = ["0x" + (await rollup.block([])).hex() for _ in range(50)]
        assert [head["hash"] for head in await socket.until(name, 50)] == hashes
        batch = [{"jsonrpc": "2.0", "id": number, "method": "eth_blockNumber"} for number in range(3)]
        await socket.connection.send(json.dumps(batch).encode())  # binary, as some send it
        assert [reply["result"] for reply in await socket.read()] == ["0x32"] * 3
        await socket.connection.send("{")
        assert (await socket.read())["error"]["code"] == -32700


async def test_each_client_has_its_own_limits_at_both_ends(tmp_path: Path) -> None:
    there = ClientLimits(connections=2, subscriptions=1)
    async with rolling(tmp_path, proxies=HERE, clients=there) as rollup:
        async with front(rollup.url) as relaying:
            async with relaying.opened() as one, relaying.opened() as two:
                await one.subscribe("newHeads")
                assert (await two.call("eth_subscribe", "newHeads"))["message"] == "you may have at most 1 subscriptions"
                with pytest.raises(InvalidStatus) as refused:
                    async with relaying.opened():
                        pass
                assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (429, "1")
                async with relaying.opened(client="198.51.100.9") as other:  # somebody else is not touched
                    await other.subscribe("newHeads")
            await held(rollup.server, "203.0.113.7", 0)
            await held(relaying.server, "203.0.113.7", 0)
        async with front(rollup.url, clients=ClientLimits(connections=1)) as relaying, relaying.opened():
            with pytest.raises(InvalidStatus) as refused:
                async with relaying.opened():
                    pass
            assert refused.value.response.status_code == 429
            assert rollup.server._connections == 1  # the one beyond was not opened there


async def test_origins_and_places_hold_before_anything_is_opened(tmp_path: Path) -> None:
    async with rolling(tmp_path, proxies=HERE) as rollup:
        limits = SocketLimits(connections=1)
        async with front(rollup.url, origins=("https://wallet.example",), sockets=limits) as relaying:
            with pytest.raises(InvalidStatus) as refused:
                async with relaying.opened(origin="https://evil.example"):
                    pass
            assert refused.value.response.status_code == 403
            async with relaying.opened(origin="https://wallet.example") as socket:
                assert await socket.call("eth_chainId") == "0x10cd"
                with pytest.raises(InvalidStatus) as refused:
                    async with relaying.opened():
                        pass
                assert refused.value.response.status_code == 503


async def test_who_does_not_read_is_cut_off_there_and_costs_little_here(tmp_path: Path) -> None:
    limits = SocketLimits(unread_bytes=256 << 10)
    async with (
        rolling(tmp_path, proxies=HERE, sockets=limits) as rollup,
        front(rollup.url) as relaying,
        relaying.opened(client="198.51.100.9") as reader,
        relaying.opened(max_queue=1) as deaf,
    ):
        name = await reader.subscribe("newHeads")
        for _ in range(400):
            await deaf.send("eth_subscribe", "newHeads")
        deaf.connection.transport.pause_reading()
        gc.collect()
        tracemalloc.start()
        for _ in range(60):
            await rollup.block([])
        heads = await reader.until(name, 60)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [int(head["number"], 16) for head in heads] == list(range(1, 61))
        assert peak < 32 << 20  # 400 subscriptions of 60 heads are over 30 MB, and both servers are in this process
        await held(rollup.server, "203.0.113.7", 0)
        assert rollup.server._unread.total == 0
        deaf.connection.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            while True:
                await deaf.connection.recv()
        await held(relaying.server, "203.0.113.7", 0)
        assert relaying.server._replies._waiting.total() == 0


async def test_a_message_over_the_limit_never_gets_there(tmp_path: Path) -> None:
    limits = SocketLimits(message_bytes=1_000)
    async with (
        rolling(tmp_path, proxies=HERE) as rollup,
        front(rollup.url, sockets=limits) as relaying,
        relaying.opened() as socket,
    ):
        await socket.connection.send("x" * 1_001)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.connection.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_who_ends_it_ends_it_at_both_ends_with_the_same_code() -> None:
    seen: asyncio.Queue[int | None] = asyncio.Queue()

    async def there(connection: ServerConnection) -> None:
        try:
            async for message in connection:
                if message == "end":
                    await connection.close(4_001)
                elif message == "die":
                    connection.transport.abort()
        finally:
            await connection.wait_closed()
            seen.put_nowait(connection.close_code)

    async def ended(connection: ClientConnection) -> int:
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async with serve(there, "127.0.0.1", 0) as process:
        port = next(iter(process.sockets)).getsockname()[1]
        async with front(f"http://127.0.0.1:{port}/alpha") as relaying:
            async with relaying.opened() as socket:
                await socket.connection.close(4_002)
            assert await seen.get() == 4_002
            async with relaying.opened() as socket:
                socket.connection.transport.abort()  # without a word
            assert await seen.get() == 1_000
            for word, code in (("end", 4_001), ("die", 1_012)):
                async with relaying.opened() as socket:
                    await socket.connection.send(word)
                    assert await ended(socket.connection) == code
                await seen.get()
            assert relaying.server._connections == 0


async def test_while_the_process_is_away_connections_are_refused_and_nothing_waits() -> None:
    async with front(None) as relaying:
        for url in (None, "http://127.0.0.1:9/alpha"):  # being started; nobody listens there
            relaying.relay.url = url
            with pytest.raises(InvalidStatus) as refused:
                async with relaying.opened():
                    pass
            assert refused.value.response.status_code == 503
            assert json.loads(refused.value.response.body)["error"]["code"] == -32002
        assert relaying.server._connections == 0
