"""A rollup's process that misbehaves: what it says, or does not say, ends its life, and nobody else's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
import structlog

from dougong.errors import Unavailable
from dougong.rpc import relaying
from dougong.rpc.relaying import Relay
from dougong.rpc.server import RpcServer
from dougong.services.supervisor import Supervisor
from dougong.stack.context import Context
from dougong.stack.disk import Disk
from dougong.stack.processes import LINE_BYTES, RollupProcess
from dougong.stack.reading import parse
from tests.rpc.test_server import call, healthy, methods
from tests.services.settled import running
from tests.stacks import BASE, SETTLED, SQUARE, rollup, stack_toml

TRUST = {
    "genesis": "00" * 32,
    "state": "00" * 32,
    "availability": "square",
    "settlement": "base",
    "rollup_id": 1,
    "proof": "none",
}
UP = orjson.dumps({"up": {"url": "http://127.0.0.1:1/alpha", "trust": TRUST, "chain_id": 1}}) + b"\n"
HANGS = "import time; time.sleep(1000)"


def program(*lines: bytes, then: str = HANGS) -> tuple[str, ...]:
    said = "".join(f"sys.stdout.buffer.write({line!r}); sys.stdout.flush()\n" for line in lines)
    return sys.executable, "-c", f"import sys\nsys.stdin.readline()\n{said}{then}"


@asynccontextmanager
async def child(folder: Path, said: tuple[str, ...], silence_s: float = 600.0) -> AsyncIterator[tuple[RollupProcess, Relay]]:
    text = stack_toml(SQUARE, BASE, rollup("alpha", **SETTLED, chain_id=1, process=True))
    server = RpcServer.bind("127.0.0.1", 0)
    nothing = cast(Any, None)
    config = parse(text, source="stack.toml", base=folder)
    context = Context(
        config,
        Disk(folder),
        nothing,
        nothing,
        server,
        cast(Supervisor, None),
        nothing,
        lambda event: None,
        structlog.get_logger(),
    )
    relay = Relay("alpha")
    try:
        yield RollupProcess(context, "alpha", relay, program=said, silence_s=silence_s), relay
    finally:
        await relay.close()
        server.close()


@pytest.mark.parametrize(
    "nonsense",
    [b"\xff\n", b"7\n", b"[]\n", b"{\n", b'{"up": 1}\n', b'{"up": {"url": "x"}}\n', b'{"state": {}}\n', b'{"failed": {}}\n'],
)
async def test_what_is_no_message_ends_it(tmp_path: Path, nonsense: bytes) -> None:
    async with child(tmp_path, program(nonsense, then="sys.stdin.readline()")) as (process, relay):
        with pytest.raises(Unavailable, match="no message"):
            await process.run()
        assert (process.pid, relay.url) == (None, None)


async def test_a_line_without_end_ends_it(tmp_path: Path) -> None:
    flood = f"sys.stdout.buffer.write(b'x' * {4 * LINE_BYTES}); sys.stdout.flush(); sys.stdin.readline()"
    async with child(tmp_path, program(then=flood)) as (process, _):
        with pytest.raises(Unavailable, match="no message"):
            await process.run()


async def test_one_that_falls_silent_is_killed(tmp_path: Path) -> None:
    async with child(tmp_path, program(UP), silence_s=0.2) as (process, relay):
        with pytest.raises(Unavailable, match="said nothing"):
            await process.run()
        assert (process.pid, relay.url) == (None, None)


async def test_one_that_is_not_up_yet_may_take_its_time(tmp_path: Path) -> None:
    slow = program(then="import time; time.sleep(1)")
    async with child(tmp_path, slow, silence_s=0.1) as (process, _):
        with pytest.raises(Unavailable, match="ended"):
            await process.run()


async def test_one_that_hangs_holds_its_own_places_alone() -> None:
    """Connections to it are taken, and never answered."""
    taken, gate = asyncio.Semaphore(0), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.release()
        await gate.wait()
        writer.close()

    listening = await asyncio.start_server(hang, "127.0.0.1", 0)
    relay = Relay("beta")
    relay.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/beta"
    server = RpcServer.bind("127.0.0.1", 0, max_requests=4)
    server.mount("alpha", methods(), healthy)
    server.relay("beta", relay)
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with running(server.run), httpx.AsyncClient(timeout=60) as greedy, httpx.AsyncClient(transport=elsewhere) as other:
        waiting = [asyncio.create_task(greedy.get(server.url("beta"))) for _ in range(relaying.PLACES)]
        try:
            for _ in range(100):  # as many as httpx opens at a time
                await taken.acquire()
            assert (await other.post(server.url("alpha"), json=call("add", ["0x1"]))).json()["result"] == "0x2"
        finally:
            gate.set()
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            await relay.close()
            listening.close()
