"""Derives a rollup from its fixed inputs, and keeps the node's chain true to them.

    follower = await Follower.open(chain, source, store)
    await follower.catch_up()                       # every batch that is there
    await follower.run()                            # and those to come, until cancelled

What settlement no longer holds (its chain was reorganised) is taken back first, batch by batch. Then for each batch, in this
order:

1. fold its reference and the messages up to its inbox end into the accumulators;
2. if the node's own soft blocks are provably what the batch derives to (`OwnBlocks`), keep them;
3. otherwise hand the transactions of every soft block after the agreed one back (`requeue`, durable first), go back to the agreed
   block and derive the batch on it;
4. write the new position down. A crash before that repeats the batch from the position before it: derivation is deterministic.

A verifying node has no soft blocks and always takes step 3. Spec: docs/spec/derivation.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import structlog

from dougong._native import HeaderInfo, decode_batch
from dougong.crypto.hashing import sha256
from dougong.errors import Divergence, NotFound
from dougong.services.records import pack, pack_reference, unpack, unpack_reference
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.derivation import fold_messages
from dougong.services.rollup.sources import BatchSource, Position
from dougong.services.threads import in_thread
from dougong.settlement.encoding import extend_batch_accumulator
from dougong.store import Store, height_key
from dougong.types import BatchReference, InboxMessage, Placement

__all__ = ["BASE", "FOLLOWER_TABLES", "Follower", "OwnBatch", "OwnBlocks"]

FOLLOWER_TABLES = ("positions", "follower")
MAX_LEAD_S = 900  # docs/spec/derivation.md: how far a block may be ahead of its batch
BASE = b"base"  # in the table "follower": the first batch that is not of a snapshot
_SCANNED = b"scanned"


@dataclass(frozen=True, slots=True)
class OwnBatch:
    """A batch that this node published or is publishing: its last block."""

    number: int
    block_hash: bytes


class OwnBlocks(Protocol):
    """What a sequencer's node knows about batches that it published itself."""

    def batch_at(self, placement: Placement, agreed: HeaderInfo) -> OwnBatch | None:
        """The node's own batch on `agreed` whose bytes are known to lie, whole, at this placement."""
        ...

    def batch_of(self, data_hash: bytes, agreed: HeaderInfo) -> OwnBatch | None:
        """The node's own batch on `agreed` that has these bytes, wherever they were found."""
        ...

    def inbox_accumulator(self, inbox_end: int) -> bytes | None:
        """The accumulator over the messages as this node consumed them up to `inbox_end`; None if it does not know."""
        ...

    def set_inbox(self, inbox_end: int, accumulator: bytes) -> None:
        """Called (in a thread) before blocks are derived that consume the inbox up to there."""
        ...


