"""Appends published batches to the settlement contract, each behind an attested data root.

    fix = SettledFix(settlement, attestations, da, history, rollup_id=1, data_window=10_000)
    await fix.fix(record, index)

1. Wait until the attestors have vouched for the DA block that the batch lies in.
2. Prove the batch's first share under its data root, and that under the attested history.
3. Append, as the batch of that index and no other. If a message has become overdue since the blocks were made, append with the
   whole inbox instead: derivation then adds blocks that consume it, and the follower brings the node's chain in line.

A contract takes no data that lies deeper than the rollup's data window (docs/spec/settlement.md, "Old data"), and what the DA
layer has pruned cannot be proven: then `TooOld` says that the batch must be published again. As that costs money, settlement's
word is not enough for it: the DA chain's own head must have gone on for as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog

from dougong.errors import Pruned, Rejected, Unavailable
from dougong.interfaces import Settlement
from dougong.services.rollup.batches import BatchRecord, TooOld
from dougong.types import BatchReference, MerkleProof, Placement, ShareProof

__all__ = ["OVERDUE", "AttestedHeights", "HistoryProver", "SettledFix", "SquareProver"]

# Settlement's reasons, src/dougong/contracts/batches.vy
OVERDUE = "overdue"
TOO_OLD = "too old"


class AttestedHeights(Protocol):
    async def last_height(self) -> int:
        """The DA height up to which data roots are attested on settlement; 0 before the first attestation."""
        ...


class HistoryProver(Protocol):
    async def prove(self, height: int, attested_height: int) -> MerkleProof:
        """The data root of `height` under history(attested_height); see docs/spec/attestation.md."""
        ...


class SquareProver(Protocol):
    """A DA layer of squares, as far as settlement needs it: its height, and a placement's shares under its data root."""

    async def latest(self) -> int: ...

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
        data_window: int,
        poll_s: float = 0.25,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`data_window`: as the rollup is registered."""
        self._settlement = settlement
        self._attestations = attestations
        self._da = da
        self._history = history
        self._rollup_id = rollup_id
        self._data_window = data_window
        self._poll_s = poll_s
        self._log = log or structlog.get_logger()
        self.waiting_for = 0
        """The DA height whose attestation is waited for, 0 for none: a relayer may look at it."""

    async def fix(self, record: BatchRecord, index: int) -> None:
        placement = record.placement
        if placement is None:
            raise Unavailable(f"batch {index} is not published")
        attested = await self._attested(placement.height)
        try:
            proof = await self._da.prove(placement)
        except Pruned as error:
            raise TooOld(str(error)) from error
        history = await self._history.prove(placement.height, attested)
        append = partial(
            self._settlement.append_batch,
            self._rollup_id,
            placement,
            proof=proof,
            attested_height=attested,
            history=history,
            index=index,
        )
        try:
            reference = await self._append(append, record.inbox_end)
        except Rejected as error:
            if TOO_OLD not in str(error) or not await self._is_deep(placement):
                raise
            raise TooOld(str(error)) from error
        self._log.info("batch appended", rollup=self._rollup_id, batch=reference.index, blocks=(record.first, record.last))

    async def _append(self, append: Callable[[int], Awaitable[BatchReference]], inbox_end: int) -> BatchReference:
        try:
            return await append(inbox_end)
        except Rejected as error:
            if OVERDUE not in str(error):
                raise
        inbox_end += len(await self._settlement.messages(self._rollup_id, inbox_end))
        self._log.warning("an inbox message became overdue: it goes with this batch", inbox_end=inbox_end)
        return await append(inbox_end)

    async def _is_deep(self, placement: Placement) -> bool:
        return 0 < self._data_window < await self._da.latest() - placement.height

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
