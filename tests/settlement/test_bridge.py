"""Money leaves once, to whom the outbox says, under a final claim, and never more than came in for the rollup."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dougong.errors import Rejected
from dougong.net.jsonrpc import quantity
from dougong.settlement.client import SettlementClient
from dougong.settlement.contract import Contract, deploy
from dougong.settlement.outbox import OutboxTree
from dougong.types import OutboxMessage, OutboxProof
from tests.settlement.attackers import attacker
from tests.settlement.world import ETHER, World

SENDER, RECIPIENT = b"\xaa" * 20, b"\xbb" * 20


async def settled(
    world: World, *messages: tuple[bytes, int], deposit: int = 5 * ETHER
) -> tuple[bytes, list[OutboxMessage], OutboxTree]:
    """A rollup with a deposit and a final claim whose outbox holds these (recipient, wei) messages."""
    await (await world.client()).deposit(world.rollup_id, RECIPIENT, deposit)
    await world.append(inbox_end=1)
    tree = OutboxTree()
    sent = [OutboxMessage(n, SENDER, recipient, value) for n, (recipient, value) in enumerate(messages)]
    for message in sent:
        tree.append(message)
    return await world.settle(await world.claim(outbox_root=tree.root)), sent, tree


async def balance(world: World, address: bytes) -> int:
    return quantity(await world.rpc.call("eth_getBalance", "0x" + address.hex(), "latest"))


async def test_money_comes_home_once(world: World) -> None:
    claim, messages, tree = await settled(world, (RECIPIENT, ETHER), (b"\xcc" * 20, 2 * ETHER))
    anyone = await world.client("anyone")
    before = await balance(world, RECIPIENT)
    await anyone.withdraw(world.rollup_id, claim, messages[0], tree.prove(0))
    assert await balance(world, RECIPIENT) == before + ETHER
    assert await anyone.is_spent(world.rollup_id, 0)
    assert not await anyone.is_spent(world.rollup_id, 1)
    assert await anyone.balance(world.rollup_id) == 4 * ETHER
    with pytest.raises(Rejected, match="withdrawn before"):
        await anyone.withdraw(world.rollup_id, claim, messages[0], tree.prove(0))
    await anyone.withdraw(world.rollup_id, claim, messages[1], tree.prove(1))
    assert await anyone.balance(world.rollup_id) == 2 * ETHER


async def test_a_message_spent_under_one_claim_is_spent_under_the_next(world: World) -> None:
    """Outbox roots are cumulative: every later claim covers the same message again."""
    first, messages, tree = await settled(world, (RECIPIENT, ETHER))
    anyone = await world.client("anyone")
    await anyone.withdraw(world.rollup_id, first, messages[0], tree.prove(0))
    parent = await anyone.claim(first)
    tree.append(OutboxMessage(1, SENDER, RECIPIENT, 1))
    await world.append(inbox_end=1)
    second = await world.settle(await world.claim(post_state=b"\2" * 32, outbox_root=tree.root, after=parent))
    with pytest.raises(Rejected, match="withdrawn before"):
        await anyone.withdraw(world.rollup_id, second, messages[0], tree.prove(0))
    await anyone.withdraw(world.rollup_id, second, OutboxMessage(1, SENDER, RECIPIENT, 1), tree.prove(1))


async def test_nothing_of_a_message_can_be_changed(world: World) -> None:
    claim, messages, tree = await settled(world, (RECIPIENT, ETHER), (RECIPIENT, 3 * ETHER))
    anyone = await world.client("mallory")
    true, proof = messages[0], tree.prove(0)
    for lie in (
        replace(true, value=2 * ETHER),
        replace(true, recipient=b"\xdd" * 20),
        replace(true, sender=b"\xdd" * 20),
        replace(true, index=1),
        replace(true, index=2),
        replace(true, index=1 << 31),
    ):
        with pytest.raises(Rejected, match="not in the outbox"):
            await anyone.withdraw(world.rollup_id, claim, lie, proof)
    # The same path, named by an index that only differs above the tree.
    with pytest.raises(Rejected, match="outside the outbox"):
        await anyone.withdraw(world.rollup_id, claim, replace(true, index=1 << 32), proof)
    for level in (0, 15, 31):
        siblings = list(proof.siblings)
        siblings[level] = bytes(31) + b"\1"
        with pytest.raises(Rejected, match="not in the outbox"):
            await anyone.withdraw(world.rollup_id, claim, true, OutboxProof(0, tuple(siblings)))


async def test_only_a_final_claim_of_the_same_rollup_pays(world: World) -> None:
    claim, messages, tree = await settled(world, (RECIPIENT, ETHER))
    anyone, proposer = await world.client("anyone"), await world.client("proposer")
    other = await anyone.register(world.config())
    await anyone.deposit(other, RECIPIENT, ETHER)
    with pytest.raises(Rejected, match="another rollup's"):
        await anyone.withdraw(other, claim, messages[0], tree.prove(0))
    with pytest.raises(Rejected, match="another rollup's"):
        await anyone.withdraw(world.rollup_id, b"\5" * 32, messages[0], tree.prove(0))
    # The unknown claim belongs to "rollup 0", which nobody can fund.
    with pytest.raises(Rejected, match="not final"):
        await anyone.withdraw(0, b"\5" * 32, messages[0], tree.prove(0))
    await world.append(inbox_end=1)
    pending = await proposer.post_claim(
        await world.claim(post_state=b"\2" * 32, outbox_root=tree.root, after=await anyone.claim(claim))
    )
    with pytest.raises(Rejected, match="not final"):
        await anyone.withdraw(world.rollup_id, pending, messages[0], tree.prove(0))


async def test_a_rollup_takes_out_no_more_than_came_in(world: World) -> None:
    """Though the contract holds other rollups' money, and this one's proposer claims it."""
    rich = await (await world.client()).register(world.config())
    await (await world.client()).deposit(rich, RECIPIENT, 50 * ETHER)
    claim, messages, tree = await settled(world, (RECIPIENT, 5 * ETHER + 1), (RECIPIENT, 3 * ETHER), (RECIPIENT, 2 * ETHER + 1))
    anyone = await world.client("anyone")
    with pytest.raises(Rejected, match="more than the rollup holds"):
        await anyone.withdraw(world.rollup_id, claim, messages[0], tree.prove(0))
    await anyone.withdraw(world.rollup_id, claim, messages[1], tree.prove(1))
    with pytest.raises(Rejected, match="more than the rollup holds"):
        await anyone.withdraw(world.rollup_id, claim, messages[2], tree.prove(2))
    assert (await anyone.balance(world.rollup_id), await anyone.balance(rich)) == (2 * ETHER, 50 * ETHER)
    # What was refused for lack of money is not spent: a later deposit pays it.
    await anyone.deposit(world.rollup_id, RECIPIENT, ETHER)
    await anyone.withdraw(world.rollup_id, claim, messages[2], tree.prove(2))


async def test_a_message_without_ether_pays_nothing(world: World) -> None:
    claim, messages, tree = await settled(world, (RECIPIENT, 0))
    with pytest.raises(Rejected, match="nothing to withdraw"):
        await (await world.client()).withdraw(world.rollup_id, claim, messages[0], tree.prove(0))


async def armed(world: World, client: SettlementClient, name: str) -> Contract:
    return await deploy(await world.transactor("rogue"), attacker(name))


async def test_a_recipient_that_calls_back_gets_nothing_more(world: World) -> None:
    """While it is paid it asks for its money again, and for its second message: the lock refuses both."""
    client = await world.client("anyone")
    rogue = await armed(world, client, "Reentrant")
    claim, messages, tree = await settled(world, (rogue.address, ETHER), (rogue.address, ETHER))
    settlement = await world.raw()
    for inner in (0, 1):
        message, proof = messages[inner], tree.prove(inner)
        again = settlement.abi.call(
            "withdraw", world.rollup_id, claim, inner, message.sender, message.recipient, message.value, list(proof.siblings)
        )
        await rogue.send("arm", world.settlement, again)
        if inner == 0:
            await client.withdraw(world.rollup_id, claim, messages[0], tree.prove(0))
            assert await balance(world, rogue.address) == ETHER
        else:
            await client.withdraw(world.rollup_id, claim, messages[1], tree.prove(1))
            assert await balance(world, rogue.address) == 2 * ETHER
        assert await rogue.ask("tried")
        assert not await rogue.ask("succeeded")
    assert await client.balance(world.rollup_id) == 3 * ETHER


async def test_a_recipient_that_refuses_is_not_spent(world: World) -> None:
    client = await world.client("anyone")
    refuser = await armed(world, client, "Refuser")
    claim, messages, tree = await settled(world, (refuser.address, ETHER), (world.settlement, ETHER))
    for message in messages:
        with pytest.raises(Rejected):
            await client.withdraw(world.rollup_id, claim, message, tree.prove(message.index))
        assert not await client.is_spent(world.rollup_id, message.index)
    assert await client.balance(world.rollup_id) == 5 * ETHER


async def test_data_is_provable_by_a_view(world: World) -> None:
    await world.append()
    tree = OutboxTree()
    message = OutboxMessage(0, SENDER, RECIPIENT, 0, b"to whom it may concern" * 50)
    tree.append(message)
    claim = await world.settle(await world.claim(outbox_root=tree.root))
    client = await world.client()
    assert await client.proves_message(world.rollup_id, claim, message, tree.prove(0))
    assert not await client.proves_message(world.rollup_id, claim, replace(message, data=b"else"), tree.prove(0))
    with pytest.raises(Rejected, match="another rollup's"):
        await client.proves_message(world.rollup_id, b"\1" * 32, message, tree.prove(0))


async def test_bits_of_one_word_are_apart(world: World) -> None:
    """Indexes 255 and 256 lie in different words of the bitmap, 0 and 255 in one."""
    claim, messages, tree = await settled(world, *((RECIPIENT, 10**9) for _ in range(258)))
    client = await world.client("anyone")
    for index in (255, 0, 256):
        await client.withdraw(world.rollup_id, claim, messages[index], tree.prove(index))
    spent = [index for index in (0, 1, 254, 255, 256, 257) if await client.is_spent(world.rollup_id, index)]
    assert spent == [0, 255, 256]
