"""Blocks, commits, results and the last signature of one chain, durable.

A height goes through two transactions: `decide` (block, commit, what was signed, and the included transactions leave the mempool
journal: all or nothing) and `finish` (the application's results). So after a kill -9 the results are at most one height behind
the blocks, and a block that was signed is a block that is stored.

Pruning takes the transactions and results of a chain's oldest heights away; headers and commits stay, so that a light client
still follows the chain from its genesis document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dougong.codec.protobuf import Reader, Writer
from dougong.consensus.block import decode_block, decode_results, encode_results, results_hash
from dougong.consensus.commit import Commit
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import BlockId, Header
from dougong.errors import Divergence, InvalidInput, NotFound, Pruned, StoreCorrupt
from dougong.store import Store, height_key
from dougong.types import Block, SignedHeader, TxResult

T = TypeVar("T")

TABLES = ("meta", "headers", "blocks", "commits", "results", "mempool")
_GENESIS, _ORIGIN, _SIGNED, _BASE = b"genesis", b"origin", b"signed", b"base"
_NEEDED = 2  # the last blocks, which a start may have to execute again
_REMEDY = "restore the folder, or remove it to start the chain anew"


@dataclass(frozen=True, slots=True)
class Decided:
    """A block ready to be stored: `encoded` is the whole block, `block_id` its identity, `commit` its decision."""

    header: Header
    encoded: bytes
    block_id: BlockId
    commit: Commit


class ChainStore:
    """The blocks of one chain. Methods block on the disk; heights are those of the caller to keep in order."""

    def __init__(self, path: Path, genesis: Genesis) -> None:
        """Opens or creates. Raises `StoreCorrupt` if the folder holds a chain from another genesis document."""
        self.store = Store(path, TABLES)
        self._genesis = genesis
        kept = self.store.get("meta", _GENESIS)
        if kept is None:
            with self.store.write() as txn:
                txn.put("meta", _GENESIS, genesis.raw)
        elif kept != genesis.raw:
            self.store.close()
            raise StoreCorrupt(
                f"the store {path} was made from another genesis document than {genesis.chain_id}'s",
                remedy="give it another folder, or remove it to start the chain anew",
            )

    def last_height(self) -> int:
        return self._last("headers")

    def _last(self, table: str) -> int:
        entries = self.store.items(table, reverse=True, limit=1)
        return int.from_bytes(entries[0][0]) if entries else 0

    # --- writing ----------------------------------------------------------------------------------------------------

    def set_origin(self, app_hash: bytes, app_version: int) -> None:
        """Keeps what the application said before block 1."""
        with self.store.write() as txn:
            txn.put("meta", _ORIGIN, app_version.to_bytes(8) + app_hash)

    def origin(self) -> tuple[bytes, int] | None:
        """(app hash, app version) before block 1, or None for a store that never started."""
        value = self.store.get("meta", _ORIGIN)
        return None if value is None else (value[8:], int.from_bytes(value[:8]))

    def decide(self, decided: Decided, journal_keys: Iterable[bytes]) -> None:
        """Makes the decision durable. Raises `Divergence` rather than keep a second signature for a height."""
        height = decided.header.height
        signed = Writer().uint(1, height).message(2, decided.block_id.encode()).done()
        with self.store.write() as txn:
            last = txn.get("meta", _SIGNED)
            last_height = 0 if last is None else _signed_height(last)
            if height <= last_height:
                raise Divergence(f"height {last_height} is signed already: refusing to sign another block at {height}")
            txn.put("meta", _SIGNED, signed)
            txn.put("headers", height_key(height), decided.header.encode())
            txn.put("blocks", height_key(height), decided.encoded)
            txn.put("commits", height_key(height), decided.commit.encode())
            for key in journal_keys:
                txn.delete("mempool", key)

    def finish(self, height: int, results: tuple[TxResult, ...], app_hash: bytes) -> None:
        """Keeps a block's results. Raises `Divergence` if others were kept before (logs apart, which need not agree)."""
        with self.store.write() as txn:
            kept = txn.get("results", height_key(height))
            if kept is not None:
                before, before_hash = self._parsed(height, lambda: decode_results(kept))
                if (results_hash(before), before_hash) != (results_hash(results), app_hash):
                    raise Divergence(
                        f"block {height} gave app hash {before_hash.hex()} and now {app_hash.hex()}, or other results"
                    )
            txn.put("results", height_key(height), encode_results(results, app_hash))

    def prune(self, below: int, limit: int) -> int:
        """Takes the transactions and results of heights under `below` away, at most `limit` of them and never those that a start
        needs; returns the lowest height that has them now. All or nothing; LMDB uses the pages again."""
        base = self.base()
        end = min(below, base + limit, self.last_height() + 1 - _NEEDED)
        if end <= base:
            return base
        with self.store.write() as txn:
            txn.put("meta", _BASE, height_key(end))
            for height in range(base, end):
                txn.delete("blocks", height_key(height))
                txn.delete("results", height_key(height))
        return end

    # --- reading ----------------------------------------------------------------------------------------------------

    def base(self) -> int:
        """The lowest height whose transactions and results are kept."""
        value = self.store.get("meta", _BASE)
        return 1 if value is None else int.from_bytes(value)

    def _read(self, table: str, height: int) -> bytes:
        value = self.store.get(table, height_key(height)) if 0 < height < 1 << 63 else None
        if value is None:
            # What a pruning took is gone together with the word on it: a block is never read in part.
            if table in ("blocks", "results") and 0 < height < (base := self.base()):
                raise Pruned(
                    f"{self._genesis.chain_id} keeps blocks from height {base} on here, not {height}",
                    remedy="ask an archive node",
                )
            raise NotFound(f"{self._genesis.chain_id} has no block {height}")
        return value

    def header(self, height: int) -> Header:
        return self._parsed(height, lambda: Header.decode(self._read("headers", height)))

    def commit(self, height: int) -> Commit:
        return self._parsed(height, lambda: Commit.decode(self._read("commits", height)))

    def signed_header(self, height: int) -> SignedHeader:
        return SignedHeader(height, self._read("headers", height), self._read("commits", height), self._genesis.validators)

    def transactions(self, height: int) -> tuple[bytes, ...]:
        return self._parsed(height, lambda: decode_block(self._read("blocks", height))[1])

    def results(self, height: int) -> tuple[tuple[TxResult, ...], bytes]:
        """(results, app hash) of an executed block. Raises `NotFound`."""
        return self._parsed(height, lambda: decode_results(self._read("results", height)))

    def block(self, height: int) -> Block:
        results, _ = self.results(height)
        return Block(self.signed_header(height), self.transactions(height), results)

    def _parsed(self, height: int, read: Callable[[], T]) -> T:
        try:
            return read()
        except InvalidInput as error:
            raise StoreCorrupt(f"block {height} in the store {self.store.path} does not read: {error}", remedy=_REMEDY) from error


def _signed_height(value: bytes) -> int:
    return Reader(value, (1, 2)).uint(1)
