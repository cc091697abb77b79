"""Who was deceived: what settlement accepted of a DA chain that light nodes refuse.

    found = await deception(storage, client, attestations, 12, [("beta", 2)])

More than two thirds of the attestors can sign data roots whose squares they never saw. The contract sees signatures only and
takes them, with the batches and claims upon them. Whoever samples cells and hears fraud proofs refuses the block; what settlement
holds beyond it is then proven here, to be told apart from what holds everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dougong.errors import InvalidProof
from dougong.services.nodes.settled_storage import SettledStorage
from dougong.services.rollup.derivation import accumulate_batches
from dougong.settlement import proofs as slots
from dougong.settlement.client import SettlementClient
from dougong.settlement.encoding import claim_id
from dougong.types import ZERO_HASH

__all__ = ["Deception", "deception"]


@dataclass(frozen=True, slots=True)
class Deception:
    """What a settlement chain holds, proven under its state root, of a DA chain refused from block `refused` on: the history is
    attested up to `attested`; `batches` and `claims` of each rollup lie on refused blocks."""

    refused: int
    attested: int
    batches: dict[str, int]
    claims: dict[str, int]

    @property
    def deceived(self) -> bool:
        """Whether settlement accepted anything that light nodes refuse."""
        return self.attested >= self.refused


async def deception(
    storage: SettledStorage, client: SettlementClient, attestations: bytes, refused: int, rollups: Sequence[tuple[str, int]]
) -> Deception:
    """`rollups` by name and id on this settlement chain, whose batches lie on the refused DA chain. Raises `InvalidProof` where
    the settlement node does not prove what it says."""
    header = await storage.header()
    (last,) = await storage.values(header, attestations, [slots.last_height_slot()])
    batches: dict[str, int] = {}
    claims: dict[str, int] = {}
    for name, identity in rollups:
        (raw,) = await storage.values(header, client.contract, [slots.batch_count_slot(identity)])
        count = int.from_bytes(raw)
        (accumulator,) = await storage.values(header, client.contract, [slots.batch_accumulator_slot(identity, count)])
        found = (await client.batches(identity, 0))[:count]
        if count and [ZERO_HASH, *accumulate_batches(ZERO_HASH, found)][-1] != accumulator:
            raise InvalidProof(f"the batches of {name} do not fold to what settlement holds")
        upon = [batch.index for batch in found if batch.placement is not None and batch.placement.height >= refused]
        batches[name] = len(upon)
        claims[name] = 0
        for claim in (await client.claims(identity))[0]:
            (status,) = await storage.values(header, client.contract, [slots.claim_status_slot(claim_id(claim))])
            claims[name] += bool(upon and int.from_bytes(status) and claim.batch_end > upon[0])
    return Deception(refused, int.from_bytes(last), batches, claims)
