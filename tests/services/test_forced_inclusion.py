"""What comes through the inbox is in a batch before it is overdue, however much the sequencer has to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dougong.errors import DougongError
from dougong.types import MessageKind
from tests.services.settled import Rollup, agree, running, settled_rollup, settled_world
from tests.services.test_sequencer import Node
from tests.services.world import GENESIS_TIME, GWEI, RECIPIENT, USERS, burning, transfers
from tests.services.world import signed as sign

PATIENCE = 3_600
FORCED = USERS[7]


async def test_messages_go_first_when_blocks_are_full(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with node.up() as sequencer:
        for user in USERS[:4]:
            for nonce in range(3):
                await sequencer.submit(burning(user, nonce))  # three of them fill a block
        for nonce in range(300):
            node.mailbox.put(MessageKind.FORCED_TRANSACTION, transfers(FORCED, nonce, 1, fee=2 * GWEI)[0])
        await node.inbox.poll()
        first = await sequencer.make_block()
        second = await sequencer.make_block()
        assert first is not None
        assert second is not None
        assert (first.header.inbox_end, second.header.inbox_end) == (256, 300)
        assert sequencer.evm.account(FORCED.address)[0] == 300
        assert first.header.timestamp - GENESIS_TIME == 0
        assert len(first.included) + len(second.included) == 4  # what room they left went to the others


async def test_a_sequencer_at_full_load_settles_a_message_before_it_is_overdue(tmp_path: Path) -> None:
    async with settled_world(tmp_path, patience=PATIENCE) as world:
        rollup = await settled_rollup(world)
        user = await world.client(USERS[6])
        await world.deployer.send(USERS[6].address, b"", 10**18)
        async with running(rollup.batcher.run, rollup.sequencer.run, rollup.inbox.run):
            loading = asyncio.ensure_future(load(rollup))
            raw = sign(FORCED, 0, to=RECIPIENT, gas=21_000, value=7)
            await user.force(world.rollup_id, raw)
            async with asyncio.timeout(60):
                while await user.consumed_messages(world.rollup_id) == 0:  # noqa: ASYNC110  over a socket
                    await asyncio.sleep(0.1)
            assert not loading.done()
            loading.cancel()
            await asyncio.wait([loading])
        assert not await user.open_to_all(world.rollup_id)
        assert rollup.sequencer.evm.account(FORCED.address)[0] == 1
        assert rollup.chain.latest.gas_used * 2 > rollup.chain.latest.gas_limit  # it was busy indeed
        await agree(world, rollup)
        await rollup.down()


async def load(rollup: Rollup) -> None:
    """More gas than blocks hold, for ever."""
    nonces = dict.fromkeys(USERS[:5], 0)
    while True:
        for user in nonces:
            if len(rollup.sequencer.pool) < 30:
                try:
                    await rollup.sequencer.submit(
                        sign(user, nonces[user], to=None, gas=20_000_000, data=bytes.fromhex("5b600056"))
                    )
                except DougongError:
                    continue  # the base fee has risen above what it offers
                nonces[user] += 1
        await asyncio.sleep(0.01)
