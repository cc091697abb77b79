"""One validator, embedded: orders transactions for an `Application` and writes CometBFT's headers and commits.

    genesis = Genesis.create("chain-1", time.time_ns(), [Validator(key.public_key, 1)])
    chain = await Solo.open(path, genesis, key, app)
    async with asyncio.TaskGroup() as group:
        group.create_task(chain.run())
        await chain.broadcast(tx)

A height's life, and what a kill -9 finds after each step:

1. PrepareProposal, ProcessProposal, header, signature in memory. Nothing happened.
2. `decide`: block, commit and last signature durable, in one transaction. From here the block will be executed.
3. FinalizeBlock. Repeated from the stored block.
4. `finish`: results durable. Compared when the block is executed again.
5. The application commits. From here `info()` tells this height.

Source: CometBFT v0.38, spec/consensus and spec/abci. Deviations: a header's time is the proposer's clock, as proposer-based
timestamps (CometBFT v1) have it, not the median of the last commit's: with one validator that is the same clock, read a block
earlier. It rises by a millisecond at least. No rounds, no vote extensions; the validator set stays that of the genesis document.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dougong.consensus import block as blocks
from dougong.consensus.chain_store import ChainStore, Decided
from dougong.consensus.commit import BlockIdFlag, Commit, CommitSig, vote_sign_bytes
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import NO_BLOCK, BlockId, Header
from dougong.consensus.mempool import Mempool, MempoolLimits
from dougong.consensus.replay import handshake, updates_change_nothing
from dougong.consensus.validators import validators_hash
from dougong.crypto.keys import Ed25519Key
from dougong.errors import ConfigError, Divergence, NotFound, Rejected, Unavailable
from dougong.interfaces import Application
from dougong.types import ZERO_HASH, Block, ChainStatus, CheckTxResult, DecidedBlock, Proposal, SignedHeader

_MILLISECOND = 1_000_000
EAGER_S = 0.05


@dataclass(frozen=True, slots=True)
class SoloOptions:
    """`block_time` in seconds between blocks. Without `create_empty_blocks` a block waits for a transaction, except the first and
    the one after a change of the app hash, which commits it to a header. The first `eager_blocks` follow one another after
    `EAGER_S` at the most: who sets a new chain up need not wait for its pace. `clock` tells nanoseconds since 1970."""

    block_time: float = 1.0
    create_empty_blocks: bool = True
    eager_blocks: int = 0
    recheck: bool = True
    mempool: MempoolLimits = field(default_factory=MempoolLimits)
    clock: Callable[[], int] = time.time_ns


@dataclass(frozen=True, slots=True)
class _Tip:
    """The last block that is decided, executed and committed by the application."""

    height: int
    time_ns: int
    block_id: BlockId
    commit: Commit
    header_app_hash: bytes
    app_hash: bytes
    results_hash: bytes


class Solo:
    """`Consensus` with one validator. Make it with `open`; one process and one `Solo` per path."""

    def __init__(self, store: ChainStore, genesis: Genesis, key: Ed25519Key, app: Application, options: SoloOptions) -> None:
        self._store = store
        self._genesis = genesis
        self._key = key
        self._app = app
        self._options = options
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"solo-{genesis.chain_id}")
        self._mempool = Mempool(store.store, self._writer, options.mempool)
        self._moved = asyncio.Condition()
        self._step: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._app_version = 0
        self._tip = _Tip(0, genesis.time_ns, NO_BLOCK, Commit(), b"", b"", blocks.results_hash(()))

    @classmethod
    async def open(
        cls, path: Path, genesis: Genesis, key: Ed25519Key, app: Application, options: SoloOptions | None = None
    ) -> Solo:
        """Opens or creates the chain at `path` and brings `app` up to it.

        Raises `ConfigError` if `key` is not the genesis document's one validator, `StoreCorrupt` if the store is of another
        chain or behind the application, `Divergence` if executing its blocks again gives other results.
        """
        if [validator.public_key for validator in genesis.validators] != [key.public_key]:
            raise ConfigError(
                f"{genesis.chain_id} has {len(genesis.validators)} validators in its genesis document and not just this key",
                remedy="solo runs chains whose one validator is its own key",
            )
        store = await asyncio.to_thread(ChainStore, path, genesis)
        chain = cls(store, genesis, key, app, options or SoloOptions())
        try:
            await chain._start()
        except BaseException:
            await chain.close()
            raise
        return chain

    async def _start(self) -> None:
        app_hash, self._app_version = await handshake(self._store, self._genesis, self._app)
        height = self._store.last_height()
        if height == 0:
            self._tip = _Tip(0, self._genesis.time_ns, NO_BLOCK, Commit(), b"", app_hash, blocks.results_hash(()))
        else:
            header, commit = self._store.header(height), self._store.commit(height)
            results, _ = self._store.results(height)
            hashed = blocks.results_hash(results)
            self._tip = _Tip(height, header.time_ns, commit.block_id, commit, header.app_hash, app_hash, hashed)
        await self._recheck()

    async def close(self) -> None:
        """Ends what is under way and closes the store. `run` must have been cancelled."""
        if self._failure is None:
            self._failure = Unavailable(f"{self._genesis.chain_id} is closed")
        if self._step is not None:
            await asyncio.wait({self._step})
        await self._mempool.close()
        await asyncio.to_thread(self._writer.shutdown)
        self._store.store.close()

    # --- Consensus --------------------------------------------------------------------------------------------------

    @property
    def genesis(self) -> Genesis:
        return self._genesis

    @property
    def base(self) -> int:
        """The lowest height whose block is kept whole."""
        return self._store.base()

    async def run(self) -> None:
        """`Consensus.run`. Raises what stopped it: the application's or the store's error. Then open the chain anew."""
        loop = asyncio.get_running_loop()
        self._check_running()
        while True:
            if not (self._options.create_empty_blocks or self._needs_proof_block()):
                await self._mempool.filled.wait()
            started = loop.time()
            self._step = asyncio.create_task(self._advance())
            await _finished(self._step)
            if (error := self._step.exception()) is not None:
                await self._fail(error)
                raise error
            young = self._tip.height < self._options.eager_blocks
            pace = min(EAGER_S, self._options.block_time) if young else self._options.block_time
            await asyncio.sleep(max(0.0, started + pace - loop.time()))

    async def broadcast(self, tx: bytes) -> CheckTxResult:
        """`Consensus.broadcast`. Raises `InvalidTransaction` for one that is too large, `Rejected` while the mempool is full,
        `StoreError` when it cannot be kept: in each case it was not accepted."""
        self._check_running()
        if blocks.tx_hash(tx) in self._mempool:
            return CheckTxResult(log="already in the mempool")
        await self._check_room(tx)
        first = self._tip.height
        while True:
            height = self._tip.height
            verdict = await self._app.check_tx(tx)
            if not verdict.accepted:
                return CheckTxResult(log="in a block already") if await self._decided_since(first, tx) else verdict
            if height == self._tip.height:  # else a block went by and the verdict is of an older state
                break
        self._check_running()
        await self._mempool.add(tx)
        return verdict

    async def _check_room(self, tx: bytes) -> None:
        """Raises as `broadcast`. A full mempool asks the application first what it has let go of since the last block: else bids
        that replace each other, of which one at most is ever paid, would keep everybody else out."""
        try:
            self._mempool.check_room(tx)
        except Rejected:
            if not self._mempool.is_worth_a_recheck:
                raise
            await self._recheck()
            self._mempool.check_room(tx)

    async def _decided_since(self, height: int, tx: bytes) -> bool:
        """Whether a block above `height` holds the transaction: an application may propose what it has only just admitted."""
        later = range(height + 1, self._tip.height + 1)
        return any([tx in await asyncio.to_thread(self._store.transactions, number) for number in later])

    async def status(self) -> ChainStatus:
        tip = self._tip
        block_hash = tip.block_id.hash or ZERO_HASH
        return ChainStatus(self._genesis.chain_id, self._genesis.hash, tip.height, block_hash, tip.app_hash, tip.time_ns)

    async def block(self, height: int) -> Block:
        self._check_decided(height)
        return await asyncio.to_thread(self._store.block, height)

    async def signed_header(self, height: int) -> SignedHeader:
        self._check_decided(height)
        return self._store.signed_header(height)

    async def prune(self, below: int, limit: int = 16) -> int:
        """Takes the transactions and results of heights under `below` away, at most `limit` of them: one short write. Returns the
        lowest height that has them now. What a restart needs stays. Raises `StoreError`."""
        self._check_running()
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._store.prune, below, limit)

    async def wait_for_height(self, height: int) -> None:
        """`Consensus.wait_for_height`. Raises `Unavailable` when the chain stopped before it came there."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._tip.height >= height or self._failure is not None)
        if self._tip.height < height:
            self._check_running()

    # --- one height -------------------------------------------------------------------------------------------------

    async def _advance(self) -> None:
        decided, txs = await self._propose()
        keys = self._mempool.keys_of(blocks.tx_hash(tx) for tx in txs)
        await asyncio.get_running_loop().run_in_executor(self._writer, self._store.decide, decided, keys)
        await self._execute(decided, txs)
        self._mempool.forget(blocks.tx_hash(tx) for tx in txs)
        await self._recheck()
        async with self._moved:
            self._moved.notify_all()

    async def _propose(self) -> tuple[Decided, tuple[bytes, ...]]:
        tip, address = self._tip, self._key.address
        height = tip.height + 1
        earliest = tip.time_ns + _MILLISECOND if tip.height else self._genesis.time_ns
        time_ns = max(self._options.clock(), earliest)
        limit = self._genesis.params.max_tx_bytes(1)
        offered = Proposal(height, time_ns, self._mempool.reap(limit), address, limit)
        txs = tuple(await self._app.prepare_proposal(offered))
        size = sum(map(len, txs))
        if size > limit:
            raise Divergence(f"the application proposed {size} bytes for block {height}, where {limit} fit")
        if not await self._app.process_proposal(Proposal(height, time_ns, txs, address)):
            raise Divergence(f"the application refuses the block {height} that it proposed itself")
        decided = await asyncio.to_thread(self._decision, height, time_ns, txs)
        return decided, txs

    def _decision(self, height: int, time_ns: int, txs: tuple[bytes, ...]) -> Decided:
        tip, genesis = self._tip, self._genesis
        set_hash = validators_hash(genesis.validators)
        header = Header(
            chain_id=genesis.chain_id,
            height=height,
            time_ns=time_ns,
            last_block_id=tip.block_id,
            last_commit_hash=tip.commit.hash(),
            data_hash=blocks.data_hash(txs),
            validators_hash=set_hash,
            next_validators_hash=set_hash,
            consensus_hash=genesis.params.hash(),
            app_hash=tip.app_hash,
            last_results_hash=tip.results_hash,
            evidence_hash=blocks.EVIDENCE_HASH,
            proposer_address=self._key.address,
            app_version=self._app_version,
        )
        encoded = blocks.encode_block(header, txs, tip.commit)
        block_id = blocks.block_id_of(header, encoded)
        vote_time = max(self._options.clock(), time_ns + _MILLISECOND)
        signature = self._key.sign(vote_sign_bytes(genesis.chain_id, height, 0, block_id, vote_time))
        entry = CommitSig(BlockIdFlag.COMMIT, self._key.address, vote_time, signature)
        return Decided(header, encoded, block_id, Commit(height, 0, block_id, (entry,)))

    async def _execute(self, decided: Decided, txs: tuple[bytes, ...]) -> None:
        header = decided.header
        block = DecidedBlock(header.height, header.time_ns, txs, header.proposer_address, decided.block_id.hash)
        result = await self._app.finalize_block(block)
        updates_change_nothing(self._genesis, result.validator_updates)
        if len(result.tx_results) != len(txs):
            raise Divergence(f"block {header.height} has {len(txs)} transactions and {len(result.tx_results)} results")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._store.finish, header.height, result.tx_results, result.app_hash)
        await self._app.commit()
        self._tip = _Tip(
            header.height,
            header.time_ns,
            decided.block_id,
            decided.commit,
            header.app_hash,
            result.app_hash,
            blocks.results_hash(result.tx_results),
        )

    async def _recheck(self) -> None:
        """Asks about every waiting transaction again, on the new state, and drops those that became invalid."""
        if self._options.recheck:
            txs = self._mempool.begin_recheck()
            await self._mempool.discard([tx for tx in txs if not (await self._app.check_tx(tx, recheck=True)).accepted])

    # --- state ------------------------------------------------------------------------------------------------------

    def _needs_proof_block(self) -> bool:
        return self._tip.height == 0 or self._tip.header_app_hash != self._tip.app_hash

    def _check_decided(self, height: int) -> None:
        if not 0 < height <= self._tip.height:
            raise NotFound(f"{self._genesis.chain_id} has no block {height} (the last is {self._tip.height})")

    def _check_running(self) -> None:
        if self._failure is not None:
            raise Unavailable(
                f"{self._genesis.chain_id} stopped: {self._failure}", remedy="see the error that stopped it and start it again"
            )

    async def _fail(self, error: BaseException) -> None:
        self._failure = error
        async with self._moved:
            self._moved.notify_all()


async def _finished(step: asyncio.Task[None]) -> None:
    """Waits for a height that began, even when cancelled meanwhile: the application is never left within a block."""
    try:
        await asyncio.wait({step})
    except asyncio.CancelledError:
        await asyncio.wait({step})
        raise
