"""What a rollup's sequencer has published and settlement has not fixed yet: batches that lie in final DA blocks all the same.

    ahead = PublishedAhead(chain, follower, published, da, contract, rollup_id=1, namespace=namespace, signer=signer)
    await ahead.catch_up(keep)                      # after `follower.catch_up()`

A sequencer on an empty store, or one that comes back to a chain that went on without it, begins here: what was published is
never published otherwise. A full node takes its *published* head from here. In this order:

1. from the DA block of the last fixed batch on, every blob of the namespace that the sequencer's account signed;
2. if it is a batch on the last block known by now (another parent: it was published twice, or lost a race), derive it, with the
   inbox messages that it consumes. Soft blocks that say something else are given back first (`give_back`, durable);
3. hand its record on (`keep`).

What is derived here can still be superseded by what settlement fixes; the `Follower` sees to that. Who could lead it astray: only
the sequencer's own key. Two sequencers with one key agree on the order of the DA layer, as the nodes of a sovereign rollup do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from dougong._native import HeaderInfo, decode_batch
from dougong.crypto.hashing import sha256
from dougong.errors import Pruned
from dougong.services.records import pack, unpack
from dougong.services.rollup.batches import BatchRecord, BatchState, PublishedBlocks
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.derivation import fold_messages, signed_batches
from dougong.services.rollup.follower import Follower
from dougong.services.threads import in_thread
from dougong.store import Store
from dougong.types import InboxMessage, Namespace, NamespaceData, PlacedBlob

__all__ = ["Keep", "Messages", "Namespaces", "PublishedAhead"]

SAVE_EVERY = 256  # heights
_LOOKED = b"looked"
Keep = Callable[[BatchRecord, bytes], Awaitable[None]]


class Messages(Protocol):
    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]:
        """As `Settlement.messages`."""
        ...


class Namespaces(Protocol):
    """The part of a DA layer that tells what a namespace holds."""

    async def latest(self) -> int:
        """As `DataAvailability.latest`."""
        ...

    async def blobs(self, height: int, namespace: Namespace) -> NamespaceData:
        """As `DataAvailability.blobs`."""
        ...


class _Later(Exception):
    """The settlement node does not show yet what a batch consumes."""


class PublishedAhead:
    """Of one rollup that settles. (A sovereign one's batches are fixed where they are published.)"""

    def __init__(
        self,
        chain: RollupChain,
        follower: Follower,
        published: PublishedBlocks,
        da: Namespaces,
        contract: Messages,
        *,
        rollup_id: int,
        namespace: Namespace,
        signer: bytes,
        first_height: int = 1,
        give_back: Callable[[Sequence[bytes]], Awaitable[None]] | None = None,
        store: Store | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`signer` (20 bytes) is the account that publishes; `give_back` gets the transactions of soft blocks that have to go.
        `store` (with `FOLLOWER_TABLES`) remembers how far a long quiet time was looked through."""
        self._chain = chain
        self._follower = follower
        self._published = published
        self._da = da
        self._contract = contract
        self._rollup_id = rollup_id
        self._namespace = namespace
        self._signer = signer
        self._first_height = first_height
        self._give_back = give_back
        self._store = store
        self._log = log or structlog.get_logger()
        self._scanned = self._saved = 0
        self._tip = b""

    async def catch_up(self, keep: Keep) -> int:
        """Derives and hands on every batch that is published by now; returns how many there were."""
        found = 0
        tip = await self._last_known()
        if tip.hash != self._tip:  # not where the last look ended: settlement has fixed something else, or it is the first look
            first = max(self._first_height, self._follower.position.da_height)
            self._scanned = self._saved = max(first - 1, await self._remembered(tip))
        latest = await self._da.latest()
        with suppress(_Later):
            while self._scanned < latest:
                blobs: tuple[PlacedBlob, ...] = ()
                with suppress(Pruned):
                    blobs = signed_batches(await self._da.blobs(self._scanned + 1, self._namespace), self._signer)
                for placed in blobs:
                    following = await self._take(placed, tip, keep)
                    if following is not None:
                        tip, found = following, found + 1
                self._scanned += 1
        self._tip = tip.hash
        if self._store is not None and self._scanned - self._saved >= SAVE_EVERY:
            await in_thread(self._remember, pack({"tip": tip.hash, "height": self._scanned}))
            self._saved = self._scanned
        return found

    async def _remembered(self, tip: HeaderInfo) -> int:
        raw = None if self._store is None else await in_thread(self._store.get, "follower", _LOOKED)
        record = {} if raw is None else unpack(raw)
        return int(record["height"]) if record.get("tip") == tip.hash.hex() else 0

    def _remember(self, record: bytes) -> None:
        if self._store is not None:
            with self._store.write() as txn:
                txn.put("follower", _LOOKED, record)

    async def _last_known(self) -> HeaderInfo:
        """The last block of what is fixed or known to be published, in one line."""
        tip = await self._chain.header(self._follower.position.number)
        for record in self._published.records:
            follows = (record.first, record.parent_hash) == (tip.number + 1, tip.hash)
            if not follows or record.state is not BatchState.PUBLISHED:
                break
            if not await self._chain.is_canonical(record.last, record.last_hash):
                break
            tip = await self._chain.header(record.last)
        return tip

    async def _take(self, placed: PlacedBlob, tip: HeaderInfo, keep: Keep) -> HeaderInfo | None:
        data = placed.blob.data
        batch = await in_thread(decode_batch, data, tip.gas_limit)
        if batch is None or batch[0] != tip.hash or not batch[1]:
            return None
        blocks = batch[1]
        inbox_end = blocks[-1][1]
        if inbox_end < tip.inbox_end:
            return None
        messages = await self._messages(tip.inbox_end, inbox_end)
        accumulator = self._published.inbox_accumulator(tip.inbox_end)
        if accumulator is not None:
            await in_thread(self._published.set_inbox, inbox_end, fold_messages(accumulator, messages))
        head = await self._chain.already(tip, blocks)
        if head is None:
            if self._chain.latest.number > tip.number:
                self._log.warning("soft blocks are not what was published", agreed=tip.number, height=placed.placement.height)
            # Its blocks' own times: settlement will give it a time of its own, which changes none that is not far ahead of it.
            time = max(block[0] for block in blocks)
            headers = await self._chain.apply(tip.number, data, time, inbox_end, messages, give_back=self._give_back)
            if len(headers) != len(blocks) or headers[-1].inbox_end != inbox_end:
                await self._chain.rollback(tip.number)  # nothing that an honest sequencer makes
                return None
            head = headers[-1]
        record = BatchRecord(
            0,
            tip.number + 1,
            head.number,
            tip.hash,
            head.hash,
            inbox_end,
            sha256(data),
            BatchState.PUBLISHED,
            placement=placed.placement,
        )
        self._log.info("a published batch was taken up", first=record.first, last=record.last, height=placed.placement.height)
        await keep(record, data)
        return head

    async def _messages(self, start: int, end: int) -> Sequence[InboxMessage]:
        if start == end:
            return ()
        found = (await self._contract.messages(self._rollup_id, start))[: end - start]
        if len(found) < end - start:
            raise _Later
        return found
