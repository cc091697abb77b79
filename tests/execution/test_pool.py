"""Who waits in an EVM chain's pool, who goes first, what is refused, and what a flood cannot do."""

from __future__ import annotations

import contextlib
import json
import typing
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dougong._native import sign_transaction
from dougong.errors import InvalidTransaction
from dougong.execution.evm.fees import least_gas, next_base_fee, tip_for_any, tip_for_space, tokens
from dougong.execution.evm.pool import PoolLimits, TransactionPool

if typing.TYPE_CHECKING:
    from dougong._native import TxInfo

GWEI = 10**9
RICH = (0, 10**24)
ALICE, BOB, CAROL = (bytes([number]) * 20 for number in (1, 2, 3))


@dataclass
class Decoded:
    """What the decoder says of a transaction: the pool reads nothing else of it."""

    hash: bytes
    sender: bytes
    nonce: int
    gas_limit: int = 21_000
    max_fee_per_gas: int = 10 * GWEI
    max_priority_fee_per_gas: int = GWEI
    value: int = 0
    to: bytes | None = BOB
    tx_type: int = 2
    chain_id: int | None = 1
    size: int = 100
    flaw: str | None = None


def offer(
    pool: TransactionPool,
    sender: bytes,
    nonce: int,
    *,
    account: tuple[int, int] = RICH,
    size: int = 100,
    **fields: int | str | None,
) -> bytes:
    name = repr((sender, nonce, sorted(fields.items()), size)).encode()
    info = Decoded(hash=name, sender=sender, nonce=nonce, size=size, **fields)  # type: ignore[arg-type]
    pool.add(bytes(size), typing.cast("TxInfo", info), account)
    return name


def new_pool(**limits: typing.Any) -> TransactionPool:
    return TransactionPool(1, gas_limit=30_000_000, base_fee=GWEI, limits=PoolLimits(**limits))


def nonces(pool: TransactionPool, **limits: typing.Any) -> list[tuple[bytes, int]]:
    return [(tx.sender, tx.nonce) for tx in pool.select(30_000_000, **limits)]


def test_nonces_go_in_order_and_gaps_wait() -> None:
    pool = new_pool()
    for nonce in (2, 0, 3):
        offer(pool, ALICE, nonce)
    assert nonces(pool) == [(ALICE, 0)]
    assert (pool.gapped(), pool.pending_nonce(ALICE, 0)) == (2, 1)
    offer(pool, ALICE, 1)
    assert nonces(pool) == [(ALICE, nonce) for nonce in range(4)]
    assert (pool.gapped(), pool.pending_nonce(ALICE, 0), pool.pending_nonce(BOB, 7)) == (0, 4, 7)


def test_the_best_tip_goes_first_but_never_past_its_own_nonces() -> None:
    pool = new_pool()
    offer(pool, ALICE, 0, max_priority_fee_per_gas=1)
    offer(pool, ALICE, 1, max_priority_fee_per_gas=5 * GWEI)
    offer(pool, BOB, 0, max_priority_fee_per_gas=2 * GWEI)
    offer(pool, CAROL, 0, max_priority_fee_per_gas=2 * GWEI)
    assert nonces(pool) == [(BOB, 0), (CAROL, 0), (ALICE, 0), (ALICE, 1)]


def test_the_tip_is_what_the_base_fee_leaves() -> None:
    pool = new_pool()
    offer(pool, ALICE, 0, max_fee_per_gas=3 * GWEI, max_priority_fee_per_gas=3 * GWEI)
    offer(pool, BOB, 0, max_fee_per_gas=20 * GWEI, max_priority_fee_per_gas=2 * GWEI + 1)
    assert nonces(pool) == [(BOB, 0), (ALICE, 0)]
    pool.update(4 * GWEI, {})
    assert nonces(pool) == [(BOB, 0)]
    pool.update(GWEI, {})
    assert len(nonces(pool)) == 2


