"""Batches in flight: the record of each, and what the follower may ask about them.

`Batcher` keeps them, one `Publish` moves them on (publishing.py, blob_inbox.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from dougong._native import HeaderInfo
from dougong.services.records import pack, pack_placement, unpack_placement
from dougong.services.rollup.follower import OwnBatch
from dougong.settlement.fees import Fees
from dougong.settlement.transactor import Offer
from dougong.types import Placement

__all__ = [
    "BatchInHand",
    "BatchRecord",
    "BatchState",
    "Publish",
    "PublishedBlocks",
    "Superseded",
    "TooOld",
    "pack_record",
    "unpack_record",
]


class BatchState(Enum):
    ENCODED = "encoded"
    SUBMITTING = "submitting"
    READY = "ready"
    """Where publishing and fixing are one step: all is made for it, and its data root is known."""
    PUBLISHED = "published"


UNPUBLISHED = (BatchState.ENCODED, BatchState.SUBMITTING)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """Blocks first..last on `parent_hash`. `inbox_end` is the last block's; `data_hash` the bytes' SHA-256, which lie beside it.

    `placement` is complete once the batch is published; one that is ready has its data root, and no height yet. `sent` is what
    the settlement chain's node was offered for it.
    """

    number: int
    first: int
    last: int
    parent_hash: bytes
    last_hash: bytes
    inbox_end: int
    data_hash: bytes
    state: BatchState
    from_height: int = 0
    placement: Placement | None = None
    sent: Offer | None = None

    def lies_at(self, placement: Placement) -> bool:
        """Whether its bytes are known to be what lies there: a data root fixes them, wherever it is published."""
        own = self.placement
        if own is None or self.state not in (BatchState.READY, BatchState.PUBLISHED):
            return False
        height = placement.height if self.state is BatchState.READY else own.height
        return placement == Placement(height, own.data_root, own.start_share, own.share_count)


class Superseded(Exception):
    """The batch is in flight no more: the layers below have fixed it, or its blocks have left the chain."""


class TooOld(Exception):
    """The batch lies so deep in the DA layer that no layer fixes it there any more: it has to be published again."""


class BatchInHand(Protocol):
    """One batch in flight, for whoever moves it on."""

    @property
    def record(self) -> BatchRecord:
        """As it was last written down."""
        ...

    async def data(self) -> bytes:
        """Its bytes."""
        ...

    async def keep(self, **changes: Any) -> None:
        """Writes changes of the record down. Raises `Superseded`."""
        ...

    def crash_point(self, step: str) -> None:
        """Called between durable steps (for tests)."""
        ...


class Publish(Protocol):
    """How a rollup's batches get to the layer that fixes them. A crash at any point, and any error, is followed by the same call
    again."""

    @property
    def fixes(self) -> bool:
        """Whether there is anything to fix: no in a sovereign rollup, whose DA layer has the last word."""
        ...

    async def publish(self, batch: BatchInHand) -> dict[str, Any]:
        """From encoded to published, or ready; returns what changes in the record with that."""
        ...

    async def fix(self, batch: BatchInHand, index: int) -> None:
        """Returns once batch `index` of the rollup is this one. Raises `Rejected` if settlement refuses, `TooOld` if it refuses
        where the batch lies, `Unavailable` when the outcome is unknown: the follower tells."""
        ...


class PublishedBlocks:
    """The batches in flight, in order; what the follower asks about them (`OwnBlocks`, with the journal's word on the inbox)."""

    def __init__(self, inbox_accumulator: Callable[[int], bytes | None], set_inbox: Callable[[int, bytes], None]) -> None:
        self.records: list[BatchRecord] = []
        self.inbox_accumulator = inbox_accumulator
        self.set_inbox = set_inbox

    def displaced(self) -> BatchRecord | None:
        """The first batch that lies before one that it builds upon, because that one was published again: who comes with an empty
        store reads the DA layer in order, and would pass it over."""
        deepest = (0, 0)
        for record in self.records:
            if record.placement is not None:
                place = (record.placement.height, record.placement.start_share)
                if place < deepest:
                    return record
                deepest = place
        return None

    def to_publish(self) -> BatchRecord | None:
        """The first batch that is not published yet, or displaced."""
        displaced = self.displaced()
        return next((record for record in self.records if record.state in UNPUBLISHED or record is displaced), None)

    def batch_at(self, placement: Placement, agreed: HeaderInfo) -> OwnBatch | None:
        return self._find(agreed, lambda record: record.lies_at(placement))

    def batch_of(self, data_hash: bytes, agreed: HeaderInfo) -> OwnBatch | None:
        return self._find(agreed, lambda record: record.data_hash == data_hash)

    def _find(self, agreed: HeaderInfo, fits: Callable[[BatchRecord], bool]) -> OwnBatch | None:
        for record in self.records:
            if (record.first, record.parent_hash) == (agreed.number + 1, agreed.hash) and fits(record):
                return OwnBatch(record.last, record.last_hash)
        return None


def pack_record(record: BatchRecord) -> bytes:
    return pack(
        {
            "number": record.number,
            "first": record.first,
            "last": record.last,
            "parent_hash": record.parent_hash,
            "last_hash": record.last_hash,
            "inbox_end": record.inbox_end,
            "data_hash": record.data_hash,
            "state": record.state.value,
            "from_height": record.from_height,
            "placement": pack_placement(record.placement),
            "sent": None if record.sent is None else _pack_offer(record.sent),
        }
    )


def unpack_record(record: dict[str, Any]) -> BatchRecord:
    return BatchRecord(
        record["number"],
        record["first"],
        record["last"],
        bytes.fromhex(record["parent_hash"]),
        bytes.fromhex(record["last_hash"]),
        record["inbox_end"],
        bytes.fromhex(record["data_hash"]),
        BatchState(record["state"]),
        record["from_height"],
        unpack_placement(record["placement"]),
        None if record["sent"] is None else _unpack_offer(record["sent"]),
    )


def _pack_offer(offer: Offer) -> dict[str, Any]:
    # Fees as text: JSON's integers end at 64 bits.
    fees = [str(fee) for fee in (offer.fees.tip, offer.fees.cap, offer.fees.blob_cap)]
    return {"nonce": offer.nonce, "fees": fees, "hashes": list(offer.hashes)}


def _unpack_offer(record: dict[str, Any]) -> Offer:
    return Offer(record["nonce"], Fees(*map(int, record["fees"])), tuple(bytes.fromhex(text) for text in record["hashes"]))
