"""A first-in-first-out mempool whose accepted transactions survive kill -9.

    mempool = Mempool(store, writer, limits)
    await mempool.add(tx)                   # returns once the transaction is on the disk
    txs = mempool.reap(max_bytes)

Every accepted transaction is in the journal before `add` returns. Additions that arrive while a write is under way share the next
one (group commit), so many concurrent callers pay for one sync. A transaction is offered to blocks only once it is durable:
otherwise a late journal entry could outlive its own block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

from dougong.consensus.block import tx_hash, tx_weight
from dougong.errors import InvalidTransaction, Rejected
from dougong.store import Store, height_key

TABLE = "mempool"


@dataclass(frozen=True, slots=True)
class MempoolLimits:
    """How much may wait. `tx_bytes` bounds one transaction, the others all of them together."""

    txs: int = 50_000
    bytes: int = 256 << 20
    tx_bytes: int = 16 << 20


class Mempool:
    """Waiting transactions by hash, in the order of their arrival."""

    def __init__(self, store: Store, writer: Executor, limits: MempoolLimits) -> None:
        """Loads the journal. `writer` is the one thread that writes to `store`."""
        self._store = store
        self._writer = writer
        self._limits = limits
        self._waiting: dict[bytes, tuple[bytes, bytes]] = {}  # hash -> (journal key, transaction)
        self._pending: dict[bytes, tuple[bytes, asyncio.Future[None]]] = {}
        self._flush: asyncio.Task[None] | None = None
        self._next = 0
        self._bytes = 0
        self._added_txs = self._added_bytes = 0  # since the last recheck
        self.filled = asyncio.Event()
        for key, tx in store.items(TABLE):
            self._keep(tx_hash(tx), key, tx)
            self._bytes += len(tx)
            self._next = int.from_bytes(key) + 1

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._waiting

    def check_room(self, tx: bytes) -> None:
        """Raises `InvalidTransaction` for one that is too large (or empty), `Rejected` when there is no room now."""
        limits = self._limits
        if not 0 < len(tx) <= limits.tx_bytes:
            raise InvalidTransaction(f"a transaction is 1 to {limits.tx_bytes} bytes, not {len(tx)}")
        if len(self._waiting) + len(self._pending) >= limits.txs or self._bytes + len(tx) > limits.bytes:
            raise Rejected(
                f"the mempool is full: {len(self)} transactions, {self._bytes} bytes",
                remedy="send it again after the next blocks",
            )

    @property
    def is_worth_a_recheck(self) -> bool:
        """Whether so much came since the last one that another one may make room, and cannot be asked for often."""
        return 4 * self._added_txs >= self._limits.txs or 4 * self._added_bytes >= self._limits.bytes

    def begin_recheck(self) -> list[bytes]:
        """What to ask the application about."""
        self._added_txs = self._added_bytes = 0
        return [tx for _, tx in self._waiting.values()]

    async def add(self, tx: bytes) -> None:
        """Returns once the transaction is durable; one that is there already costs nothing. Raises as `check_room`, or the
        store's error when it could not be kept (then it was not)."""
        digest = tx_hash(tx)
        if digest in self._waiting:
            return
        if digest not in self._pending:
            self.check_room(tx)
            self._pending[digest] = (tx, asyncio.get_running_loop().create_future())
            self._bytes += len(tx)
            self._added_txs += 1
            self._added_bytes += len(tx)
        future = self._pending[digest][1]
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._write_pending())
        # A caller that gives up must not take the others' answer with it.
        await asyncio.shield(future)

    async def _write_pending(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch = {
                digest: (height_key(self._next + offset), *entry) for offset, (digest, entry) in enumerate(self._pending.items())
            }
            self._next += len(batch)
            error: BaseException | None = None
            try:
                await loop.run_in_executor(self._writer, self._write, [(key, tx) for key, tx, _ in batch.values()])
            except (Exception, asyncio.CancelledError) as caught:
                error = caught
            for digest, (key, tx, future) in batch.items():
                del self._pending[digest]
                if error is None:
                    self._keep(digest, key, tx)
                else:
                    self._bytes -= len(tx)
                if not future.done():
                    if error is None:
                        future.set_result(None)
                    else:
                        future.set_exception(error)
                        future.exception()  # its caller may be gone

    def _write(self, entries: list[tuple[bytes, bytes]]) -> None:
        with self._store.write() as txn:
            for key, tx in entries:
                txn.put(TABLE, key, tx)

    def _keep(self, digest: bytes, key: bytes, tx: bytes) -> None:
        self._waiting[digest] = (key, tx)
        self.filled.set()

    def reap(self, max_bytes: int) -> tuple[bytes, ...]:
        """The oldest transactions that fit; one that does not is passed over, so that it cannot block those behind it."""
        chosen, left = [], max_bytes
        for _, tx in self._waiting.values():
            if tx_weight(tx) <= left:
                left -= tx_weight(tx)
                chosen.append(tx)
        return tuple(chosen)

    def keys_of(self, digests: Iterable[bytes]) -> list[bytes]:
        """The journal keys of those that wait here."""
        return [self._waiting[digest][0] for digest in digests if digest in self._waiting]

    def forget(self, digests: Iterable[bytes]) -> None:
        """Drops transactions whose journal entries are deleted (or which a restart would drop again)."""
        for digest in digests:
            entry = self._waiting.pop(digest, None)
            if entry is not None:
                self._bytes -= len(entry[1])
        if not self._waiting:
            self.filled.clear()

    async def discard(self, txs: Iterable[bytes]) -> None:
        """Drops transactions that became invalid, from the journal too."""
        digests = [tx_hash(tx) for tx in txs]
        keys = self.keys_of(digests)
        if keys:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._delete, keys)
        self.forget(digests)

    def _delete(self, keys: list[bytes]) -> None:
        with self._store.write() as txn:
            for key in keys:
                txn.delete(TABLE, key)

    async def close(self) -> None:
        """Waits for the write under way."""
        while self._flush is not None and not self._flush.done():
            await asyncio.wait({self._flush})
