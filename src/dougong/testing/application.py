"""The law suite of `Application`, and `KeyValue`, a small real one to order transactions for.

    async with KeyValue.open(folder) as app: ...
    await check_application(KeyValue.open, tmp_path, txs=[b"a=1", b"b=2"], genesis=genesis)

`KeyValue` keeps every `key=value` transaction durably and refuses a key that it holds: nothing is counted twice unseen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from dougong.crypto.hashing import sha256
from dougong.interfaces import Application
from dougong.store import Store, height_key
from dougong.types import (
    ZERO_HASH,
    AppInfo,
    CheckTxResult,
    DecidedBlock,
    FinalizeResult,
    InitChain,
    InitChainResult,
    Proposal,
    TxResult,
)

MakeApplication = Callable[[Path], AbstractAsyncContextManager[Application]]

# Bytes that no application may stumble over.
JUNK = (b"", b"\0", b"\xff" * 64, b"=" * 7, bytes(range(255, -1, -1)) * 40)
_PROPOSER = bytes(20)


class KeyValue:
    """`Application` over `key=value` transactions; a key is set once. The app hash is a hash chain over what took effect."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: tuple[int, dict[bytes, bytes], bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[KeyValue]:
        store = Store(folder, ("meta", "values"), map_bytes=1 << 30)
        try:
            yield cls(store)
        finally:
            store.close()

    def get(self, key: bytes) -> bytes | None:
        return self._store.get("values", key)

    async def info(self) -> AppInfo:
        tip = self._store.get("meta", b"tip")
        return AppInfo(0, b"", 1) if tip is None else AppInfo(int.from_bytes(tip[:8]), tip[8:], 1)

    async def init_chain(self, genesis: InitChain) -> InitChainResult:
        return InitChainResult(ZERO_HASH)

    async def check_tx(self, tx: bytes, *, recheck: bool = False) -> CheckTxResult:
        return CheckTxResult(*self._verdict(tx, {}))

    async def prepare_proposal(self, proposal: Proposal) -> Sequence[bytes]:
        chosen: dict[bytes, bytes] = {}
        taken, room = [], proposal.max_tx_bytes
        for tx in proposal.txs:
            if len(tx) <= room and not self._verdict(tx, chosen)[0]:
                chosen[_parse(tx)[0]] = tx
                taken.append(tx)
                room -= len(tx)
        return taken

    async def process_proposal(self, proposal: Proposal) -> bool:
        chosen: dict[bytes, bytes] = {}
        for tx in proposal.txs:
            if self._verdict(tx, chosen)[0]:
                return False
            chosen[_parse(tx)[0]] = tx
        return True

    async def finalize_block(self, block: DecidedBlock) -> FinalizeResult:
        app_hash = (await self.info()).app_hash or ZERO_HASH
        values: dict[bytes, bytes] = {}
        results = []
        for tx in block.txs:
            code, log = self._verdict(tx, values)
            if not code:
                key, value = _parse(tx)
                values[key] = value
                app_hash = sha256(app_hash, sha256(tx))
            results.append(TxResult(code, log=log))
        self._pending = (block.height, values, app_hash)
        return FinalizeResult(tuple(results), app_hash)

    async def commit(self) -> None:
        assert self._pending is not None, "commit follows finalize_block"
        height, values, app_hash = self._pending
        with self._store.write() as txn:
            for key, value in values.items():
                txn.put("values", key, value)
            txn.put("meta", b"tip", height_key(height) + app_hash)
        self._pending = None

    def _verdict(self, tx: bytes, before: dict[bytes, bytes]) -> tuple[int, str]:
        key, value = _parse(tx)
        if not key or not value or len(key) > 64:
            return 1, "a transaction is key=value, with a key of at most 64 bytes"
        if key in before or self._store.get("values", key) is not None:
            return 2, "the key is set already"
        return 0, ""


def _parse(tx: bytes) -> tuple[bytes, bytes]:
    key, _, value = tx.partition(b"=")
    return key, value


