"""The law suite of executions, held against EVM rollups; and a caller that gives up in the middle of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dougong._native import Evm
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.execution.evm.rollup import EvmRollup
from dougong.testing.execution import check_execution
from dougong.testing.wallet import GWEI, Wallet
from dougong.types import BatchContext, InboxMessage, MessageKind

CHAIN_ID = 4_202
ALICE, BOB = (Wallet.of(name, CHAIN_ID) for name in ("alice", "bob"))
GENESIS = make_genesis(CHAIN_ID, {ALICE.address: GenesisAccount(10**20)})
START = 1_800_000_000


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[EvmRollup]:
    rollup = await EvmRollup.open(folder / "evm", GENESIS)
    try:
        yield rollup
    finally:
        await rollup.close()


def message(index: int, kind: MessageKind, payload: bytes) -> InboxMessage:
    return InboxMessage(index, kind, bytes(20), START, payload)


DEPOSIT = message(0, MessageKind.DEPOSIT, BOB.address + (5 * GWEI).to_bytes(8))
FORCED = message(1, MessageKind.FORCED_TRANSACTION, ALICE.transfer(BOB.address, 1, nonce=4))


def batches(folder: Path) -> list[tuple[bytes | None, BatchContext]]:
    """Two batches as a sequencer makes them, and one that carries only what the inbox forces in."""
    evm = Evm(str(folder), GENESIS)

    def block(timestamp: int, txs: Sequence[bytes], inbox_end: int = 0, messages: Sequence[InboxMessage] = ()) -> int:
        evm.execute_rollup(timestamp, inbox_end, [(int(one.kind), one.payload) for one in messages], list(txs))
        evm.commit()
        return evm.head().number

    first = block(START, [ALICE.transfer(BOB.address, 1, nonce=0)])
    last = block(START + 1, [ALICE.transfer(BOB.address, 1, nonce=nonce) for nonce in (1, 2)])
    one = evm.encode_batch(first, last, 3)
    number = block(START + 2, [ALICE.transfer(BOB.address, 1, nonce=3)], 1, [DEPOSIT])
    two = evm.encode_batch(number, number, 3)
    evm.close()
    return [
        (one, BatchContext(START + 1)),
        (two, BatchContext(START + 2, 1, (DEPOSIT,))),
        (None, BatchContext(START + 3, 2, (FORCED,))),
    ]


async def test_it_keeps_the_laws_of_an_execution(tmp_path: Path) -> None:
    made = await asyncio.to_thread(batches, tmp_path / "sequencer")
    await check_execution(opened, tmp_path, batches=made)
    async with opened(tmp_path / "one") as rollup:
        assert rollup.evm.account(BOB.address) == (0, 5 * GWEI * GWEI + 5)
        assert (await rollup.head()).inbox_end == 2


async def test_a_cancelled_caller_leaves_a_whole_batch_behind(tmp_path: Path) -> None:
    (data, context), *_ = await asyncio.to_thread(batches, tmp_path / "sequencer")
    async with opened(tmp_path / "one") as rollup:
        applying = asyncio.create_task(rollup.apply_batch(data, context))
        await asyncio.sleep(0)
        applying.cancel()
        await asyncio.wait({applying})
        assert (await rollup.head()).height in (0, 2)
        await rollup.rollback(0)
        assert (await rollup.apply_batch(data, context)).height == 2
