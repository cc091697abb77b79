"""Publishes a rollup's blocks, and has what was published fixed on settlement.

    batcher = await Batcher.open(chain, da, store, config, fix=SettledFix(...))
    await batcher.run()

A batch's life; every step is durable before the next one begins, and a crash at any point resumes from the last durable one:

1. *encoded*: closed blocks first..last became bytes (`Evm.encode_batch`), and their hashes were written down;
2. *submitting*: the DA height from which the blob has to be looked for was written down, then it was sent;
3. *published*: it lies in a final DA block, was read back with its proof, and is byte for byte what was sent;
4. *fixed*: settlement has appended it behind an attested data root (a sovereign rollup: its own DA block has fixed it). What
   is fixed is never taken from this store but from the `Follower`, that is from the layers below.

So nothing is lost: a record only leaves when its blocks are fixed or are no longer on the chain. And nothing is appended
twice: before appending, the follower has taken everything that settlement holds, the batch must continue it, and the append
names the index that it must get. If someone else appended first (after the sequencer's timeout) the follower has dropped the
soft blocks, and with them goes the record; their transactions become new blocks.

A blob that is sent twice (its outcome was unknown) does no harm: a settled rollup's contract refers to one of the two, and to
a sovereign rollup the second one counts as empty, because its parent is no longer the head.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter

from dougong._native import HeaderInfo
from dougong.crypto.hashing import sha256
from dougong.errors import ConfigError, Divergence, NotFound, Unavailable
from dougong.interfaces import DataAvailability
from dougong.services.chain import RollupChain
from dougong.services.follower import Follower, OwnBatch
from dougong.services.records import pack, pack_placement, unpack, unpack_placement
from dougong.services.threads import in_thread
from dougong.store import Store, height_key
from dougong.types import Blob, Namespace, Placement

__all__ = ["BATCHER_TABLES", "BatchRecord", "BatchState", "Batcher", "BatcherConfig", "Fix", "PublishedBlocks"]

BATCHER_TABLES = ("batches", "blobs")
MAX_CONTENT_BYTES = 16 << 20  # docs/spec/derivation.md, "Batch"
MAX_BLOCKS = 4_096  # of `Evm.encode_batch`


@dataclass(frozen=True, slots=True)
class BatcherConfig:
    """`signer` (20 bytes) is the account that the DA layer's transactions are signed by. A batch closes when its oldest block has
    waited `interval` seconds or its transactions are `target_bytes`; its blob is never above `max_blob_bytes`. `level` is
    zstd's."""

    namespace: Namespace
    signer: bytes
    interval: float = 2.0
    target_bytes: int = 2 << 20
    max_blob_bytes: int = 1_500_000
    level: int = 9
    max_in_flight: int = 8
    poll_s: float = 0.25


