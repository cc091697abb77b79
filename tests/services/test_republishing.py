"""A published batch that nobody may append any more, because its data lies too deep: published again, whole, once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from dougong.availability import SquareLayer
from dougong.availability.chain.client import SquareClient
from dougong.availability.square.archive import SquareArchive
from dougong.consensus import Solo
from dougong.errors import Pruned, Rejected
from dougong.interfaces import Settlement
from dougong.services.archiving import ArchiveService, Window
from dougong.services.attesting import DataRootHistory
from dougong.services.nodes.verifying_node import VerifyingNode
from dougong.services.relayer import RelayerConfig
from dougong.services.rollup.batches import BatchRecord, BatchState, PublishedBlocks
from dougong.settlement.attestations import AttestationsClient
from dougong.types import BatchReference, Blob, Placement
from tests.services.settled import (
    NAMESPACE,
    SEQUENCER,
    USER,
    Crash,
    CrashAt,
    Rollup,
    World,
    agree,
    make_blocks,
    running,
    settled_rollup,
    settled_world,
)
from tests.services.test_replacement import publish, sequencer_in
from tests.services.test_rollup_heads import full_node
from tests.services.world import USERS, genesis, transfers

BOUND = 3  # DA heights


def heights(rollup: Rollup) -> list[int]:
    """Where the batches in flight lie; 0 for one that lies nowhere."""
    return [0 if record.placement is None else record.placement.height for record in rollup.published.records]


async def in_flight(rollup: Rollup, batches: int, nonce: int = 0) -> int:
    """Publishes so many batches of two blocks; returns the next nonce."""
    for first in range(nonce, nonce + 2 * batches, 2):
        await make_blocks(rollup, first, 2)
        await publish(rollup)
    return nonce + 2 * batches


async def until(holds: Callable[[], bool]) -> None:
    while await asyncio.sleep(0.02, not holds()):
        pass


async def attest_up_to(world: World, height: int) -> None:
    if await AttestationsClient(world.rpc, world.attestations).last_height() < height:
        await world.attest(height)


async def publish_all(rollup: Rollup) -> None:
    """What `Batcher._publish_all` does, as far as there is something to do."""
    while (record := rollup.published.to_publish()) is not None:
        await rollup.batcher.publish(record)


async def fix_all(world: World, rollup: Rollup) -> None:
    """Each batch in its turn, with no more attested than it needs."""
    while rollup.published.records:
        await publish_all(rollup)
        await attest_up_to(world, heights(rollup)[0])
        await rollup.batcher.fix_next()


async def test_a_batch_at_the_edge_is_fixed_where_it_lies(tmp_path: Path) -> None:
    async with settled_world(tmp_path, data_window=BOUND, relaying=False) as world:
        rollup = await settled_rollup(world)
        await in_flight(rollup, 1)
        (height,) = heights(rollup)
        await world.attest(height + BOUND)
        assert await rollup.batcher.fix_next()
        assert (rollup.follower.position.da_height, rollup.published.records) == (height, [])
        await rollup.down()


async def test_a_batch_that_became_too_old_is_published_again_and_fixed_there(tmp_path: Path) -> None:
    async with settled_world(tmp_path, data_window=BOUND, relaying=False) as world:
        rollup = await settled_rollup(world)
        told: list[tuple[int, int]] = []
        rollup.batcher._on_published = lambda first, last, size: told.append((first, last))
        await in_flight(rollup, 1)
        head, (height,) = rollup.chain.latest, heights(rollup)
        assert rollup.sequencer.heads().safe == 2
        await world.attest(height + BOUND + 1)
        assert not await rollup.batcher.fix_next()
        (record,) = rollup.published.records
        assert (record.state, record.placement) == (BatchState.ENCODED, None)
        assert rollup.sequencer.heads().safe == 0, "what no contract takes is not published"
        await publish_all(rollup)
        assert told == [(1, 2), (1, 0)], "it is paid for a second time, and its blocks pay once"
        (again,) = heights(rollup)
        assert again > height + BOUND
        assert rollup.sequencer.heads().safe == 2
        await world.attest(again)
        assert await rollup.batcher.fix_next()
        assert (rollup.follower.position.index, rollup.follower.position.da_height) == (1, again)
        assert rollup.chain.latest.hash == head.hash, "no soft block was touched"
        await agree(world, rollup)
        await rollup.down()


async def test_what_lies_behind_is_published_again_after_it_and_a_replacement_finds_all_of_it(tmp_path: Path) -> None:
    async with settled_world(tmp_path, data_window=BOUND, relaying=False) as world:
        old = await sequencer_in(world, "old")
        await in_flight(old, 3)
        head, before = old.chain.latest, heights(old)
        await world.attest(before[0] + BOUND + 1)
        assert not await old.batcher.fix_next()
        await old.batcher.publish(old.published.records[0])
        displaced = old.published.displaced()
        assert displaced is old.published.records[1]
        await attest_up_to(world, heights(old)[0])
        assert not await old.batcher.fix_next(), "fixed now, a replacement would read on behind it and miss the others"
        await publish_all(old)
        after = heights(old)
        assert after == sorted(set(after))
        assert after[0] > before[-1]
        assert await old.batcher.fix_next()
        await old.down()

        new = await sequencer_in(world, "new")
        assert (new.follower.position.number, new.chain.latest.hash) == (2, head.hash)
        assert heights(new) == after[1:]
        await fix_all(world, new)
        assert (new.follower.position.index, new.follower.position.state) == (3, head.hash)
        await agree(world, new)
        await new.down()


async def test_a_kill_between_any_two_steps_of_it_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async with settled_world(tmp_path, data_window=BOUND, relaying=False) as world:
        nonce, step, batches = 0, 1, 0
        while True:
            rollup = await settled_rollup(world)
            nonce = await in_flight(rollup, 2, nonce)
            batches += 2
            head = rollup.chain.latest
            await attest_up_to(world, heights(rollup)[0] + BOUND + 1)
            await rollup.down()

            crash = CrashAt(step)
            rollup = await settled_rollup(world, crash=crash)
            finished = False
            try:
                await rollup.batcher.load()
                await rollup.batcher.fix_next()
                await fix_all(world, rollup)
                finished = True
            except Crash:
                pass
            await rollup.down()

            rollup = await settled_rollup(world)
            async with asyncio.timeout(180):
                await rollup.batcher.load()
                await rollup.follower.catch_up()
                await rollup.batcher.prune()
                await fix_all(world, rollup)
            assert rollup.follower.position.index == batches, "each batch is appended once"
            assert (rollup.follower.position.number, rollup.follower.position.state) == (head.number, head.hash)
            assert rollup.sequencer.evm.account(USERS[0].address)[0] == nonce
            await rollup.down()
            if finished:
                break
            step += 1
        once = ["submitting", "submitted", "published"]
        assert crash.passed == ["forgotten", *once, *once, "fixed", "followed", "fixed", "followed"]
        last = await settled_rollup(world)
        await agree(world, last)
        await last.down()


async def test_nodes_that_follow_keep_their_blocks_while_a_batch_moves(tmp_path: Path) -> None:
    async with settled_world(tmp_path, data_window=BOUND, relaying=False) as world:
        rollup = await settled_rollup(world)
        node, standby = await full_node(world), await sequencer_in(world, "standby")
        await in_flight(rollup, 2)
        head = rollup.chain.latest
        await node.catch_up()
        await standby.batcher.catch_up()
        assert node.chain.latest.hash == standby.chain.latest.hash == head.hash
        generations = node.chain.generation, standby.chain.generation
        await world.attest(heights(rollup)[0] + BOUND + 1)
        assert not await rollup.batcher.fix_next()
        await fix_all(world, rollup)
        await node.catch_up()
        await standby.batcher.catch_up()
        for chain in (node.chain, standby.chain):
            assert (chain.latest.hash, chain.finalized) == (head.hash, head.number)
        assert (node.chain.generation, standby.chain.generation) == generations, "they took nothing back"
        await node.close()
        await standby.down()
        await rollup.down()


async def test_a_relayer_that_stalls_and_jumps_delays_a_rollup_and_no_more(tmp_path: Path) -> None:
    """The services as they run: attestations stay out for longer than the window, and then come all at once."""
    async with settled_world(tmp_path, data_window=40, relaying=False) as world:
        rollup = await settled_rollup(world)

        def published_to(nonce: int) -> bool:
            mined = rollup.sequencer.evm.account(USERS[0].address)[0]
            return mined == nonce and rollup.chain.safe == rollup.chain.latest.number

        async with running(rollup.sequencer.run, rollup.inbox.run, rollup.batcher.run), asyncio.timeout(180):
            for nonce in range(0, 30, 10):
                await asyncio.gather(*(rollup.sequencer.submit(tx) for tx in transfers(USERS[0], nonce, 10)))
                await until(partial(published_to, nonce + 10))
            stalled = heights(rollup)
            assert len(stalled) >= 3
            await until(lambda: world.attestor.height > stalled[-1] + 40)
            fix = rollup.fix
            assert fix is not None
            world.relayer._config = RelayerConfig(
                interval=None, poll_s=0.02
            )  # when a batch waits: no clock decides how old it gets
            world.relayer._wanted = lambda: fix.waiting_for
            async with running(world.relayer.run):
                await until(lambda: rollup.chain.finalized == rollup.chain.latest.number)
        fixed = [rollup.follower.record(index)[0].placement for index in range(rollup.follower.position.index)]
        assert all(placement is not None and placement.height > stalled[-1] for placement in fixed)
        await agree(world, rollup)
        await rollup.down()


class RefusesAll:
    """A settlement node that says of every batch that it is too old."""

    async def append_batch(self, *arguments: Any, **more: Any) -> BatchReference:
        raise Rejected("the call reverted: the data is too old")


@pytest.mark.parametrize("data_window", [0, 1_000])
async def test_a_settlement_node_that_calls_young_data_old_costs_nothing(tmp_path: Path, data_window: int) -> None:
    """What is published again is paid for again: the DA chain must have gone on for as long as the window is."""
    async with settled_world(tmp_path, data_window=data_window, relaying=False) as world:
        rollup = await settled_rollup(world)
        await in_flight(rollup, 1)
        before = rollup.published.records
        assert rollup.fix is not None
        honest, rollup.fix._settlement = rollup.fix._settlement, cast(Settlement, RefusesAll())
        await world.attest(heights(rollup)[0])
        with pytest.raises(Rejected, match="too old"):
            await rollup.batcher.fix_next()
        assert rollup.published.records == before
        rollup.fix._settlement = honest
        assert await rollup.batcher.fix_next()
        await rollup.down()


# --- a DA chain that is pruned ----------------------------------------------------------------------------------------


async def prune(world: World, stack: AsyncExitStack) -> None:
    """Every node of the DA chain lets go of all that lies deeper than 16 heights."""
    archive = SquareArchive(world.folder / "archive")
    stack.callback(archive.close)
    chain = world.layer.chain
    assert isinstance(chain, Solo)
    layer = world.layer = SquareLayer(chain, world.layer.app, archive)
    await layer.wait_for_height(await layer.latest() + 17)
    service = ArchiveService(layer, chain, archive, Window(blocks=16))
    await service.catch_up()
    while await service.prune_step():
        pass


@pytest.mark.parametrize("data_window", [0, 8])
async def test_a_reference_to_pruned_data_stops_every_node_unless_a_window_refuses_it(tmp_path: Path, data_window: int) -> None:
    """The attack. A sequencer publishes, keeps the proof, waits until nobody keeps the data, and appends."""
    async with settled_world(tmp_path, data_window=data_window, relaying=False) as world, AsyncExitStack() as stack:
        attacker, da = await world.client(SEQUENCER), world.da(SEQUENCER)
        placement = await da.submit(Blob(NAMESPACE, b"what was it", share_version=1, signer=da.address))
        proof = await da.prove(placement)
        await prune(world, stack)
        attested = await world.attest()
        history = await DataRootHistory(da).prove(placement.height, attested)
        node = await VerifyingNode.open(tmp_path / "node", genesis(), world.source())
        if not data_window:
            await attacker.append_batch(world.rollup_id, placement, 0, proof, attested, history)
            with pytest.raises(Pruned):
                await node.catch_up()
            assert node.follower.position.index == 0, "and it cannot go on"
        else:
            with pytest.raises(Rejected, match="the data is too old"):
                await attacker.append_batch(world.rollup_id, placement, 0, proof, attested, history)
            rollup = await settled_rollup(world)
            await in_flight(rollup, 1)
            await fix_all(world, rollup)
            await node.catch_up()
            assert node.chain.latest.hash == rollup.chain.latest.hash
            await rollup.down()
        await node.close()


async def test_a_batch_whose_data_was_pruned_before_it_was_fixed_is_published_again(tmp_path: Path) -> None:
    """Without a window too: the sequencer has the bytes, and nobody else."""
    async with settled_world(tmp_path, relaying=False) as world, AsyncExitStack() as stack:
        rollup = await settled_rollup(world)
        await in_flight(rollup, 1)
        (height,) = heights(rollup)
        await rollup.down()
        await prune(world, stack)
        rollup = await settled_rollup(world)
        await rollup.batcher.load()
        await world.attest()
        assert not await rollup.batcher.fix_next()
        await fix_all(world, rollup)
        assert rollup.follower.position.da_height > height
        node = await VerifyingNode.open(tmp_path / "node", genesis(), world.source(da=SquareClient(world.layer, USER)))
        await node.catch_up()
        assert node.chain.latest.hash == rollup.chain.latest.hash
        await node.close()
        await rollup.down()


def test_displaced_is_what_lies_before_its_parent() -> None:
    published = PublishedBlocks(lambda index: None, lambda index, accumulator: None)
    zero = bytes(32)

    def at(height: int, start: int = 0, state: BatchState = BatchState.PUBLISHED) -> BatchRecord:
        placement = None if height < 0 else Placement(height, zero, start, 1)
        return BatchRecord(0, 1, 1, zero, zero, 0, zero, state, placement=placement)

    for places, expected in (
        ([], None),
        ([at(5), at(5, 3), at(6)], None),
        ([at(9), at(5), at(6)], 1),
        ([at(9), at(10), at(6)], 2),
        ([at(5, 3), at(5, 1)], 1),
        ([at(-1), at(5), at(6)], None),
        ([at(9), at(5, state=BatchState.SUBMITTING)], 1),
        ([at(0, state=BatchState.READY), at(0, state=BatchState.READY)], None),
    ):
        published.records = list(places)
        assert published.displaced() is (None if expected is None else places[expected])
