"""The transactions that wait for a block, best bid first: the application's own pool, whatever the engine's mempool does.

    pool = Pool()
    pool.check(offer, account, base_fee)            # would it be let in? raises Refused; costs microseconds
    pool.admit(offer, raw, account, base_fee)       # takes it, pushing out who bids less; raises Refused
    for entry in pool.by_bid(base_fee): ...         # what to propose, in this order
    pool.settle({signer: account})                  # after a block

Laws, which tests/availability/test_pool.py checks against random histories:

- a signer's transactions are a line without gaps from its next sequence on; each waits for those before it;
- what a transaction is *worth* is the lowest bid in its line up to it: a high bid behind a low one buys nothing;
- a full pool lets go of the tail of a line that is worth least, and only for who is worth more, so that no line gets a gap;
- a sequence that is taken is had for `replace_percent` more;
- a signer's balance covers all that it has waiting;
- transactions below a base fee that rose wait: they are worth least, so they go first.

It is bounded in transactions and bytes, in all and per signer. Under a first-in-first-out mempool (CometBFT's) it is fed by
CheckTx and read by PrepareProposal; what it let go of is refused when the engine asks again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dougong.availability.chain.admission import CROWDED, UNDERPAID, WRONG_SEQUENCE, Offer, Refused
from dougong.availability.chain.fees import NANO
from dougong.availability.chain.state import Account, check_funds


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How much may wait. `signer_txs`, `signer_bytes`: of one account. `replace_percent`: how much more a replacement bids."""

    txs: int = 10_000
    bytes: int = 64 << 20
    signer_txs: int = 128
    signer_bytes: int = 32 << 20
    replace_percent: int = 10


@dataclass(slots=True, eq=False)
class Entry:
    """A waiting transaction. `worth`: the lowest price in its line up to it."""

    offer: Offer
    raw: bytes
    arrival: int
    worth: int = 0


