"""Publishes batches in the blobs of the settlement chain's own transactions: publishing and fixing are one step.

    publishing = BlobInbox(settlement, make_sidecar, namespace, rollup_id=1)

BLOBHASH exists only in the transaction that carries the blobs, so that transaction itself calls the contract.

1. *ready*: the blobs and their data root are made. The data root is written down, so that the follower knows the batch wherever
   it meets it: from here on a crash after the transaction was mined finds the batch fixed, and nothing is sent again.
2. *sent*: the nonce, the fees and the hash of each offer are written down before the node hears of it. After a crash the same
   nonce is used again (a replacement at twice the price, unless the first one is mined), so that not two of them are paid for.
3. *fixed*: the follower has it from settlement. Were two transactions mined after all, the second reverts, because an append
   names the index that it must get.

If a message has become overdue since the blocks were made, the batch is appended with the whole inbox instead, as fixing.py does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog

from dougong.crypto.hashing import sha256
from dougong.errors import Rejected
from dougong.interfaces import Settlement
from dougong.services.rollup.batches import BatchInHand, BatchState
from dougong.services.rollup.fixing import OVERDUE
from dougong.services.threads import in_thread
from dougong.settlement.transactor import Note, Offer
from dougong.types import BatchReference, Blob, BlobSidecar, Namespace, Placement

__all__ = ["BlobContract", "BlobInbox"]


MADE_AHEAD = 4  # sidecars of up to a megabyte and a half each; another one is made again when its turn comes


class BlobContract(Settlement, Protocol):
    """The settlement contract on a chain that carries blobs."""

    async def append_blob_batch(
        self,
        rollup_id: int,
        sidecar: BlobSidecar,
        inbox_end: int,
        *,
        index: int,
        budget: int | None = None,
        note: Note | None = None,
        earlier: Offer | None = None,
    ) -> BatchReference:
        """Appends a batch whose data its own transaction carries; returns the contract's word."""
        ...


class BlobInbox:
    """A `Publish`. `make_sidecar` frames a blob and makes its commitments and proofs (a quarter of a second a blob: it is called
    in a thread). `budget` in wei a batch, None: what it takes."""

    fixes = True

    def __init__(
        self,
        settlement: BlobContract,
        make_sidecar: Callable[[Blob], BlobSidecar],
        namespace: Namespace,
        *,
        rollup_id: int,
        budget: int | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._settlement = settlement
        self._make_sidecar = make_sidecar
        self._namespace = namespace
        self._rollup_id = rollup_id
        self._budget = budget
        self._log = log or structlog.get_logger()
        self._made: dict[bytes, BlobSidecar] = {}

    async def publish(self, batch: BatchInHand) -> dict[str, Any]:
        sidecar = await self._sidecar(batch)
        root = sha256(*sidecar.versioned_hashes)
        return {"state": BatchState.READY, "placement": Placement(0, root, 0, len(sidecar.versioned_hashes))}

    async def fix(self, batch: BatchInHand, index: int) -> None:
        record = batch.record
        sidecar = await self._sidecar(batch)
        append = partial(
            self._settlement.append_blob_batch, self._rollup_id, sidecar, index=index, budget=self._budget, note=_noting(batch)
        )
        inbox_end = record.inbox_end
        try:
            reference = await append(inbox_end, earlier=record.sent)
        except Rejected as error:
            if OVERDUE not in str(error):
                raise
            inbox_end += len(await self._settlement.messages(self._rollup_id, inbox_end))
            self._log.warning("an inbox message became overdue: it goes with this batch", inbox_end=inbox_end)
            reference = await append(inbox_end, earlier=batch.record.sent)
        self._made.pop(record.data_hash, None)
        self._log.info("batch appended", rollup=self._rollup_id, batch=reference.index, blocks=(record.first, record.last))

    async def _sidecar(self, batch: BatchInHand) -> BlobSidecar:
        wanted = batch.record.data_hash
        if wanted not in self._made:
            self._made[wanted] = await in_thread(self._make_sidecar, Blob(self._namespace, await batch.data()))
            while len(self._made) > MADE_AHEAD:
                del self._made[next(iter(self._made))]
        return self._made[wanted]


def _noting(batch: BatchInHand) -> Note:
    async def note(offer: Offer) -> None:
        await batch.keep(sent=offer)
        batch.crash_point("sending")

    return note
