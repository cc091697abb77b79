"""The law suite of `Consensus`.

    await check_consensus(make, tmp_path)

`make(folder)` opens the chain that lives in a folder, ordering transactions for a `KeyValue` there; opening it again is a
restart. The suite runs and stops it. Blocks must come without being asked for, at least ten a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from dougong.errors import NotFound
from dougong.interfaces import Consensus
from dougong.types import HASH_BYTES, Block

MakeConsensus = Callable[[Path], AbstractAsyncContextManager[Consensus]]


@asynccontextmanager
async def running(chain: Consensus) -> AsyncIterator[Consensus]:
    """The chain with `run` under way; cancelled at the end. Raises what `run` raised."""
    task = asyncio.create_task(chain.run())
    try:
        yield chain
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def find(chain: Consensus, tx: bytes, start: int = 1) -> int:
    """The height at which `tx` was decided, waiting for it."""
    height = start
    while True:
        await chain.wait_for_height(height)
        if tx in (await chain.block(height)).txs:
            return height
        height += 1


async def check_consensus(make: MakeConsensus, folder: Path) -> None:
    """Raises `AssertionError` where an implementation breaks `Consensus`'s contract."""
    async with make(folder) as chain:
        assert isinstance(chain, Consensus), "it has every method of Consensus"
        async with running(chain):
            await _check_blocks(chain)
            kept = await _check_ordering(chain)
    async with make(folder) as chain:
        await _check_restart(chain, kept)
        late = b"late=1"
        assert (await chain.broadcast(late)).accepted
    async with make(folder) as chain, running(chain):
        async with asyncio.timeout(30):
            assert await find(chain, late), "an accepted transaction survives a restart before any block"


async def _check_blocks(chain: Consensus) -> None:
    for height in (0, -1, 1 << 62):
        for read in (chain.block, chain.signed_header):
            try:
                await read(height)
            except NotFound:
                continue
            raise AssertionError(f"{read.__name__}({height}) raises NotFound")
    await chain.wait_for_height(3)
    status = await chain.status()
    assert status.height >= 3, "wait_for_height returns when the height is there"
    assert len(status.block_hash) == len(status.genesis_hash) == HASH_BYTES
    for height in (1, 2, 3):
        block = await chain.block(height)
        assert block.signed_header == await chain.signed_header(height), "a block carries its signed header"
        assert block.signed_header.height == height
        assert len(block.tx_results) == len(block.txs)


async def _check_ordering(chain: Consensus) -> list[Block]:
    start = (await chain.status()).height
    assert not (await chain.broadcast(b"no equals sign")).accepted, "the application's refusal is told"
    txs = [b"key-%d=%d" % (number, number) for number in range(200)]
    verdicts = await asyncio.gather(*(chain.broadcast(tx) for tx in [*txs, *txs[:20]]))
    assert all(verdict.accepted for verdict in verdicts), "valid transactions are accepted, also when offered twice"
    found: list[bytes] = []
    height = start
    while len(found) < len(txs):
        height += 1
        async with asyncio.timeout(30):
            await chain.wait_for_height(height)
        found += (await chain.block(height)).txs
    assert sorted(found) == sorted(txs), "every accepted transaction is in exactly one block, and nothing else is"
    assert not (await chain.broadcast(txs[0])).accepted, "the application sees the state after its last block"
    return [await chain.block(number) for number in range(1, height + 1)]


async def _check_restart(chain: Consensus, kept: list[Block]) -> None:
    status = await chain.status()
    assert status.height >= len(kept), "a restart does not lose decided blocks"
    for number, block in enumerate(kept, 1):
        assert await chain.block(number) == block, f"block {number} reads the same after a restart"
