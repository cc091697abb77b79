"""A verifying node that begins with a snapshot derives on, checks the claims that follow, and takes up only what is claimed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dougong.errors import InvalidSnapshot, NotFound, StatePruned
from dougong.services.rollup.from_snapshot import find_claim, take_up
from dougong.settlement.encoding import claim_id
from tests.services.settled import PROPOSER, USER, settled_rollup, settled_world
from tests.services.test_verifying_node import settle_and_claim, verifier
from tests.services.world import RECIPIENT, genesis


async def test_it_goes_on_from_a_claim_and_checks_those_that_follow(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        await settle_and_claim(rollup, 0)
        await settle_and_claim(rollup, 2)
        settlement = await world.client(USER)
        first, second = (claim_id(claim) for claim in rollup.proposer.claims)
        file = tmp_path / "4.snapshot"
        rollup.chain.evm.export_snapshot(str(file), 4)
        await settle_and_claim(rollup, 4)

        with pytest.raises(NotFound):
            await find_claim(settlement, world.rollup_id, b"\x07" * 32)
        claim, last = await find_claim(settlement, world.rollup_id, first)
        with pytest.raises(InvalidSnapshot, match="the claim of"):
            await take_up(world.folder / "verifier", genesis(), file, claim, last)
        claim, last = await find_claim(settlement, world.rollup_id, second)
        position = await take_up(world.folder / "verifier", genesis(), file, claim, last)
        assert (position.index, position.number) == (2, 4)

        async with verifier(world) as (node, _):
            assert node.follower.position == position
            assert node.heads().finalized == 4
            assert await node.catch_up() == 1
            assert node.chain.latest.hash == rollup.chain.latest.hash
            assert node.claims is not None
            assert (node.claims.checked, node.alarms) == (1, [])
            with pytest.raises(StatePruned):
                node.evm.account(RECIPIENT, 3)
        await settle_and_claim(rollup, 6)
        # A false claim on what it derived itself is noticed as ever.
        true = rollup.proposer.claims[-1]
        false = replace(true, post_state=b"\x01" * 32)
        await (await world.client(PROPOSER)).post_claim(false)
        async with verifier(world) as (node, _):
            assert await node.catch_up() == 1
            assert node.chain.latest.hash == rollup.chain.latest.hash
            assert len(node.alarms) == 1
            assert claim_id(false).hex() in str(node.alarms[0])
        await rollup.down()


async def test_a_start_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        await settle_and_claim(rollup, 0)
        file = tmp_path / "2.snapshot"
        rollup.chain.evm.export_snapshot(str(file), 2)
        claim, last = await find_claim(await world.client(USER), world.rollup_id, claim_id(rollup.proposer.claims[0]))
        whole = file.read_bytes()
        file.write_bytes(whole[:-10])
        with pytest.raises(InvalidSnapshot, match="too early"):
            await take_up(world.folder / "verifier", genesis(), file, claim, last)
        file.write_bytes(whole)
        await take_up(world.folder / "verifier", genesis(), file, claim, last)
        await settle_and_claim(rollup, 2)
        async with verifier(world) as (node, _):
            assert await node.catch_up() == 1
            assert node.chain.latest.hash == rollup.chain.latest.hash
        await rollup.down()
