"""A sequencer that is lost is replaced by one that has read DA and the inbox alone; the old one, come back, does not fork."""

from __future__ import annotations

from pathlib import Path

from dougong.services.rollup.ahead import PublishedAhead
from dougong.services.rollup.batches import BatchState
from dougong.types import Blob
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
from tests.services.world import GWEI, USERS, transfers

ALICE, BOB = USERS[0], USERS[1]


async def sequencer_in(world: World, folder: str) -> Rollup:
    """With the sequencer's key; `folder` may be empty, or what an earlier one left. It has read what is there to read."""
    rollup = await settled_rollup(world, folder=folder)
    rollup.batcher._ahead = PublishedAhead(
        rollup.chain,
        rollup.follower,
        rollup.published,
        world.da(SEQUENCER),
        await world.client(SEQUENCER),
        rollup_id=world.rollup_id,
        namespace=NAMESPACE,
        signer=world.da(SEQUENCER).address,
        give_back=rollup.sequencer.requeue,
    )
    await rollup.batcher.load()
    await rollup.batcher.catch_up()
    await rollup.sequencer.resync()
    return rollup


async def publish(rollup: Rollup) -> None:
    record = await rollup.batcher.close_batch(now=True)
    assert record is not None
    await rollup.batcher.publish(record)


async def fix_all(rollup: Rollup) -> None:
    while await rollup.batcher.fix_next():
        pass


async def test_a_replacement_goes_on_from_the_published_head(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        await make_blocks(old, 0, 2)
        await settle(old)
        await make_blocks(old, 2, 2)
        await publish(old)
        await (await world.client(USER)).deposit(world.rollup_id, BOB.address, 5 * GWEI)
        await old.inbox.poll()
        await make_blocks(old, 4, 2)
        await publish(old)  # two batches lie on the DA layer, and settlement has heard of neither
        published = old.chain.latest
        await make_blocks(old, 6, 1)  # never published: gone with its store
        await old.down()

        new = await sequencer_in(world, "new")
        assert new.chain.latest.hash == published.hash
        assert (new.chain.safe, new.follower.position.number) == (6, 2)
        assert [record.state for record in new.published.records] == [BatchState.PUBLISHED] * 2
        await make_blocks(new, 6, 2)
        await fix_all(new)  # what the old one published, not published again
        await settle(new)
        assert new.follower.position.index == 4
        assert new.chain.latest.number == new.follower.position.number == 8
        await agree(world, new)
        await new.down()


async def test_a_replacement_killed_anywhere_takes_nothing_twice(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        await make_blocks(old, 0, 2)
        await publish(old)
        await old.down()
        for _ in range(3):  # each time from what the one before left
            new = await sequencer_in(world, "new")
            assert (new.chain.latest.number, len(new.published.records)) == (2, 1)
            await new.down()
        new = await sequencer_in(world, "new")
        await fix_all(new)
        await make_blocks(new, 2, 1)
        await settle(new)
        assert (new.follower.position.index, new.chain.latest.number) == (2, 3)
        await agree(world, new)
        await new.down()


async def test_the_old_one_come_back_does_not_fork_and_gives_its_soft_blocks_back(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        await make_blocks(old, 0, 2)
        await settle(old)
        await make_blocks(old, 2, 1)  # acknowledged, in a soft block,
        await old.sequencer.submit(transfers(BOB, 0, 1)[0])  # and waiting: neither is published
        await old.down()

        new = await sequencer_in(world, "new")
        for nonce in range(2):
            await new.sequencer.submit(transfers(USERS[2], nonce, 1)[0])
            assert await new.sequencer.make_block() is not None
        await settle(new)
        await make_blocks(new, 2, 1)
        await publish(new)  # and settlement has not heard of this one
        head = new.chain.latest
        await new.down()

        old = await sequencer_in(world, "old")
        assert old.chain.latest.hash == head.hash
        assert old.chain.safe == head.number
        # What the new one has included is not made twice; what it has not is taken up again.
        assert [tx.sender for tx in old.sequencer.pool] == [BOB.address]
        assert await old.sequencer.make_block() is not None
        await fix_all(old)
        await settle(old)
        assert old.sequencer.evm.account(BOB.address)[0] == 1
        assert old.sequencer.evm.account(ALICE.address)[0] == 3
        await agree(world, old)
        await old.down()


async def test_soft_blocks_that_are_not_what_was_published_give_their_transactions_back(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        await make_blocks(old, 0, 3)
        await old.down()
        new = await sequencer_in(world, "new")
        await new.sequencer.submit(transfers(BOB, 0, 1)[0])
        await new.sequencer.make_block()
        await publish(new)
        head = new.chain.latest
        await new.down()
        old = await sequencer_in(world, "old")
        assert old.chain.latest.hash == head.hash
        assert len(old.sequencer.pool) == 3
        await old.down()
        old = await sequencer_in(world, "old")  # a kill right after that loses none of them
        assert len(old.sequencer.pool) == 3
        assert await old.sequencer.make_block() is not None
        await fix_all(old)
        await settle(old)
        await agree(world, old)
        await old.down()


async def test_others_blobs_in_the_namespace_are_passed_over(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        await make_blocks(old, 0, 1)
        forged = old.chain.evm.encode_batch(1, 1, 3)
        await old.down()
        stranger = world.da(USER)
        await stranger.submit(Blob(NAMESPACE, forged, share_version=1, signer=stranger.address))
        await world.da(SEQUENCER).submit(Blob(NAMESPACE, b"\x00 no batch", share_version=1, signer=world.da(SEQUENCER).address))
        new = await sequencer_in(world, "new")
        assert (new.chain.latest.number, new.published.records) == (0, [])
        await new.down()
