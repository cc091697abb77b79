"""A node that follows the sequencer's word executes it itself, and takes the word of the layers below over it."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong._native import Evm
from dougong.errors import InvalidInput
from dougong.net.jsonrpc import JsonRpc
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.protocol import Method, Methods, Param
from dougong.services.nodes.soft_blocks import SoftBlocks, parse_block
from dougong.services.nodes.verifying_node import Ahead, Soft, VerifyingNode
from tests.rpc.test_server import healthy
from tests.services.settled import (
    NAMESPACE,
    SEQUENCER,
    USER,
    Rollup,
    World,
    make_blocks,
    settle,
    settled_rollup,
    settled_world,
)
from tests.services.test_replacement import fix_all, publish
from tests.services.world import GWEI, USERS, genesis, transfers

ALICE, BOB = USERS[0], USERS[1]


@dataclass
class Voice:
    """A sequencer's JSON-RPC, which may say of a block what it likes."""

    rollup: Rollup
    lies: dict[int, bytes]
    silent: bool = False

    def methods(self) -> Methods:
        methods = Methods()
        evm = self.rollup.chain.evm

        async def number() -> str:
            if self.silent:
                raise RuntimeError("nobody is there")
            return hex(max([self.rollup.chain.latest.number, *self.lies]))

        async def block(which: int) -> str:
            return "0x" + (self.lies.get(which) or evm.block_rlp(which)).hex()

        async def header(which: int) -> str:
            if self.silent:
                raise RuntimeError("nobody is there")
            return "0x" + evm.header_rlp(which).hex()

        methods.add("eth_blockNumber", number)
        methods.add("debug_getRawBlock", block, Param("block", lambda text: int(text, 16)))
        methods.add("debug_getRawHeader", header, Param("block", lambda text: int(text, 16)))
        return methods


@asynccontextmanager
async def following(world: World, rollup: Rollup, folder: str = "node") -> AsyncIterator[tuple[VerifyingNode, Voice]]:
    voice = Voice(rollup, {})

    async def health() -> dict[str, object]:
        return {}

    name = f"voice-{folder}"
    world.server.mount(name, voice.methods(), health)
    async with AsyncExitStack() as closing:
        closing.callback(world.server.unmount, name)
        rpc = await closing.enter_async_context(JsonRpc(world.server.url(name), attempts=1))
        contract = await world.client(USER)
        ahead = Ahead(world.da(USER), contract, world.rollup_id, NAMESPACE, world.da(SEQUENCER).address)
        soft = Soft(rpc, contract, world.rollup_id)
        node = await VerifyingNode.open(world.folder / folder, genesis(), world.source(), ahead=ahead, soft=soft)
        closing.push_async_callback(node.close)
        yield node, voice


def soft_of(node: VerifyingNode) -> SoftBlocks:
    assert node.soft is not None
    return node.soft


