"""A node of a rollup that is not its sequencer: its heads, its JSON-RPC, and what it does when a layer below goes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dougong.errors import Rejected, Unavailable
from dougong.net.jsonrpc import JsonRpc
from dougong.rpc.backend import EvmBackend
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from dougong.services.nodes.verifying_node import Ahead, VerifyingNode
from dougong.services.rollup.forwarding import Forward
from dougong.services.rollup.standby import Standby
from dougong.types import Heads
from tests.services.on_blobs import blob_rollup, blob_world
from tests.services.settled import (
    NAMESPACE,
    SEQUENCER,
    USER,
    Rollup,
    World,
    make_blocks,
    running,
    serving,
    settle,
    settled_rollup,
    settled_world,
)
from tests.services.test_replacement import fix_all, publish, sequencer_in
from tests.services.world import GWEI, USERS, genesis, transfers


async def full_node(world: World, name: str = "node", submit: Any = None) -> VerifyingNode:
    ahead = Ahead(world.da(USER), await world.client(USER), world.rollup_id, NAMESPACE, world.da(SEQUENCER).address)
    more = {} if submit is None else {"submit": submit}
    return await VerifyingNode.open(world.folder / name, genesis(), world.source(), ahead=ahead, **more)


async def deposit(world: World, rollup: Rollup) -> None:
    await (await world.client(USER)).deposit(world.rollup_id, USERS[1].address, 5 * GWEI)
    await rollup.inbox.poll()


async def test_published_and_fixed_heads_are_apart(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        node = await full_node(world)
        await make_blocks(rollup, 0, 2)
        await settle(rollup)
        await deposit(world, rollup)
        await make_blocks(rollup, 2, 1)
        await publish(rollup)
        await make_blocks(rollup, 3, 1)  # soft: nobody but the sequencer has it
        await node.catch_up()
        assert node.heads() == Heads(3, 3, 2)
        assert node.chain.latest.hash == (await rollup.chain.header(3)).hash
        await node.close()
        node = await full_node(world)  # started again
        await node.catch_up()
        assert node.heads() == Heads(3, 3, 2)
        await publish(rollup)
        await fix_all(rollup)
        derived = node.chain.generation
        await node.catch_up()
        assert node.heads() == Heads(4, 4, 4)
        assert node.chain.generation == derived + 1  # what it had ahead was right, and is not derived again
        assert node.chain.latest.hash == rollup.chain.latest.hash
        await node.close()
        await rollup.down()


async def test_a_reorganised_settlement_chain_takes_the_fixed_head_back_and_not_the_published_one(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 1)
        await settle(rollup)
        await make_blocks(rollup, 1, 2)
        await publish(rollup)
        snapshot = await world.rpc.call("evm_snapshot")
        await fix_all(rollup)
        node = await full_node(world)
        await node.catch_up()
        assert node.heads() == Heads(3, 3, 3)
        await world.rpc.call("evm_revert", snapshot)
        await node.catch_up()
        assert node.heads() == Heads(3, 3, 1)
        await rollup.follower.catch_up()
        await rollup.down()
        rollup = await sequencer_in(world, "alpha")
        await fix_all(rollup)
        await node.catch_up()
        assert node.heads() == Heads(3, 3, 3)
        assert node.chain.latest.hash == rollup.chain.latest.hash
        await node.close()
        await rollup.down()


async def test_a_reorganised_data_layer_takes_its_blocks_back(tmp_path: Path) -> None:
    """On Ethereum's blobs: batches vanish with the blocks that carried them, and others come."""
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        node = await VerifyingNode.open(tmp_path / "node", genesis(), world.source())
        await make_blocks(rollup, 0, 2)
        await settle(rollup)
        snapshot = await world.rpc.call("evm_snapshot")
        await make_blocks(rollup, 2, 2)
        await settle(rollup)
        await node.catch_up()
        gone = node.chain.latest
        assert node.heads() == Heads(4, 4, 4)
        await rollup.down()
        await world.rpc.call("evm_revert", snapshot)
        await node.catch_up()
        assert node.heads() == Heads(2, 2, 2)
        assert not await node.chain.is_canonical(gone.number, gone.hash)
        await node.close()
        node = await VerifyingNode.open(tmp_path / "node", genesis(), world.source())
        assert node.chain.latest.number == 2
        rollup = await blob_rollup(world)
        await rollup.batcher.load()
        await rollup.follower.catch_up()
        await fix_or_settle(rollup)
        await node.catch_up()
        assert node.chain.latest.number == node.heads().finalized == rollup.follower.position.number
        assert node.chain.latest.hash == rollup.follower.position.state
        await node.close()
        await rollup.down()


