"""The EVM as an `Application`: a settlement chain or a monolithic chain, ordered by any `Consensus`.

    app = await EvmApplication.open(path, genesis_json)
    chain = await Solo.open(chain_path, Genesis.create(..., app_state=json.loads(genesis_json)), key, app)

EVM block N is consensus block N. Its timestamp is the header's time in whole seconds, never below its parent's; its fee
recipient the genesis document's; the app hash is its hash. A transaction that Ethereum's rules call invalid in its place gets
a non-zero code and leaves no trace; one that reverts is valid.

A block is executed once on the node that proposes it: what PrepareProposal executed stays pending in the engine, and
ProcessProposal and FinalizeBlock recognise it. Nothing is durable before `commit`; a kill -9 earlier leaves the parent, and the
consensus engine replays the block.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dougong._native import BuiltBlock, Evm, HeaderInfo, keccak256
from dougong.errors import ConfigError, Divergence, InvalidTransaction
from dougong.execution.evm.decoder import Decoder
from dougong.execution.evm.fees import next_base_fee
from dougong.execution.evm.pool import Account, PoolLimits, TransactionPool
from dougong.types import (
    AppInfo,
    CheckTxResult,
    DecidedBlock,
    FinalizeResult,
    InitChain,
    InitChainResult,
    Proposal,
    TxResult,
)

__all__ = ["EvmApplication"]

APP_VERSION = 1
NANOSECONDS = 10**9
_MOST_TRIES = 256  # of a proposal, each without what was invalid in the one before
TX_OVERHEAD_BYTES = 6  # a transaction's tag and length in a CometBFT block

CODE_INVALID = 1  # not a transaction, or one that the pool refuses
CODE_SKIPPED = 2  # in a decided block and invalid in its place


@dataclass(frozen=True, slots=True)
class _Executed:
    """What the engine holds as its pending block, and from what it was made. `skipped`: places in `txs`, with the reasons."""

    height: int
    timestamp: int
    txs: tuple[bytes, ...]
    skipped: Mapping[int, str]
    header: HeaderInfo


class EvmApplication:
    """`Application` over one `Evm`. Nobody else may write to that `Evm`; reading it is free."""

    def __init__(self, evm: Evm, genesis: str, head: HeaderInfo, limits: PoolLimits | None = None) -> None:
        document = json.loads(genesis)
        self._evm = evm
        self._genesis = document
        self._fee_recipient = bytes.fromhex(str(document.get("coinbase", "0x" + "00" * 20))[2:])
        self._head = head
        self._pending: _Executed | None = None
        self._decoder = Decoder()
        self._on_block: list[Callable[[], None]] = []
        # Well below what a consensus engine's mempool holds: else what pays nothing could fill that one first, and for ever.
        limits = limits or PoolLimits(count=16_384, total_bytes=64 << 20)
        self.pool = TransactionPool(evm.chain_id, gas_limit=head.gas_limit, base_fee=_fee_after(head), limits=limits)

    @classmethod
    async def open(cls, path: Path, genesis: str, *, limits: PoolLimits | None = None) -> EvmApplication:
        """Opens or creates the engine's store at `path`. Raises `StoreCorrupt` if it was made from another genesis."""
        evm = await asyncio.to_thread(Evm, str(path), genesis)
        return cls(evm, genesis, await asyncio.to_thread(evm.head), limits)

    async def close(self) -> None:
        """Closes the store. The consensus engine must have stopped."""
        await asyncio.to_thread(self._evm.close)

    @property
    def evm(self) -> Evm:
        return self._evm

    @property
    def head(self) -> HeaderInfo:
        """The last committed block's."""
        return self._head

    def watch(self, on_block: Callable[[], None]) -> None:
        """`on_block` is called, on the event loop, after a block was committed."""
        self._on_block.append(on_block)

    # --- Application ------------------------------------------------------------------------------------------------

    async def info(self) -> AppInfo:
        head = await asyncio.to_thread(self._evm.head)
        return AppInfo(head.number, head.hash, APP_VERSION)

    async def init_chain(self, genesis: InitChain) -> InitChainResult:
        """Raises `ConfigError` when the chain's genesis document does not carry the engine's as its app state."""
        try:
            state = json.loads(genesis.app_state or b"null")
        except ValueError as error:
            raise ConfigError(f"the app state of {genesis.chain_id} is not JSON: {error}") from error
        if state != self._genesis:
            raise ConfigError(
                f"the app state of {genesis.chain_id} is not the EVM genesis document that its store was made from",
                remedy="put the same document into both, or remove the store",
            )
        if genesis.initial_height != 1:
            raise ConfigError(f"{genesis.chain_id} starts at height {genesis.initial_height}: an EVM chain starts at 1")
        return InitChainResult(self._evm.genesis_hash)

    async def check_tx(self, tx: bytes, *, recheck: bool = False) -> CheckTxResult:
        """Admits to the pool. A transaction that is there is accepted again: whether it is known is the mempool's to say."""
        try:
            self.pool.check_size(tx)
            if keccak256(tx) not in self.pool:
                info = await self._decoder.decode(tx)
                if info.hash not in self.pool:
                    self.pool.add(tx, info, self._evm.account(info.sender), again=recheck)
        except InvalidTransaction as error:
            return CheckTxResult(CODE_INVALID, str(error))
        return CheckTxResult()

    async def prepare_proposal(self, proposal: Proposal) -> Sequence[bytes]:
        """The best paying of the transactions offered, those that are valid in this order. Chooses only among what the consensus
        engine offers: that is what it has made durable."""
        offered = {keccak256(tx): tx for tx in proposal.txs}
        for tx in [tx for tx_hash, tx in offered.items() if tx_hash not in self.pool]:
            await self.check_tx(tx, recheck=True)  # after a restart, or evicted since
        overhead = TX_OVERHEAD_BYTES * len(offered)
        for _ in range(_MOST_TRIES):
            chosen = self.pool.select(self._head.gas_limit, max_bytes=proposal.max_tx_bytes - overhead, among=offered)
            built = await self._execute(proposal.height, proposal.time_ns, tuple(tx.raw for tx in chosen), skip_invalid=True)
            if not built.skipped:
                break
            # Once more without them: what is invalid costs nothing, and would keep the gas that it asks for from others.
            stuck: set[bytes] = set()
            for index, _ in built.skipped:
                if chosen[index].sender not in stuck:  # a sender's later ones may become valid again
                    stuck.add(chosen[index].sender)
                    self.pool.drop(chosen[index].hash)
        included = tuple(chosen[index].raw for index in built.included)
        self._pending = _Executed(proposal.height, self._timestamp(proposal.time_ns), included, {}, built.header)
        return included

    async def process_proposal(self, proposal: Proposal) -> bool:
        if proposal.height != self._head.number + 1:
            return False
        if self._is_pending(proposal.height, proposal.time_ns, proposal.txs):
            return True
        try:
            await self._execute(proposal.height, proposal.time_ns, proposal.txs, skip_invalid=False)
        except InvalidTransaction:
            return False
        return True

    async def finalize_block(self, block: DecidedBlock) -> FinalizeResult:
        if not self._is_pending(block.height, block.time_ns, block.txs):
            await self._execute(block.height, block.time_ns, block.txs, skip_invalid=True)
        executed = self._pending
        assert executed is not None
        results = tuple(
            TxResult(CODE_SKIPPED, log=executed.skipped[index]) if index in executed.skipped else TxResult()
            for index in range(len(block.txs))
        )
        return FinalizeResult(results, executed.header.hash)

    async def commit(self) -> None:
        if self._pending is None:
            raise Divergence("commit without a finalized block")
        header, self._pending = self._pending.header, None
        senders = self.pool.senders()

        def commit() -> dict[bytes, Account]:
            self._evm.commit()
            return {sender: self._evm.account(sender) for sender in senders}

        accounts = await asyncio.to_thread(commit)
        self._head = header
        self.pool.update(_fee_after(header), accounts, gas_limit=header.gas_limit)
        for on_block in self._on_block:
            on_block()

    # --- execution --------------------------------------------------------------------------------------------------

    def _timestamp(self, time_ns: int) -> int:
        return max(time_ns // NANOSECONDS, self._head.timestamp)

    def _is_pending(self, height: int, time_ns: int, txs: tuple[bytes, ...]) -> bool:
        pending = self._pending
        return pending is not None and (height, self._timestamp(time_ns), txs) == (pending.height, pending.timestamp, pending.txs)

    async def _execute(self, height: int, time_ns: int, txs: tuple[bytes, ...], *, skip_invalid: bool) -> BuiltBlock:
        """Makes this block the engine's pending one. Raises `InvalidTransaction` without `skip_invalid`; then none is pending."""
        if height != self._head.number + 1:
            raise Divergence(f"block {height} was given to an EVM chain whose head is {self._head.number}")
        timestamp = self._timestamp(time_ns)
        self._pending = None

        def execute() -> BuiltBlock:
            self._evm.discard()
            return self._evm.execute(timestamp, txs, skip_invalid=skip_invalid, beneficiary=self._fee_recipient)

        built = await asyncio.to_thread(execute)
        self._pending = _Executed(height, timestamp, txs, dict(built.skipped), built.header)
        return built


def _fee_after(header: HeaderInfo) -> int:
    return next_base_fee(base_fee=header.base_fee, gas_used=header.gas_used, gas_limit=header.gas_limit)