def _proposal(height: int, txs: Sequence[bytes], max_tx_bytes: int = 0) -> Proposal:
    return Proposal(height, _time(height), tuple(txs), _PROPOSER, max_tx_bytes)


def _time(height: int) -> int:
    return 1_800_000_000_000_000_000 + height * 1_000_000_000


def _decided(height: int, txs: Sequence[bytes]) -> DecidedBlock:
    return DecidedBlock(height, _time(height), tuple(txs), _PROPOSER, sha256(b"block", height_key(height)))


async def check_application(make: MakeApplication, folder: Path, *, txs: Sequence[bytes], genesis: InitChain) -> None:
    """Raises `AssertionError` where an application breaks `Application`'s contract.

    `make(folder)` opens the application that lives in a folder; opening it again is a restart. `txs` are transactions that are
    valid on a new chain together, in this order, the first two of them in blocks of their own as well.
    """
    async with make(folder / "one") as app:
        assert isinstance(app, Application), "it has every method of Application"
        assert (await app.info()).last_height == 0, "a new application stands at height 0"
        first = await app.init_chain(genesis)
        assert await app.init_chain(genesis) == first, "init_chain is repeatable"
        await _check_verdicts(app, txs)
        blocks = await _check_blocks(app, txs)
    async with make(folder / "one") as app:
        info = await app.info()
        assert (info.last_height, info.app_hash) == (2, blocks[1][1].app_hash), "what commit returned for survives a restart"
        third = _decided(3, JUNK)
        result = await app.finalize_block(third)
        assert len(result.tx_results) == len(JUNK), "one result a transaction, also for junk"
        assert all(entry.code for entry in result.tx_results), "junk takes no effect"
    async with make(folder / "one") as app:
        assert (await app.info()).last_height == 2, "nothing is durable before commit"
        assert await app.finalize_block(third) == result, "finalizing again after a restart gives the same"
        await app.commit()
    async with make(folder / "two") as app:
        assert await app.init_chain(genesis) == first, "the same genesis gives the same app hash"
        for block, expected in (*blocks, (third, result)):
            assert await app.finalize_block(block) == expected, "the same blocks give the same results on another node"
            await app.commit()


async def _check_verdicts(app: Application, txs: Sequence[bytes]) -> None:
    before = await app.info()
    for tx in JUNK:
        assert not (await app.check_tx(tx)).accepted, f"check_tx admits junk {tx[:8].hex()}"
        assert not (await app.check_tx(tx, recheck=True)).accepted
        assert not await app.process_proposal(_proposal(1, [tx])), "junk passes no proposal"
    assert (await app.check_tx(txs[0])).accepted, "a valid transaction is admitted"
    assert (await app.check_tx(txs[0])).accepted, "check_tx changes nothing"
    assert await app.info() == before, "check_tx does not move the application"


async def _check_blocks(app: Application, txs: Sequence[bytes]) -> list[tuple[DecidedBlock, FinalizeResult]]:
    limit = 1 << 20
    done = []
    for height, offered in ((1, txs[:1]), (2, txs[1:])):
        chosen = await app.prepare_proposal(_proposal(height, [*JUNK, *offered], limit))
        assert set(offered) <= set(chosen), "valid transactions that fit are proposed"
        assert sum(map(len, chosen)) <= limit, "a proposal keeps within max_tx_bytes"
        assert sum(map(len, await app.prepare_proposal(_proposal(height, offered, 32)))) <= 32, "also when little fits"
        for _ in range(2):
            assert await app.process_proposal(_proposal(height, chosen)), "what was proposed is accepted, every time"
        block = _decided(height, chosen)
        result = await app.finalize_block(block)
        assert len(result.tx_results) == len(chosen), "one result a transaction"
        assert not any(entry.code for entry in result.tx_results), "what was proposed takes effect"
        assert (await app.info()).last_height == height - 1, "finalize_block alone does not move the application"
        await app.commit()
        info = await app.info()
        assert (info.last_height, info.app_hash) == (height, result.app_hash), "commit moves it"
        done.append((block, result))
    return done
