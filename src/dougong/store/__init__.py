"""Durable storage on LMDB, with the family's errors.

    store = Store(path, tables=("blocks", "meta"))
    with store.write() as txn:                      # durable when the block ends
        txn.put("blocks", key, value)
    value = store.get("blocks", key)

One process and one `Store` per path. A write transaction is all or nothing, also across kill -9. Never open an environment
that the Rust core has open.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from dougong.errors import StoreCorrupt, StoreError, StoreFull

__all__ = ["Store", "Transaction", "height_key"]

DEFAULT_MAP_BYTES = 64 << 30  # address space, not disk: the file grows as it is written


def height_key(height: int) -> bytes:
    """A key that sorts as the number does."""
    return struct.pack(">Q", height)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise StoreFull(f"the store {path} is full: {error}", remedy="free disk space and start again") from error
    except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError) as error:
        raise StoreCorrupt(
            f"the store {path} is corrupt: {error}", remedy="restore it, or remove the folder and rebuild from the layers below"
        ) from error
    except lmdb.LockError as error:
        raise StoreError(f"the store {path} is locked: {error}", remedy="stop the other process that uses it") from error
    except lmdb.Error as error:
        text = str(error)
        if "No space left" in text or "Disk quota" in text:
            raise StoreFull(f"the store {path} is full: {text}", remedy="free disk space and start again") from error
        raise StoreError(f"the store {path} failed: {text}") from error


class Transaction:
    """A write transaction; reads see its own writes."""

    def __init__(self, txn: lmdb.Transaction, tables: dict[str, lmdb._Database]) -> None:
        self._txn = txn
        self._tables = tables

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._txn.put(key, value, db=self._tables[table])

    def put_all(self, table: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        """As `put` for each, in one call."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            cursor.putmulti(items)

    def delete(self, table: str, key: bytes) -> None:
        self._txn.delete(key, db=self._tables[table])

    def get(self, table: str, key: bytes) -> bytes | None:
        value = self._txn.get(key, db=self._tables[table])
        return None if value is None else bytes(value)


class Store:
    """Named tables of byte keys and values in one LMDB environment."""

    def __init__(self, path: Path, tables: tuple[str, ...], map_bytes: int = DEFAULT_MAP_BYTES) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the store {path} cannot be made: {error.strerror}", remedy="check the path and its rights"
            ) from error
        with _translated(path):
            self._env = lmdb.open(str(path), map_size=map_bytes, max_dbs=len(tables), subdir=True, max_readers=512)
            try:
                self._make_whole()
                self._tables: dict[str, lmdb._Database] = {name: self._env.open_db(name.encode()) for name in tables}
            except BaseException:
                self._env.close()
                raise

    def _make_whole(self) -> None:
        """What a cut-off file has lost is made zeros: reading it is then an error of this store, and not the end of the process,
        which is what a page beyond the file's end comes to. (A whole file may be shorter too, by pages that nothing uses.)"""
        wanted = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        file = self.path / "data.mdb"
        if file.stat().st_size < wanted:
            os.truncate(file, wanted)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with _translated(self.path), self._env.begin(write=True) as txn:
            yield Transaction(txn, self._tables)

    def get(self, table: str, key: bytes) -> bytes | None:
        with _translated(self.path), self._env.begin() as txn:
            value = txn.get(key, db=self._tables[table])
            return None if value is None else bytes(value)

    def items(
        self, table: str, start: bytes = b"", *, reverse: bool = False, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Entries from `start` on in key order; with `reverse`, from the last one down."""
        found: list[tuple[bytes, bytes]] = []
        with _translated(self.path), self._env.begin() as txn, txn.cursor(db=self._tables[table]) as cursor:
            present = cursor.last() if reverse else (cursor.set_range(start) if start else cursor.first())
            if present:
                walk = cursor.iterprev() if reverse else cursor.iternext()
                for key, value in walk:
                    if limit is not None and len(found) >= limit:
                        break
                    found.append((bytes(key), bytes(value)))
        return found

    def close(self) -> None:
        self._env.close()
