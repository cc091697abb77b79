"""Transactions that wait for a block: who may wait, who goes first, who has to leave.

    pool = TransactionPool(chain_id, gas_limit=60_000_000, base_fee=base_fee)
    pool.add(raw, info, evm.account(info.sender))            # raises InvalidTransaction, with geth's words
    block = pool.select(gas_limit=60_000_000)                # nonces in order, best tips first
    pool.update(base_fee, {sender: evm.account(sender) for sender in pool.senders()})

A pure data structure: it is told of accounts, base fees and limits, and asks nobody. Rules and error texts follow
go-ethereum's `core/txpool/legacypool` and `core/txpool/validation.go`, with these deviations: a gapped transaction (one whose
nonce cannot follow yet) is never worth an eviction, a transaction without a chain id (before EIP-155) is taken because keyless
deployments need it, the sum of what one sender's waiting transactions may cost at most must be in its balance, and a new
transaction must be able to pay the next block's base fee: what costs nothing to keep waiting could fill the pool for ever. A
chain whose transactions cost more than their execution says so (`least_tip`): above the base fee each must leave that much.

What an attacker can do: fill the pool with what it can pay for. Gapped transactions are few for each sender and leave first;
a full pool takes only what pays a higher tip than the cheapest; a replacement pays a tenth more in both fees.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dougong.errors import InvalidTransaction
from dougong.execution.evm.pooled import Account, PooledTransaction, PoolLimits, check_alone, check_size

if TYPE_CHECKING:
    from dougong._native import TxInfo

__all__ = ["Account", "PoolLimits", "PooledTransaction", "TransactionPool"]

TRANSACTION_GAS = 21_000


@dataclass(slots=True)
class _Sender:
    """One sender's transactions by nonce. `end` is the first nonce from the account's on that is missing."""

    nonce: int
    balance: int
    end: int
    cost: int = 0
    txs: dict[int, PooledTransaction] = field(default_factory=dict)

    def is_gapped(self, nonce: int) -> bool:
        return nonce >= self.end

    def find_end(self, start: int) -> None:
        self.end = start
        while self.end in self.txs:
            self.end += 1


class TransactionPool:
    """Not safe for concurrent use: call it from one thread (the event loop's)."""

    def __init__(
        self,
        chain_id: int,
        *,
        gas_limit: int,
        base_fee: int,
        limits: PoolLimits | None = None,
        least_tip: Callable[[bytes], int] = lambda raw: 0,
    ) -> None:
        """`gas_limit` is a block's, `base_fee` (wei) that of the next block. `least_tip` says what a new transaction must leave
        above the base fee, in wei a gas."""
        self.chain_id = chain_id
        self.gas_limit = gas_limit
        self.base_fee = base_fee
        self.limits = limits or PoolLimits()
        self.total_bytes = 0
        self._by_hash: dict[bytes, PooledTransaction] = {}
        self._senders: dict[bytes, _Sender] = {}
        self._gapped: dict[bytes, PooledTransaction] = {}
        self._cheapest: list[tuple[int, int, int, bytes]] = []  # a heap, where one may be evicted; who has left is skipped
        self._arrivals = 0
        self._least_tip = least_tip
        self._stuck: dict[bytes, float] = {}  # since when no block could take it
        self._on_taken: list[Callable[[PooledTransaction], None]] = []

    # --- reading ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, tx_hash: object) -> bool:
        return tx_hash in self._by_hash

    def __iter__(self) -> Iterator[PooledTransaction]:
        """In order of arrival."""
        return iter(sorted(self._by_hash.values(), key=lambda tx: tx.order))

    def get(self, tx_hash: bytes) -> bytes | None:
        found = self._by_hash.get(tx_hash)
        return None if found is None else found.raw

    def senders(self) -> list[bytes]:
        """Everyone whose account `update` should be told of."""
        return list(self._senders)

    def watch(self, on_taken: Callable[[PooledTransaction], None]) -> None:
        """`on_taken` is called with each transaction that `add` takes, but for those that come again. It must not raise."""
        self._on_taken.append(on_taken)

    def gapped(self) -> int:
        """How many transactions cannot follow yet."""
        return len(self._gapped)

    def waiting(self, address: bytes | None = None) -> tuple[list[PooledTransaction], list[PooledTransaction]]:
        """The transactions that can follow and those that cannot yet (of one sender, if named), in nonce order."""
        senders = self._senders.values() if address is None else [self._senders[address]] if address in self._senders else []
        ready: list[PooledTransaction] = []
        gapped: list[PooledTransaction] = []
        for sender in senders:
            for nonce, tx in sorted(sender.txs.items()):
                (gapped if sender.is_gapped(nonce) else ready).append(tx)
        return ready, gapped

    def pending_nonce(self, address: bytes, nonce: int) -> int:
        """The nonce after all transactions that can follow; `nonce` is the account's on the latest state."""
        sender = self._senders.get(address)
        return nonce if sender is None else max(sender.end, nonce)

    def select(
        self,
        gas_limit: int,
        *,
        max_bytes: int | None = None,
        max_count: int | None = None,
        among: Container[bytes] | None = None,
    ) -> list[PooledTransaction]:
        """What the next block should hold: each sender's in nonce order; among senders the highest effective tip first, the
        earlier arrival where tips are equal. Gas counts at each transaction's limit. With `among` only transactions whose hashes
        are in it. Takes nothing out of the pool."""
        gas, space = gas_limit, max_bytes if max_bytes is not None else self.total_bytes
        count = max_count if max_count is not None else len(self._by_hash)
        heads = [self._rank(sender.nonce, sender.txs, among) for sender in self._senders.values()]
        heap = [head for head in heads if head is not None]
        heapq.heapify(heap)
        chosen: list[PooledTransaction] = []
        while heap and len(chosen) < count and gas >= TRANSACTION_GAS:
            _, _, tx, txs = heap[0]
            own_gas, size = tx.gas_limit, len(tx.raw)
            following = None
            if own_gas <= gas and size <= space:
                chosen.append(tx)
                gas -= own_gas
                space -= size
                following = self._rank(tx.nonce + 1, txs, among)
            if following is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, following)
        return chosen

    def _rank(
        self, nonce: int, txs: Mapping[int, PooledTransaction], among: Container[bytes] | None
    ) -> tuple[int, int, PooledTransaction, Mapping[int, PooledTransaction]] | None:
        """Of a sender's transaction, if a block can take it; the highest effective tip is the least."""
        tx = txs.get(nonce)
        if tx is None or (among is not None and tx.hash not in among):
            return None
        above = tx.max_fee - self.base_fee
        if above < tx.least_tip:
            return None
        return -min(tx.max_priority_fee, above), tx.order, tx, txs

    def is_priced_out(self) -> bool:
        """Whether somebody's next transaction waits for a lower base fee."""
        heads = (sender.txs.get(sender.nonce) for sender in self._senders.values())
        return any(tx is not None and not tx.pays(self.base_fee) for tx in heads)

    # --- changing ---------------------------------------------------------------------------------------------------

    def add(self, raw: bytes, info: TxInfo, account: Account, *, again: bool = False) -> tuple[bytes, ...]:
        """Takes a decoded transaction; `account` is its sender's on the latest state, read in the same turn of the event loop.
        One that was taken before (`again`) may be below a base fee that has risen since. Returns the hashes of the transactions
        that had to leave for it (replaced or evicted). Raises `InvalidTransaction`; the pool is then as before, but for what
        `account` shows to be past."""
        tx_hash, address, max_fee = info.hash, info.sender, info.max_fee_per_gas
        if tx_hash in self._by_hash:
            raise InvalidTransaction("already known")
        max_priority_fee = check_alone(raw, info, max_fee, self.chain_id, self.gas_limit, self.limits.tx_bytes)
        if not again and max_fee < self.base_fee:
            raise InvalidTransaction(
                f"max fee per gas less than block base fee: maxFeePerGas: {max_fee}, baseFee: {self.base_fee}"
            )
        needed = 0 if again else self._check_tip(raw, max_fee, max_priority_fee)
        tx_nonce = info.nonce
        nonce, balance = account
        if tx_nonce < nonce:
            raise InvalidTransaction(f"nonce too low: next nonce {nonce}, tx nonce {tx_nonce}")
        sender = self._senders.get(address)
        if sender is not None and (sender.nonce != nonce or sender.balance != balance):
            self.update(self.base_fee, {address: account})
            sender = self._senders.get(address)
        if sender is None:
            sender = _Sender(nonce, balance, nonce)
        gas_limit = info.gas_limit
        cost = gas_limit * max_fee + info.value
        tx = PooledTransaction(
            tx_hash, address, tx_nonce, gas_limit, max_fee, max_priority_fee, cost, self._arrivals, raw, needed
        )
        old = sender.txs.get(tx_nonce)
        self._check_sender(tx, old, sender, balance)
        gone = self._make_room(tx, old, sender)
        if old is not None:
            self._forget(old, sender)
            gone = (*gone, old.hash)
        self._arrivals += 1
        self._senders[address] = sender
        self._store(tx, sender)
        if not again:
            for on_taken in self._on_taken:
                on_taken(tx)
        return gone

    def drop(self, tx_hash: bytes) -> bool:
        """Takes out a transaction that turned out to be invalid; its sender's later ones wait behind the gap."""
        tx = self._by_hash.get(tx_hash)
        if tx is None:
            return False
        self._remove(tx)
        return True

    def update(self, base_fee: int, accounts: Mapping[bytes, Account], *, gas_limit: int | None = None) -> list[bytes]:
        """A new latest state: what `accounts` shows to be included, passed over or beyond the balance leaves. Returns the
        hashes that left. Senders that are not named keep the account last told."""
        self.base_fee = base_fee
        self.gas_limit = gas_limit or self.gas_limit
        gone: list[bytes] = []
        for address, (nonce, balance) in accounts.items():
            sender = self._senders.get(address)
            if sender is None:
                continue
            in_line = sender.nonce <= nonce <= sender.end  # then what stays follows as it did
            sender.nonce, sender.balance = nonce, balance
            for tx in [tx for tx in sender.txs.values() if tx.nonce < nonce or tx.cost > balance]:
                in_line = in_line and tx.nonce < nonce
                self._forget(tx, sender)
                gone.append(tx.hash)
            if not sender.txs:
                del self._senders[address]
            elif not in_line:
                sender.find_end(nonce)
                self._regap(sender)
        return gone

    def expire(self, now: float) -> list[bytes]:
        """Lets go of what no block could take for `lifetime` seconds on end; returns the hashes. `now` is any clock's, in
        seconds; call it now and then."""
        stuck: dict[bytes, float] = {}
        gone: list[PooledTransaction] = []
        for tx in self._by_hash.values():
            if tx.hash in self._gapped or not tx.pays(self.base_fee):
                since = stuck[tx.hash] = self._stuck.get(tx.hash, now)
                if now - since >= self.limits.lifetime:
                    gone.append(tx)
        for tx in gone:
            self._remove(tx)
            del stuck[tx.hash]
        self._stuck = stuck
        return [tx.hash for tx in gone]

    # --- rules ------------------------------------------------------------------------------------------------------

    def check_size(self, raw: bytes) -> None:
        """Raises `InvalidTransaction`. Cheap: before anything is computed of bytes that nobody has paid for."""
        check_size(raw, self.limits.tx_bytes)

    def _check_tip(self, raw: bytes, max_fee: int, max_priority_fee: int) -> int:
        needed = self._least_tip(raw)
        if max_priority_fee < needed:
            raise InvalidTransaction(
                f"transaction gas price below minimum: gas tip cap {max_priority_fee}, minimum needed {needed}"
            )
        if max_fee < self.base_fee + needed:
            raise InvalidTransaction(
                "max fee per gas less than block base fee and minimum tip: "
                f"maxFeePerGas: {max_fee}, baseFee: {self.base_fee}, minimum tip: {needed}"
            )
        return needed

    def _check_sender(self, tx: PooledTransaction, old: PooledTransaction | None, sender: _Sender, balance: int) -> None:
        if old is not None:
            percent = 100 + self.limits.replacement_percent
            for new, paid in ((tx.max_fee, old.max_fee), (tx.max_priority_fee, old.max_priority_fee)):
                if new <= paid or new * 100 < paid * percent:
                    raise InvalidTransaction("replacement transaction underpriced")
        waiting = sender.cost - (old.cost if old else 0)
        if tx.cost + waiting > balance:
            raise InvalidTransaction(
                f"insufficient funds for gas * price + value: balance {balance}, tx cost {tx.cost}, "
                f"overshot {tx.cost + waiting - balance}"
            )
        if old is None and len(sender.txs) >= self.limits.per_sender:
            raise InvalidTransaction(f"account limit exceeded: {self.limits.per_sender} transactions are waiting")
        if old is None and tx.nonce > sender.end:
            gapped = sum(1 for nonce in sender.txs if sender.is_gapped(nonce))
            if gapped >= self.limits.gapped_per_sender:
                raise InvalidTransaction(
                    f"nonce too high: next nonce {sender.end}, tx nonce {tx.nonce}, and {gapped} wait behind the gap"
                )

    def _make_room(self, tx: PooledTransaction, old: PooledTransaction | None, sender: _Sender) -> tuple[bytes, ...]:
        """Evicts until `tx` fits. First chooses, then removes: a refusal changes nothing."""
        count = len(self._by_hash) + (old is None) - self.limits.count
        size = self.total_bytes + len(tx.raw) - (len(old.raw) if old else 0) - self.limits.total_bytes
        if count <= 0 and size <= 0:
            return ()
        if sender.is_gapped(tx.nonce) and tx.nonce != sender.end:
            raise InvalidTransaction("txpool is full")
        victims = self._victims(tx, count, size)
        for victim in victims:
            self._remove(victim)
        return tuple(victim.hash for victim in victims)

    def _victims(self, tx: PooledTransaction, count: int, size: int) -> list[PooledTransaction]:
        """Whom `tx` pushes out to free `count` places and `size` bytes, most expendable first: the latest gapped ones, then those
        that pay a lower tip. Never its own sender's, which it may have to follow."""
        victims: list[PooledTransaction] = []
        for gapped in reversed(self._gapped.values()):
            if count <= 0 and size <= 0:
                return victims
            if gapped.sender != tx.sender:
                victims.append(gapped)
                count, size = count - 1, size - len(gapped.raw)
        if not self.limits.evict and (count > 0 or size > 0):
            raise InvalidTransaction("txpool is full")
        passed: list[tuple[int, int, int, bytes]] = []
        while (count > 0 or size > 0) and self._cheapest and self._cheapest[0][:2] < (tx.max_priority_fee, tx.max_fee):
            entry = heapq.heappop(self._cheapest)
            found = self._by_hash.get(entry[3])
            if found is None:
                continue
            passed.append(entry)
            if found.sender != tx.sender and found.hash not in self._gapped:
                victims.append(found)
                count, size = count - 1, size - len(found.raw)
        for entry in passed:
            heapq.heappush(self._cheapest, entry)
        if count > 0 or size > 0:
            raise InvalidTransaction("transaction underpriced: the txpool is full")
        return victims

    # --- bookkeeping ------------------------------------------------------------------------------------------------

    def _store(self, tx: PooledTransaction, sender: _Sender) -> None:
        sender.txs[tx.nonce] = tx
        sender.cost += tx.cost
        self._by_hash[tx.hash] = tx
        self.total_bytes += len(tx.raw)
        if self.limits.evict:
            if len(self._cheapest) > 2 * len(self._by_hash) + 64:
                self._cheapest = [entry for entry in self._cheapest if entry[3] in self._by_hash]
                heapq.heapify(self._cheapest)
            heapq.heappush(self._cheapest, (tx.max_priority_fee, tx.max_fee, -tx.order, tx.hash))
        if tx.nonce == sender.end:
            sender.end += 1
            if sender.end in sender.txs:
                sender.find_end(sender.end)
                for filled in range(tx.nonce + 1, sender.end):
                    self._gapped.pop(sender.txs[filled].hash, None)
        elif sender.is_gapped(tx.nonce):
            self._gapped[tx.hash] = tx

    def _forget(self, tx: PooledTransaction, sender: _Sender) -> None:
        """Out of every table; the caller mends its sender's `end`."""
        del self._by_hash[tx.hash]
        if self._gapped:
            self._gapped.pop(tx.hash, None)
        self.total_bytes -= len(tx.raw)
        sender.cost -= tx.cost
        del sender.txs[tx.nonce]

    def _remove(self, tx: PooledTransaction) -> None:
        sender = self._senders[tx.sender]
        self._forget(tx, sender)
        if not sender.txs:
            del self._senders[tx.sender]
        elif tx.nonce < sender.end:
            sender.end = max(tx.nonce, sender.nonce)
            self._regap(sender)

    def _regap(self, sender: _Sender) -> None:
        for tx in sender.txs.values():
            if sender.is_gapped(tx.nonce):
                self._gapped[tx.hash] = tx
            else:
                self._gapped.pop(tx.hash, None)