async def fix_or_settle(rollup: Rollup) -> None:
    """The soft blocks are there still; their batch goes out once more."""
    await make_blocks(rollup, 4, 1)
    await rollup.batcher.prune()
    while (record := await rollup.batcher.close_batch(now=True)) is not None:
        await rollup.batcher.publish(record)
    await fix_all(rollup)


async def test_it_answers_as_the_sequencer_does_and_hands_transactions_on(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world, serving() as server:
        rollup = await settled_rollup(world)
        sequencer_api = EthereumApi(rollup.sequencer, EthereumOptions(least_tip=lambda: 2 * GWEI))
        server.mount("alpha", sequencer_api.methods, sequencer_api.health)
        async with JsonRpc(server.url("alpha")) as sequencer:
            forward = Forward(sequencer)
            node = await full_node(world, submit=forward)
            node_api = EthereumApi(node, EthereumOptions(least_tip=forward.least_tip))
            server.mount("node", node_api.methods, node_api.health)
            async with JsonRpc(server.url("node")) as asked:
                await forward.ask_price()
                assert (
                    await asked.call("eth_maxPriorityFeePerGas")
                    == await sequencer.call("eth_maxPriorityFeePerGas")
                    == "0x77359400"
                )
                (first, second) = transfers(USERS[0], 0, 2)
                tx_hash = await asked.call("eth_sendRawTransaction", "0x" + first.hex())
                assert await rollup.sequencer.make_block() is not None
                with pytest.raises(Rejected, match=r"^eth_sendRawTransaction: nonce too low: next nonce 1, tx nonce 0$"):
                    await asked.call("eth_sendRawTransaction", "0x" + first.hex())
                assert await asked.call("eth_getTransactionReceipt", tx_hash) is None
                await asked.call("eth_sendRawTransaction", "0x" + second.hex())
                assert await rollup.sequencer.make_block() is not None
                await settle(rollup)
                await node.catch_up()
                last = hex(node.heads().latest)
                questions: list[tuple[str, list[Any]]] = [
                    ("eth_getTransactionReceipt", [tx_hash]),
                    ("eth_getTransactionByHash", [tx_hash]),
                    ("eth_getBlockByNumber", [last, True]),
                    ("eth_getBlockByNumber", ["finalized", True]),
                    ("eth_getBlockReceipts", [last]),
                    ("eth_getProof", ["0x" + USERS[0].address.hex(), [], last]),
                    ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": last}]),
                    ("eth_chainId", []),
                ]
                assert await asked.batch(questions) == await sequencer.batch(questions)
            node_api.close()
            await node.close()
        alone = await full_node(world, "alone")
        with pytest.raises(Rejected, match="takes no transactions"):
            await alone.submit(first)
        await alone.close()
        server.unmount("alpha")
        server.unmount("node")
        sequencer_api.close()
        await rollup.down()


async def test_a_forwarding_node_says_when_it_does_not_know() -> None:
    class Liar(JsonRpc):
        async def call(self, method: str, *params: object, idempotent: bool = True, max_bytes: int | None = None) -> Any:
            return "0x" + "00" * 32

    (raw,) = transfers(USERS[0], 0, 1)
    with pytest.raises(Unavailable, match="another transaction's hash"):
        await Forward(Liar("http://liar"))(raw)
    async with JsonRpc("http://127.0.0.1:9", attempts=1) as nobody:
        with pytest.raises(Unavailable):
            await Forward(nobody)(raw)


async def test_a_standby_follows_and_then_goes_on_from_the_same_store(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        spare = await sequencer_in(world, "spare")
        standby = Standby(spare.sequencer, spare.batcher, Forward(world.rpc), poll_s=0.02)
        assert isinstance(standby, EvmBackend)
        async with running(standby.run):
            await make_blocks(old, 0, 2)
            await settle(old)
            await make_blocks(old, 2, 1)
            await publish(old)
            await spare.chain.wait_beyond(2)
            assert standby.heads().latest == 3
            await make_blocks(old, 3, 1)
            await old.down()  # for ever
        await spare.down()
        spare = await sequencer_in(world, "spare")
        assert spare.chain.latest.number == 3
        await make_blocks(spare, 3, 1)
        await fix_all(spare)
        await settle(spare)
        assert (spare.follower.position.index, spare.follower.position.number) == (3, 4)
        await spare.down()
