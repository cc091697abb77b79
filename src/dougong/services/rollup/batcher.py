"""Makes a rollup's blocks into batches, and sees each through until the layers below have fixed it.

    batcher = Batcher(chain, follower, published, store, SubmitThenFix(...), config)
    await batcher.run()

A batch's life; every step is durable before the next one begins, and a crash at any point resumes from the last durable one:

1. *encoded*: closed blocks first..last became bytes (`Evm.encode_batch`), and their hashes were written down;
2. *published*, or *ready* where publishing and fixing are one step: a `Publish` has brought it there (publishing.py,
   blob_inbox.py);
3. *fixed*: a `Publish` has had it fixed when its turn came. What is fixed is never taken from this store but from the
   `Follower`, that is from the layers below.

So nothing is lost: a record only leaves when its blocks are fixed or are no longer on the chain. And nothing is appended
twice: before appending, the follower has taken everything that settlement holds, the batch must continue it, and the append
names the index that it must get. If someone else appended first (after the sequencer's timeout) the follower has dropped the
soft blocks, and with them goes the record; their transactions become new blocks.

A published batch may come to lie too deep in the DA layer to be fixed there (`TooOld`): its place is forgotten, durably, and it
goes on from *encoded*, with the same bytes. Those behind it are published again after it, and it is fixed once they are: on the
DA layer they stay in the chain's order. Which copy is fixed makes no difference: the bytes tell whose blocks they are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from dougong._native import HeaderInfo
from dougong.crypto.hashing import sha256
from dougong.errors import ConfigError, NotFound, Unavailable, Underpaid
from dougong.services.records import unpack
from dougong.services.rollup.ahead import PublishedAhead
from dougong.services.rollup.batches import (
    BatchRecord,
    BatchState,
    Publish,
    PublishedBlocks,
    Superseded,
    TooOld,
    pack_record,
    unpack_record,
)
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.follower import Follower
from dougong.services.threads import in_thread
from dougong.store import Store, height_key

__all__ = ["BATCHER_TABLES", "Batcher", "BatcherConfig"]

BATCHER_TABLES = ("batches", "blobs")
MAX_CONTENT_BYTES = 16 << 20  # docs/spec/derivation.md, "Batch"
MAX_BLOCKS = 4_096  # of `Evm.encode_batch`
MAX_GAS = 1 << 32  # that a batch's blocks may have used before one more of them


@dataclass(frozen=True, slots=True)
class BatcherConfig:
    """A batch closes when its oldest block has waited `interval` seconds or its transactions are `target_bytes`; its blob is
    never above `max_blob_bytes`. The layers below are asked every `poll_s`, every `idle_s` with nothing in flight. `level`
    is zstd's. A batch that cannot be paid for is tried again after `unpaid_s` seconds."""

    interval: float = 2.0
    target_bytes: int = 2 << 20
    max_blob_bytes: int = 1_500_000
    level: int = 9
    max_in_flight: int = 8
    poll_s: float = 0.25
    idle_s: float = 1.0
    unpaid_s: float = 1.0