def test_a_block_keeps_its_limits() -> None:
    pool = new_pool()
    offer(pool, ALICE, 0, gas_limit=29_990_000)
    offer(pool, BOB, 0, max_priority_fee_per_gas=1)
    assert nonces(pool) == [(ALICE, 0)]
    assert [(tx.sender) for tx in pool.select(29_000_000)] == [BOB]
    assert nonces(pool, max_bytes=99) == []
    assert nonces(pool, max_count=0) == []


def test_replacement_pays_a_tenth_more_in_both_fees() -> None:
    pool = new_pool()
    first = offer(pool, ALICE, 0)
    for fee, tip in ((11 * GWEI - 1, 2 * GWEI), (20 * GWEI, GWEI + GWEI // 10 - 1), (10 * GWEI, GWEI)):
        with pytest.raises(InvalidTransaction, match="replacement transaction underpriced"):
            offer(pool, ALICE, 0, max_fee_per_gas=fee, max_priority_fee_per_gas=tip, value=1)
    second = offer(pool, ALICE, 0, max_fee_per_gas=11 * GWEI, max_priority_fee_per_gas=GWEI + GWEI // 10)
    assert (first in pool, second in pool, len(pool)) == (False, True, 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nonce": 4}, "nonce too low: next nonce 5, tx nonce 4"),
        ({"value": 10**24}, "insufficient funds for gas * price + value: balance 1000000000000000000000000, tx cost "),
        ({"gas_limit": 30_000_001}, "exceeds block gas limit"),
        ({"flaw": "intrinsic gas too low: gas 21000, minimum needed 21016"}, "intrinsic gas too low"),
        ({"max_priority_fee_per_gas": 11 * GWEI}, "max priority fee per gas higher than max fee per gas"),
        ({"chain_id": 2}, "invalid sender: invalid chain id for signer: have 2 want 1"),
        ({"size": (128 << 10) + 1}, "oversized data"),
        ({"nonce": 2**64 - 1}, "nonce has max value"),
    ],
)
def test_refusals_say_it_in_geths_words(fields: dict[str, int], words: str) -> None:
    pool = new_pool()
    with pytest.raises(InvalidTransaction) as caught:
        offer(pool, ALICE, **{"nonce": 5, "account": (5, 10**24), **fields})  # type: ignore[arg-type]
    assert str(caught.value).startswith(words)
    assert (len(pool), pool.total_bytes, pool.senders()) == (0, 0, [])


def test_the_same_transaction_twice_is_already_known() -> None:
    pool = new_pool()
    offer(pool, ALICE, 0)
    with pytest.raises(InvalidTransaction, match="already known"):
        offer(pool, ALICE, 0)


def test_all_that_waits_must_be_payable_together() -> None:
    pool = new_pool()
    cost = 21_000 * 10 * GWEI
    offer(pool, ALICE, 0, account=(0, 2 * cost))
    offer(pool, ALICE, 1, account=(0, 2 * cost))
    with pytest.raises(InvalidTransaction, match=f"insufficient funds .* overshot {cost}"):
        offer(pool, ALICE, 2, account=(0, 2 * cost))
    # One that is replaced no longer counts.
    offer(pool, ALICE, 1, account=(0, 3 * cost), max_fee_per_gas=20 * GWEI, max_priority_fee_per_gas=2 * GWEI)


def test_inclusion_and_poverty_empty_the_pool() -> None:
    pool = new_pool()
    sent = [offer(pool, ALICE, nonce, value=10**18 * (nonce == 2)) for nonce in range(4)]
    assert pool.update(GWEI, {ALICE: (2, 10**18), BOB: (9, 0)}) == sent[:3]
    assert (nonces(pool), pool.gapped(), len(pool)) == ([], 1, 1)
    assert pool.update(GWEI, {ALICE: (4, 10**18)}) == sent[3:]
    assert (len(pool), pool.total_bytes, pool.senders(), pool.gapped()) == (0, 0, [], 0)


def test_a_dropped_transaction_leaves_its_followers_behind_a_gap() -> None:
    pool = new_pool()
    sent = [offer(pool, ALICE, nonce) for nonce in range(3)]
    assert pool.drop(sent[1])
    assert not pool.drop(sent[1])
    assert (nonces(pool), pool.pending_nonce(ALICE, 0), pool.gapped()) == ([(ALICE, 0)], 1, 1)
    offer(pool, ALICE, 1)
    assert len(nonces(pool)) == 3


def test_a_sender_cannot_take_more_than_its_places() -> None:
    pool = new_pool(per_sender=4, gapped_per_sender=2)
    offer(pool, ALICE, 5)
    offer(pool, ALICE, 7)
    with pytest.raises(InvalidTransaction, match="nonce too high"):
        offer(pool, ALICE, 9)
    offer(pool, ALICE, 0)
    offer(pool, ALICE, 1)
    with pytest.raises(InvalidTransaction, match="account limit exceeded"):
        offer(pool, ALICE, 2)


def test_a_full_pool_prefers_who_can_follow_then_who_pays() -> None:
    pool = new_pool(count=3)
    gapped = offer(pool, ALICE, 5, max_priority_fee_per_gas=9 * GWEI)
    cheap = offer(pool, BOB, 0, max_priority_fee_per_gas=1)
    offer(pool, CAROL, 0)
    with pytest.raises(InvalidTransaction, match="txpool is full"):
        offer(pool, bytes([4]) * 20, 1, max_priority_fee_per_gas=9 * GWEI)
    offer(pool, bytes([5]) * 20, 0, max_priority_fee_per_gas=0)
    assert gapped not in pool
    with pytest.raises(InvalidTransaction, match="transaction underpriced"):
        offer(pool, bytes([6]) * 20, 0, max_priority_fee_per_gas=0)
    assert cheap in pool
    offer(pool, bytes([6]) * 20, 0, max_priority_fee_per_gas=2)
    offer(pool, bytes([7]) * 20, 0, max_priority_fee_per_gas=2)
    assert cheap not in pool
    assert len(pool) == 3


def test_a_sequencers_pool_refuses_instead_of_breaking_its_word() -> None:
    pool = new_pool(count=1, evict=False)
    offer(pool, ALICE, 0)
    with pytest.raises(InvalidTransaction, match="txpool is full"):
        offer(pool, BOB, 0, max_priority_fee_per_gas=9 * GWEI)
    offer(pool, ALICE, 0, max_fee_per_gas=30 * GWEI, max_priority_fee_per_gas=9 * GWEI)
    assert len(pool) == 1


def test_what_cannot_follow_does_not_fill_a_sequencers_pool_for_ever() -> None:
    pool = new_pool(count=2, evict=False)
    for nonce in (3, 4):
        offer(pool, ALICE, nonce)
    with pytest.raises(InvalidTransaction, match="txpool is full"):
        offer(pool, CAROL, 3)  # nor may one gap push out another
    for nonce in (0, 1):
        offer(pool, BOB, nonce)
    assert (nonces(pool), pool.gapped()) == ([(BOB, 0), (BOB, 1)], 0)


@pytest.mark.parametrize("evict", [True, False])
def test_what_can_never_pay_takes_no_room(evict: bool) -> None:
    """Anyone can sign transactions that cost nothing: from keys that own nothing, and as many as there is room for."""
    pool = new_pool(count=2, evict=evict)
    for sender in (ALICE, BOB):
        with pytest.raises(InvalidTransaction, match="max fee per gas less than block base fee"):
            offer(pool, sender, 0, account=(0, 0), max_fee_per_gas=0, max_priority_fee_per_gas=0)
    offer(pool, CAROL, 0)
    # One that was taken at a lower base fee is not given up when it has risen.
    pool.update(20 * GWEI, {CAROL: RICH})
    assert (len(pool), pool.is_priced_out(), pool.select(30_000_000)) == (1, True, [])
    name = b"taken before"
    pool.add(b"", typing.cast("TxInfo", Decoded(name, ALICE, 0)), RICH, again=True)
    assert name in pool


def test_bytes_are_bounded_too() -> None:
    pool = new_pool(total_bytes=1_000)
    offer(pool, ALICE, 0, size=600, max_priority_fee_per_gas=1)
    offer(pool, ALICE, 1, size=400, max_priority_fee_per_gas=1)
    offer(pool, BOB, 0, size=700)
    assert [tx.sender for tx in pool] == [BOB]
    assert pool.total_bytes == 700


def test_the_base_fee_follows_eip_1559() -> None:
    # go-ethereum consensus/misc/eip1559 TestCalcBaseFee
    for base_fee, used, expected in (
        (10**9, 10_000_000, 10**9),
        (10**9, 9_000_000, 987_500_000),
        (10**9, 11_000_000, 1_012_500_000),
    ):
        assert next_base_fee(base_fee=base_fee, gas_used=used, gas_limit=20_000_000) == expected
    assert next_base_fee(base_fee=1, gas_used=20_000_000, gas_limit=20_000_000) == 2


class PoolMachine(RuleBasedStateMachine):
    """Whatever comes in whatever order: the tables agree with each other and nothing that cannot follow is selected."""

    senders = st.sampled_from((ALICE, BOB, CAROL))

    def __init__(self) -> None:
        super().__init__()
        self.pool = new_pool(count=6, total_bytes=900, per_sender=4, gapped_per_sender=2)
        self.state = dict.fromkeys((ALICE, BOB, CAROL), 0)

    @rule(sender=senders, ahead=st.integers(0, 4), tip=st.integers(0, 4), size=st.integers(50, 400))
    def add(self, sender: bytes, ahead: int, tip: int, size: int) -> None:
        fields = {"max_fee_per_gas": (10 + tip) * GWEI, "max_priority_fee_per_gas": tip * GWEI}
        with contextlib.suppress(InvalidTransaction):
            offer(self.pool, sender, self.state[sender] + ahead, account=(self.state[sender], 10**16), size=size, **fields)

    @rule(sender=senders, by=st.integers(-2, 3), balance=st.sampled_from((10**14, 10**16)))
    def block(self, sender: bytes, by: int, balance: int) -> None:
        self.state[sender] = max(0, self.state[sender] + by)
        self.pool.update(GWEI, {sender: (self.state[sender], balance)})

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        waiting = list(self.pool)
        if waiting:
            assert self.pool.drop(data.draw(st.sampled_from(waiting)).hash)

    @invariant()
    def tables_agree(self) -> None:
        waiting = list(self.pool)
        assert len(waiting) == len(self.pool) <= 6
        assert self.pool.total_bytes == sum(len(tx.raw) for tx in waiting) <= 900
        assert set(self.pool.senders()) == {tx.sender for tx in waiting}
        followable = 0
        for sender, nonce in self.state.items():
            held = {tx.nonce for tx in waiting if tx.sender == sender}
            end = nonce
            while end in held:
                end += 1
            assert self.pool.pending_nonce(sender, nonce) == end
            followable += end - nonce
        assert self.pool.gapped() == len(waiting) - followable
        assert len(self.pool.select(30_000_000)) == followable


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_transaction_pays_for_its_bytes_or_is_refused() -> None:
    price = 1_000_000
    pool = TransactionPool(
        1, gas_limit=30_000_000, base_fee=GWEI, least_tip=lambda raw: tip_for_space(price, tokens(raw)), limits=PoolLimits()
    )
    needed = tip_for_space(price, 400)  # 100 bytes, all zero: a token each
    assert tip_for_space(price, 100) < needed
    with pytest.raises(InvalidTransaction, match=r"transaction gas price below minimum: gas tip cap \d+, minimum needed \d+"):
        offer(pool, ALICE, 0, max_priority_fee_per_gas=tip_for_space(price, 100) - 1)
    with pytest.raises(InvalidTransaction, match="max fee per gas less than block base fee and minimum tip"):
        offer(pool, ALICE, 0, max_fee_per_gas=GWEI + 1, max_priority_fee_per_gas=GWEI + 1)
    offer(pool, ALICE, 0, max_fee_per_gas=2 * GWEI)
    assert pool.select(30_000_000)
    pool.update(2 * GWEI, {})  # what the base fee leaves would not pay for the bytes
    assert not pool.select(30_000_000)
    assert pool.is_priced_out()


@given(
    calldata=st.lists(st.sampled_from([b"\x00", b"\xff", b"\x7f\x01"]), max_size=400).map(b"".join),
    keys=st.integers(0, 60),
    price=st.integers(1, 10**12),
)
@settings(deadline=None, max_examples=60)
def test_the_suggested_tip_suffices_for_any_transaction(calldata: bytes, keys: int, price: int) -> None:
    """And gas that is reckoned with is never more than what Ethereum's rules take for these bytes."""
    fields = {
        "type": "0x2",
        "chainId": hex(2**52 - 1),
        "nonce": hex(2**60),
        "gas": hex(30_000_000),
        "maxFeePerGas": hex(2**120),
        "maxPriorityFeePerGas": hex(2**120),
        "to": "0x" + "ff" * 20,
        "value": hex(2**255 - 1),
        "data": "0x" + calldata.hex(),
        "accessList": [{"address": "0x" + "aa" * 20, "storageKeys": ["0x" + "bb" * 32] * keys}] if keys else [],
    }
    raw = sign_transaction(json.dumps(fields), bytes([1]) * 32)
    in_calldata = tokens(calldata)
    standard = 21_000 + 4 * in_calldata + (2_400 + 1_900 * keys if keys else 0)
    least = max(21_000 + 10 * in_calldata, standard)
    assert least_gas(tokens(raw)) <= least
    assert tip_for_space(price, tokens(raw)) <= tip_for_any(price)
    assert tip_for_any(price) * least >= price * tokens(raw)


def test_what_no_block_can_take_does_not_wait_for_ever() -> None:
    pool = new_pool(lifetime=100.0)
    behind_a_gap = offer(pool, ALICE, 5)
    priced_out = offer(pool, BOB, 0, max_fee_per_gas=2 * GWEI)
    follows = offer(pool, CAROL, 0)
    pool.update(3 * GWEI, {})
    assert pool.expire(1_000.0) == []
    pool.update(GWEI, {})
    assert pool.expire(1_050.0) == []  # it could have been taken meanwhile: it waits anew
    pool.update(3 * GWEI, {})
    assert pool.expire(1_099.0) == []
    assert pool.expire(1_100.0) == [behind_a_gap]
    assert pool.expire(1_199.0) == [priced_out]
    assert pool.expire(10_000.0) == []
    assert follows in pool
    assert len(pool) == 1


def test_nonce_floods_stay_within_their_bounds() -> None:
    """One sender and many, gapped and not, priced out and not: count, bytes and the tables beside them are bounded."""
    pool = new_pool(count=200, total_bytes=40_000, per_sender=20, gapped_per_sender=5, evict=False)
    for turn in range(2_000):
        sender = (turn % 97 + 1).to_bytes(20)
        with contextlib.suppress(InvalidTransaction):
            offer(pool, sender, turn * 7919 % 64, size=100 + turn % 150)
        if turn % 500 == 0:
            pool.update(20 * GWEI if turn % 1_000 else GWEI, {})
            pool.expire(float(turn))
    assert len(pool) <= 200
    assert pool.total_bytes <= 40_000
    assert len(pool._cheapest) <= 2 * 200 + 65
    assert max(len(sender.txs) for sender in pool._senders.values()) <= 20
    assert len(pool._stuck) <= 200
