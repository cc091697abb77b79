"""Batches that their own transactions carry: nothing lost, nothing appended twice, nothing paid for twice, whatever dies when."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from dougong.availability.ethereum.layer import EthereumBlobs
from dougong.availability.ethereum.reading import BlobReader
from dougong.availability.kzg import da_id
from dougong.availability.kzg.sidecar import make_sidecar
from dougong.errors import Divergence, Rejected, Unavailable
from dougong.services.nodes.light_blobs import BlobSettlementCheck
from dougong.services.nodes.light_settlement import RollupCheck
from dougong.services.nodes.verifying_node import VerifyingNode
from dougong.services.rollup.batches import BatchState
from dougong.types import Blob, BlobsHeader, KzgCell, Namespace
from tests.services.on_blobs import agrees, blob_rollup, blob_world
from tests.services.settled import NAMESPACE, USER, Crash, CrashAt, Rollup, make_blocks, running, settle
from tests.services.world import GWEI, USERS, genesis, transfers

ALICE, BOB = USERS[0], USERS[1]
STEPS = ["encoded", "ready", "sending", "fixed", "followed"]


async def start(rollup: Rollup) -> None:
    await rollup.batcher.load()
    await rollup.follower.catch_up()
    await rollup.batcher.prune()


async def test_a_batch_is_published_and_fixed_in_one_step(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 3)
        head = rollup.chain.latest
        record = await rollup.batcher.close_batch(now=True)
        assert record is not None
        await rollup.batcher.publish(record)
        assert rollup.published.records[0].state is BatchState.READY
        assert rollup.sequencer.heads().safe == 0, "what is ready is published nowhere yet"
        assert await rollup.batcher.fix_next()
        assert (rollup.sequencer.heads().safe, rollup.sequencer.heads().finalized) == (3, 3)
        assert (rollup.chain.latest.hash, rollup.published.records) == (head.hash, [])
        (reference,) = await world.client().batches(world.rollup_id, 0)
        assert reference.placement is not None
        assert (reference.placement.start_share, reference.placement.share_count) == (0, 1)
        assert await world.sent() == 1
        await agrees(world, rollup)
        await rollup.down()


async def test_a_kill_between_any_two_steps_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        nonce, step = 0, 1
        while True:
            crash = CrashAt(step)
            rollup = await blob_rollup(world, crash=crash)
            await start(rollup)
            await make_blocks(rollup, nonce, 2)
            nonce += 2
            head = rollup.chain.latest
            finished = False
            try:
                await settle(rollup)
                finished = True
            except Crash:
                pass
            await rollup.down()

            rollup = await blob_rollup(world)
            async with asyncio.timeout(30):
                await rollup.resume()
            assert rollup.follower.position.index == step, "each batch is appended once"
            assert await world.sent() == step, "and paid for once"
            assert (rollup.follower.position.number, rollup.follower.position.state) == (head.number, head.hash)
            assert rollup.sequencer.evm.account(ALICE.address)[0] == nonce
            assert rollup.published.records == []
            await rollup.down()
            if finished:
                break
            step += 1
        assert crash.passed == STEPS
        last = await blob_rollup(world)
        await agrees(world, last)
        await last.down()


async def test_after_a_kill_what_waits_in_the_pool_is_replaced_not_paid_for_twice(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 2)
        await world.mining(at_once=False)
        sending = asyncio.create_task(settle(rollup))
        while not await world.pending():  # noqa: ASYNC110  over a socket
            await asyncio.sleep(0.02)
        (first,) = await world.pending()
        sending.cancel()
        await asyncio.wait([sending])
        await rollup.down()

        rollup = await blob_rollup(world)
        await start(rollup)
        assert [offer is not None for offer in (record.sent for record in rollup.published.records)] == [True]
        sending = asyncio.create_task(resumed(rollup))
        while (await world.pending())[0]["hash"] == first["hash"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        (second,) = await world.pending()
        assert second["nonce"] == first["nonce"]
        assert int(second["maxFeePerBlobGas"], 16) >= 2 * int(first["maxFeePerBlobGas"], 16)
        await world.mine()
        await sending
        assert (rollup.follower.position.index, await world.sent()) == (1, 1)
        await agrees(world, rollup)
        await rollup.down()


async def resumed(rollup: Rollup) -> None:
    assert await rollup.batcher.fix_next()


async def test_an_overdue_message_goes_along(tmp_path: Path) -> None:
    async with blob_world(tmp_path, patience=60) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 2)
        await world.client(USER).deposit(world.rollup_id, BOB.address, 5 * GWEI)
        await world.pass_time(100)
        before = rollup.sequencer.evm.account(BOB.address)[1]
        await settle(rollup)
        assert rollup.follower.position.inbox_end == 1
        assert rollup.sequencer.evm.account(BOB.address)[1] == before + 5 * GWEI
        assert await world.sent() == 1, "the refusal was foreseen, and cost nothing"
        await agrees(world, rollup)
        await rollup.down()


async def test_a_stranger_who_appends_first_takes_the_place_and_no_transaction(tmp_path: Path) -> None:
    async with blob_world(tmp_path, patience=60) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 2)
        record = await rollup.batcher.close_batch(now=True)
        assert record is not None
        await rollup.batcher.publish(record)
        user = world.client(USER)
        await user.deposit(world.rollup_id, BOB.address, 5 * GWEI)
        await world.pass_time(200)
        garbage = make_sidecar(Blob(NAMESPACE, b"\x00 this is no batch"))
        await user.append_blob_batch(world.rollup_id, garbage, 1, index=0)
        assert not await rollup.batcher.fix_next()
        assert rollup.published.records == []
        await rollup.sequencer.make_block()
        await settle(rollup)
        assert rollup.follower.position.index == 2
        assert rollup.sequencer.evm.account(ALICE.address)[0] == 2
        await agrees(world, rollup)
        await rollup.down()


async def test_another_rollups_blobs_count_as_empty(tmp_path: Path) -> None:
    """Nothing on chain tells whose blobs they are: what is in them does."""

    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 1)
        data = rollup.chain.evm.encode_batch(1, 1, 3)
        foreign = make_sidecar(Blob(Namespace.user(b"bravo"), data))
        await world.client().append_blob_batch(world.rollup_id, foreign, 0, index=0)
        await rollup.follower.catch_up()
        assert (rollup.follower.position.index, rollup.follower.position.number) == (1, 0)
        await settle(rollup)
        assert (rollup.follower.position.index, rollup.follower.position.number) == (2, 1)
        await agrees(world, rollup)
        await rollup.down()


async def test_a_reorganised_batch_is_published_again(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 2)
        head = rollup.chain.latest
        snapshot = await world.rpc.call("evm_snapshot")
        await settle(rollup)
        assert rollup.follower.position.index == 1
        assert await world.rpc.call("evm_revert", snapshot)
        await world.mine()
        await rollup.follower.catch_up()
        assert (rollup.follower.position.index, rollup.chain.latest.hash) == (0, head.hash)
        await settle(rollup)
        assert (rollup.follower.position.index, rollup.follower.position.state) == (1, head.hash)
        await agrees(world, rollup)
        await rollup.down()


async def test_what_cannot_be_paid_for_waits_and_says_so(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        poor = await blob_rollup(world, budget=1)
        await start(poor)
        await make_blocks(poor, 0, 2)
        record = await poor.batcher.close_batch(now=True)
        assert record is not None
        assert await poor.batcher.publish_within_means(record)
        assert not await poor.batcher.fix_next()
        assert poor.batcher.unpaid is not None
        wanted = poor.batcher.unpaid.wanted
        await poor.down()
        rich = await blob_rollup(world, budget=2 * wanted)
        await rich.resume()
        assert (rich.follower.position.number, rich.batcher.unpaid) == (2, None)
        await rich.down()


async def test_who_only_reads_waits_until_it_is_final(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 2)
        await settle(rollup)
        node = await VerifyingNode.open(tmp_path / "verifier", genesis(), world.source(confirmations=2, final_only=True))
        assert await node.catch_up() == 0
        await world.mine()
        assert await node.catch_up() == 0
        await world.mine()
        assert await node.catch_up() == 1
        assert node.chain.latest.hash == rollup.chain.latest.hash
        await node.close()
        await rollup.down()


async def test_the_running_services_append_batch_after_batch(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        async with running(rollup.sequencer.run, rollup.inbox.run, rollup.batcher.run), asyncio.timeout(60):
            for first in range(0, 30, 10):
                await asyncio.gather(*(rollup.sequencer.submit(tx) for tx in transfers(ALICE, first, 10)))
                version = -1
                while rollup.sequencer.evm.account(ALICE.address)[0] < first + 10 or (
                    rollup.chain.finalized < rollup.chain.latest.number
                ):
                    version = await rollup.chain.wait_change(version)
        assert await world.sent() == rollup.follower.position.index >= 3
        await agrees(world, rollup)
        await rollup.down()


async def test_a_batch_appended_by_an_older_copy_of_the_store_is_refused_by_its_index(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        await make_blocks(rollup, 0, 1)
        record = await rollup.batcher.close_batch(now=True)
        assert record is not None
        data = rollup.chain.evm.encode_batch(1, 1, 9)
        await rollup.batcher.publish(record)
        assert await rollup.batcher.fix_next()
        with pytest.raises(Rejected, match="another batch has this index"):
            await world.client().append_blob_batch(world.rollup_id, make_sidecar(Blob(NAMESPACE, data)), 0, index=0)
        await rollup.down()


class Withholding:
    """A layer of blobs whose cells from column `first` on nobody shows."""

    def __init__(self, da: EthereumBlobs, first: int = 128) -> None:
        self._da = da
        self._first = first
        self.drawn: list[tuple[int, int]] = []

    async def latest(self) -> int:
        return await self._da.latest()

    async def header(self, height: int) -> BlobsHeader:
        return await self._da.header(height)

    async def sample(self, height: int, row: int, column: int) -> KzgCell:
        self.drawn.append((row, column))
        if column >= self._first:
            raise Unavailable(f"cell {column} is withheld")
        return await self._da.sample(height, row, column)


async def test_a_light_node_folds_the_batches_and_samples_their_blobs(tmp_path: Path) -> None:
    async with blob_world(tmp_path) as world:
        rollup = await blob_rollup(world)
        await start(rollup)
        for first in (0, 2):
            await make_blocks(rollup, first, 2)
            await settle(rollup)
        known = [RollupCheck("alpha", world.rollup_id, rollup.chain.evm.genesis_hash, "none")]
        honest = Withholding(EthereumBlobs(BlobReader(world.rpc, world.beacon, finality=1)))
        own = da_id(world.chain_id)
        check = BlobSettlementCheck(world.rpc, world.settlement, honest, da_id=own, draws=5)
        report = await check.run(known)
        assert (report.rollups[0].batches, report.attested_height) == (2, 0)
        assert len(set(honest.drawn)) == len(honest.drawn) == 5, "the last batch is not final yet"
        await world.mine()
        await check.run(known)
        assert len(honest.drawn) == 10, "what was sampled is not sampled again"
        assert any("5 cells of each sampled" in line for line in report.verified)

        for first, caught in ((64, True), (0, True), (128, False)):
            withholding = Withholding(EthereumBlobs(BlobReader(world.rpc, world.beacon, finality=0)), first)
            drawing = random.Random(7)
            check = BlobSettlementCheck(world.rpc, world.settlement, withholding, da_id=own, drawing=drawing)
            if caught:
                with pytest.raises(Unavailable, match="withheld"):
                    await check.run(known)
            else:
                await check.run(known)
        for window_s, caught in ((1_000.0, False), (0.0, True)):  # what beacon nodes have dropped is not withheld
            expired = Withholding(EthereumBlobs(BlobReader(world.rpc, world.beacon, finality=0)), 0)
            check = BlobSettlementCheck(
                world.rpc, world.settlement, expired, da_id=own, window_s=window_s, clock=lambda: time.time() + 2_000
            )
            if caught:
                with pytest.raises(Unavailable, match="withheld"):
                    await check.run(known)
            else:
                await check.run(known)
        other = BlobSettlementCheck(world.rpc, world.settlement, honest, da_id=da_id(1))
        with pytest.raises(Divergence, match="another DA layer"):
            await other.run(known)
        await rollup.down()
