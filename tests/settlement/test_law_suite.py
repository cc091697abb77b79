"""The settlement client over a real node obeys `Settlement`, and the suite notices what does not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from dougong.errors import Rejected
from dougong.interfaces import Settlement
from dougong.settlement.client import SettlementClient
from dougong.settlement.deployment import deploy_permissioned_verifier
from dougong.testing import check_settlement
from dougong.types import BatchReference, Claim, InboxMessage, MerkleProof, Placement, ShareProof
from tests.settlement.world import WINDOW, World, key_of


@dataclass
class Scene:
    """`World` as the law suite wants it: one key is sequencer and proposer."""

    world: World
    settlement: Settlement
    rollup_id: int

    @classmethod
    async def create(cls, world: World, kind: type[SettlementClient] = SettlementClient) -> Scene:
        verifier = await deploy_permissioned_verifier(world.owner, world.settlement, key_of("sequencer").address, WINDOW)
        client = kind(world.rpc, world.settlement, await world.transactor("sequencer"))
        world.rollup_id = await client.register(replace(world.config(), verifier=verifier))
        return cls(world, client, world.rollup_id)

    async def enqueue(self) -> None:
        await (await self.world.client()).deposit(self.rollup_id, b"\2" * 20, 10**9)

    async def publish(self) -> tuple[Placement, ShareProof, int, MerkleProof]:
        placement = self.world.publish(b"z" * 1500)
        return placement, *self.world.proof(placement, await self.world.attest())

    async def claim(self, after: Claim | None) -> Claim:
        return await self.world.claim(post_state=b"\2" * 32 if after else b"\1" * 32, after=after)

    async def let_pass(self) -> None:
        await self.world.advance(WINDOW + 1)


async def test_the_client_is_a_settlement(world: World) -> None:
    await check_settlement(await Scene.create(world))


class IgnoresStart(SettlementClient):
    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]:
        return await super().messages(rollup_id, 0)


class IgnoresIndex(SettlementClient):
    async def append_batch(
        self,
        rollup_id: int,
        placement: Placement,
        inbox_end: int,
        proof: ShareProof,
        attested_height: int,
        history: MerkleProof,
        *,
        index: int | None = None,
    ) -> BatchReference:
        return await super().append_batch(rollup_id, placement, inbox_end, proof, attested_height, history)


class SwallowsRefusals(SettlementClient):
    async def finalize(self, claim_id: bytes) -> None:
        with suppress(Rejected):
            await super().finalize(claim_id)


@pytest.mark.parametrize(
    ("kind", "law"),
    [(IgnoresStart, "reading starts"), (IgnoresIndex, "an index with a gap"), (SwallowsRefusals, "finality before the verifier")],
)
async def test_the_suite_notices(world: World, kind: type[SettlementClient], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        await check_settlement(await Scene.create(world, kind))