class Batcher:
    """One per rollup. `run` resumes, then publishes and fixes until cancelled; any error in it is mended by running it again."""

    def __init__(
        self,
        chain: RollupChain,
        follower: Follower,
        published: PublishedBlocks,
        store: Store,
        publishing: Publish,
        config: BatcherConfig,
        *,
        name: str = "",
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
        ahead: PublishedAhead | None = None,
        on_published: Callable[[int, int, int], None] = lambda first, last, size: None,
        crash_point: Callable[[str], None] = lambda step: None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`ahead` finds what was published and is not in this store. `on_published` is told of each batch (its first and last
        block and its bytes) once it is published, or ready to be; of one that is published again, its bytes and no block (last =
        first - 1). `crash_point` is called with a step's name between durable steps (for tests)."""
        self._chain = chain
        self._follower = follower
        self._published = published
        self._store = store
        self._config = config
        self._publishing = publishing
        self._clock = clock
        self._on_published = on_published
        self._ahead = ahead
        self.caught_up = asyncio.Event()
        self._crash_point = crash_point
        self._log = (log or structlog.get_logger()).bind(rollup=name)
        self._next_number = 0
        self._oldest_since: float | None = None
        self._changed = asyncio.Event()
        self.unpaid: Underpaid | None = None  # why the next batch is not published
        labels = ("rollup",)
        registry = registry or CollectorRegistry()
        self._m_batches = Counter("dougong_batches", "Batches published", labels, registry=registry).labels(name)
        self._m_raw = Counter("dougong_batch_raw_bytes", "Transaction bytes published", labels, registry=registry).labels(name)
        about = "What publishing the next batch would cost, while it cannot be paid for, else 0"
        self._m_unpaid = Gauge("dougong_batch_unpaid", about, labels, registry=registry).labels(name)
        self._m_blob = Counter("dougong_batch_blob_bytes", "Blob bytes published", labels, registry=registry).labels(name)

    async def run(self) -> None:
        await self.load()
        await self.catch_up()
        self.caught_up.set()
        await self._chain.measure()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_all())
            group.create_task(self._fix_all())

    async def catch_up(self) -> None:
        """Takes what the layers below hold: what is fixed, and then what is published without this store's knowing."""
        await self._follower.catch_up()
        await self.prune()
        if self._ahead is not None:
            await self._ahead.catch_up(self._adopt)

    async def load(self) -> None:
        """Reads the records of batches in flight: before the follower's first step, which asks for them."""
        entries = await in_thread(self._store.items, "batches")
        self._published.records = [unpack_record(unpack(raw)) for _, raw in entries]
        self._next_number = self._published.records[-1].number + 1 if self._published.records else 0
        await self._tell_safe()

    # --- publishing ---------------------------------------------------------------------------------------------------

    async def _publish_all(self) -> None:
        while True:
            version = self._chain.version
            record = self._published.to_publish()
            if record is None:
                record = await self.close_batch()
            if record is None:
                await self._wait(version)
            elif not await self.publish_within_means(record):
                await asyncio.sleep(self._config.unpaid_s)

    async def publish_within_means(self, record: BatchRecord) -> bool:
        """Publishes, or says why that cannot be paid for: then the batch is kept, and the next call tries again."""
        try:
            await self.publish(record)
        except Underpaid as error:
            self._note_unpaid(record, error)
            return False
        if not any(known.number == record.number and known.state is BatchState.READY for known in self._published.records):
            self._note_paid(record)
        return True

    def _note_unpaid(self, record: BatchRecord, error: Underpaid) -> None:
        if self.unpaid is None:
            self._log.warning(
                "a batch cannot be paid for", first=record.first, last=record.last, error=str(error), remedy=error.remedy
            )
        self.unpaid = error
        self._m_unpaid.set(error.wanted)

    def _note_paid(self, record: BatchRecord) -> None:
        if self.unpaid is not None:
            self._log.info("batches are paid for again", first=record.first, last=record.last)
        self.unpaid = None
        self._m_unpaid.set(0)

    async def close_batch(self, *, now: bool = False) -> BatchRecord | None:
        """Encodes the next batch if it is due (or `now`) and there is something to encode."""
        await self.prune()
        records = self._published.records
        if len(records) >= self._config.max_in_flight:
            return None
        parent = await self._chain.header(records[-1].last if records else self._follower.position.number)
        if records and parent.hash != records[-1].last_hash:
            return None  # the chain has just gone back; the next call prunes
        first, head = parent.number + 1, self._chain.latest.number
        if head < first:
            self._oldest_since = None
            return None
        if self._oldest_since is None:
            self._oldest_since = self._clock()
        last, raw = first, await self._chain.block_bytes(first)
        gas = (await self._chain.header(first)).gas_used
        while last < head and raw < self._config.target_bytes and gas < MAX_GAS and last + 1 - first < MAX_BLOCKS:
            following = await self._chain.block_bytes(last + 1)
            if raw + following > MAX_CONTENT_BYTES // 2:
                break
            last, raw = last + 1, raw + following
            gas += (await self._chain.header(last)).gas_used
        full = raw >= self._config.target_bytes or gas >= MAX_GAS
        if not (now or full or self._clock() - self._oldest_since >= self._config.interval):
            return None
        return await self._encode(parent, first, last, raw)

    async def _encode(self, parent: HeaderInfo, first: int, last: int, raw: int) -> BatchRecord | None:
        while True:
            tail = await self._chain.header(last)
            data = await in_thread(self._chain.evm.encode_batch, first, last, self._config.level)
            if len(data) <= self._config.max_blob_bytes:
                break
            if last == first:
                raise ConfigError(
                    f"block {first} alone needs a blob of {len(data)} bytes, above the limit of {self._config.max_blob_bytes}",
                    remedy="raise max_blob_bytes, or lower max_block_bytes of the sequencer",
                )
            last = first + (last - first) // 2
        if not await self._chain.is_canonical(last, tail.hash) or not await self._chain.is_canonical(parent.number, parent.hash):
            return None  # the chain went back while these blocks were encoded
        record = BatchRecord(
            self._next_number, first, last, parent.hash, tail.hash, tail.inbox_end, sha256(data), BatchState.ENCODED
        )
        await in_thread(self._put, record, data)
        self._next_number += 1
        self._published.records.append(record)
        self._oldest_since = None
        self._m_raw.inc(raw)
        self._m_blob.inc(len(data))
        self._crash_point("encoded")
        return record

    async def publish(self, record: BatchRecord) -> None:
        """From encoded (or submitting, after a crash) to published, or ready to be; a displaced one to a new place."""
        again = record.from_height > 0 and record.state is not BatchState.SUBMITTING
        try:
            size = len(await _InHand(self, record).data())
            changes = await self._publishing.publish(_InHand(self, record))
            record = await self._update(record.number, **changes)
        except Superseded:
            self._log.info("a batch was superseded while it was published", first=record.first, last=record.last)
            return
        if record.state is BatchState.PUBLISHED:
            self._m_batches.inc()
            height = record.placement.height if record.placement else 0
            self._log.info("batch published", first=record.first, last=record.last, height=height)
        self._on_published(record.first, record.first - 1 if again else record.last, size)
        self._crash_point(record.state.value)
        await self._tell_safe()
        self._changed.set()

    # --- fixing -------------------------------------------------------------------------------------------------------

    async def _fix_all(self) -> None:
        while True:
            self._changed.clear()
            if not await self.fix_next():
                try:
                    # With nothing in flight what is to be seen is others' doing: an append after the timeout, a reorganisation.
                    pause = self._config.poll_s if self._published.records else self._config.idle_s
                    async with asyncio.timeout(self._config.unpaid_s if self.unpaid else pause):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def fix_next(self) -> bool:
        """Takes what the layers below hold, then has the oldest published batch fixed. False when there was none."""
        await self._follower.catch_up()
        await self.prune()
        record = self._published.records[0] if self._published.records else None
        if record is None or record.state not in (BatchState.READY, BatchState.PUBLISHED) or not self._publishing.fixes:
            return False
        if self._published.displaced() is not None:
            return False  # who takes over from an empty store would begin behind it
        position = self._follower.position
        if (record.first, record.parent_hash) != (position.number + 1, position.state):
            return False  # its turn has not come
        try:
            await self._publishing.fix(_InHand(self, record), position.index)
        except Superseded:
            return True  # the follower has met it, or dropped its blocks, meanwhile
        except Underpaid as error:
            self._note_unpaid(record, error)
            return False
        except TooOld as error:
            await self._forget_place(record, str(error))
            return False
        if record.state is BatchState.READY:
            self._m_batches.inc()
            self._note_paid(record)
        self._crash_point("fixed")
        await self._follower.catch_up()
        self._crash_point("followed")
        if self._follower.position.index == position.index:
            raise Unavailable(f"settlement took batch {position.index} but does not show it yet")
        await self.prune()
        return True

    async def _forget_place(self, record: BatchRecord, why: str) -> None:
        height = record.placement.height if record.placement else 0
        self._log.warning("a batch must be published again", first=record.first, last=record.last, height=height, why=why)
        with suppress(Superseded):
            await self._update(record.number, state=BatchState.ENCODED, placement=None)
        self._crash_point("forgotten")
        await self._tell_safe()  # and with that tells the publishing side

    async def prune(self) -> None:
        """Lets go of batches that are fixed, and of those whose blocks are no longer on the chain."""
        kept: list[BatchRecord] = []
        gone: list[BatchRecord] = []
        agreed = self._follower.position
        for record in self._published.records:
            parent = kept[-1].last_hash if kept else agreed.state
            fits = record.parent_hash == parent and await self._chain.is_canonical(record.last, record.last_hash)
            (kept if fits else gone).append(record)
        if not gone:
            return
        for record in gone:
            if record.last > agreed.number:
                self._log.warning(
                    "a batch no longer fits the chain", first=record.first, last=record.last, state=record.state.value
                )
        self._published.records = [r for r in self._published.records if r not in gone]
        await in_thread(self._delete, gone)
        await self._tell_safe()

    async def _adopt(self, record: BatchRecord, data: bytes) -> None:
        """A batch that lies on the DA layer already, its blocks on the chain."""
        await self.prune()  # own batches that would have been published in its place
        if any(known.last_hash == record.last_hash for known in self._published.records):
            return  # one of them: it finds itself on the DA layer
        taken = [known for known in self._published.records if known.first >= record.first]
        self._published.records = [known for known in self._published.records if known not in taken]
        await in_thread(self._delete, taken)
        record = replace(record, number=self._next_number)
        await in_thread(self._put, record, data)
        self._next_number += 1
        self._published.records.append(record)
        self._oldest_since = None
        await self._tell_safe()

    # --- records ------------------------------------------------------------------------------------------------------

    async def _tell_safe(self) -> None:
        safe = self._follower.position.number
        for record in self._published.records:
            if record.state is not BatchState.PUBLISHED:
                break
            safe = max(safe, record.last)
        await self._chain.set_heads(safe=safe)

    async def _wait(self, version: int) -> None:
        """Until the chain changes or the oldest block has waited long enough."""
        limit = None
        if self._oldest_since is not None:
            limit = max(0.0, self._oldest_since + self._config.interval - self._clock())
            if len(self._published.records) >= self._config.max_in_flight:
                limit = self._config.poll_s
        try:
            async with asyncio.timeout(limit):
                await self._chain.wait_change(version)
        except TimeoutError:
            return

    async def _update(self, number: int, **changes: Any) -> BatchRecord:
        """Changes a record of a batch in flight, on disk first. Raises `Superseded` if it is in flight no more."""
        record = next((r for r in self._published.records if r.number == number), None)
        if record is None:
            raise Superseded
        changed = replace(record, **changes)
        await in_thread(self._put, changed, None)
        self._published.records = [changed if r.number == number else r for r in self._published.records]
        return changed

    def _put(self, record: BatchRecord, data: bytes | None) -> None:
        with self._store.write() as txn:
            txn.put("batches", height_key(record.number), pack_record(record))
            if data is not None:
                txn.put("blobs", height_key(record.number), data)

    def _delete(self, records: list[BatchRecord]) -> None:
        with self._store.write() as txn:
            for record in records:
                txn.delete("batches", height_key(record.number))
                txn.delete("blobs", height_key(record.number))


class _InHand:
    """A `BatchInHand` of this batcher."""

    def __init__(self, batcher: Batcher, record: BatchRecord) -> None:
        self._batcher = batcher
        self.record = record

    async def data(self) -> bytes:
        data = await in_thread(self._batcher._store.get, "blobs", height_key(self.record.number))
        if data is None:
            raise NotFound(f"batch {self.record.number} has lost its bytes")
        return data

    async def keep(self, **changes: Any) -> None:
        self.record = await self._batcher._update(self.record.number, **changes)

    def crash_point(self, step: str) -> None:
        self._batcher._crash_point(step)
