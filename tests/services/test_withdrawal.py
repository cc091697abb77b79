"""The money comes home once, under a final claim, whoever brings it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dougong.errors import NotFound, Rejected
from dougong.net.jsonrpc import JsonRpc
from dougong.rpc.ethereum import EthereumApi
from dougong.services.rollup.withdrawal import Withdrawals
from tests.services.settled import USER, make_blocks, settle, settled_rollup, settled_world
from tests.services.world import ETHER, USERS, outbox_withdrawal

ALICE, HOME = USERS[0], b"\x48" * 20


async def test_a_withdrawal_pays_once_and_only_under_a_final_claim(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        user = await world.client(USER)
        await user.deposit(world.rollup_id, ALICE.address, 3 * ETHER)
        await rollup.inbox.poll()
        await rollup.sequencer.make_block()
        await rollup.sequencer.submit(outbox_withdrawal(ALICE, 0, HOME, 2 * ETHER))
        await rollup.sequencer.make_block()
        api = EthereumApi(rollup.sequencer)
        world.server.mount("alpha", api.methods, api.health)
        async with JsonRpc(world.server.url("alpha")) as rpc:
            helper = Withdrawals(user, rpc, rollup_id=world.rollup_id)
            with pytest.raises(NotFound, match="no final claim"):
                await helper.prove(0)
            await settle(rollup)
            await rollup.proposer.claim_next()
            with pytest.raises(NotFound, match="no final claim"):
                await helper.prove(0)
            await rollup.proposer.finalize_ready()
            # What came after the claim is not covered by it, though the rollup's log already shows it.
            await rollup.sequencer.submit(outbox_withdrawal(ALICE, 1, HOME, ETHER))
            await rollup.sequencer.make_block()
            with pytest.raises(NotFound, match="in no final claim yet"):
                await helper.prove(1)
            (message,) = await helper.pending(HOME)
            await helper.withdraw(message.index)
            assert await world.rpc.call("eth_getBalance", "0x" + HOME.hex(), "latest") == hex(2 * ETHER)
            assert await helper.pending(HOME) == []
            with pytest.raises(Rejected, match="before"):
                await helper.withdraw(message.index)
            proven = await helper.prove(message.index)
            with pytest.raises(Rejected, match="withdrawn before"):  # and the contract says so too
                await user.withdraw(world.rollup_id, proven.claim_id, proven.message, proven.proof)
        await make_blocks(rollup, 2, 1)
        api.close()
        await rollup.down()
