"""The inbox takes deposits and forced transactions in order, and no batch may skip what is overdue."""

from __future__ import annotations

import asyncio

import pytest

from dougong.errors import Rejected
from dougong.types import MessageKind
from tests.settlement.world import ETHER, FORCE_DELAY, SEQUENCER_TIMEOUT, World, key_of

GWEI = 10**9


async def test_messages_are_read_back_as_they_went_in(world: World) -> None:
    user, other = await world.client(), await world.client("other")
    rollup_id = world.rollup_id
    assert await user.messages(rollup_id, 0) == []
    assert await user.deposit(rollup_id, b"\2" * 20, 5 * GWEI) == 0
    assert await other.force(rollup_id, b"signed bytes") == 1
    assert await user.deposit(rollup_id, b"\3" * 20, 2 * ETHER) == 2
    first, second, third = await user.messages(rollup_id, 0)
    assert (first.kind, first.sender, first.payload) == (
        MessageKind.DEPOSIT,
        key_of("user").address,
        b"\2" * 20 + (5).to_bytes(8),
    )
    assert (second.kind, second.sender, second.payload) == (
        MessageKind.FORCED_TRANSACTION,
        key_of("other").address,
        b"signed bytes",
    )
    assert third.payload == b"\3" * 20 + (2 * ETHER // GWEI).to_bytes(8)
    assert await user.messages(rollup_id, 1) == [second, third]
    assert await user.messages(rollup_id, 3) == []
    assert await user.balance(rollup_id) == 5 * GWEI + 2 * ETHER


async def test_many_at_once_keep_one_order(world: World) -> None:
    users = [await world.client(f"user {n}") for n in range(3)]
    rollup_id = world.rollup_id
    indexes = await asyncio.gather(*(user.deposit(rollup_id, b"\2" * 20, (n + 1) * GWEI) for n in range(5) for user in users))
    assert sorted(indexes) == list(range(15))
    assert len(await users[0].messages(rollup_id, 0)) == 15


@pytest.mark.parametrize("amount", [0, 1, GWEI - 1, 3 * GWEI + 1])
async def test_a_deposit_is_whole_gwei(world: World, amount: int) -> None:
    with pytest.raises(Rejected, match="positive number of gwei"):
        await (await world.client()).deposit(world.rollup_id, b"\2" * 20, amount)


async def test_unknown_rollups_take_nothing(world: World) -> None:
    user = await world.client()
    for rollup_id in (0, 99):
        with pytest.raises(Rejected, match="no such rollup"):
            await user.deposit(rollup_id, b"\2" * 20, GWEI)
        with pytest.raises(Rejected, match="no such rollup"):
            await user.force(rollup_id, b"x")


async def test_forced_transactions_have_a_size(world: World) -> None:
    user = await world.client()
    with pytest.raises(Rejected, match="no transaction"):
        await user.force(world.rollup_id, b"")
    await user.force(world.rollup_id, b"\xff" * 16384)
    with pytest.raises(Rejected):
        await user.force(world.rollup_id, b"\xff" * 16385)
    assert [len(message.payload) for message in await user.messages(world.rollup_id, 0)] == [16384]


async def test_plain_ether_is_refused(world: World) -> None:
    with pytest.raises(Rejected):
        await (await world.transactor("user")).send(world.settlement, b"", ETHER)


async def test_rollups_have_inboxes_of_their_own(world: World) -> None:
    user = await world.client()
    other = await user.register(world.config())
    await user.deposit(world.rollup_id, b"\2" * 20, GWEI)
    await user.deposit(other, b"\3" * 20, 2 * GWEI)
    assert [message.payload[:1] for message in await user.messages(other, 0)] == [b"\3"]
    assert (await user.balance(world.rollup_id), await user.balance(other)) == (GWEI, 2 * GWEI)


async def test_a_batch_may_wait_but_not_skip_an_overdue_message(world: World) -> None:
    user, sequencer = await world.client(), await world.client("sequencer")
    rollup_id = world.rollup_id
    await user.force(rollup_id, b"first")
    await sequencer.append_empty_batch(rollup_id, 0)  # not overdue yet
    await world.advance(FORCE_DELAY // 2)
    await user.force(rollup_id, b"second")
    await world.advance(FORCE_DELAY // 2 + 1)
    with pytest.raises(Rejected, match="overdue message is left out"):
        await sequencer.append_empty_batch(rollup_id, 0)
    placement = world.publish(b"data")
    attested = await world.attest()
    with pytest.raises(Rejected, match="overdue message is left out"):
        await sequencer.append_batch(rollup_id, placement, 0, *world.proof(placement, attested))
    batch = await sequencer.append_batch(rollup_id, placement, 1, *world.proof(placement, attested))  # the second is not due yet
    assert batch.inbox_end == 1
    await world.advance(FORCE_DELAY)
    with pytest.raises(Rejected, match="overdue message is left out"):
        await sequencer.append_empty_batch(rollup_id, 1)
    await sequencer.append_empty_batch(rollup_id, 2)


async def test_the_inbox_end_neither_falls_nor_runs_ahead(world: World) -> None:
    user, sequencer = await world.client(), await world.client("sequencer")
    for _ in range(2):
        await user.deposit(world.rollup_id, b"\2" * 20, GWEI)
    with pytest.raises(Rejected, match="past the inbox"):
        await sequencer.append_empty_batch(world.rollup_id, 3)
    await sequencer.append_empty_batch(world.rollup_id, 1)
    with pytest.raises(Rejected, match="went back"):
        await sequencer.append_empty_batch(world.rollup_id, 0)
    assert await sequencer.consumed_messages(world.rollup_id) == 1


async def test_anyone_appends_once_the_sequencer_has_let_a_message_lie(world: World) -> None:
    user, anyone = await world.client(), await world.client("anyone")
    rollup_id = world.rollup_id
    await world.advance(10 * (FORCE_DELAY + SEQUENCER_TIMEOUT))
    assert not await anyone.open_to_all(rollup_id), "an idle rollup stays its sequencer's"
    await user.force(rollup_id, b"censored")
    for delay in (0, FORCE_DELAY + 1):
        await world.advance(delay)
        with pytest.raises(Rejected, match="only the sequencer"):
            await anyone.append_empty_batch(rollup_id, 1)
    await world.advance(SEQUENCER_TIMEOUT)
    assert await anyone.open_to_all(rollup_id)
    with pytest.raises(Rejected, match="overdue message is left out"):
        await anyone.append_empty_batch(rollup_id, 0)
    placement = world.publish(b"by anyone")
    attested = await world.attest()
    await anyone.append_batch(rollup_id, placement, 1, *world.proof(placement, attested))
    assert not await anyone.open_to_all(rollup_id)
    with pytest.raises(Rejected, match="only the sequencer"):
        await anyone.append_empty_batch(rollup_id, 1)
