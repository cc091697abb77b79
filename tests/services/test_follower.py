"""When settlement fixes something else than the soft chain: it goes back, gives its transactions back, and goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from dougong._native import encode_batch
from dougong.errors import Rejected
from dougong.net.jsonrpc import JsonRpc
from dougong.services.attesting import DataRootHistory
from dougong.services.nodes.verifying_node import VerifyingNode
from dougong.services.rollup.fixing import SettledFix
from dougong.settlement.attestations import AttestationsClient
from dougong.settlement.client import SettlementClient
from dougong.types import BatchReference, Blob, Placement
from tests.services.settled import (
    NAMESPACE,
    SEQUENCER,
    USER,
    Rollup,
    World,
    agree,
    make_blocks,
    settle,
    settled_rollup,
    settled_world,
)
from tests.services.world import GWEI, USERS, genesis, transfers

ALICE, BOB = USERS[0], USERS[1]
PATIENCE = 60


class Reads(httpx.AsyncHTTPTransport):
    """Counts the questions for logs."""

    logs = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.logs += request.content.count(b"eth_getLogs")
        return await super().handle_async_request(request)


async def deposit(world: World) -> None:
    await (await world.client(USER)).deposit(world.rollup_id, BOB.address, 5 * GWEI)


async def append_as_a_stranger(world: World, rollup: Rollup, data: bytes) -> None:
    """After the sequencer's timeout: publishes under the rollup's namespace, and appends."""
    da = world.da(USER)
    placement = await da.submit(Blob(NAMESPACE, data, 1, da.address))
    stranger = await world.client(USER)
    fix = SettledFix(
        stranger,
        AttestationsClient(world.rpc, world.attestations),
        da,
        DataRootHistory(da),
        rollup_id=world.rollup_id,
        data_window=0,
        poll_s=0.02,
    )
    attested = await fix._attested(placement.height)
    proof = await da.prove(placement)
    history = await fix._history.prove(placement.height, attested)
    count = await stranger.message_count(world.rollup_id)
    await stranger.append_batch(world.rollup_id, placement, count, proof, attested, history)


async def append(world: World, rollup: Rollup, batch: bytes | Placement, inbox_end: int) -> Placement:
    """As the sequencer, past its batcher."""
    da = world.da(SEQUENCER)
    placement = batch if isinstance(batch, Placement) else await da.submit(Blob(NAMESPACE, batch, 1, da.address))
    fix = rollup.fix
    assert fix is not None
    attested = await fix._attested(placement.height)
    history = await fix._history.prove(placement.height, attested)
    sequencer = await world.client(SEQUENCER)
    await sequencer.append_batch(world.rollup_id, placement, inbox_end, await da.prove(placement), attested, history)
    return placement


async def remake_and_settle(world: World, rollup: Rollup, nonce: int) -> None:
    """What was taken once is in new blocks, and these settle."""
    while await rollup.sequencer.make_block() is not None:
        pass
    assert rollup.sequencer.evm.account(ALICE.address)[0] == nonce
    await settle(rollup)
    assert rollup.follower.position.number == rollup.chain.latest.number
    await agree(world, rollup)


async def test_an_append_by_somebody_else_drops_soft_blocks_and_keeps_their_transactions(tmp_path: Path) -> None:
    async with settled_world(tmp_path, patience=PATIENCE) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 2)
        await settle(rollup)
        await make_blocks(rollup, 2, 3)
        await deposit(world)
        stranger = await world.client(USER)
        with pytest.raises(Rejected, match="only the sequencer"):
            await stranger.append_empty_batch(world.rollup_id, 1)
        await world.pass_time(3 * PATIENCE)
        await stranger.append_empty_batch(world.rollup_id, 1)
        before = rollup.sequencer.evm.account(BOB.address)[1]
        assert not await rollup.batcher.fix_next()
        assert rollup.chain.latest.number == rollup.follower.position.number == 3  # a block that only takes the deposit
        assert rollup.sequencer.evm.account(BOB.address)[1] == before + 5 * GWEI
        assert rollup.sequencer.evm.account(ALICE.address)[0] == 2
        await remake_and_settle(world, rollup, 5)
        await rollup.down()


async def test_a_published_batch_that_lost_the_race_is_superseded(tmp_path: Path) -> None:
    async with settled_world(tmp_path, patience=PATIENCE) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 3)
        record = await rollup.batcher.close_batch(now=True)
        assert record is not None
        await rollup.batcher.publish(record)
        await deposit(world)
        await world.pass_time(3 * PATIENCE)
        await (await world.client(USER)).append_empty_batch(world.rollup_id, 1)
        await rollup.down()
        rollup = await settled_rollup(world)  # and a restart in between changes nothing
        await rollup.resume()
        assert rollup.published.records == []
        await remake_and_settle(world, rollup, 3)
        assert rollup.follower.position.index == 2
        await rollup.down()


async def test_a_stranger_s_garbage_counts_as_an_empty_batch(tmp_path: Path) -> None:
    async with settled_world(tmp_path, patience=PATIENCE) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 2)
        await deposit(world)
        await world.pass_time(3 * PATIENCE)
        await append_as_a_stranger(world, rollup, b"\x00 this is no batch")
        await rollup.follower.catch_up()
        assert rollup.follower.position.number == 1
        await remake_and_settle(world, rollup, 2)
        await rollup.down()


async def test_bytes_that_made_no_blocks_the_first_time_make_them_the_second_time(tmp_path: Path) -> None:
    """The same blob is appended twice: first on a parent that it does not name, where only the inbox moves, to exactly the block
    that it names. Who took it for published twice would go on from another state than every verifying node."""
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        evm = rollup.chain.evm
        # Far ahead of the settlement chain's clock, so that the time of the block to come is known.
        await append(world, rollup, encode_batch(evm.genesis_hash, [(2**40, 0, [])], 3), 0)
        await rollup.follower.catch_up()
        await deposit(world)
        (message,) = await world.source().messages(rollup.follower.position, BatchReference(1, b"", None, 1, 0))
        coming = evm.execute_rollup(0, 1, [(int(message.kind), message.payload)], [])
        evm.discard()
        twice = encode_batch(coming.header.hash, [(2**40, 1, transfers(ALICE, 0, 2))], 3)
        placement = await append(world, rollup, twice, 1)
        await rollup.follower.catch_up()
        assert rollup.follower.position.state == coming.header.hash
        await append(world, rollup, placement, 1)
        await rollup.follower.catch_up()
        assert (rollup.chain.latest.number, evm.account(ALICE.address)[0]) == (3, 2)
        await agree(world, rollup)
        # And once more, when it is spent: soft blocks on top of it stay.
        await make_blocks(rollup, 2, 1)
        await append(world, rollup, placement, 1)
        await rollup.follower.catch_up()
        assert (rollup.follower.position.number, rollup.chain.latest.number) == (3, 4)
        await rollup.down()


async def test_a_message_that_became_overdue_on_the_way_goes_with_the_batch(tmp_path: Path) -> None:
    async with settled_world(tmp_path, patience=PATIENCE) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 2)
        record = await rollup.batcher.close_batch(now=True)
        assert record is not None
        await rollup.batcher.publish(record)
        await make_blocks(rollup, 2, 1)
        await deposit(world)
        await world.pass_time(PATIENCE + 30)
        assert await rollup.batcher.fix_next()
        assert rollup.follower.position.inbox_end == 1
        await remake_and_settle(world, rollup, 3)
        await rollup.down()


async def test_the_contract_takes_no_batch_twice(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 2)
        record = await rollup.batcher.close_batch(now=True)
        assert record is not None
        await rollup.batcher.publish(record)
        (record,) = rollup.published.records
        assert await rollup.batcher.fix_next()
        fix = rollup.fix
        assert fix is not None
        with pytest.raises(Rejected, match="index"):
            await fix.fix(record, 0)  # as a transaction that was sent before a crash and mined after it
        await rollup.down()


async def test_a_reorganisation_that_only_swaps_messages_is_seen(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await deposit(world)
        await rollup.inbox.poll()
        await make_blocks(rollup, 0, 1)
        await settle(rollup)
        position, source = rollup.follower.position, world.source()
        assert position.inbox_end == 1
        assert await source.holds(position)
        assert not await source.holds(replace(position, inbox_accumulator=b"\1" * 32))
        await rollup.down()


async def test_one_reading_of_the_inbox_serves_many_batches(tmp_path: Path) -> None:
    """Else each batch costs as much as the inbox is long, and anyone can make it long."""
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        for nonce in range(3):
            await deposit(world)
            await rollup.inbox.poll()
            await make_blocks(rollup, nonce, 1)
            await settle(rollup)
        reads = Reads()
        async with JsonRpc(world.rpc.url, transport=reads) as rpc:
            node = await VerifyingNode.open(tmp_path / "node", genesis(), world.source(SettlementClient(rpc, world.settlement)))
            assert await node.catch_up() == 3
            assert node.chain.latest.hash == rollup.chain.latest.hash
            assert node.follower.position.inbox_end == 3
            await node.close()
        assert reads.logs == 2  # one for the batches, one for all their messages
        await rollup.down()


async def test_a_reorganised_settlement_chain_is_followed_back_and_forth(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 2)
        await settle(rollup)
        snapshot = await world.rpc.call("evm_snapshot")
        await make_blocks(rollup, 2, 2)
        await settle(rollup)
        await make_blocks(rollup, 4, 1)
        head = rollup.chain.latest
        assert rollup.follower.position.index == 2
        await world.rpc.call("evm_revert", snapshot)
        await rollup.down()
        rollup = await settled_rollup(world)
        await rollup.resume()
        assert (rollup.follower.position.index, rollup.follower.position.number) == (1, 2)
        assert rollup.chain.latest.hash == head.hash  # nothing contradicts the soft blocks: they stay
        await settle(rollup)
        assert rollup.follower.position.state == head.hash
        await agree(world, rollup)
        await rollup.down()


async def test_a_follower_without_its_records_derives_the_same_again(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        for first in (0, 2, 4):
            await make_blocks(rollup, first, 2)
            await settle(rollup)
        head = rollup.chain.latest
        await rollup.down()
        for file in (world.folder / "alpha" / "follower").iterdir():
            file.unlink()
        rollup = await settled_rollup(world)
        await rollup.resume()
        assert (rollup.follower.position.index, rollup.follower.position.state) == (3, head.hash)
        assert rollup.sequencer.evm.account(ALICE.address)[0] == 6
        await rollup.down()