async def test_three_heads_and_nothing_executed_twice(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        async with following(world, rollup) as (node, _):
            await make_blocks(rollup, 0, 2)
            await (await world.client(USER)).deposit(world.rollup_id, BOB.address, 5 * GWEI)
            await (await world.client(USER)).force(world.rollup_id, transfers(USERS[2], 0, 1)[0])
            await (await world.client(USER)).force(world.rollup_id, b"\x07 no transaction")
            await rollup.inbox.poll()
            await make_blocks(rollup, 2, 3)
            await node.catch_up()
            assert (node.heads().latest, node.heads().safe, node.heads().finalized) == (5, 0, 0)
            assert node.chain.latest.hash == rollup.chain.latest.hash
            assert node.evm.account(USERS[2].address)[0] == 1  # forced, and soft
            gone: list[int] = []
            node.chain.watch_reorgs(lambda: gone.append(node.chain.latest.number))
            await publish(rollup)
            await make_blocks(rollup, 5, 1)
            await node.catch_up()
            assert (node.heads().latest, node.heads().safe, node.heads().finalized) == (6, 5, 0)
            await fix_all(rollup)
            await make_blocks(rollup, 6, 1)
            await node.catch_up()
            assert (node.heads().latest, node.heads().safe, node.heads().finalized) == (7, 5, 5)
            assert gone == []  # the soft blocks stood: whoever subscribed was told of each once
            assert (soft_of(node).broken, soft_of(node).refused) == (0, None)
        async with following(world, rollup) as (node, voice):  # a restart
            assert node.heads().latest == 7
            await node.catch_up()
            assert (node.heads().latest, node.heads().safe) == (7, 5)
            voice.silent = True
            await node.catch_up()
            assert node.heads().latest == 7  # it is taken to say what it said
        await rollup.down()


async def test_what_was_fixed_before_it_was_seen_published_keeps_the_soft_blocks(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        async with following(world, rollup) as (node, _):
            await make_blocks(rollup, 0, 3)
            await node.catch_up()
            gone: list[int] = []
            node.chain.watch_reorgs(lambda: gone.append(1))
            await settle(rollup)
            await make_blocks(rollup, 3, 1)
            await node.catch_up()
            assert (node.heads().latest, node.heads().finalized, gone) == (4, 3, [])
        await rollup.down()


async def test_a_broken_word_is_noticed_and_taken_back(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        liar = await settled_rollup(world, folder="liar")
        await make_blocks(liar, 0, 3)  # said to this node, and never published
        async with following(world, liar) as (node, voice):
            await node.catch_up()
            assert node.heads().latest == 3
            other = await settled_rollup(world, folder="other")
            await other.sequencer.submit(transfers(BOB, 0, 1)[0])
            assert await other.sequencer.make_block() is not None
            await publish(other)
            await node.catch_up()
            assert node.chain.latest.hash == other.chain.latest.hash
            assert (node.heads().latest, node.heads().safe) == (1, 1)
            assert soft_of(node).broken == 1
            await node.catch_up()  # it says the same again: that follows from nothing here
            assert (node.heads().latest, soft_of(node).broken) == (1, 1)
            voice.rollup = other
            await other.down()
        await liar.down()


async def test_a_word_that_is_taken_back_is_taken_back_here(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 1)
        await publish(rollup)
        await make_blocks(rollup, 1, 2)
        async with following(world, rollup) as (node, _):
            await node.catch_up()
            assert node.heads().latest == 3
            await rollup.chain.rollback(1)
            await node.catch_up()
            assert (node.heads().latest, soft_of(node).broken) == (1, 0)
            await rollup.sequencer.resync()
            await rollup.sequencer.submit(transfers(BOB, 0, 1)[0])
            await rollup.sequencer.make_block()
            await node.catch_up()
            assert node.chain.latest.hash == rollup.chain.latest.hash
        await rollup.down()


def forged(evm: Evm, number: int, old: bytes, new: bytes) -> bytes:
    raw = evm.block_rlp(number)
    assert raw.count(old) == 1
    assert len(old) == len(new)
    return raw.replace(old, new)


async def test_a_block_that_its_transactions_do_not_make_is_refused(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 4)
        evm = rollup.chain.evm
        root, parent = evm.header(2).state_root, evm.header(2).parent_hash
        txs = evm.transactions(2)
        lies = {
            "another state": forged(evm, 2, root, bytes(32)),
            "another transaction": forged(evm, 2, txs[0], evm.transactions(3)[0]),
            "another parent": forged(evm, 2, parent, bytes(32)),
            "no block": b"\xc0",
            "nothing": b"\x80",
            "garbage": b"\xff" * 40,
        }
        for name, lie in lies.items():
            async with following(world, rollup, folder=name.replace(" ", "-")) as (node, voice):
                voice.lies = {2: lie}
                await node.catch_up()
                assert node.heads().latest == 1, name
                await node.catch_up()
                assert node.heads().latest == 1, name
                voice.lies = {}
                if name == "another transaction":
                    continue  # under the same hash: it is not followed past it until it is published
                await node.catch_up()
                assert node.chain.latest.hash == rollup.chain.latest.hash, name
        await settle(rollup)
        async with following(world, rollup, folder="another-transaction") as (node, _):
            await node.catch_up()
            assert node.chain.latest.hash == rollup.chain.latest.hash
        await rollup.down()


async def test_one_that_never_publishes_is_followed_so_far_and_no_further(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 6)
        async with following(world, rollup) as (node, _):
            soft_of(node)._most_blocks = 4
            await node.catch_up()
            assert node.heads().latest == 4
            await settle(rollup)
            await node.catch_up()
            assert (node.heads().latest, node.heads().finalized) == (6, 6)
            # Nor into the future.
            soft_of(node)._clock = lambda: 0.0
            await make_blocks(rollup, 6, 1)
            await node.catch_up()
            assert node.heads().latest == 6
        await rollup.down()


async def test_json_rpc_tells_the_heads_apart(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 2)
        await settle(rollup)
        await make_blocks(rollup, 2, 1)
        await publish(rollup)
        await make_blocks(rollup, 3, 2)
        async with following(world, rollup) as (node, _):
            await node.catch_up()
            api = EthereumApi(node)
            world.server.mount("node", api.methods, api.health)
            async with JsonRpc(world.server.url("node")) as rpc:
                tags: list[Any] = [await rpc.call("eth_getBlockByNumber", tag, False) for tag in ("latest", "safe", "finalized")]
                assert [int(block["number"], 16) for block in tags] == [5, 3, 2]
                receipt = await rpc.call("eth_getBlockReceipts", "latest")
                assert receipt[0]["status"] == "0x1"
            api.close()
        await rollup.down()


@given(st.binary(max_size=200))
def test_what_is_no_block_does_not_parse(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_block(raw, 2_857)


def listed(payload: bytes) -> bytes:
    return b"\xfb" + len(payload).to_bytes(4) + payload


async def test_a_block_of_millions_of_nothings_is_not_taken_apart(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 2)
        header = rollup.chain.evm.header_rlp(2)
        nothings = b"\x80" * 4_000_000
        async with following(world, rollup) as (node, voice):
            for lie in (listed(header + listed(nothings)), listed(header + b"\xc0" + nothings)):
                voice.lies = {2: lie}
                tracemalloc.start()
                await node.catch_up()
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert node.heads().latest == 1
                assert peak < 60 * len(lie)  # each would be four objects
        await rollup.down()


@pytest.mark.parametrize("method", ["eth_blockNumber", "debug_getRawBlock", "debug_getRawHeader"])
async def test_one_that_never_answers_holds_up_nothing_that_is_fixed(tmp_path: Path, method: str) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 1)
        async with following(world, rollup) as (node, voice):
            await node.catch_up()
            await make_blocks(rollup, 1, 1)
            never = asyncio.Event()

            async def hang(*arguments: object) -> str:
                await never.wait()
                return "0x"

            methods = voice.methods()
            found = methods.get(method)
            assert found is not None
            methods._methods[method] = Method(method, hang, found.params)
            world.server.unmount("voice-node")
            world.server.mount("voice-node", methods, healthy)
            soft_of(node)._ask_s = 0.1
            async with asyncio.timeout(15):  # four attempts of twenty seconds each
                await node.catch_up()
            await settle(rollup)
            async with asyncio.timeout(15):
                await node.catch_up()
            assert node.heads().finalized == 2
            never.set()
        await rollup.down()
