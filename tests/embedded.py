"""The embedded settlement chain in a thread of its own: the EVM application under solo, its clock in the tests' hands."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dougong.consensus.solo import Solo
from dougong.execution.evm.genesis import GenesisAccount
from tests.rpc.world import GENESIS_TIME, running

ETHER = 10**18
BLOCK_TIME = 0.02


class MovableClock:
    """Runs with the machine's, from the chain's genesis time on, and ahead of it by what it was moved."""

    def __init__(self) -> None:
        self._offset = GENESIS_TIME - time.monotonic_ns()

    def __call__(self) -> int:
        return time.monotonic_ns() + self._offset

    def move(self, seconds: int) -> None:
        self._offset += seconds * 10**9


class EmbeddedChain:
    """A chain that runs elsewhere: its URL, and its clock."""

    def __init__(self, url: str, chain: Solo, loop: asyncio.AbstractEventLoop, clock: MovableClock) -> None:
        self.url = url
        self._chain = chain
        self._loop = loop
        self._clock = clock

    async def advance(self, seconds: int) -> None:
        """Returns once the latest block has the new time."""
        self._clock.move(seconds)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._two_blocks(), self._loop))

    async def _two_blocks(self) -> None:
        """The first may have had its time before."""
        await self._chain.wait_for_height((await self._chain.status()).height + 2)


@contextmanager
def embedded(funded: bytes) -> Iterator[EmbeddedChain]:
    """A chain on which the account `funded` has a million ether, as on anvil.

    In memory where the system has a place for that: what a disk's syncs keep after a kill is for other tests. It makes blocks all
    the time, so it should not outlive the tests that need it.
    """
    memory = Path("/dev/shm")
    with (
        TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder,
        _serving(Path(folder), funded) as chain,
    ):
        yield chain


@contextmanager
def _serving(folder: Path, funded: bytes) -> Iterator[EmbeddedChain]:
    started: Future[EmbeddedChain] = Future()
    clock = MovableClock()

    async def serve(stop: asyncio.Event) -> None:
        alloc = {funded: GenesisAccount(balance=1_000_000 * ETHER)}
        async with running(folder, alloc, block_time=BLOCK_TIME, clock=clock) as world:
            started.set_result(EmbeddedChain(world.url, world.chain, asyncio.get_running_loop(), clock))
            await stop.wait()

    def live(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve(stop))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=live, args=(loop, stop), name="embedded chain")
    thread.start()
    try:
        yield started.result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
