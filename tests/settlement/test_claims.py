"""A claim names exactly the inputs that the contract fixed, rests on a known claim, and is final when its verifier says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dougong.errors import Rejected
from dougong.settlement.client import SettlementClient
from dougong.settlement.contract import Contract, deploy
from dougong.settlement.encoding import claim_id
from dougong.types import Claim, ClaimStatus
from tests.settlement.attackers import attacker
from tests.settlement.world import WINDOW, World


async def test_a_claims_life(world: World) -> None:
    await (await world.client()).deposit(world.rollup_id, b"\2" * 20, 10**9)
    await world.append()
    await world.append(inbox_end=1)
    claim = await world.claim()
    proposer = await world.client("proposer")
    identity = claim_id(claim)
    assert await proposer.claim_status(identity) is ClaimStatus.NONE
    assert await proposer.post_claim(claim) == identity
    assert await proposer.claim_status(identity) is ClaimStatus.PENDING
    assert await proposer.claim(identity) == claim
    await world.advance(WINDOW - 5)
    with pytest.raises(Rejected, match="not valid yet"):
        await proposer.finalize(identity)
    await world.advance(6)
    anyone = await world.client("anyone")
    await anyone.finalize(identity)
    assert await proposer.claim_status(identity) is ClaimStatus.FINAL
    assert await proposer.final_claim(world.rollup_id) == identity
    with pytest.raises(Rejected, match="not a pending claim"):
        await anyone.finalize(identity)
    with pytest.raises(Rejected, match="not a pending claim"):
        await anyone.reject(identity)
    assert await proposer.post_claim(claim) == identity, "a lost answer is no error"
    before = await anyone.height()
    found, following = await anyone.claims(world.rollup_id, 0)
    assert found == [claim]
    assert before < following <= await anyone.height() + 1, "blocks may come meanwhile"
    found, then = await anyone.claims(world.rollup_id, following)
    assert found == []
    assert following <= then <= await anyone.height() + 1


async def test_only_the_proposer_claims(world: World) -> None:
    await world.append()
    with pytest.raises(Rejected, match="only the proposer claims"):
        await (await world.client("mallory")).post_claim(await world.claim())


async def test_nobody_else_opens_claims_at_the_verifier(world: World) -> None:
    from dougong.contracts import artifact

    verifier = Contract(world.rpc, world.verifier, artifact("PermissionedVerifier"), await world.transactor("proposer"))
    with pytest.raises(Rejected, match="only the settlement contract"):
        await verifier.send("opened", world.rollup_id, b"\1" * 32, (await world.transactor("proposer")).address)
    assert await verifier.ask("verdict", b"\1" * 32) == 0


async def test_the_permissioned_verifier_takes_no_money(world: World) -> None:
    from dougong.settlement.encoding import claim_tuple

    await world.append()
    with pytest.raises(Rejected, match="no bond"):
        await (await world.raw("proposer")).send("post_claim", claim_tuple(await world.claim()), value=1)


async def test_every_field_is_checked(world: World) -> None:
    await (await world.client()).deposit(world.rollup_id, b"\2" * 20, 10**9)
    await (await world.client()).deposit(world.rollup_id, b"\2" * 20, 10**9)
    await world.append(inbox_end=1)
    await world.append(inbox_end=2)
    true = await world.claim()
    first = await (await world.raw()).ask("batch_accumulator", world.rollup_id, 1)
    lies: list[tuple[Claim, str]] = [
        (replace(true, chain_id=true.chain_id + 1), "another chain"),
        (replace(true, contract=world.attestations), "another contract"),
        (replace(true, rollup_id=99), "no such rollup"),
        (replace(true, spec_version=2), "another spec version"),
        (replace(true, pre_state=b"\x09" * 32), "the pre-state is not genesis"),
        (replace(true, batch_start=1), "starts at batch 0"),
        (replace(true, batch_end=0), "at least one batch"),
        (replace(true, batch_end=3), "not there yet"),
        (replace(true, batch_accumulator=first), "another batch accumulator"),
        (replace(true, inbox_start=1), "another inbox start"),
        (replace(true, inbox_end=1), "another inbox end"),
        (replace(true, inbox_accumulator=b"\x09" * 32), "another inbox accumulator"),
        (replace(true, parent=b"\x09" * 32), "no such parent"),
        (replace(true, batch_end=1), "another batch accumulator"),
        (replace(true, batch_end=1, batch_accumulator=first), "another inbox end"),
    ]
    proposer = await world.client("proposer")
    for lie, reason in lies:
        with pytest.raises(Rejected, match=reason):
            await proposer.post_claim(lie)
    await proposer.post_claim(true)


async def test_a_claim_rests_on_its_parent(world: World) -> None:
    await world.append()
    first = await world.claim()
    proposer = await world.client("proposer")
    await proposer.post_claim(first)
    await world.append()
    second = await world.claim(post_state=b"\2" * 32, after=first)
    for lie, reason in (
        (replace(second, pre_state=b"\x09" * 32), "not the parent's post-state"),
        (replace(second, batch_start=0), "do not follow the parent's"),
    ):
        with pytest.raises(Rejected, match=reason):
            await proposer.post_claim(lie)
    await proposer.post_claim(second)
    await world.advance(WINDOW + 1)
    with pytest.raises(Rejected, match="not the last final claim"):
        await proposer.finalize(claim_id(second))
    await proposer.finalize(claim_id(first))
    await proposer.finalize(claim_id(second))
    assert await proposer.final_claim(world.rollup_id) == claim_id(second)


async def test_a_parent_of_another_rollup_is_none(world: World) -> None:
    await world.append()
    first = await world.claim()
    proposer = await world.client("proposer")
    await proposer.post_claim(first)
    other = await proposer.register(world.config())
    await (await world.client("sequencer")).append_empty_batch(other, 0)
    with pytest.raises(Rejected, match="the parent is another rollup's"):
        await proposer.post_claim(replace(first, rollup_id=other, parent=claim_id(first)))


async def test_when_a_claim_is_final_its_siblings_and_their_children_are_dead(world: World) -> None:
    await world.append()
    true, rival = await world.claim(), await world.claim(post_state=b"\6" * 32)
    proposer = await world.client("proposer")
    for claim in (true, rival):
        await proposer.post_claim(claim)
    await world.append()
    heir_of_rival = await world.claim(post_state=b"\7" * 32, after=rival)
    await proposer.post_claim(heir_of_rival)
    await world.advance(WINDOW + 1)
    with pytest.raises(Rejected, match="not invalid"):
        await proposer.reject(claim_id(rival))
    await proposer.finalize(claim_id(true))
    with pytest.raises(Rejected, match="not the last final claim"):
        await proposer.finalize(claim_id(rival))
    with pytest.raises(Rejected, match="a sibling is final"):
        await proposer.post_claim(await world.claim(post_state=b"\5" * 32))
    with pytest.raises(Rejected, match="not invalid"):
        await proposer.reject(claim_id(heir_of_rival))  # its parent must go first
    await proposer.reject(claim_id(rival))
    await proposer.reject(claim_id(heir_of_rival))
    for dead in (rival, heir_of_rival):
        assert await proposer.claim_status(claim_id(dead)) is ClaimStatus.REJECTED
        with pytest.raises(Rejected, match="not a pending claim"):
            await proposer.finalize(claim_id(dead))
    with pytest.raises(Rejected, match="no such parent"):
        await proposer.post_claim(await world.claim(post_state=b"\x08" * 32, after=rival))


async def scripted(world: World) -> tuple[SettlementClient, Contract, int]:
    """A rollup whose verifier says what it is told to, with one batch."""
    verifier = await deploy(await world.transactor("rogue"), attacker("ScriptedVerifier"))
    client = await world.client("sequencer")
    rollup_id = await client.register(replace(world.config(), verifier=verifier.address))
    await client.append_empty_batch(rollup_id, 0)
    return client, verifier, rollup_id


async def test_the_verifiers_verdict_decides(world: World) -> None:
    client, verifier, world.rollup_id = await scripted(world)
    claim = await world.claim()
    identity = await client.post_claim(claim)
    for verdict in (0, 2, 7):
        await verifier.send("say", verdict)
        with pytest.raises(Rejected, match="not valid yet"):
            await client.finalize(identity)
    await verifier.send("say", 2)
    await client.reject(identity)
    assert await client.claim_status(identity) is ClaimStatus.REJECTED
    with pytest.raises(Rejected, match="no such parent"):
        await client.post_claim(replace(claim, parent=identity, pre_state=claim.post_state))


async def test_a_bond_goes_to_the_verifier_and_not_to_the_bridge(world: World) -> None:
    from dougong.settlement.encoding import claim_tuple

    _, verifier, world.rollup_id = await scripted(world)
    contract = await world.raw("sequencer")
    await contract.send("post_claim", claim_tuple(await world.claim()), value=12345)
    assert await verifier.ask("paid") == 12345
    assert await contract.ask("balances", world.rollup_id) == 0


async def test_a_verifier_cannot_call_back_while_it_opens(world: World) -> None:
    client, verifier, world.rollup_id = await scripted(world)
    claim = await world.claim()
    settlement = await world.raw()
    await verifier.send("say", 1)
    await verifier.send("arm", world.settlement, settlement.abi.call("finalize", claim_id(claim)))
    with pytest.raises(Rejected):
        await client.post_claim(claim)
    assert await client.claim_status(claim_id(claim)) is ClaimStatus.NONE


async def test_a_rogue_verifier_harms_its_own_rollup_only(world: World) -> None:
    """It can make any claim of its own rollup final, and none of another's."""
    honest = world.rollup_id
    await world.append()
    true = await world.claim()
    await (await world.client("proposer")).post_claim(true)
    client, verifier, world.rollup_id = await scripted(world)
    await verifier.send("say", 1)
    with pytest.raises(Rejected, match="not valid yet"):
        await client.finalize(claim_id(true))
    identity = await client.post_claim(await world.claim())
    await client.finalize(identity)
    assert await client.final_claim(honest) == bytes(32)
