"""A rollup that begins with a snapshot and sequences: what was published before is neither published again nor left out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dougong.availability.chain.client import SquareClient
from dougong.errors import ConfigError, Divergence, Pruned, StatePruned, Unavailable
from dougong.services.needed import NeededHeights
from dougong.services.rollup.from_snapshot import begin, has_chain
from dougong.settlement.encoding import claim_id
from dougong.types import ZERO_HASH, Blob, Namespace, Placement
from tests.services.settled import SEQUENCER, USER, Rollup, World, agree, make_blocks, settle, settled_rollup, settled_world
from tests.services.test_replacement import fix_all, publish, sequencer_in
from tests.services.test_verifying_node import settle_and_claim
from tests.services.world import GWEI, RECIPIENT, USERS, genesis

BOB = USERS[1]


async def deposited(world: World, rollup: Rollup) -> None:
    await (await world.client(USER)).deposit(world.rollup_id, BOB.address, 5 * GWEI)
    await rollup.inbox.poll()


async def claimed(world: World, rollup: Rollup, nonce: int) -> tuple[bytes, Path]:
    """The id of a claim that is final, on all that there is and two blocks more, and its snapshot."""
    assert rollup.proposer is not None
    await settle_and_claim(rollup, nonce)
    await rollup.proposer.finalize_ready()
    number = rollup.chain.latest.number
    file = world.folder / f"{number}.snapshot"
    rollup.chain.evm.export_snapshot(str(file), number)
    return claim_id(rollup.proposer.claims[-1]), file


async def started(world: World, file: Path, trusted: bytes, folder: str = "new") -> None:
    home = world.folder / folder
    home.mkdir(exist_ok=True)
    await begin(home, genesis(), file, await world.client(USER), world.rollup_id, trusted, store="follower")


async def test_it_goes_on_without_publishing_twice_or_leaving_out(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        await deposited(world, old)
        trusted, file = await claimed(world, old, 0)
        await deposited(world, old)  # message 1 is consumed behind the snapshot
        await settle_and_claim(old, 2)
        assert old.proposer is not None
        await old.proposer.finalize_ready()
        await settle_and_claim(old, 4)
        await make_blocks(old, 6, 1)
        await publish(old)  # settlement has not heard of this one
        published, fixed = old.chain.latest, old.follower.position
        await make_blocks(old, 7, 1)  # and nobody of this one
        await old.down()

        await started(world, file, trusted)
        new = await sequencer_in(world, "new")
        assert (new.follower.base, new.follower.position.index) == (1, 3)
        assert (new.follower.position.state, new.follower.position.inbox_end) == (fixed.state, 2)
        assert new.chain.latest.hash == published.hash
        assert [record.first for record in new.published.records] == [published.number]
        with pytest.raises(StatePruned):
            new.chain.evm.account(RECIPIENT, 1)

        # Its claims rest on the last final one, and the one that waits is posted no second time.
        assert new.proposer is not None
        needed = NeededHeights(world.da(SEQUENCER), new.follower, new.published, new.proposer)
        assert await needed.lowest() == 0
        await new.proposer.resume()
        while await new.proposer.finalize_ready():
            pass
        assert [claim.batch_end for claim in new.proposer.claims] == [1, 2]
        await deposited(world, new)
        await make_blocks(new, 7, 2)
        await fix_all(new)
        await settle(new)
        assert (new.follower.position.index, new.follower.position.inbox_end) == (5, 3)
        claim = await new.proposer.claim_next()
        assert claim is not None
        assert (claim.parent, claim.batch_start, claim.batch_end) == (claim_id(new.proposer.claims[1]), 2, 5)
        assert await new.proposer.finalize_ready() == 1
        assert await needed.lowest() >= 0
        await agree(world, new)
        state = new.chain.latest.hash
        await new.down()

        new = await sequencer_in(world, "new")  # and a restart is a restart
        assert (new.chain.latest.hash, new.follower.base, new.published.records) == (state, 1, [])
        await make_blocks(new, 9, 1)
        await settle(new)
        await agree(world, new)
        await new.down()


async def test_only_a_final_claim_of_this_rollup_and_its_own_block_will_do(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        trusted, file = await claimed(world, rollup, 0)
        await settle_and_claim(rollup, 2)
        pending = claim_id(rollup.proposer.claims[-1])
        await make_blocks(rollup, 4, 1)
        ahead = world.folder / "ahead.snapshot"
        rollup.chain.evm.export_snapshot(str(ahead), rollup.chain.latest.number)  # of a block that no layer below has heard of
        await rollup.down()

        with pytest.raises(Unavailable, match="holds no claim"):
            await started(world, file, b"\x07" * 32)
        with pytest.raises(Unavailable, match="not final yet"):
            await started(world, file, pending)
        with pytest.raises(ConfigError, match="the claim of"):
            await started(world, ahead, trusted)
        with pytest.raises(ConfigError, match="cannot be used"):
            damaged = world.folder / "damaged.snapshot"
            damaged.write_bytes(file.read_bytes()[:-1] + b"\x00")
            await started(world, damaged, trusted)
        with pytest.raises(ConfigError):
            await started(world, world.folder / "none.snapshot", trusted)
        client = await world.client(USER)
        home = world.folder / "new"
        with pytest.raises(ConfigError, match="not 2"):
            await begin(home, genesis(), file, client, world.rollup_id + 1, trusted, store="follower")
        assert not has_chain(home)  # none of them left anything that counts
        await started(world, file, trusted)
        assert has_chain(home)


async def test_a_begin_that_was_cut_off_is_made_again_and_what_lay_there_does_not_count(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        trusted, file = await claimed(world, old, 0)
        await settle_and_claim(old, 2)
        await old.down()
        # An earlier life's services without their chain, and an import that a kill -9 cut off.
        home = world.folder / "new"
        await started(world, file, trusted)
        (home / "beginning").mkdir()
        (home / "evm").rename(home / "beginning" / "evm")
        assert not has_chain(home)
        whole = file.read_bytes()
        file.write_bytes(whole[:-10])
        with pytest.raises(ConfigError):
            await started(world, file, trusted)
        file.write_bytes(whole)
        await started(world, file, trusted)
        new = await sequencer_in(world, "new")
        assert (new.follower.position.index, new.chain.latest.number) == (2, 4)
        await make_blocks(new, 4, 1)
        await settle(new)
        await agree(world, new)
        await new.down()


class _Forgetful(SquareClient):
    """A DA layer that has pruned what lies below a height."""

    floor = 0

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        if placement.height < self.floor:
            raise Pruned(f"height {placement.height} is pruned")
        return await super().blob(placement, namespace)


async def test_a_snapshot_too_old_for_the_da_layer_makes_no_block(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        trusted, file = await claimed(world, old, 0)
        await settle_and_claim(old, 2)
        await old.down()
        await started(world, file, trusted)
        da = _Forgetful(world.layer, SEQUENCER)
        da.floor = await da.latest() + 1
        new = await settled_rollup(world, da=da, folder="new")
        batching = asyncio.create_task(new.batcher.run())
        with pytest.raises(Pruned):  # the supervisor tells of it, and starts it again
            await batching
        assert not new.batcher.caught_up.is_set()  # what the sequencer waits for
        assert new.chain.latest.number == 2
        da.floor = 0  # an archive node
        assert await new.follower.catch_up() == 1
        await make_blocks(new, 4, 1)
        await settle(new)
        await agree(world, new)
        await new.down()


async def test_a_settlement_chain_that_goes_back_below_the_claim_stops_it(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        old = await sequencer_in(world, "old")
        await settle_and_claim(old, 0)
        before = await world.rpc.call("evm_snapshot")
        trusted, file = await claimed(world, old, 2)
        await old.down()
        await started(world, file, trusted)
        assert await world.rpc.call("evm_revert", before)
        new = await settled_rollup(world, folder="new")
        with pytest.raises(Divergence, match="from the first batch on"):
            await new.batcher.catch_up()
        assert new.proposer is not None
        # What it is asked to believe of the time before the snapshot it does not call true.
        assert await (await world.client(USER)).final_claim(world.rollup_id) == ZERO_HASH
        await new.proposer.resume()
        assert new.proposer.claims == []
        await new.down()