class BatchState(Enum):
    ENCODED = "encoded"
    SUBMITTING = "submitting"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch on its way. `number` counts them; hashes are of block `first` - 1 and block `last`."""

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


class Fix(Protocol):
    """Has a published batch fixed by the layer that fixes batches."""

    async def fix(self, record: BatchRecord, index: int) -> None:
        """Returns once batch `index` of the rollup is this one. Raises `Rejected` if settlement refuses, `Unavailable` when the
        outcome is unknown: the follower tells."""
        ...


class PublishedBlocks:
    """The batches in flight, in order; what the follower asks about them (`OwnBlocks`, with the journal's word on the inbox)."""

    def __init__(self, inbox_accumulator: Callable[[int], bytes | None], set_inbox: Callable[[int, bytes], None]) -> None:
        self.records: list[BatchRecord] = []
        self.inbox_accumulator = inbox_accumulator
        self.set_inbox = set_inbox

    def batch_at(self, placement: Placement, agreed: HeaderInfo) -> OwnBatch | None:
        return self._find(agreed, lambda record: record.state is BatchState.PUBLISHED and record.placement == placement)

    def batch_of(self, data_hash: bytes, agreed: HeaderInfo) -> OwnBatch | None:
        return self._find(agreed, lambda record: record.data_hash == data_hash)

    def _find(self, agreed: HeaderInfo, fits: Callable[[BatchRecord], bool]) -> OwnBatch | None:
        for record in self.records:
            if (record.first, record.parent_hash) == (agreed.number + 1, agreed.hash) and fits(record):
                return OwnBatch(record.last, record.last_hash)
        return None


class Batcher:
    """One per rollup. `run` resumes, then publishes and fixes until cancelled; any error in it is mended by running it again."""

    def __init__(
        self,
        chain: RollupChain,
        da: DataAvailability,
        follower: Follower,
        published: PublishedBlocks,
        store: Store,
        config: BatcherConfig,
        *,
        fix: Fix | None,
        name: str = "",
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
        crash_point: Callable[[str], None] = lambda step: None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`fix` None: a sovereign rollup. `crash_point` is called with a step's name between durable steps (for tests)."""
        if len(config.signer) != 20:
            raise ConfigError(f"a blob's signer is 20 bytes, not {len(config.signer)}")
        self._chain = chain
        self._da = da
        self._follower = follower
        self._published = published
        self._store = store
        self._config = config
        self._fix = fix
        self._clock = clock
        self._crash_point = crash_point
        self._log = (log or structlog.get_logger()).bind(rollup=name)
        self._next_number = 0
        self._oldest_since: float | None = None
        self._changed = asyncio.Event()
        labels = ("rollup",)
        registry = registry or CollectorRegistry()
        self._m_batches = Counter("dougong_batches", "Batches published", labels, registry=registry).labels(name)
        self._m_raw = Counter("dougong_batch_raw_bytes", "Transaction bytes published", labels, registry=registry).labels(name)
        self._m_blob = Counter("dougong_batch_blob_bytes", "Blob bytes published", labels, registry=registry).labels(name)

    async def run(self) -> None:
        await self.load()
        await self._follower.catch_up()
        await self.prune()
        await self._chain.measure()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_all())
            group.create_task(self._fix_all())

    async def load(self) -> None:
        """Reads the records of batches in flight: before the follower's first step, which asks for them."""
        entries = await in_thread(self._store.items, "batches")
        self._published.records = [_unpack_record(unpack(raw)) for _, raw in entries]
        self._next_number = self._published.records[-1].number + 1 if self._published.records else 0
        await self._tell_safe()

    # --- publishing ---------------------------------------------------------------------------------------------------

    async def _publish_all(self) -> None:
        while True:
            version = self._chain.version
            record = next((r for r in self._published.records if r.state is not BatchState.PUBLISHED), None)
            if record is None:
                record = await self.close_batch()
            if record is not None:
                await self.publish(record)
            else:
                await self._wait(version)

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
        while last < head and raw < self._config.target_bytes and last + 1 - first < MAX_BLOCKS:
            following = await self._chain.block_bytes(last + 1)
            if raw + following > MAX_CONTENT_BYTES // 2:
                break
            last, raw = last + 1, raw + following
        full = raw >= self._config.target_bytes
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
        """From encoded (or submitting, after a crash) to published."""
        data = await in_thread(self._store.get, "blobs", height_key(record.number))
        if data is None:
            raise NotFound(f"batch {record.number} has lost its bytes")
        placement = None
        if record.state is BatchState.SUBMITTING:
            placement = await self._look_for(data, record.from_height)
        else:
            record = await self._update(record, state=BatchState.SUBMITTING, from_height=await self._da.latest() + 1)
            self._crash_point("submitting")
        if placement is None:
            blob = Blob(self._config.namespace, data, share_version=1, signer=self._config.signer)
            placement = await self._da.submit(blob)
        self._crash_point("submitted")
        await self._read_back(placement, data)
        if record not in self._published.records:
            self._log.info("a published batch was superseded", first=record.first, last=record.last)
            return
        await self._update(record, state=BatchState.PUBLISHED, placement=placement)
        self._m_batches.inc()
        self._log.info("batch published", first=record.first, last=record.last, bytes=len(data), height=placement.height)
        self._crash_point("published")
        await self._tell_safe()
        self._changed.set()

    async def _look_for(self, data: bytes, from_height: int) -> Placement | None:
        """A blob of ours with these bytes, published since `from_height`."""
        for height in range(max(1, from_height), await self._da.latest() + 1):
            for placed in (await self._da.blobs(height, self._config.namespace)).blobs:
                if placed.blob.data == data and placed.blob.signer == self._config.signer:
                    return placed.placement
        return None

    async def _read_back(self, placement: Placement, data: bytes) -> None:
        found = await self._da.blob(placement, self._config.namespace)
        if found is None or found.data != data:
            raise Divergence(
                f"the DA layer says that the batch lies at share {placement.start_share} of height {placement.height}, "
                "but other bytes lie there",
                remedy="check the DA layer's node",
            )

    # --- fixing -------------------------------------------------------------------------------------------------------

    async def _fix_all(self) -> None:
        while True:
            self._changed.clear()
            if not await self.fix_next():
                try:
                    await asyncio.wait_for(self._changed.wait(), self._config.poll_s)
                except TimeoutError:
                    continue

    async def fix_next(self) -> bool:
        """Takes what the layers below hold, then has the oldest published batch fixed. False when there was none."""
        await self._follower.catch_up()
        await self.prune()
        record = self._published.records[0] if self._published.records else None
        if record is None or record.state is not BatchState.PUBLISHED or self._fix is None:
            return False
        position = self._follower.position
        if (record.first, record.parent_hash) != (position.number + 1, position.state):
            return False  # its turn has not come
        await self._fix.fix(record, position.index)
        self._crash_point("fixed")
        await self._follower.catch_up()
        self._crash_point("followed")
        if self._follower.position.index == position.index:
            raise Unavailable(f"settlement took batch {position.index} but does not show it yet")
        await self.prune()
        return True

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
            await asyncio.wait_for(self._chain.wait_change(version), limit)
        except TimeoutError:
            return

    async def _update(self, record: BatchRecord, **changes: Any) -> BatchRecord:
        changed = replace(record, **changes)
        await in_thread(self._put, changed, None)
        self._published.records = [changed if r is record else r for r in self._published.records]
        return changed

    def _put(self, record: BatchRecord, data: bytes | None) -> None:
        with self._store.write() as txn:
            txn.put("batches", height_key(record.number), _pack_record(record))
            if data is not None:
                txn.put("blobs", height_key(record.number), data)

    def _delete(self, records: list[BatchRecord]) -> None:
        with self._store.write() as txn:
            for record in records:
                txn.delete("batches", height_key(record.number))
                txn.delete("blobs", height_key(record.number))


def _pack_record(record: BatchRecord) -> bytes:
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
        }
    )


def _unpack_record(record: dict[str, Any]) -> BatchRecord:
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
    )