class Pool:
    """Constant or logarithmic time for each call, except where many give way to one."""

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self.limits = limits or PoolLimits()
        self._lines: dict[bytes, list[Entry]] = {}
        self._digests: dict[bytes, Entry] = {}
        self._bytes = 0
        self._arrivals = 0
        self.version = 0  # rises when what waits changes
        self._tails: list[tuple[int, int, bytes]] = []  # heap of (worth, -arrival, digest); may name what is no tail any more

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def waiting(self, signer: bytes) -> list[Offer]:
        """The account's transactions, by sequence."""
        return [entry.offer for entry in self._lines.get(signer, ())]

    def by_bid(self, base_fee: int) -> Iterator[Entry]:
        """Those that pay the base fee, best price first, each behind its predecessor; of equal ones the older first."""
        heads = [(-line[0].offer.price, line[0].arrival, 0, line) for line in self._lines.values()]
        heapq.heapify(heads)
        while heads:
            price, _, place, line = heapq.heappop(heads)
            if -price < base_fee:
                continue  # and with it all behind it
            yield line[place]
            if place + 1 < len(line):
                following = line[place + 1]
                heapq.heappush(heads, (-following.offer.price, following.arrival, place + 1, line))

    # --- coming -----------------------------------------------------------------------------------------------------

    def check(self, offer: Offer, account: Account, base_fee: int) -> None:
        """Raises `Refused` for what `admit` would refuse, but for want of room."""
        if offer.digest in self._digests:
            return
        line = self._lines.get(offer.signer, [])
        first = line[0].offer.sequence if line else account.sequence  # below the account's until a block's `settle`
        place = offer.sequence - first
        if offer.sequence < account.sequence or not 0 <= place <= len(line):
            raise Refused(WRONG_SEQUENCE, f"sequence {offer.sequence} is not {max(first + len(line), account.sequence)}")
        offer.check_fee(base_fee)
        replaced = line[place] if place < len(line) else None
        if replaced is not None:
            self._check_replacement(offer, replaced.offer)
        elif len(line) >= self.limits.signer_txs:
            raise Refused(CROWDED, f"the account has {len(line)} transactions waiting, the most that one may have")
        others = [entry.offer for entry in line if entry is not replaced and entry.offer.sequence >= account.sequence]
        if sum(other.size for other in others) + offer.size > max(self.limits.signer_bytes, offer.size):
            raise Refused(CROWDED, f"the account has more than {self.limits.signer_bytes} bytes waiting")
        check_funds(offer.signer, account.balance, sum(other.spend for other in others) + offer.spend, offer.fee)

    def admit(self, offer: Offer, raw: bytes, account: Account, base_fee: int) -> None:
        """Raises `Refused`; then nothing changed."""
        if offer.digest in self._digests:
            return
        self.check(offer, account, base_fee)
        line = self._lines.get(offer.signer, [])
        place = offer.sequence - line[0].offer.sequence if line else 0
        worth = min(offer.price, line[place - 1].worth) if place else offer.price
        self._make_room(offer, worth, line[place] if place < len(line) else None)
        # A replaced tail may have been among those that gave way.
        line = self._lines.setdefault(offer.signer, [])
        if place < len(line):
            self._forget(line[place])
            line.pop(place)
        self._arrivals += 1
        self.version += 1
        entry = Entry(offer, raw, self._arrivals)
        line.insert(place, entry)
        self._digests[offer.digest] = entry
        self._bytes += offer.size
        self._value(line, place)

    def _check_replacement(self, offer: Offer, replaced: Offer) -> None:
        percent = 100 + self.limits.replace_percent
        wanted_price = max(-(-replaced.price * percent // 100), replaced.price + 1)
        if offer.price < wanted_price:
            wanted = _fee_at(wanted_price, offer.gas)
            raise Refused(UNDERPAID, f"sequence {offer.sequence} waits already; to replace it required: {wanted}utia", wanted)

    def _make_room(self, offer: Offer, worth: int, replaced: Entry | None) -> None:
        if offer.size > self.limits.bytes:
            raise Refused(CROWDED, f"the pool holds at most {self.limits.bytes} bytes")
        gone: list[Entry] = []
        while True:
            freed = replaced is not None and replaced.offer.digest in self._digests
            txs = len(self) + (0 if freed else 1)
            size = self._bytes + offer.size - (replaced.offer.size if replaced is not None and freed else 0)
            if txs <= self.limits.txs and size <= self.limits.bytes:
                return
            tail = self._least_tail()
            if tail is None or tail.worth >= worth:
                for entry in reversed(gone):
                    self._put_back(entry)
                if tail is None or offer.price > tail.worth:
                    raise Refused(
                        CROWDED, "the pool is full, and what waits before it of its own account bids less than all others"
                    )
                wanted = _fee_at(tail.worth + 1, offer.gas)
                raise Refused(UNDERPAID, f"the pool is full; to wait in it required: {wanted}utia", wanted)
            self._drop_tail(tail)
            gone.append(tail)

    # --- going ------------------------------------------------------------------------------------------------------

    def settle(self, accounts: Mapping[bytes, Account]) -> None:
        """After a block: lets go of what is spent, and of tails that these accounts can no longer pay for."""
        self.version += 1
        for signer in self._lines.keys() & accounts.keys():
            account, line = accounts[signer], self._lines[signer]
            kept = [entry for entry in line if entry.offer.sequence >= account.sequence]
            if kept and kept[0].offer.sequence != account.sequence:
                kept = []
            spend = sum(entry.offer.spend for entry in kept)
            while kept and spend > account.balance:
                spend -= kept.pop().offer.spend
            for entry in line:
                self._forget(entry)
            if not kept:
                del self._lines[signer]
                continue
            self._lines[signer] = kept
            for entry in kept:
                self._digests[entry.offer.digest] = entry
                self._bytes += entry.offer.size
            self._value(kept, 0)

    def _least_tail(self) -> Entry | None:
        """The tail that is worth least; of equal ones the youngest."""
        while self._tails:
            worth, _, digest = self._tails[0]
            entry = self._digests.get(digest)
            if entry is not None and entry.worth == worth and self._lines[entry.offer.signer][-1] is entry:
                return entry
            heapq.heappop(self._tails)
        return None

    def _drop_tail(self, entry: Entry) -> None:
        line = self._lines[entry.offer.signer]
        line.pop()
        self._forget(entry)
        if line:
            self._note_tail(line)
        else:
            del self._lines[entry.offer.signer]

    def _put_back(self, entry: Entry) -> None:
        line = self._lines.setdefault(entry.offer.signer, [])
        line.append(entry)
        self._digests[entry.offer.digest] = entry
        self._bytes += entry.offer.size
        self._note_tail(line)

    def _forget(self, entry: Entry) -> None:
        if self._digests.pop(entry.offer.digest, None) is not None:
            self._bytes -= entry.offer.size

    def _value(self, line: list[Entry], place: int) -> None:
        """Computes the worth of what stands in line from `place` on."""
        worth = line[place - 1].worth if place else line[0].offer.price
        for entry in line[place:]:
            worth = entry.worth = min(worth, entry.offer.price)
        self._note_tail(line)

    def _note_tail(self, line: list[Entry]) -> None:
        tail = line[-1]
        heapq.heappush(self._tails, (tail.worth, -tail.arrival, tail.offer.digest))
        if len(self._tails) > 64 + 4 * len(self._lines):
            self._tails = [(line[-1].worth, -line[-1].arrival, line[-1].offer.digest) for line in self._lines.values()]
            heapq.heapify(self._tails)


def _fee_at(price: int, gas: int) -> int:
    """The least fee of at least this price."""
    return -(-price * gas // NANO)
