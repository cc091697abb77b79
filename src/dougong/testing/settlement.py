"""The law suite of `Settlement`.

    await check_settlement(scene)

A scene is a settlement with one fresh rollup and the people around it: see `SettlementScene`. The suite plays the life of a few
messages, batches and claims, and tries what must be refused on the way.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Protocol

from dougong.errors import InvalidInput, Rejected
from dougong.interfaces import Settlement
from dougong.types import HASH_BYTES, Claim, ClaimStatus, MerkleProof, Placement, ShareProof

__all__ = ["SettlementScene", "check_settlement"]


class SettlementScene(Protocol):
    """What the suite needs besides the implementation. Its rollup has no messages, batches or claims yet."""

    @property
    def settlement(self) -> Settlement:
        """Acting as the rollup's sequencer and proposer."""
        ...

    @property
    def rollup_id(self) -> int: ...

    async def enqueue(self) -> None:
        """Puts one message into the rollup's inbox."""
        ...

    async def publish(self) -> tuple[Placement, ShareProof, int, MerkleProof]:
        """A blob in the rollup's namespace, at least two shares long, under an attested data root: the placement and, in
        `append_batch`'s words, proof, attested height and history."""
        ...

    async def claim(self, after: Claim | None) -> Claim:
        """The claim over every batch since `after` (genesis if None), with some post-state."""
        ...

    async def let_pass(self) -> None:
        """Whatever must happen until the verifier calls pending claims valid."""
        ...


async def check_settlement(scene: SettlementScene) -> None:
    """Raises `AssertionError` where an implementation breaks `Settlement`'s contract."""
    assert isinstance(scene.settlement, Settlement), "it has every method of Settlement"
    await _check_messages(scene)
    await _check_batches(scene)
    await _check_claims(scene)


async def _check_messages(scene: SettlementScene) -> None:
    settlement, rollup_id = scene.settlement, scene.rollup_id
    assert list(await settlement.messages(rollup_id, 0)) == [], "a new rollup's inbox is empty"
    for _ in range(3):
        await scene.enqueue()
    found = list(await settlement.messages(rollup_id, 0))
    assert [message.index for message in found] == [0, 1, 2], "messages are numbered from 0, in order"
    times = [message.timestamp for message in found]
    assert times == sorted(times), "time does not run back"
    for start in range(4):
        assert list(await settlement.messages(rollup_id, start)) == found[start:], "reading starts where it is told"
    assert list(await settlement.messages(rollup_id, 99)) == [], "past the end there is nothing"


async def _check_batches(scene: SettlementScene) -> None:
    settlement, rollup_id = scene.settlement, scene.rollup_id
    assert list(await settlement.batches(rollup_id, 0)) == [], "a new rollup has no batches"
    placement, proof, attested, history = await scene.publish()
    elsewhere = replace(placement, start_share=placement.start_share + 1)
    otherwise = replace(placement, share_count=placement.share_count + 1)
    never = replace(placement, height=placement.height + 1)
    for lie in (elsewhere, otherwise, never, replace(placement, data_root=bytes(HASH_BYTES))):
        await _refused(settlement.append_batch(rollup_id, lie, 0, proof, attested, history), f"a batch at {lie}")
    await _refused(settlement.append_batch(rollup_id, placement, 4, proof, attested, history), "an inbox end past the inbox")
    await _refused(settlement.append_batch(rollup_id, placement, 0, proof, attested, history, index=1), "an index with a gap")
    first = await settlement.append_batch(rollup_id, placement, 2, proof, attested, history, index=0)
    assert (first.index, first.placement, first.inbox_end) == (0, placement, 2), "the reference says what was appended"
    await _refused(settlement.append_batch(rollup_id, placement, 2, proof, attested, history, index=0), "the same batch again")
    placement, proof, attested, history = await scene.publish()
    await _refused(settlement.append_batch(rollup_id, placement, 1, proof, attested, history), "an inbox end that goes back")
    second = await settlement.append_batch(rollup_id, placement, 3, proof, attested, history)
    assert (second.index, second.inbox_end) == (1, 3)
    assert second.timestamp >= first.timestamp, "time does not run back"
    for start, expected in ((0, [first, second]), (1, [second]), (2, []), (99, [])):
        assert list(await settlement.batches(rollup_id, start)) == expected, "reading starts where it is told"


async def _check_claims(scene: SettlementScene) -> None:
    settlement = scene.settlement
    claim = await scene.claim(None)
    other = bytes(HASH_BYTES - 1) + b"\x01"
    assert await settlement.claim_status(other) is ClaimStatus.NONE, "an unknown claim has no status"
    for lie in (
        replace(claim, chain_id=claim.chain_id + 1),
        replace(claim, contract=bytes(20)),
        replace(claim, rollup_id=claim.rollup_id + 1),
        replace(claim, spec_version=claim.spec_version + 1),
        replace(claim, parent=other),
        replace(claim, pre_state=other),
        replace(claim, batch_end=claim.batch_end + 1),
        replace(claim, batch_accumulator=other),
        replace(claim, inbox_end=claim.inbox_end - 1),
        replace(claim, inbox_accumulator=other),
    ):
        await _refused(settlement.post_claim(lie), f"the claim {lie}")
    identity = await settlement.post_claim(claim)
    assert len(identity) == HASH_BYTES, "a claim id is 32 bytes"
    assert await settlement.claim_status(identity) is ClaimStatus.PENDING
    await _refused(settlement.finalize(identity), "finality before the verifier's word")
    placement, proof, attested, history = await scene.publish()
    await settlement.append_batch(scene.rollup_id, placement, 3, proof, attested, history)
    following = await settlement.post_claim(await scene.claim(claim))
    assert following != identity, "claims have ids of their own"
    await scene.let_pass()
    await _refused(settlement.finalize(following), "finality before the parent's")
    for final in (identity, following):
        await settlement.finalize(final)
        assert await settlement.claim_status(final) is ClaimStatus.FINAL
        await _refused(settlement.finalize(final), "finality twice")


async def _refused(action: Awaitable[object], what: str) -> None:
    try:
        await action
    except (Rejected, InvalidInput):
        return
    raise AssertionError(f"{what} is refused")
