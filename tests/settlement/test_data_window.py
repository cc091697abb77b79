"""How old a batch's data may be when it is appended: what a DA chain has pruned since cannot be made a rollup's input.

Measured in heights below the last attested one, whoever appends and whatever attestation the proof is under.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from dougong.errors import Rejected
from dougong.settlement.share_path import first_share_path
from dougong.types import Placement
from tests.settlement.world import FORCE_DELAY, SEQUENCER_TIMEOUT, World

BOUND = 5


async def registered(world: World, data_window: int) -> int:
    """Another rollup of the same people, with this window."""
    return await (await world.client()).register(replace(world.config(), data_window=data_window))


async def publish_then(world: World, heights: int) -> Placement:
    """A batch, and so many DA blocks above it; all attested."""
    placement = world.publish(b"batch")
    for _ in range(heights):
        world.publish(b"later", start=0, width=1)
    await world.attest()
    return placement


async def append(
    world: World, rollup_id: int, placement: Placement, attested: int, *, role: str = "sequencer", end: int = 0
) -> None:
    await (await world.client(role)).append_batch(rollup_id, placement, end, *world.proof(placement, attested))


async def test_data_may_lie_as_deep_as_the_window_and_no_deeper(world: World) -> None:
    rollup_id = await registered(world, BOUND)
    on_the_edge = await publish_then(world, BOUND)
    await append(world, rollup_id, on_the_edge, len(world.history))
    beyond = await publish_then(world, BOUND + 1)
    with pytest.raises(Rejected, match="the data is too old"):
        await append(world, rollup_id, beyond, len(world.history))
    newest = await publish_then(world, 0)
    await append(world, rollup_id, newest, len(world.history))
    assert await (await world.client()).batch_count(rollup_id) == 2


async def test_a_window_of_one_height_is_one(world: World) -> None:
    rollup_id = await registered(world, 1)
    with pytest.raises(Rejected, match="the data is too old"):
        await append(world, rollup_id, await publish_then(world, 2), len(world.history))
    await append(world, rollup_id, await publish_then(world, 1), len(world.history))


async def test_an_earlier_attestation_makes_no_data_young(world: World) -> None:
    """Roots are kept for ever, so a proof may be under any of them; what counts is the last one."""
    rollup_id = await registered(world, BOUND)
    placement = await publish_then(world, 0)
    early = len(world.history)
    for _ in range(BOUND + 1):
        world.publish(b"later", start=0, width=1)
    await append(world, await registered(world, BOUND), placement, early)  # nobody has attested more yet
    await world.attest()
    for attested in (early, len(world.history)):
        with pytest.raises(Rejected, match="the data is too old"):
            await append(world, rollup_id, placement, attested)


async def test_a_reference_to_pruned_data_stalls_a_rollup_without_a_window_and_no_other(world: World) -> None:
    """The attack: a proof is kept, the data is not. What is in the accumulator can never be left out again."""
    pruned = await publish_then(world, 40)
    bounded, unbounded = await registered(world, BOUND), await registered(world, 0)
    await append(world, unbounded, pruned, len(world.history))
    with pytest.raises(Rejected, match="the data is too old"):
        await append(world, bounded, pruned, len(world.history))
    assert await (await world.client()).batch_count(bounded) == 0


async def test_whoever_may_append_after_the_timeout_is_held_to_the_window_too(world: World) -> None:
    rollup_id = await registered(world, BOUND)
    old = await publish_then(world, BOUND + 1)
    young = await publish_then(world, 0)
    await (await world.client()).deposit(rollup_id, b"\1" * 20, 10**9)
    await world.advance(FORCE_DELAY + SEQUENCER_TIMEOUT + 1)
    with pytest.raises(Rejected, match="the data is too old"):
        await append(world, rollup_id, old, len(world.history), role="mallory", end=1)
    await append(world, rollup_id, young, len(world.history), role="mallory", end=1)


async def test_a_relayer_that_stalls_and_jumps_costs_a_batch_its_place_and_nothing_else(world: World) -> None:
    """Batches that wait for an attestation may be too old when it comes: published again they go in, in any order of heights, and
    the inbox can be moved on without data meanwhile."""
    rollup_id = await registered(world, BOUND)
    stale = await publish_then(world, BOUND + 1)
    sequencer = await world.client("sequencer")
    with pytest.raises(Rejected, match="the data is too old"):
        await append(world, rollup_id, stale, len(world.history))
    await sequencer.append_empty_batch(rollup_id, 0)
    first, second = world.publish(b"one"), world.publish(b"two")
    attested = await world.attest()
    await append(world, rollup_id, second, attested)
    await append(world, rollup_id, first, attested)
    heights = [batch.placement and batch.placement.height for batch in await sequencer.batches(rollup_id, 0)]
    assert heights == [None, second.height, first.height]


async def test_the_widest_window_is_taken_and_the_bound_never_overflows(world: World) -> None:
    rollup_id = await registered(world, 2**32)
    placement = await publish_then(world, 2)
    await append(world, rollup_id, placement, len(world.history))
    for height in (2**64, 2**256 - 1):
        with pytest.raises(Rejected, match="not attested"):
            raw = await world.raw("sequencer")
            await raw.send("append_batch", rollup_id, 1, 0, *_parts(world, placement, height))


def _parts(world: World, placement: Placement, height: int) -> tuple[object, object]:
    proof, attested, history = world.proof(placement, len(world.history))
    share, rows, square = first_share_path(placement, proof)
    place = (height, placement.data_root, placement.start_share, placement.share_count)
    return place, (attested, list(history.siblings), share, rows, list(square))
