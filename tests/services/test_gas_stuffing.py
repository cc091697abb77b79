"""Gas that is asked for and not used, by what turns out invalid or by what does little, keeps nobody out of a block for long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dougong._native import BuiltBlock, Evm
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.inbox import Inbox
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.types import MessageKind
from tests.services.test_sequencer import Mailbox
from tests.services.world import CHAIN_ID, ETHER, GENESIS_TIME, GWEI, burning, transfers

GAS_LIMIT = 60_000_000
HONEST, ATTACKERS = ([Secp256k1Key(keccak256(b"%s %d" % (kind, n))) for n in range(40)] for kind in (b"honest", b"attacker"))
CODED = [Secp256k1Key(keccak256(b"only execution refuses %d" % n)) for n in range(200)]  # EIP-3607


class Counting(RollupChain):
    """Counts executions."""

    executions = 0

    async def build(self, *args: Any, **options: Any) -> BuiltBlock | None:
        self.executions += 1
        return await super().build(*args, **options)


@asynccontextmanager
async def sequencing(folder: Path) -> AsyncIterator[tuple[Sequencer, Counting, Mailbox]]:
    alloc = {user.address: GenesisAccount(balance=1_000 * ETHER) for user in (*HONEST, *ATTACKERS)}
    alloc |= {user.address: GenesisAccount(balance=1_000 * ETHER, code=b"\x00") for user in CODED}
    evm = Evm(str(folder / "evm"), make_genesis(CHAIN_ID, alloc, gas_limit=GAS_LIMIT, timestamp=GENESIS_TIME))
    journal = await Journal.open(folder / "journal")
    chain = await Counting.open(evm)
    assert isinstance(chain, Counting)
    mailbox = Mailbox()
    inbox = Inbox(mailbox, rollup_id=1)
    try:
        yield await Sequencer.open(chain, inbox, journal, SequencerConfig(), clock=lambda: GENESIS_TIME + 5.0), chain, mailbox
    finally:
        await journal.flush()
        journal.close()
        evm.close()


async def submit(sequencer: Sequencer, txs: list[bytes]) -> None:
    assert all(isinstance(outcome, bytes) for outcome in await sequencer.submit_many(txs))


async def test_gas_that_is_asked_for_and_not_used_leaves_room_for_others(tmp_path: Path) -> None:
    async with sequencing(tmp_path) as (sequencer, chain, _):
        for attacker in ATTACKERS:
            await submit(sequencer, transfers(attacker, 0, 3, gas=GAS_LIMIT, fee=30 * GWEI))
        for user in HONEST:
            await submit(sequencer, transfers(user, 0, 2))
        built = await sequencer.make_block()
        assert built is not None
        assert [sequencer.evm.account(user.address)[0] for user in HONEST] == [2] * len(HONEST)
        assert chain.executions <= 3
        for _ in range(3 * len(ATTACKERS)):  # they have the sequencer's word too
            await sequencer.make_block()
        assert [sequencer.evm.account(user.address)[0] for user in ATTACKERS] == [3] * len(ATTACKERS)
        assert len(sequencer.pool) == 0


async def test_a_block_that_is_full_of_what_uses_its_gas_is_executed_once(tmp_path: Path) -> None:
    async with sequencing(tmp_path) as (sequencer, chain, _):
        for user in HONEST[:12]:
            await submit(sequencer, [burning(user, 0)])
        for number in range(1, 5):
            built = await sequencer.make_block()
            assert built is not None
            assert len(built.included) == 3
            assert chain.executions == number


async def test_invalid_transactions_cost_a_few_executions_and_no_place(tmp_path: Path) -> None:
    async with sequencing(tmp_path) as (sequencer, chain, _):
        await submit(sequencer, [burning(ATTACKERS[0], 0)])
        for user in CODED:
            await submit(sequencer, transfers(user, 0, 1, gas=GAS_LIMIT - 20_000_000, fee=30 * GWEI))
        for user in HONEST:
            await submit(sequencer, transfers(user, 0, 2))
        assert await sequencer.make_block() is not None
        assert chain.executions <= 3
        assert [sequencer.evm.account(user.address)[0] for user in HONEST] == [2] * len(HONEST)


async def test_forced_transactions_that_take_a_blocks_gas_cost_no_more_executions(tmp_path: Path) -> None:
    async with sequencing(tmp_path) as (sequencer, chain, mailbox):
        for attacker in ATTACKERS[:8]:
            mailbox.put(MessageKind.FORCED_TRANSACTION, burning(attacker, 0))
        for user in HONEST:
            await submit(sequencer, transfers(user, 0, 40, gas=1_000_000))
        await sequencer._inbox.poll()  # type: ignore[union-attr]
        for number in range(1, 4):
            built = await sequencer.make_block()
            assert built is not None
            assert built.header.inbox_end == min(8, 3 * number)
            assert chain.executions <= 3 * number
        while len(sequencer.pool):
            assert await sequencer.make_block() is not None
        assert [sequencer.evm.account(user.address)[0] for user in HONEST] == [40] * len(HONEST)
