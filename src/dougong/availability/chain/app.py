"""The application of a DA chain: it lets paid blobs in, lays them out in a square, and puts the data root into the block.

    app = await SquareApplication.open(path)
    chain = await Solo.open(chain_path, genesis, key, app)

A block is `[data root, transfer, …, blob transaction, …]`: transaction 0 is the 32-byte data root of the square that the
others make, so that the header's `data_hash` commits to it and one Merkle proof leads from a header to the square. What each
step asks has a room of its own: `admission` (is it what it says?), `state` (can it be paid for?), `pool` (who waits before
whom?), `proposing` (what fits?). Formats and rules: docs/spec/da-chain.md, docs/spec/market.md.

Source: celestia-app specs ("Data Square Layout", "Block validity rules"). Deviation: celestia-app puts the data root into the
header itself, with its own CometBFT.

Who might cheat: a proposer with a false root, another order, an oversized square, a replayed, forged or underpaid transaction
(ProcessProposal recomputes all of it); a sender who floods (cheap checks first; what waits is bounded, paid for, and yields
to higher bids).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from dougong.availability.chain.admission import (
    CROWDED,
    INVALID,
    TOO_LARGE,
    UNDERPAID,
    UNFUNDED,
    WRONG_SEQUENCE,
    Checker,
    Offer,
    Refused,
)
from dougong.availability.chain.params import SquareParams
from dougong.availability.chain.pool import Pool, PoolLimits
from dougong.availability.chain.proposing import choose
from dougong.availability.chain.quoting import Ladder
from dougong.availability.chain.square_cache import LaidOut, SquareCache, lay_out
from dougong.availability.chain.state import TABLES, Changes, State
from dougong.availability.square.layout import Square
from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput, StoreCorrupt
from dougong.store import Store
from dougong.types import (
    HASH_BYTES,
    AppInfo,
    BlobMarket,
    CheckTxResult,
    DecidedBlock,
    FeeAccount,
    FinalizeResult,
    InitChain,
    InitChainResult,
    PendingTx,
    Proposal,
    TxResult,
)

__all__ = ["CROWDED", "INVALID", "TOO_LARGE", "UNDERPAID", "UNFUNDED", "WRONG_SEQUENCE", "SquareApplication"]

APP_VERSION = 2
_ROOT_WEIGHT = 2 + HASH_BYTES  # of transaction 0 in a block: a tag, a length and the root


class SquareApplication:
    """`Application` of a DA chain. Make it with `open`."""

    def __init__(self, store: Store, limits: PoolLimits | None = None, *, lay_out: Callable[[Square], LaidOut] = lay_out) -> None:
        self._store = store
        self._lay_out = lay_out
        self._state = State(store)
        self._pool = Pool(limits)
        self._ladder: Ladder | None = None
        self._pending: tuple[int, Changes] | None = None
        # What waited before a restart, until all of it is here: it comes in the order of arrival, not of sequences.
        self._returning: list[tuple[Offer, bytes]] | None = []
        self._configure()

    @classmethod
    async def open(
        cls, path: Path, *, pool: PoolLimits | None = None, lay_out: Callable[[Square], LaidOut] = lay_out
    ) -> SquareApplication:
        """Opens or creates the state at `path`. `lay_out` extends squares: another than the honest one is for attack drills.
        Raises `StoreError`."""
        return cls(await asyncio.to_thread(Store, path, TABLES, 8 << 30), pool, lay_out=lay_out)

    async def close(self) -> None:
        self._store.close()

    @property
    def params(self) -> SquareParams:
        return self._state.params

    @property
    def chain_id(self) -> str:
        return self._state.chain_id

    @property
    def squares(self) -> SquareCache:
        """The extended squares of this chain's blocks."""
        return self._squares

    def balance(self, address: bytes) -> int:
        """utia, after the last committed block."""
        return self._state.account(address).balance

    @property
    def seen_height(self) -> int:
        """Nothing that was said of an account before is of a later block than this."""
        return self._state.seen_height

    def account(self, address: bytes) -> FeeAccount:
        """What the account has, after the last committed block, and what it has waiting."""
        account = self._state.account(address)
        waiting = [offer for offer in self._waiting().waiting(address) if offer.sequence >= account.sequence]
        pending = tuple(PendingTx(offer.sequence, offer.digest, offer.fee, offer.content) for offer in waiting)
        return FeeAccount(account.balance, account.sequence, pending)

    def market(self) -> BlobMarket:
        """Prices for the next block, and what waits for it."""
        tip, params, pool = self._state.tip, self._state.params, self._waiting()
        used = tip.used * 100 // params.capacity_bytes
        return BlobMarket(tip.base_fee, params.min_base_fee, tip.supply, used, len(pool), pool.size_bytes)

    def price(self, used: int) -> int:
        """Nano-utia per gas at which `used` bytes of the square get into the next block, as it looks now."""
        pool = self._waiting()
        if self._ladder is None or not self._ladder.is_of(pool, self._state):
            self._ladder = Ladder.of(pool, self._state)
        return self._ladder.price(used)

    # --- Application ------------------------------------------------------------------------------------------------

    async def info(self) -> AppInfo:
        return AppInfo(self._state.tip.height, self._state.tip.app_hash, APP_VERSION)

    async def init_chain(self, genesis: InitChain) -> InitChainResult:
        """Raises `ConfigError` for an `app_state` that is not `SquareParams`."""
        first_hash = await asyncio.to_thread(self._state.start, genesis.chain_id, genesis.app_state)
        self._configure()
        return InitChainResult(first_hash)

    async def check_tx(self, tx: bytes, *, recheck: bool = False) -> CheckTxResult:
        """Feeds the pool. Asked again, it says whether the pool still holds the transaction, or takes it (back) if it would
        take a new one: what was replaced or pushed out is refused, so that the engine drops it too."""
        try:
            if recheck and self._returning is not None:
                self._returning.append((await self._checker.check(tx), tx))
                return CheckTxResult()
            self._waiting()
            offer = await self._admit(tx)
        except Refused as refusal:
            return refusal.verdict()
        return CheckTxResult(gas_wanted=offer.gas_limit, priority=min(offer.price, (1 << 63) - 1))

    async def prepare_proposal(self, proposal: Proposal) -> Sequence[bytes]:
        """The data root and the best bids that fit. The pool decides; what the engine offers and the pool does not know is
        admitted to it first. What does not fit, or whose turn has not come, is left for later blocks."""
        await self._learn(proposal.txs)
        entries = list(self._waiting().by_bid(self._state.tip.base_fee))
        width, room = self.params.max_square_size, proposal.max_tx_bytes - _ROOT_WEIGHT
        chosen, square = await asyncio.to_thread(choose, entries, width=width, room=room)
        laid_out = await asyncio.to_thread(self._lay_out, square)
        self._squares.put(chosen, laid_out)
        return [laid_out.served.header.data_root, *chosen]

    async def process_proposal(self, proposal: Proposal) -> bool:
        if not proposal.txs or len(proposal.txs[0]) != HASH_BYTES:
            return False
        data_root, *txs = proposal.txs
        block = self._state.begin_block()
        try:
            for tx in txs:
                block.take(await self._checker.check(tx))
        except Refused:
            return False
        try:
            return (await self._squares.get(txs)).served.header.data_root == data_root
        except InvalidInput:
            return False

    async def finalize_block(self, block: DecidedBlock) -> FinalizeResult:
        """Total. What ProcessProposal let pass takes effect; in a block that it would have refused, all that is invalid fails."""
        data_root = block.txs[0] if block.txs and len(block.txs[0]) == HASH_BYTES else bytes(HASH_BYTES)
        state = self._state.begin_block()
        results = []
        for index, tx in enumerate(block.txs):
            if index == 0 and len(tx) == HASH_BYTES:
                results.append(TxResult())
                continue
            try:
                offer = await self._checker.check(tx)
                state.take(offer)
                results.append(TxResult(gas_wanted=offer.gas_limit, gas_used=offer.gas))
            except Refused as refusal:
                results.append(TxResult(refusal.code, log=str(refusal)))
        changes = state.finish(data_root, block.proposer_address)
        self._pending = (block.height, changes)
        return FinalizeResult(tuple(results), changes.app_hash)

    async def commit(self) -> None:
        if self._pending is None:
            raise StoreCorrupt("a DA chain's application was asked to commit before a block was finalized")
        height, changes = self._pending
        await asyncio.to_thread(self._state.write, height, changes)
        self._pending = None
        self._pool.settle(changes.accounts)

    # --- the pool ---------------------------------------------------------------------------------------------------

    async def _admit(self, tx: bytes) -> Offer:
        """Raises `Refused`. What the state refuses costs no signature check."""
        offer = await self._checker.read(tx)
        self._pool.check(offer, self._state.account(offer.signer), self._state.tip.base_fee)
        await self._checker.prove(offer, tx)
        self._pool.admit(offer, tx, self._state.account(offer.signer), self._state.tip.base_fee)
        return offer

    async def _learn(self, txs: Sequence[bytes]) -> None:
        """Admits what the pool does not know, whatever order it comes in."""
        pool = self._waiting()
        unknown: list[tuple[Offer, bytes]] = []
        for tx in txs:
            if sha256(tx) not in pool:
                try:
                    unknown.append((await self._checker.check(tx), tx))
                except Refused:
                    continue
        self._admit_all(unknown)

    def _waiting(self) -> Pool:
        """The pool. Whoever asks for it ends the return of what waited before a restart."""
        if self._returning is not None:
            returned, self._returning = self._returning, None
            self._admit_all(returned)
        return self._pool

    def _admit_all(self, offers: list[tuple[Offer, bytes]]) -> None:
        """Each signer's by sequence, the best of several first; those that are refused stay out."""
        for offer, tx in sorted(offers, key=lambda pair: (pair[0].signer, pair[0].sequence, -pair[0].price)):
            try:
                self._pool.admit(offer, tx, self._state.account(offer.signer), self._state.tip.base_fee)
            except Refused:
                continue

    def _configure(self) -> None:
        self._checker = Checker(self._state.chain_id, self._state.params)
        self._squares = SquareCache(self._state.params.max_square_size, lay_out=self._lay_out)
