"""What can be registered, and that only the sequencer's key ever changes, by its own hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dougong.crypto.hashing import sha256
from dougong.errors import NotFound, Rejected
from dougong.types import Namespace
from tests.settlement.world import World, key_of


async def test_a_rollup_is_what_was_registered(world: World) -> None:
    client = await world.client()
    assert await client.rollup(world.rollup_id) == world.config()
    assert await client.register(world.config()) == world.rollup_id + 1
    for unknown in (0, world.rollup_id + 2):
        with pytest.raises(NotFound, match="not registered"):
            await client.rollup(unknown)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"namespace": Namespace.user(b"\xff")}, "not a user namespace"),
        ({"namespace": Namespace(b"\xff" * 29)}, "not a user namespace"),
        ({"attestations": b"\1" * 20}, "no attestations contract"),
        ({"verifier": b"\1" * 20}, "no verifier contract"),
        ({"sequencer": bytes(20)}, "no sequencer"),
        ({"genesis_state": bytes(32)}, "no genesis state"),
        ({"spec_version": 0}, "no spec version"),
        ({"da_id": sha256(b"another")}, "another DA chain"),
        ({"force_delay": 31 * 86400}, "force delay above"),
        ({"sequencer_timeout": 2**255}, "sequencer timeout above"),
        ({"data_window": 2**32 + 1}, "data window above"),
        ({"data_window": 2**256 - 1}, "data window above"),
    ],
)
async def test_what_cannot_work_is_not_registered(world: World, change: dict[str, object], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        await (await world.client()).register(replace(world.config(), **change))  # type: ignore[arg-type]


async def test_the_sequencer_hands_over_in_two_steps(world: World) -> None:
    sequencer, heir, mallory = await world.client("sequencer"), await world.client("heir"), await world.client("mallory")
    rollup_id = world.rollup_id
    with pytest.raises(Rejected, match="only the sequencer"):
        await mallory.offer_sequencer(rollup_id, key_of("mallory").address)
    with pytest.raises(Rejected, match="not the successor"):
        await mallory.accept_sequencer(rollup_id)
    await sequencer.offer_sequencer(rollup_id, key_of("heir").address)
    with pytest.raises(Rejected, match="not the successor"):
        await mallory.accept_sequencer(rollup_id)
    await sequencer.append_empty_batch(rollup_id, 0)  # until the heir accepts
    await heir.accept_sequencer(rollup_id)
    with pytest.raises(Rejected, match="only the sequencer appends"):
        await sequencer.append_empty_batch(rollup_id, 0)
    await heir.append_empty_batch(rollup_id, 0)
    with pytest.raises(Rejected, match="not the successor"):
        await heir.accept_sequencer(rollup_id)
    assert (await heir.rollup(rollup_id)).sequencer == key_of("heir").address


async def test_an_offer_can_be_taken_back(world: World) -> None:
    sequencer, heir = await world.client("sequencer"), await world.client("heir")
    await sequencer.offer_sequencer(world.rollup_id, key_of("heir").address)
    await sequencer.offer_sequencer(world.rollup_id, bytes(20))
    with pytest.raises(Rejected, match="not the successor"):
        await heir.accept_sequencer(world.rollup_id)


async def test_nobody_is_the_successor_in_an_unknown_rollup(world: World) -> None:
    """A rollup that does not exist has the zero address in every role; no caller has it."""
    with pytest.raises(Rejected):
        await (await world.client()).offer_sequencer(99, key_of("user").address)
    with pytest.raises(Rejected):
        await (await world.client()).accept_sequencer(99)
