"""Holds the inputs, the bridge and the last word.

batches = await settlement.batches(rollup_id, start=0)     # the contract fixed these before anyone claims
claim_id = await settlement.post_claim(claim)
await settlement.finalize(claim_id)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from dougong.types import (
    BatchReference,
    Claim,
    ClaimStatus,
    InboxMessage,
    MerkleProof,
    Placement,
    ShareProof,
)


@runtime_checkable
class Settlement(Protocol):
    """The settlement contract as a rollup's services use it. Reads answer from the node's latest block; every write
    returns once its receipt is in, and raises `Rejected` with the contract's reason when it reverts."""

    async def batches(self, rollup_id: int, start: int) -> Sequence[BatchReference]:
        """Batch references from index `start` on. Must be checked against the contract's accumulator."""
        ...

    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]:
        """Inbox messages from index `start` on. Must be checked against the contract's accumulator."""
        ...

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
        """Appends a batch that provably lies under an attested data root: `proof` shows its first share under the data
        root, `history` the data root under the root attested at `attested_height`. `index` is the index that it
        must get (None: the next): a batch that is sent twice, or crosses another's, raises `Rejected`."""
        ...

    async def post_claim(self, claim: Claim) -> bytes:
        """Posts; returns the claim id. What it costs and who may do it is the verifier's business."""
        ...

    async def claim_status(self, claim_id: bytes) -> ClaimStatus: ...

    async def finalize(self, claim_id: bytes) -> None:
        """Makes the claim final when its verifier says so. Raises `Rejected` before that."""
        ...
