"""What the sequencer has given its word for and no durable block holds yet.

    journal = await Journal.open(path)
    await journal.add(tx_hash, raw)                 # durable when it returns; concurrent calls share one disk write
    journal.forget([tx_hash])                       # a durable block holds it now
    waiting = await journal.waiting()               # after a restart, in the order of arrival

A forgotten transaction may come back after a kill -9 (forgetting is written with the next group); the chain's nonces tell. The
accumulator over the inbox as this sequencer consumed it is kept here too, written before the block that consumes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from dougong.crypto.hashing import keccak256
from dougong.errors import StoreCorrupt
from dougong.services.threads import in_thread
from dougong.settlement.encoding import extend_inbox_accumulator
from dougong.store import Store, height_key
from dougong.types import ZERO_HASH, InboxMessage

__all__ = ["Journal"]

_Change = tuple[int, bytes | None]


class Journal:
    """One writer at a time; used from the event loop."""

    def __init__(self, store: Store, next_number: int) -> None:
        self._store = store
        self._next = next_number
        self._number_of: dict[bytes, int] = {}
        self._changes: list[_Change] = []
        self._overdue: list[_Change] = []  # to forget, left over from a write that failed: goes with the next one
        self._waiters: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, map_bytes: int | None = None) -> Journal:
        def make() -> tuple[Store, int]:
            tables = ("transactions", "inbox")
            store = Store(path, tables) if map_bytes is None else Store(path, tables, map_bytes)
            last = store.items("transactions", reverse=True, limit=1)
            return store, int.from_bytes(last[0][0]) + 1 if last else 0

        return cls(*await in_thread(make))

    async def waiting(self) -> list[bytes]:
        """Every transaction that is not forgotten, in order of arrival."""
        await self.flush()
        entries = await in_thread(self._store.items, "transactions")
        self._number_of = {keccak256(raw): int.from_bytes(key) for key, raw in entries}
        return [raw for _, raw in entries]

    async def add(self, tx_hash: bytes, raw: bytes) -> None:
        """Returns once the transaction is on the disk. Raises `StoreFull` and the store's other errors: then it is not."""
        await self.add_all([(tx_hash, raw)])

    async def add_all(self, txs: Sequence[tuple[bytes, bytes]]) -> None:
        """As `add`; all of them or none. One that is already here stays where it is."""
        txs = [tx for tx in txs if tx[0] not in self._number_of]
        for number, (tx_hash, raw) in enumerate(txs, self._next):
            self._number_of[tx_hash] = number
            self._changes.append((number, raw))
        self._next += len(txs)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake()
        try:
            await asyncio.shield(waiter)
        except asyncio.CancelledError:
            raise
        except BaseException:
            for tx_hash, _ in txs:
                self._number_of.pop(tx_hash, None)
            raise

    def forget(self, hashes: Iterable[bytes]) -> None:
        """Takes them out with the next write; does not wait for it."""
        numbers = [self._number_of.pop(tx_hash, None) for tx_hash in hashes]
        self._changes.extend((number, None) for number in numbers if number is not None)
        if self._changes:
            self._wake()

    async def flush(self) -> None:
        """Returns once everything that was asked for is on the disk."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    def note_inbox(self, start: int, messages: Sequence[InboxMessage]) -> None:
        """Writes the accumulators after each of `messages` (from index `start` on). Blocking: for a thread, before the block that
        consumes them is durable."""
        accumulator = self.inbox_accumulator(start)
        if accumulator is None:
            raise StoreCorrupt(
                f"the journal does not know the inbox up to message {start}",
                remedy="remove the sequencer's folder; it rebuilds from the settlement chain",
            )
        with self._store.write() as txn:
            for message in messages:
                accumulator = extend_inbox_accumulator(accumulator, message)
                txn.put("inbox", height_key(message.index + 1), accumulator)

    def set_inbox(self, index: int, accumulator: bytes) -> None:
        """As `note_inbox`, for a position that was derived rather than consumed. Blocking."""
        with self._store.write() as txn:
            txn.put("inbox", height_key(index), accumulator)

    def inbox_accumulator(self, index: int) -> bytes | None:
        return ZERO_HASH if index == 0 else self._store.get("inbox", height_key(index))

    def close(self) -> None:
        self._store.close()

    def _wake(self) -> None:
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_groups())

    async def _write_groups(self) -> None:
        try:
            while self._changes or self._waiters:
                changes, self._changes, self._overdue = self._overdue + self._changes, [], []
                waiters, self._waiters = self._waiters, []
                try:
                    await in_thread(self._write, changes)
                except Exception as error:
                    self._overdue += [change for change in changes if change[1] is None]
                    for waiter in waiters:
                        if not waiter.done():
                            waiter.set_exception(error)
                            waiter.exception()  # a submitter that went away leaves no unread error behind
                    continue
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)
        finally:
            self._writer = None

    def _write(self, changes: Sequence[_Change]) -> None:
        with self._store.write() as txn:
            # A number that is taken out never comes back: what is new goes first.
            txn.put_all("transactions", [(height_key(number), raw) for number, raw in changes if raw is not None])
            for number, raw in changes:
                if raw is None:
                    txn.delete("transactions", height_key(number))
