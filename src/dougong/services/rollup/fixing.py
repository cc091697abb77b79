"""Appends published batches to the settlement contract, each behind an attested data root.

    fix = SettledFix(settlement, attestations, da, history, rollup_id=1)
    await fix.fix(record, index)

1. Wait until the attestors have vouched for the DA block that the batch lies in.
2. Prove the batch's first share under its data root, and that under the attested history.
3. Append, as the batch of that index and no other. If a message has become overdue since the blocks were made, append with the
   whole inbox instead: derivation then adds blocks that consume it, and the follower brings the node's chain in line.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from dougong.errors import Rejected, Unavailable
from dougong.interfaces import Settlement
from dougong.services.rollup.batches import BatchRecord
from dougong.types import MerkleProof, Placement, ShareProof

__all__ = ["OVERDUE", "AttestedHeights", "HistoryProver", "SettledFix", "SquareProver"]

OVERDUE = "overdue"  # settlement's reason, src/dougong/contracts/batches.vy


class AttestedHeights(Protocol):
    async def last_height(self) -> int:
        """The DA height up to which data roots are attested on settlement; 0 before the first attestation."""
        ...


class HistoryProver(Protocol):
    async def prove(self, height: int, attested_height: int) -> MerkleProof:
        """The data root of `height` under history(attested_height); see docs/spec/attestation.md."""
        ...


class SquareProver(Protocol):
    """A DA layer of squares, as far as settlement needs it: a placement's shares under its data root."""

    async def prove(self, placement: Placement) -> ShareProof: ...


class SettledFix:
    """A `Fix` (publishing.py) for a rollup that settles."""

    def __init__(
        self,
        settlement: Settlement,
        attestations: AttestedHeights,
        da: SquareProver,
        history: HistoryProver,
        *,
        rollup_id: int,
        poll_s: float = 0.25,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._settlement = settlement
        self._attestations = attestations
        self._da = da
        self._history = history
        self._rollup_id = rollup_id
        self._poll_s = poll_s
        self._log = log or structlog.get_logger()
        self.waiting_for = 0
        """The DA height whose attestation is waited for, 0 for none: a relayer may look at it."""

    async def fix(self, record: BatchRecord, index: int) -> None:
        placement = record.placement
        if placement is None:
            raise Unavailable(f"batch {index} is not published")
        attested = await self._attested(placement.height)
        proof = await self._da.prove(placement)
        history = await self._history.prove(placement.height, attested)
        inbox_end = record.inbox_end
        try:
            reference = await self._settlement.append_batch(
                self._rollup_id, placement, inbox_end, proof, attested, history, index=index
            )
        except Rejected as error:
            if OVERDUE not in str(error):
                raise
            inbox_end += len(await self._settlement.messages(self._rollup_id, inbox_end))
            self._log.warning("an inbox message became overdue: it goes with this batch", inbox_end=inbox_end)
            reference = await self._settlement.append_batch(
                self._rollup_id, placement, inbox_end, proof, attested, history, index=index
            )
        self._log.info("batch appended", rollup=self._rollup_id, batch=reference.index, blocks=(record.first, record.last))

    async def _attested(self, height: int) -> int:
        self.waiting_for = height
        try:
            while True:
                attested = await self._attestations.last_height()
                if attested >= height:
                    return attested
                await asyncio.sleep(self._poll_s)
        finally:
            self.waiting_for = 0
