"""From soft blocks to batches that settlement has fixed: nothing lost, nothing doubled, whatever dies when."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.cosmos_tx import account_address, address_text
from dougong.availability.chain.paying import pay
from dougong.consensus import Genesis
from dougong.errors import Unavailable
from dougong.services.supervisor import Backoff, ServiceState, Supervisor
from dougong.types import Blob, BlobProof, Cell, DataHeader, Namespace, NamespaceData, Placement, Quote, Validator
from tests.services.settled import (
    NAMESPACE,
    SEQUENCER,
    USER,
    VALIDATOR,
    Crash,
    CrashAt,
    agree,
    data_chain,
    make_blocks,
    running,
    settle,
    settled_rollup,
    settled_world,
    sovereign_rollup,
)
from tests.services.world import USERS, transfers

ALICE = USERS[0]


async def test_blocks_become_a_batch_that_is_fixed_and_final(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await make_blocks(rollup, 0, 5)
        head = rollup.chain.latest
        assert rollup.sequencer.heads().safe == 0
        await settle(rollup)
        assert (rollup.sequencer.heads().safe, rollup.sequencer.heads().finalized) == (5, 5)
        assert rollup.chain.latest.hash == head.hash
        assert rollup.published.records == []
        await agree(world, rollup)
        await rollup.down()


async def test_a_kill_between_any_two_steps_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        nonce = 0
        step = 1
        while True:
            crash = CrashAt(step)
            rollup = await settled_rollup(world, crash=crash)
            await rollup.batcher.load()
            await rollup.follower.catch_up()
            await rollup.batcher.prune()
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

            rollup = await settled_rollup(world)
            async with asyncio.timeout(30):
                await rollup.batcher.load()
                await rollup.follower.catch_up()
                await rollup.batcher.prune()
                for record in list(rollup.published.records):
                    if record.state.value != "published":
                        await rollup.batcher.publish(record)
                while rollup.follower.position.number < head.number:
                    assert await rollup.batcher.fix_next()
            assert rollup.follower.position.index == step, "each batch is appended once"
            assert (rollup.follower.position.number, rollup.follower.position.state) == (head.number, head.hash)
            assert rollup.sequencer.evm.account(ALICE.address)[0] == nonce
            assert rollup.published.records == []
            await rollup.down()
            if finished:
                break
            step += 1
        assert crash.passed == ["encoded", "submitting", "submitted", "published", "fixed", "followed"]
        last = await settled_rollup(world)
        await agree(world, last)
        await last.down()


async def test_a_sovereign_batcher_killed_anywhere_keeps_its_soft_blocks(tmp_path: Path) -> None:
    async with data_chain(tmp_path / "da") as layer:
        nonce, step = 0, 1
        while True:
            crash = CrashAt(step)
            rollup = await sovereign_rollup(layer, tmp_path / "free", crash=crash)
            await rollup.batcher.load()
            await rollup.follower.catch_up()
            await rollup.batcher.prune()
            await make_blocks(rollup, nonce, 2)
            nonce += 2
            finished = False
            try:
                record = await rollup.batcher.close_batch(now=True)
                assert record is not None
                await rollup.batcher.publish(record)
                finished = True
            except Crash:
                pass
            await make_blocks(rollup, nonce, 1)  # a soft block above what is in flight
            nonce += 1
            head = rollup.chain.latest
            await rollup.down()

            rollup = await sovereign_rollup(layer, tmp_path / "free")
            await rollup.batcher.load()
            await rollup.follower.catch_up()
            await rollup.batcher.prune()
            for record in list(rollup.published.records):
                if record.state.value != "published":
                    await rollup.batcher.publish(record)
            await rollup.batcher.fix_next()
            assert rollup.chain.latest.hash == head.hash, "soft blocks survive"
            assert rollup.follower.position.number == head.number - 1
            record = await rollup.batcher.close_batch(now=True)
            assert record is not None
            await rollup.batcher.publish(record)
            await rollup.batcher.fix_next()
            assert rollup.follower.position.state == head.hash
            await rollup.down()
            if finished:
                break
            step += 1
        assert crash.passed == ["encoded", "submitting", "submitted", "published"]


async def test_the_same_blob_published_twice_changes_nothing(tmp_path: Path) -> None:
    async with data_chain(tmp_path / "da") as layer:
        rollup = await sovereign_rollup(layer, tmp_path / "free")
        await make_blocks(rollup, 0, 2)
        record = await rollup.batcher.close_batch(now=True)
        assert record is not None
        await rollup.batcher.publish(record)
        await rollup.batcher.fix_next()
        again = (await SquareClient(layer, ALICE).blobs(rollup.follower.position.da_height, NAMESPACE)).blobs
        await SquareClient(layer, SEQUENCER).submit(again[0].blob)
        await make_blocks(rollup, 2, 2)
        head = rollup.chain.latest
        await rollup.batcher.fix_next()
        assert rollup.follower.position.index == 2
        assert rollup.chain.latest.hash == head.hash
        await rollup.down()


async def test_a_rollup_that_cannot_pay_keeps_its_batches_says_why_and_goes_on_once_it_is_funded(tmp_path: Path) -> None:
    bank = account_address(USER.public_key)
    market = {"max_square_size": 32, "min_base_fee": 4_000_000, "accounts": {address_text(bank): 10**9}}
    validators = [Validator(VALIDATOR.public_key, 10)]
    genesis = Genesis.create("square-1", 1_767_323_045_000_000_000, validators, app_state=market)
    async with data_chain(tmp_path / "da", genesis) as layer:
        rollup = await sovereign_rollup(layer, tmp_path / "free")
        await make_blocks(rollup, 0, 2)
        head = rollup.chain.latest
        registry = CollectorRegistry()
        supervisor = Supervisor(log=structlog.get_logger(), registry=registry)
        supervisor.add("free", "batcher", rollup.batcher.run, trouble=lambda: rollup.batcher.unpaid)
        async with running(supervisor.run), asyncio.timeout(30):
            while await asyncio.sleep(0.01, rollup.batcher.unpaid is None):
                pass
            (status,) = supervisor.status()
            assert status.state is ServiceState.RUNNING
            assert "insufficient funds" in status.error
            assert "send utia to celestia1" in status.remedy
            assert [record.last for record in rollup.published.records] == [head.number]
            await pay(layer, USER, account_address(SEQUENCER.public_key), 10**6)
            while await asyncio.sleep(0.01, rollup.follower.position.state != head.hash):
                pass
            (status,) = supervisor.status()
            assert (rollup.batcher.unpaid, status.error, status.restarts) == (None, "", 0)
        await rollup.down()


async def test_the_running_services_settle_everything_by_themselves(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        async with running(rollup.sequencer.run, rollup.inbox.run, rollup.batcher.run, rollup.proposer.run):
            async with asyncio.timeout(30):
                await asyncio.gather(*(rollup.sequencer.submit(tx) for tx in transfers(ALICE, 0, 50)))
                version = -1
                while rollup.sequencer.evm.account(ALICE.address)[0] < 50 or rollup.chain.finalized < rollup.chain.latest.number:
                    version = await rollup.chain.wait_change(version)
                await rollup.proposer.wait_final(rollup.chain.latest.hash)
        await agree(world, rollup)
        await rollup.down()


class FailingDa:
    """A DA layer that fails: before the blob was sent, after it was published, or when asked what it holds."""

    def __init__(self, da: SquareClient, faults: list[str]) -> None:
        self._da = da
        self._faults = faults

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "before":
            raise Unavailable("the DA node is away")
        placement = await self._da.submit(blob)
        if fault == "after":
            raise Unavailable("the answer was lost")
        return placement

    async def header(self, height: int) -> DataHeader:
        return await self._da.header(height)

    async def latest(self) -> int:
        return await self._da.latest()

    async def blobs(self, height: int, namespace: Namespace) -> NamespaceData:
        if self._faults and self._faults[0] == "blobs":
            self._faults.pop(0)
            raise Unavailable("the DA node is away again")
        return await self._da.blobs(height, namespace)

    async def prove(self, placement: Placement) -> BlobProof:
        return await self._da.prove(placement)

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        return await self._da.blob(placement, namespace)

    async def quote(self, size: int) -> Quote:
        return await self._da.quote(size)

    async def sample(self, height: int, row: int, column: int) -> Cell:
        return await self._da.sample(height, row, column)


async def test_a_da_layer_that_fails_is_tried_again_and_nothing_is_doubled(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        faults = ["before", "after", "blobs", "before", "after"]
        rollup = await settled_rollup(world, da=FailingDa(world.da(SEQUENCER), faults))
        supervisor = Supervisor(log=structlog.get_logger(), registry=CollectorRegistry(), backoff=Backoff(first=0.01, most=0.02))
        supervisor.add("alpha", "batcher", rollup.batcher.run)
        async with running(supervisor.run), asyncio.timeout(60):
            for nonce in range(0, 6, 2):
                await make_blocks(rollup, nonce, 2)
                version = -1
                while rollup.chain.finalized < rollup.chain.latest.number:
                    version = await rollup.chain.wait_change(version)
        assert faults == []
        assert supervisor.status()[0].restarts >= 3
        await agree(world, rollup)
        await rollup.down()
