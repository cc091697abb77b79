"""The pool's laws, over random histories of bids, replacements and blocks, against the sums done anew after every step."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dougong.availability.chain.admission import CROWDED, UNDERPAID, UNFUNDED, WRONG_SEQUENCE, Offer, Refused
from dougong.availability.chain.fees import NANO
from dougong.availability.chain.pool import Pool, PoolLimits
from dougong.availability.chain.state import Account
from dougong.crypto.hashing import sha256

GAS = 100_000
SIGNERS = [bytes([number]) * 20 for number in range(1, 6)]
LIMITS = PoolLimits(txs=8, bytes=4_000, signer_txs=4, signer_bytes=2_500)


def offer(signer: bytes, sequence: int, fee: int, *, size: int = 100, salt: int = 0) -> Offer:
    digest = sha256(signer, sequence.to_bytes(8), fee.to_bytes(8), size.to_bytes(8), salt.to_bytes(8))
    return Offer(digest, signer, sequence, fee, GAS, GAS, size, size)


def refusal(pool: Pool, bid: Offer, account: Account, base_fee: int = 0) -> Refused:
    with pytest.raises(Refused) as caught:
        pool.admit(bid, b"", account, base_fee)
    return caught.value


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(LIMITS)
        self.accounts = {signer: Account(10_000) for signer in SIGNERS}
        self.base_fee = 0
        self.salt = 0

    @rule(
        signer=st.sampled_from(SIGNERS),
        ahead=st.integers(-1, 5),
        fee=st.integers(0, 4_000),
        size=st.integers(1, 1_500),
    )
    def bid(self, signer: bytes, ahead: int, fee: int, size: int) -> None:
        account = self.accounts[signer]
        self.salt += 1
        bid = offer(signer, max(account.sequence + ahead, 0), fee, size=size, salt=self.salt)
        before = {entry.digest: entry for owner in SIGNERS for entry in self.pool.waiting(owner)}
        worth = self.worths()
        try:
            self.pool.admit(bid, b"raw", account, self.base_fee)
        except Refused as refused:
            asked = refused.wanted if refused.code == UNDERPAID else None
            assert {entry.digest for owner in SIGNERS for entry in self.pool.waiting(owner)} == set(before)
            assert asked is None or asked > fee, "who is asked for more is asked for more than it bid"
            return
        gone = set(before) - {entry.digest for owner in SIGNERS for entry in self.pool.waiting(owner)}
        mine = self.worths()[bid.digest]
        for digest in gone:
            lost = before[digest]
            if (lost.signer, lost.sequence) == (bid.signer, bid.sequence):
                assert bid.price * 100 >= lost.price * 110
                assert bid.price > lost.price
            else:
                assert worth[digest] < mine, "only who is worth less gives way"

    @rule(signer=st.sampled_from(SIGNERS), taken=st.integers(0, 3), spent=st.integers(0, 6_000), fee=st.integers(0, 2_000))
    def block(self, signer: bytes, taken: int, spent: int, fee: int) -> None:
        account = self.accounts[signer]
        self.accounts[signer] = Account(max(account.balance - spent, 0) + 500, account.sequence + taken)
        self.base_fee = fee * NANO // GAS
        self.pool.settle({signer: self.accounts[signer]})

    def worths(self) -> dict[bytes, int]:
        found = {}
        for signer in SIGNERS:
            lowest = None
            for waiting in self.pool.waiting(signer):
                lowest = waiting.price if lowest is None else min(lowest, waiting.price)
                found[waiting.digest] = lowest
        return found

    @invariant()
    def bounds_hold(self) -> None:
        lines = {signer: self.pool.waiting(signer) for signer in SIGNERS}
        everything = [bid for line in lines.values() for bid in line]
        assert len(self.pool) == len(everything) <= LIMITS.txs
        assert self.pool.size_bytes == sum(bid.size for bid in everything) <= LIMITS.bytes
        for signer, line in lines.items():
            account = self.accounts[signer]
            assert [bid.sequence for bid in line] == list(range(account.sequence, account.sequence + len(line)))
            assert sum(bid.spend for bid in line) <= account.balance
            assert len(line) <= LIMITS.signer_txs
            assert sum(bid.size for bid in line) <= LIMITS.signer_bytes

    @invariant()
    def proposals_are_in_order(self) -> None:
        chosen = [entry.offer for entry in self.pool.by_bid(self.base_fee)]
        assert all(bid.price >= self.base_fee for bid in chosen)
        for signer in SIGNERS:
            mine = [bid.sequence for bid in chosen if bid.signer == signer]
            first = self.accounts[signer].sequence
            assert mine == list(range(first, first + len(mine)))
        worth = self.worths()
        assert [worth[bid.digest] for bid in chosen] == sorted((worth[bid.digest] for bid in chosen), reverse=True)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

RICH = Account(10**15)
ALICE, BOB = SIGNERS[:2]


def test_a_high_bid_behind_a_low_one_protects_neither() -> None:
    pool = Pool(PoolLimits(txs=3))
    for sequence, fee in enumerate((10, 10**9, 10**9)):
        pool.admit(offer(ALICE, sequence, fee), b"", RICH, 0)
    pool.admit(offer(BOB, 0, 20), b"", RICH, 0)
    assert [bid.sequence for bid in pool.waiting(ALICE)] == [0, 1]
    assert len(pool.waiting(BOB)) == 1


def test_a_full_pool_says_what_it_wants() -> None:
    pool = Pool(PoolLimits(txs=1))
    pool.admit(offer(ALICE, 0, 1_000), b"", RICH, 0)
    refused = refusal(pool, offer(BOB, 0, 1_000), RICH)
    assert (refused.code, refused.wanted) == (UNDERPAID, 1_001)
    pool.admit(offer(BOB, 0, 1_001), b"", RICH, 0)
    assert pool.waiting(ALICE) == []


def test_a_large_one_pushes_out_as_many_as_it_needs_or_none() -> None:
    pool = Pool(PoolLimits(bytes=1_000))
    for sequence in range(10):
        pool.admit(offer(ALICE, sequence, 1_000 - sequence), b"", RICH, 0)
    assert refusal(pool, offer(BOB, 0, 995, size=500), RICH).code == UNDERPAID
    assert len(pool) == 10
    pool.admit(offer(BOB, 0, 999, size=500), b"", RICH, 0)
    assert [bid.sequence for bid in pool.waiting(ALICE)] == list(range(5))
    assert refusal(pool, offer(BOB, 1, 999, size=1_001), RICH).code == CROWDED


def test_a_taken_sequence_is_had_for_a_tenth_more() -> None:
    pool = Pool()
    pool.admit(offer(ALICE, 0, 1_000), b"", RICH, 0)
    pool.admit(offer(ALICE, 1, 5_000), b"", RICH, 0)
    refused = refusal(pool, offer(ALICE, 0, 1_099), RICH)
    assert (refused.code, refused.wanted) == (UNDERPAID, 1_100)
    pool.admit(offer(ALICE, 0, 1_100), b"new", RICH, 0)
    assert [bid.fee for bid in pool.waiting(ALICE)] == [1_100, 5_000]
    assert [entry.raw for entry in pool.by_bid(0)] == [b"new", b""]


def test_what_waits_is_covered_all_together() -> None:
    pool, account = Pool(), Account(250)
    pool.admit(offer(ALICE, 0, 100), b"", account, 0)
    pool.admit(offer(ALICE, 1, 100), b"", account, 0)
    assert refusal(pool, offer(ALICE, 2, 100), account).code == UNFUNDED
    assert refusal(pool, offer(ALICE, 0, 151), account).code == UNFUNDED
    pool.admit(offer(ALICE, 0, 150), b"", account, 0)
    pool.settle({ALICE: Account(149)})
    assert pool.waiting(ALICE) == [], "a balance that fell covers no more than it covers"


def test_who_falls_below_the_base_fee_waits_and_comes_back() -> None:
    pool = Pool()
    pool.admit(offer(ALICE, 0, 100), b"", RICH, 0)
    pool.admit(offer(ALICE, 1, 900), b"", RICH, 0)
    high = 500 * NANO // GAS
    assert list(pool.by_bid(high)) == []
    assert refusal(pool, offer(BOB, 0, 499), RICH, high).wanted == 500
    assert [entry.offer.fee for entry in pool.by_bid(100 * NANO // GAS)] == [100, 900]
    assert refusal(pool, offer(BOB, 1, 900), RICH).code == WRONG_SEQUENCE