class Follower:
    """One per rollup and node. `position` is durable and never ahead of the chain."""

    def __init__(
        self,
        chain: RollupChain,
        source: BatchSource,
        store: Store,
        position: Position,
        genesis: Position,
        *,
        own: OwnBlocks | None = None,
        requeue: Callable[[Sequence[bytes]], Awaitable[None]] | None = None,
        poll_s: float = 0.5,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self.chain = chain
        self.position = position
        self._genesis = genesis
        self._source = source
        self._store = store
        self._own = own
        self._requeue = requeue
        self._poll_s = poll_s
        self._log = log or structlog.get_logger()
        self._stepping = asyncio.Lock()
        self.base = 0
        """The batch that this node began after: 0, or where a snapshot ended."""
        self.rounds = 0
        """How many times `catch_up` has come to the end of what there was."""

    @classmethod
    async def open(
        cls,
        chain: RollupChain,
        source: BatchSource,
        store: Store,
        *,
        own: OwnBlocks | None = None,
        requeue: Callable[[Sequence[bytes]], Awaitable[None]] | None = None,
        poll_s: float = 0.5,
        first_da_height: int = 1,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> Follower:
        """Resumes at the last position whose block the chain still holds. `first_da_height` is where a sovereign rollup's
        namespace begins."""
        genesis = await chain.header(0)
        start = Position.genesis(genesis.hash, genesis.outbox_root, scanned=first_da_height - 1)
        position = start
        for _, raw in await in_thread(store.items, "positions", reverse=True):
            position = _unpack_position(unpack(raw)["after"])
            if await chain.is_canonical(position.number, position.state):
                break
            position = start
        raw_scan = await in_thread(store.get, "follower", _SCANNED)
        if raw_scan is not None:
            scan = unpack(raw_scan)
            if (scan["index"], bytes.fromhex(scan["state"])) == (position.index, position.state):
                position = replace(position, scanned=scan["height"])
        if own is not None:
            await in_thread(own.set_inbox, position.inbox_end, position.inbox_accumulator)
        follower = cls(chain, source, store, position, start, own=own, requeue=requeue, poll_s=poll_s, log=log)
        follower.base = await in_thread(_base, store, position)
        await chain.set_heads(finalized=position.number)
        return follower

    async def run(self) -> None:
        while True:
            await self.catch_up()
            await asyncio.sleep(self._poll_s)

    async def catch_up(self) -> int:
        """Applies every batch that the layers below have fixed by now; returns how many there were."""
        applied = 0
        async with self._stepping:
            while not await self._source.holds(self.position):
                await self._step_back()
            while True:
                references, scanned = await self._source.references(self.position)
                for reference in references:
                    await self._take(reference)
                    applied += 1
                moved = scanned > self.position.scanned
                if moved:
                    await self._set_scanned(scanned)
                if not moved and not references:
                    self.rounds += 1
                    return applied

    def record(self, index: int) -> tuple[BatchReference, Position]:
        """The reference of batch `index` and the position after it. Raises `NotFound`."""
        raw = self._store.get("positions", height_key(index))
        if raw is None:
            raise NotFound(f"batch {index} has not been derived here yet")
        record = unpack(raw)
        return unpack_reference(record["reference"]), _unpack_position(record["after"])

    async def _step_back(self) -> None:
        """To the position before the last batch, which is no longer what settlement has."""
        index = self.position.index - 1
        if index < self.base:
            raise Divergence(
                f"settlement disagrees about the rollup from the first batch on that this node knows, {self.base}",
                remedy="check the contract's address; a node that began with a snapshot begins again with another",
            )
        before = self._genesis if index == 0 else (await in_thread(self.record, index - 1))[1]
        self._log.warning("the settlement chain was reorganised: a batch is gone", batch=index)
        await in_thread(self._delete, index)
        self.position = before
        await self.chain.set_heads(finalized=before.number)

    async def _take(self, reference: BatchReference) -> None:
        before = self.position
        if reference.inbox_end < before.inbox_end:
            raise Divergence(f"batch {reference.index} moves the inbox back from {before.inbox_end} to {reference.inbox_end}")
        messages = await self._source.messages(before, reference)
        inbox = fold_messages(before.inbox_accumulator, messages)
        agreed = await self.chain.header(before.number)
        if agreed.hash != before.state:
            raise Divergence(
                f"block {before.number} is {agreed.hash.hex()} but was derived as {before.state.hex()}",
                remedy="remove the node's folder; it rebuilds from DA",
            )
        head = await self._kept(reference, agreed, inbox)
        if head is None:
            if self._own is not None:
                await in_thread(self._own.set_inbox, reference.inbox_end, inbox)
            head = await self._derived(reference, agreed, messages)
        placement = reference.placement
        after = Position(
            index=before.index + 1,
            accumulator=extend_batch_accumulator(before.accumulator, reference),
            inbox_end=reference.inbox_end,
            inbox_accumulator=inbox,
            number=head.number,
            state=head.hash,
            outbox_root=head.outbox_root,
            da_height=before.da_height if placement is None else placement.height,
            da_taken=before.da_taken if placement is None else 1 + before.da_taken * (placement.height == before.da_height),
            scanned=before.scanned,
        )
        record = pack({"reference": pack_reference(reference), "after": asdict(after)})
        await in_thread(self._put_position, reference.index, record)
        self.position = after
        await self.chain.set_heads(finalized=after.number)

    async def _kept(self, reference: BatchReference, agreed: HeaderInfo, inbox: bytes) -> HeaderInfo | None:
        """The head after this batch if the node's own soft blocks are exactly what it derives to, or it derives to none."""
        if self._own is None or reference.placement is None:
            return None
        own = self._own.batch_at(reference.placement, agreed)
        if own is None:
            data = await self._source.data(reference)
            if reference.inbox_end == agreed.inbox_end and await in_thread(_is_void, data, agreed):
                return agreed  # published twice, for one: its parent is no longer the head
            own = None if data is None else self._own.batch_of(sha256(data), agreed) or await self._the_same(data, agreed)
        if own is None or not await self.chain.is_canonical(own.number, own.block_hash):
            return None
        head = await self.chain.header(own.number)
        if head.inbox_end != reference.inbox_end or head.timestamp > reference.timestamp + MAX_LEAD_S:
            return None
        if reference.inbox_end > agreed.inbox_end and self._own.inbox_accumulator(reference.inbox_end) != inbox:
            return None
        return head

    async def _the_same(self, data: bytes, agreed: HeaderInfo) -> OwnBatch | None:
        """The batch's blocks if the chain has exactly them: a node that follows the sequencer's word made them before."""
        batch = await in_thread(decode_batch, data, agreed.gas_limit)
        if batch is None or batch[0] != agreed.hash or not batch[1]:
            return None
        head = await self.chain.already(agreed, batch[1])
        return None if head is None else OwnBatch(head.number, head.hash)

    async def _derived(self, reference: BatchReference, agreed: HeaderInfo, messages: Sequence[InboxMessage]) -> HeaderInfo:
        data = await self._source.data(reference)
        soft = self.chain.latest.number
        if soft > agreed.number:
            self._log.warning(
                "soft blocks do not follow from the batch",
                batch=reference.index,
                agreed=agreed.number,
                dropped=soft - agreed.number,
            )
        headers = await self.chain.apply(
            agreed.number, data, reference.timestamp, reference.inbox_end, messages, give_back=self._requeue
        )
        head = headers[-1] if headers else agreed
        if head.inbox_end != reference.inbox_end:
            raise Divergence(f"batch {reference.index} ends at message {reference.inbox_end}, its blocks at {head.inbox_end}")
        return head

    async def _set_scanned(self, height: int) -> None:
        self.position = replace(self.position, scanned=height)
        record = pack({"index": self.position.index, "state": self.position.state, "height": height})
        await in_thread(self._put, "follower", _SCANNED, record)

    def _delete(self, index: int) -> None:
        with self._store.write() as txn:
            txn.delete("positions", height_key(index))

    def _put_position(self, index: int, record: bytes) -> None:
        self._put("positions", height_key(index), record)

    def _put(self, table: str, key: bytes, record: bytes) -> None:
        with self._store.write() as txn:
            txn.put(table, key, record)


def _base(store: Store, position: Position) -> int:
    raw = store.get("follower", BASE)
    return 0 if raw is None else min(int(unpack(raw)["index"]), position.index)


def _is_void(data: bytes | None, agreed: HeaderInfo) -> bool:
    """Whether the derivation makes no block of these bytes on `agreed`, the inbox apart."""
    batch = None if data is None else decode_batch(data, agreed.gas_limit)
    return batch is None or batch[0] != agreed.hash or not batch[1]


def _unpack_position(record: dict[str, Any]) -> Position:
    hashes = ("accumulator", "inbox_accumulator", "state", "outbox_root")
    fields: dict[str, Any] = {name: bytes.fromhex(value) if name in hashes else value for name, value in record.items()}
    return Position(**fields)
