"""Where a rollup's inputs come from: the settlement contract and the DA layer, or the DA layer alone.

    source = SettledSource(settlement, da, rollup_id=1, da_id=da_id, namespace=namespace)
    references = await source.references(position)
    data = await source.data(references[0])             # None: the batch counts as empty

A source answers with what the layers below have fixed, checked: shares come with a proof under the data root that the reference
names, messages and references fold to the contract's accumulators. Spec: docs/spec/derivation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from dougong.errors import Divergence, Unavailable
from dougong.interfaces import DataAvailability
from dougong.services.rollup.derivation import signed_batches
from dougong.types import ZERO_HASH, BatchReference, InboxMessage, Namespace, Placement

__all__ = ["BatchContract", "BatchSource", "Position", "SettledSource", "SovereignSource"]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a rollup has been derived: everything before batch `index` is applied, and the chain's head was block `number`
    with `state` as its hash. The accumulators are those after the last batch and the last consumed message.

    `da_height` is where the last batch lay, and `da_taken` how many of that block's were applied; `scanned` is the last DA height
    that holds nothing new (sovereign).
    """

    index: int
    accumulator: bytes
    inbox_end: int
    inbox_accumulator: bytes
    number: int
    state: bytes
    outbox_root: bytes
    da_height: int = 0
    da_taken: int = 0
    scanned: int = 0

    @classmethod
    def genesis(cls, state: bytes, outbox_root: bytes, scanned: int = 0) -> Position:
        return cls(0, ZERO_HASH, 0, ZERO_HASH, 0, state, outbox_root, scanned=scanned)


class BatchSource(Protocol):
    async def holds(self, position: Position) -> bool:
        """Whether what was applied up to `position` is still what the layer below has fixed: its settlement chain may have been
        reorganised."""
        ...

    async def references(self, position: Position) -> tuple[Sequence[BatchReference], int]:
        """The batches after `position`, in order (not necessarily all), and the DA height up to which there is nothing more
        (0 where that means nothing)."""
        ...

    async def data(self, reference: BatchReference) -> bytes | None:
        """The batch's bytes, proven to lie where the reference says; None when it counts as empty."""
        ...

    async def messages(self, position: Position, reference: BatchReference) -> Sequence[InboxMessage]:
        """The inbox messages from the position to the reference's `inbox_end`."""
        ...


class BatchContract(Protocol):
    """A rollup's inputs as the settlement contract has fixed them, and its accumulators over them."""

    async def batches(self, rollup_id: int, start: int) -> Sequence[BatchReference]:
        """As `Settlement.batches`: checked against the accumulator."""
        ...

    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]:
        """As `Settlement.messages`: checked against the accumulator."""
        ...

    async def batch_accumulator(self, rollup_id: int, count: int) -> bytes:
        """Over the first `count` batches; zero where there are fewer."""
        ...

    async def inbox_accumulator(self, rollup_id: int, count: int) -> bytes:
        """Over the first `count` inbox messages; zero where there are fewer."""
        ...


