"""Orders a rollup's transactions: takes them, gives its word for them, makes blocks of them.

    sequencer = await Sequencer.open(chain, inbox, journal, SequencerConfig())
    group.create_task(sequencer.run())
    tx_hash = await sequencer.submit(raw)           # durable: a kill -9 does not lose it

Life of a transaction: decoded and checked against the latest state → into the pool → into the journal (one disk write for all
that came together) → its hash is returned → into a block, executed as the derivation would execute it (`Evm.execute_rollup`) and
durable → out of the journal. A block that turns out not to follow from the batches (`Follower`) gives its transactions back to
the journal before it is forgotten.

What a sequencer can do to its users: delay and order. It cannot forge, and what it ignores enters through the settlement inbox
(`SequencerConfig.ignore_senders` shows that). When too much is waiting to be published, it stops making blocks: a soft
confirmation is worth only as much as the way to publication is short.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from dougong._native import BuiltBlock, Evm, HeaderInfo, TxInfo, decode_transactions
from dougong.errors import DougongError, Rejected
from dougong.execution.evm.fees import next_base_fee
from dougong.execution.evm.pool import PooledTransaction, TransactionPool
from dougong.services.rollup.admission import Admission, Submission
from dougong.services.rollup.aside import Aside, Skipped, faults
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.inbox import Inbox
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.pace import SequencerConfig
from dougong.services.threads import in_thread
from dougong.types import Heads, InboxMessage

__all__ = ["Sequencer", "SequencerConfig"]

_MOST_IGNORED = 1_024
_TRIES = 3  # executions for one block: made anew without what is invalid in its place, or with more than was chosen
_MOST_SPREAD = 4_096
_EXPIRY_S = 60.0
_Taken = list[tuple[bytes, Submission]]
_REFUSALS = 3  # a block refused it so often though the pool finds nothing wrong: it leaves


class Sequencer:
    """An `EvmBackend` (rpc/backend.py) whose blocks become batches."""

    def __init__(
        self,
        chain: RollupChain,
        inbox: Inbox | None,
        journal: Journal,
        config: SequencerConfig,
        *,
        least_tip: Callable[[bytes], int] = lambda raw: 0,
        name: str = "",
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`least_tip`: what a transaction must leave above the base fee, in wei a gas (`Ledger.least_tip`)."""
        self._chain = chain
        self._inbox = inbox
        self._journal = journal
        self._config = config
        self._clock = clock
        self._log = (log or structlog.get_logger()).bind(rollup=name)
        head = chain.latest
        self.pool = TransactionPool(
            chain.evm.chain_id, gas_limit=head.gas_limit, base_fee=_next_fee(chain), limits=config.pool, least_tip=least_tip
        )
        self._ignored: dict[bytes, bytes] = {}
        self._admission = Admission(
            max_waiting=config.max_waiting, tx_bytes=min(config.pool.tx_bytes, config.max_block_bytes), admit=self._admit
        )
        self._epoch = 0
        self._generation = chain.generation
        self._refused: dict[bytes, int] = {}
        self._spread = 1  # how many times the gas that a block holds its transactions may ask for
        self._work = asyncio.Event()
        self._last_block = clock()
        self._looked = clock()
        self._waited = 0.0
        self._paused = False
        chain.watch_reorgs(self._work.set)
        if inbox is not None:
            inbox.on_message(self._work.set)
        registry = registry or CollectorRegistry()
        labels = ("rollup",)
        self._m_blocks = Counter("dougong_blocks", "Blocks made", labels, registry=registry).labels(name)
        self._m_txs = Counter("dougong_transactions", "Transactions in blocks", labels, registry=registry).labels(name)
        self._m_pool = Gauge("dougong_pool_transactions", "Transactions that wait", labels, registry=registry).labels(name)
        self._m_backlog = Gauge("dougong_unpublished_bytes", "Bytes of unpublished blocks", labels, registry=registry).labels(
            name
        )

    @classmethod
    async def open(
        cls,
        chain: RollupChain,
        inbox: Inbox | None,
        journal: Journal,
        config: SequencerConfig,
        *,
        least_tip: Callable[[bytes], int] = lambda raw: 0,
        name: str = "",
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> Sequencer:
        """Takes up again what the journal holds. `inbox` None: a sovereign rollup."""
        sequencer = cls(chain, inbox, journal, config, least_tip=least_tip, name=name, registry=registry, clock=clock, log=log)
        await sequencer._readmit(await journal.waiting())
        return sequencer

    # --- as the JSON-RPC sees it --------------------------------------------------------------------------------------

    @property
    def evm(self) -> Evm:
        return self._chain.evm

    def heads(self) -> Heads:
        return self._chain.heads()

    def pending_nonce(self, address: bytes) -> int:
        return self.pool.pending_nonce(address, self.evm.account(address)[0])

    def pending_transaction(self, tx_hash: bytes) -> bytes | None:
        return self.pool.get(tx_hash) or self._ignored.get(tx_hash)

    def watch(self, on_change: Callable[[], None]) -> None:
        self._chain.watch_heads(on_change)

    async def submit(self, raw: bytes) -> bytes:
        """Takes a signed transaction (EIP-2718 bytes); returns its hash once it is durable. Raises `InvalidTransaction` with
        geth's words, `Rejected` when too many are waiting to be looked at, `StoreFull` when there is no room to keep it."""
        [outcome] = await self.submit_many([raw])
        if isinstance(outcome, DougongError):
            raise outcome
        return outcome

    async def submit_many(self, raws: Sequence[bytes]) -> list[bytes | DougongError]:
        """As `submit`, for transactions that came together, in their order: each one's hash, or what `submit` would raise."""
        return await self._admission.submit_many(raws)

    async def requeue(self, txs: Sequence[bytes]) -> None:
        """Takes back transactions of soft blocks that are about to be forgotten. Durable when it returns; the pool is told
        once the chain has gone back (`resync`)."""
        if txs:
            await self._journal.add_all([(info.hash, raw) for info, raw in await _decoded(txs)])
            self._log.warning("transactions of dropped soft blocks wait again", count=len(txs))

    async def resync(self) -> None:
        """Brings the pool in line with the chain after it was derived anew."""
        self._generation = self._chain.generation
        await self._refresh(self.pool.senders())
        await self._readmit(await self._journal.waiting())

    # --- blocks -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Makes blocks until cancelled."""
        await self.resync()
        self._work.set()
        loop = asyncio.get_running_loop()
        earliest = loop.time()
        while True:
            await self._wait_for_work()
            await asyncio.sleep(max(self._config.gather, earliest - loop.time()))
            earliest = loop.time() + self._config.block_time
            self._work.clear()
            self.expire()
            if await self.make_block() is not None or self._refused:
                self._work.set()  # it may have left some over: the next look tells

    def expire(self) -> None:
        """Lets go of what no block could take for too long (`PoolLimits.lifetime`)."""
        now = self._clock()
        if 0 <= now - self._looked < _EXPIRY_S:  # a clock may have been set back
            return
        self._waited += min(max(0.0, now - self._looked), 2 * _EXPIRY_S)  # or forward: nobody has waited that long for it
        self._looked = now
        gone = self.pool.expire(self._waited)
        if gone:
            self._journal.forget(gone)
            self._m_pool.set(len(self.pool))
            self._log.info("transactions expired", count=len(gone))

    async def make_block(self) -> BuiltBlock | None:
        """One block, if there is reason for one."""
        backlog = self._chain.backlog_bytes()
        self._m_backlog.set(backlog)
        if self._generation != self._chain.generation:
            await self.resync()
        if backlog > self._config.max_backlog_bytes:
            if not self._paused:
                self._log.warning("no blocks until what is there is published", unpublished_bytes=backlog)
            self._paused = True
            return None
        self._paused = False
        head = self._chain.latest
        messages = () if self._inbox is None else self._inbox.after(head.inbox_end)[: self._config.max_block_messages]
        aside, spread = Aside(), self._spread
        for tries in reversed(range(_TRIES)):
            among, most = aside if aside.txs else None, self._config.max_block_bytes
            chosen = self.pool.select(head.gas_limit * spread, max_bytes=most, among=among)
            try:
                built = await self._build(head, messages, chosen, patient=tries > 0, may_widen=spread < _MOST_SPREAD)
                break
            except Skipped as skipped:
                # What is invalid, or asks for gas that it does not use, costs its sender little: it must not keep others out.
                aside.put(chosen, skipped.why)
                spread = _MOST_SPREAD
        await self._settle(built, chosen, aside, everyone=bool(messages))
        if built is not None:
            self._last_block = self._clock()
            asked = sum(chosen[index].gas_limit for index in built.included)
            self._spread = min(_MOST_SPREAD, max(1, asked // max(1, built.header.gas_used)))
            self._m_blocks.inc()
            self._m_txs.inc(len(built.included))
        return built

    async def _build(
        self,
        head: HeaderInfo,
        messages: Sequence[InboxMessage],
        chosen: Sequence[PooledTransaction],
        *,
        patient: bool,
        may_widen: bool,
    ) -> BuiltBlock | None:
        """The block of what was chosen, durable; None if there is no reason for one, or the chain was derived anew meanwhile.
        Raises `Skipped`, and makes none, when it is `patient` and a transaction is invalid in its place, or (`may_widen`) most of
        the gas that was asked for is not used while others wait for it."""
        overdue = self._config.max_interval is not None and self._clock() - self._last_block >= self._config.max_interval
        # The base fee falls with empty blocks only: without them what waits for it to fall would wait for ever.
        if not messages and not chosen and not overdue and not (self.pool.is_priced_out() and self._fee_can_fall()):
            return None

        more = may_widen and len(chosen) < len(self.pool) - self.pool.gapped()
        asked = sum(tx.gas_limit for tx in chosen)

        def consume(built: BuiltBlock) -> None:
            room = head.gas_limit - built.header.gas_used
            at_fault = faults(chosen, built.skipped, room)
            if patient and (at_fault or (more and 2 * built.header.gas_used < min(asked, head.gas_limit))):
                raise Skipped(at_fault)
            taken = messages[: built.header.inbox_end - head.inbox_end]
            if taken:
                self._journal.note_inbox(head.inbox_end, taken)

        return await self._chain.build(
            max(head.timestamp, int(self._clock())),
            head.inbox_end + len(messages),
            messages,
            [tx.raw for tx in chosen],
            parent=head.hash,
            before_commit=consume,
            once_durable=lambda built: self._journal.forget(chosen[index].hash for index in built.included),
        )

    def _fee_can_fall(self) -> bool:
        fee = self.pool.base_fee
        return next_base_fee(base_fee=fee, gas_used=0, gas_limit=self._chain.latest.gas_limit) < fee

    async def _settle(
        self, built: BuiltBlock | None, chosen: Sequence[PooledTransaction], aside: Aside, *, everyone: bool
    ) -> None:
        """Pool and journal after a block (None: there was none): what it holds leaves; what was refused too often leaves as well.
        That a block was full is no reason."""
        if built is not None:
            aside.put(chosen, built.skipped)
        head = self._chain.latest
        room = head.gas_limit if built is None else head.gas_limit - head.gas_used
        for tx_hash, (tx, reason) in aside.txs.items():
            if tx.gas_limit > room:
                continue
            self._refused[tx_hash] = self._refused.get(tx_hash, 0) + 1
            if self._refused[tx_hash] >= _REFUSALS and self.pool.drop(tx_hash):
                del self._refused[tx_hash]
                self._log.warning("transaction dropped", hash=tx_hash.hex(), reason=reason)
                self._journal.forget([tx_hash])
        senders = {tx.sender for tx in chosen} | {tx.sender for tx, _ in aside.txs.values()}
        gone = await self._refresh(self.pool.senders() if everyone else senders)
        for tx_hash in (*((chosen[index].hash for index in built.included) if built is not None else ()), *gone):
            self._refused.pop(tx_hash, None)
        self._refused = {tx_hash: count for tx_hash, count in self._refused.items() if tx_hash in self.pool}
        self._m_pool.set(len(self.pool))

    async def _refresh(self, senders: Iterable[bytes]) -> list[bytes]:
        accounts = await in_thread(self.evm.sender_accounts, list(senders))
        gone = self.pool.update(_next_fee(self._chain), accounts, gas_limit=self._chain.latest.gas_limit)
        self._epoch += 1
        self._journal.forget(gone)
        return gone

    async def _wait_for_work(self) -> None:
        """Until something came that a block may hold, or it is time to look all the same."""
        if self._generation != self._chain.generation:
            return
        limit = None
        if self._config.max_interval is not None:
            limit = max(0.0, self._config.max_interval - (self._clock() - self._last_block))
        if not self._work.is_set() and (self._paused or self.pool.is_priced_out()):
            limit = min(self._config.fall_interval, self._config.fall_interval if limit is None else limit)
        elif len(self.pool):
            limit = min(_EXPIRY_S, _EXPIRY_S if limit is None else limit)
        try:
            async with asyncio.timeout(limit):
                await self._work.wait()
        except TimeoutError:
            return

    # --- admission ----------------------------------------------------------------------------------------------------

    async def _admit(self, group: Sequence[Submission]) -> None:
        taken, gone = await self._offer(group)
        if not taken:
            return
        try:
            await self._journal.add_all([(tx_hash, submission.raw) for tx_hash, submission in taken])
        except DougongError as error:
            for tx_hash, _ in taken:
                self.pool.drop(tx_hash)
            if gone:  # what had to leave for them has the sequencer's word still
                await self._readmit(await self._journal.waiting())
            for _, submission in taken:
                submission.outcome = error
            return
        self._journal.forget(gone)  # only now: what replaces them is durable
        # one that a block took before the journal had it
        self._journal.forget([tx_hash for tx_hash, _ in taken if tx_hash not in self.pool and tx_hash not in self._ignored])
        self._work.set()
        for tx_hash, submission in taken:
            submission.outcome = tx_hash

    async def _offer(self, group: Sequence[Submission], *, again: bool = False) -> tuple[_Taken, list[bytes]]:
        """Offers each to the pool, with its sender's account as of the state that the pool knows. Returns those that were taken,
        with their hashes, and the hashes of the transactions that had to leave for them."""
        infos = [submission.info for submission in group if submission.info is not None]
        evm = self.evm
        while True:
            epoch = self._epoch
            accounts = await in_thread(evm.sender_accounts, infos)
            if epoch == self._epoch:
                break
        ignored = self._config.ignore_senders
        taken: _Taken = []
        gone: list[bytes] = []
        for submission, info in zip(group, infos, strict=True):
            sender = info.sender
            if sender in ignored:
                if len(self._ignored) >= _MOST_IGNORED:
                    submission.outcome = Rejected("the sequencer is busy")
                    continue
                self._ignored[info.hash] = submission.raw
            else:
                try:
                    gone += self.pool.add(submission.raw, info, accounts[sender], again=again)
                except DougongError as error:
                    submission.outcome = error
                    continue
            taken.append((info.hash, submission))
        self._m_pool.set(len(self.pool))
        return taken, gone

    async def _readmit(self, raws: Sequence[bytes]) -> None:
        """Offers journalled transactions to the pool; those that the chain holds or no longer takes are forgotten."""
        group: list[Submission] = []
        for info, raw in await _decoded(raws):
            if info.hash not in self.pool and info.hash not in self._ignored:
                group.append(Submission(raw, info))
        taken, gone = await self._offer(group, again=True)
        kept = {tx_hash for tx_hash, _ in taken} - set(gone)
        self._journal.forget(s.info.hash for s in group if s.info is not None and s.info.hash not in kept)
        self._journal.forget(gone)
        if kept:
            self._work.set()


def _next_fee(chain: RollupChain) -> int:
    head = chain.latest
    return next_base_fee(base_fee=head.base_fee, gas_used=head.gas_used, gas_limit=head.gas_limit)


async def _decoded(raws: Sequence[bytes]) -> list[tuple[TxInfo, bytes]]:
    """Those that decode, with their bytes: what a chain or a journal holds did so once."""
    infos = await in_thread(decode_transactions, list(raws))
    return [(info, raw) for info, raw in zip(infos, raws, strict=True) if not isinstance(info, str)]
