"""Publishes a batch on a DA layer first, and has it fixed on settlement then: where others vouch for a layer's data roots.

    publishing = SubmitThenFix(da, namespace, signer, fix=SettledFix(...))

1. *submitting*: the DA height from which the blob has to be looked for was written down, then it was sent;
2. *published*: it lies in a final DA block, was read back with its proof, and is byte for byte what was sent;
3. *fixed*: settlement has appended it behind an attested data root (fixing.py). A sovereign rollup has no such step: its own DA
   block has fixed it.

A blob that is sent twice (its outcome was unknown) does no harm: a settled rollup's contract refers to one of the two, and to
a sovereign rollup the second one counts as empty, because its parent is no longer the head.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

from dougong.errors import ConfigError, Divergence, Pruned
from dougong.interfaces import DataAvailability
from dougong.services.rollup.batches import BatchInHand, BatchRecord, BatchState
from dougong.types import ADDRESS_BYTES, Blob, Namespace, Placement

__all__ = ["Fix", "SubmitThenFix"]


class Fix(Protocol):
    """Has a published batch fixed by the layer that fixes batches."""

    async def fix(self, record: BatchRecord, index: int) -> None:
        """As `Publish.fix`."""
        ...


class SubmitThenFix:
    """A `Publish`. `signer` (20 bytes) is the account that the DA layer's transactions are signed by; `fix` None: a sovereign
    rollup. `budget`: what one batch may cost, in the DA layer's unit (None: as its client is configured)."""

    def __init__(
        self, da: DataAvailability, namespace: Namespace, signer: bytes, *, fix: Fix | None, budget: int | None = None
    ) -> None:
        if len(signer) != ADDRESS_BYTES:
            raise ConfigError(f"a blob's signer is {ADDRESS_BYTES} bytes, not {len(signer)}")
        self._da = da
        self._namespace = namespace
        self._signer = signer
        self._fix = fix
        self._budget = budget

    @property
    def fixes(self) -> bool:
        return self._fix is not None

    async def publish(self, batch: BatchInHand) -> dict[str, Any]:
        data = await batch.data()
        placement = None
        if batch.record.state is BatchState.SUBMITTING:
            placement = await self._look_for(data, batch.record.from_height)
        else:
            await batch.keep(state=BatchState.SUBMITTING, from_height=await self._da.latest() + 1)
            batch.crash_point("submitting")
        if placement is None:
            blob = Blob(self._namespace, data, share_version=1, signer=self._signer)
            placement = await self._da.submit(blob, budget=self._budget)
        batch.crash_point("submitted")
        await self._read_back(placement, data)
        return {"state": BatchState.PUBLISHED, "placement": placement}

    async def fix(self, batch: BatchInHand, index: int) -> None:
        if self._fix is not None:
            await self._fix.fix(batch.record, index)

    async def _look_for(self, data: bytes, from_height: int) -> Placement | None:
        """A blob of ours with these bytes, published since `from_height`. What was pruned meanwhile is as good as not published:
        nobody could be shown it."""
        height = max(1, from_height)
        while height <= await self._da.latest():  # asked anew: it may be published while this looks for it
            with suppress(Pruned):
                for placed in (await self._da.blobs(height, self._namespace)).blobs:
                    if placed.blob.data == data and placed.blob.signer == self._signer:
                        return placed.placement
            height += 1
        return None

    async def _read_back(self, placement: Placement, data: bytes) -> None:
        found = await self._da.blob(placement, self._namespace)
        if found is None or found.data != data:
            raise Divergence(
                f"the DA layer says that the batch lies at share {placement.start_share} of height {placement.height}, "
                "but other bytes lie there",
                remedy="check the DA layer's node",
            )
