"""The money comes home once, under a final claim, whoever brings it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dougong._native import Evm, import_snapshot
from dougong.contracts.predeploys import OUTBOX_ADDRESS
from dougong.errors import NotFound, Pruned, Rejected
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.ethereum import EthereumApi
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.withdrawal import Withdrawals
from tests.services.settled import USER, make_blocks, settle, settled_rollup, settled_world
from tests.services.world import ETHER, USERS, genesis, outbox_withdrawal

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


async def test_a_withdrawal_is_proven_on_a_node_that_has_pruned_its_block(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        user = await world.client(USER)
        await user.deposit(world.rollup_id, ALICE.address, 9 * ETHER)
        await rollup.inbox.poll()
        await rollup.sequencer.make_block()
        for nonce in range(3):  # two in one block, one behind it
            await rollup.sequencer.submit(outbox_withdrawal(ALICE, nonce, HOME, (nonce + 1) * ETHER))
            if nonce:
                await rollup.sequencer.make_block()
        await make_blocks(rollup, 3, 4)
        await rollup.sequencer.submit(outbox_withdrawal(ALICE, 7, HOME, ETHER))  # in a block whose body stays
        await rollup.sequencer.make_block()
        await settle(rollup)
        await rollup.proposer.claim_next()
        await rollup.proposer.finalize_ready()
        api = EthereumApi(rollup.sequencer)
        world.server.mount("alpha", api.methods, api.health)
        evm, head = rollup.chain.evm, rollup.chain.latest.number
        async with JsonRpc(world.server.url("alpha")) as rpc:
            wanted = {"address": "0x" + OUTBOX_ADDRESS.hex(), "fromBlock": "0x0", "toBlock": hex(head)}
            before = await rpc.call("eth_getLogs", wanted)
            while evm.prune(0, head - 2):
                pass
            assert evm.kept()[1] == head - 2
            with pytest.raises(RpcError, match="pruned"):
                await rpc.call("eth_getLogs", wanted | {"address": None})
            with pytest.raises(RpcError, match="pruned"):
                await rpc.call("eth_getLogs", wanted | {"address": [wanted["address"], "0x" + "11" * 20]})
            assert len(before) == 4
            assert await rpc.call("eth_getLogs", wanted) == before
            topics = [None, "0x" + (1).to_bytes(32).hex()]
            assert await rpc.call("eth_getLogs", wanted | {"topics": topics}) == before[1:2]
            assert await rpc.call("eth_getLogs", wanted | {"toBlock": hex(head - 3)}) == before[:3]
            assert await rpc.call("eth_getLogs", wanted | {"fromBlock": hex(head - 2)}) == before[3:]
            helper = Withdrawals(user, rpc, rollup_id=world.rollup_id)
            assert [message.value for message in await helper.pending(HOME)] == [ETHER, 2 * ETHER, 3 * ETHER, ETHER]
            for index in range(4):
                await helper.withdraw(index)
            assert await world.rpc.call("eth_getBalance", "0x" + HOME.hex(), "latest") == hex(7 * ETHER)
        api.close()

        # Who began with a snapshot does not know what was sent before, and says so.
        file = tmp_path / "file.snapshot"
        _, block_hash, *_ = evm.export_snapshot(str(file), head - 1)
        await rollup.down()
        import_snapshot(str(tmp_path / "copy"), genesis(), block_hash, str(file))
        copy = await RollupChain.open(Evm(str(tmp_path / "copy"), genesis()))
        with pytest.raises(Pruned):
            copy.evm.logs_json(json.dumps({"address": "0x" + OUTBOX_ADDRESS.hex()}), 0, head - 1, 10, 1 << 20, 5.0)
        copy.evm.close()