class SettledSource:
    """Batches that a settlement contract has fixed."""

    def __init__(
        self,
        settlement: BatchContract,
        da: DataAvailability,
        *,
        rollup_id: int,
        da_id: bytes,
        namespace: Namespace,
        final_only: bool = False,
    ) -> None:
        """`final_only`: leaves out, until it is final, what settlement has fixed in a DA block that can still be replaced. (The
        sequencer's node goes on with what it published itself.)"""
        self._settlement = settlement
        self._da = da
        self._rollup_id = rollup_id
        self._da_id = da_id
        self._namespace = namespace
        self._final_only = final_only
        self._ahead: list[InboxMessage] = []  # read for one run of references: else each batch would read the whole inbox again

    async def holds(self, position: Position) -> bool:
        # A batch reference counts the messages that it consumes and does not name them: a reorganisation may swap those alone.
        held = (
            await self._settlement.batch_accumulator(self._rollup_id, position.index),
            await self._settlement.inbox_accumulator(self._rollup_id, position.inbox_end),
        )
        return held == (position.accumulator, position.inbox_accumulator)

    async def references(self, position: Position) -> tuple[Sequence[BatchReference], int]:
        self._ahead = []
        found = await self._settlement.batches(self._rollup_id, position.index)
        for offset, reference in enumerate(found):
            if reference.index != position.index + offset:
                raise Divergence(f"settlement gave batch {reference.index} where {position.index + offset} was due")
            if reference.placement is not None and reference.da_id != self._da_id:
                raise Divergence(
                    f"batch {reference.index} names the DA chain {reference.da_id.hex()}, this node follows {self._da_id.hex()}",
                    remedy="check the DA genesis hash of this rollup",
                )
        if self._final_only and any(reference.placement is not None for reference in found):
            final = await self._da.latest()
            found = list(takewhile(lambda known: known.placement is None or known.placement.height <= final, found))
        return found, 0

    async def data(self, reference: BatchReference) -> bytes | None:
        placement = reference.placement
        if placement is None:
            return None
        header = await self._da.header(placement.height)
        if header.capacity(placement.data_root) is None:
            raise Divergence(
                f"batch {reference.index} was settled under data root {placement.data_root.hex()} of height {placement.height}, "
                f"but the DA chain's header says {header.data_root.hex()}: what settlement was shown there never was",
                remedy="do not use what was settled from this batch on",
            )
        blob = await self._da.blob(placement, self._namespace)
        return None if blob is None else blob.data

    async def messages(self, position: Position, reference: BatchReference) -> Sequence[InboxMessage]:
        count = reference.inbox_end - position.inbox_end
        if count == 0:
            return ()
        wanted = range(position.inbox_end, reference.inbox_end)
        if not self._ahead or self._ahead[0].index > wanted[0] or self._ahead[-1].index < wanted[-1]:
            self._ahead = list(await self._settlement.messages(self._rollup_id, position.inbox_end))
        skipped = position.inbox_end - self._ahead[0].index if self._ahead else 0
        found = self._ahead[skipped : skipped + count]
        if len(found) < count:
            raise Unavailable(f"batch {reference.index} needs inbox messages up to {reference.inbox_end}, not yet to be had")
        return found


class SovereignSource:
    """Batches of a sovereign rollup: its sequencer's signed blobs in its namespace, with the proof that none was left out."""

    def __init__(self, da: DataAvailability, *, da_id: bytes, namespace: Namespace, sequencer: bytes, span: int = 64) -> None:
        self._da = da
        self._da_id = da_id
        self._namespace = namespace
        self._sequencer = sequencer
        self._span = span
        self._read: dict[Placement, bytes] = {}

    async def holds(self, position: Position) -> bool:
        return True  # a DA block is final

    async def references(self, position: Position) -> tuple[Sequence[BatchReference], int]:
        latest = await self._da.latest()
        references: list[BatchReference] = []
        self._read.clear()
        height = max(position.scanned + 1, position.da_height, 1)
        last = min(latest, height + self._span - 1)
        while height <= last and not references:
            found = await self._da.blobs(height, self._namespace)
            batches = signed_batches(found, self._sequencer)
            if batches:
                seconds = (await self._da.header(height)).time_ns // 1_000_000_000
            # Counted, not compared by place: on blobs of Ethereum each batch of a block begins at share 0 of its transaction.
            for placed in batches[position.da_taken if height == position.da_height else 0 :]:
                index = position.index + len(references)
                self._read[placed.placement] = placed.blob.data
                references.append(BatchReference(index, self._da_id, placed.placement, 0, seconds))
            height += 1
        return references, height - 2 if references else height - 1

    async def data(self, reference: BatchReference) -> bytes | None:
        placement = reference.placement
        if placement is None:
            return None
        if placement not in self._read:
            found = await self._da.blobs(placement.height, self._namespace)
            self._read.update({placed.placement: placed.blob.data for placed in found.blobs})
        return self._read[placement]

    async def messages(self, position: Position, reference: BatchReference) -> Sequence[InboxMessage]:
        return ()
