"""What users pay by default covers what publishing and settling costs, and the operator can read both."""

from __future__ import annotations

from pathlib import Path

import pytest

from dougong.errors import InvalidTransaction, Unavailable
from dougong.execution.evm.fees import tokens
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.ledger import LEDGER_TABLES, Ledger, Rates, _count
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.settlement.transactor import Receipt
from dougong.store import Store
from dougong.types import Quote
from tests.services.world import GWEI, USERS, new_chain, transfers

ALICE = USERS[0]
APPEND = 4 * 10**13  # wei on settlement, a batch
RATES = Rates(availability=2 * 10**6, settlement=0.5, least_tokens=400)


class Market:
    """A DA layer's prices: a fixed part and one for each byte."""

    def __init__(self) -> None:
        self.per_byte = 1_000
        self.away = False

    async def __call__(self, size: int) -> Quote:
        if self.away:
            raise Unavailable("the DA layer is away")
        return Quote(100_000 + self.per_byte * size, "utia", 1_000, 10**6)


class Rollup:
    """A sequencer whose blocks are batched by hand."""

    def __init__(self, folder: Path, chain: RollupChain, ledger: Ledger, sequencer: Sequencer) -> None:
        self.folder, self.chain, self.ledger, self.sequencer = folder, chain, ledger, sequencer
        self.nonce = 0

    @classmethod
    async def open(cls, folder: Path, market: Market, rates: Rates = RATES) -> Rollup:
        chain = await new_chain(folder / "evm")
        store = Store(folder / "services", LEDGER_TABLES)
        ledger = await Ledger.open(chain, market, rates, store)
        await ledger.reckon()
        journal = await Journal.open(folder / "journal")
        return cls(
            folder, chain, ledger, await Sequencer.open(chain, None, journal, SequencerConfig(), least_tip=ledger.least_tip)
        )

    def transaction(self, data: bytes, tip: int) -> bytes:
        (raw,) = transfers(ALICE, self.nonce, 1, data=data, gas=1_000_000, fee=10 * tip)
        return raw

    async def batch(self, count: int, data: bytes = b"") -> None:
        """Each pays exactly what it must, as its wallet would if it knew its own bytes."""
        for _ in range(count):
            tip = max(GWEI, self.ledger.least_tip(self.transaction(data, 10**15)))
            await self.sequencer.submit(self.transaction(data, tip))
            self.nonce += 1
        built = await self.sequencer.make_block()
        assert built is not None
        number = built.header.number
        self.ledger.observe("append_batch", Receipt(b"", 1, APPEND // GWEI, GWEI, None, ()))
        await self.ledger.count(number, number, len(self.chain.evm.encode_batch(number, number, 9)))
        await self.ledger.reckon()


async def test_fees_cover_what_space_and_settlement_cost(tmp_path: Path) -> None:
    market = Market()
    rollup = await Rollup.open(tmp_path, market)
    for turn in range(40):
        await rollup.batch(1 + turn % 3, data=bytes([turn, 0, 7]) * (turn % 5 * 40))
    recent = rollup.ledger.facts()["recent"]
    assert isinstance(recent, dict)
    revenue, cost = int(recent["revenue_wei"]), int(recent["cost_wei"])
    assert cost > 32 * (0.5 * APPEND + 2 * 10**6 * 100_000)
    assert cost <= revenue
    assert recent["blob_bytes"] > 0


async def test_the_price_follows_what_is_paid_below(tmp_path: Path) -> None:
    market = Market()
    rollup = await Rollup.open(tmp_path, market)
    await rollup.batch(3)
    before = rollup.ledger.price
    market.per_byte *= 100
    await rollup.ledger.reckon()
    dearer = rollup.ledger.price
    assert dearer > 2 * before
    market.away = True
    await rollup.ledger.reckon()  # what the last batch cost, rather than nothing
    assert rollup.ledger.price >= before
    market.away, market.per_byte = False, 1_000
    await rollup.ledger.reckon()
    assert rollup.ledger.price == before


async def test_who_does_not_pay_for_his_bytes_is_refused_and_who_follows_the_suggestion_is_not(tmp_path: Path) -> None:
    rollup = await Rollup.open(tmp_path, Market())
    await rollup.batch(1)
    suggested = rollup.ledger.suggested_tip()
    for data in (b"", b"\xff" * 1_000, bytes(1_000)):
        raw = rollup.transaction(data, suggested)
        least = rollup.ledger.least_tip(raw)
        assert 0 < least <= suggested
        with pytest.raises(InvalidTransaction, match="transaction gas price below minimum: gas tip cap"):
            await rollup.sequencer.submit(rollup.transaction(data, least * 9 // 10))
        await rollup.sequencer.submit(raw)
        rollup.nonce += 1
    assert await rollup.sequencer.make_block() is not None


async def test_free_layers_cost_nothing_and_a_small_batch_does_not_pay_for_a_large_one(tmp_path: Path) -> None:
    free = await Rollup.open(tmp_path / "free", Market(), Rates())
    await free.batch(1)
    assert (free.ledger.price, free.ledger.suggested_tip(), free.ledger.facts()["cost_wei"]) == (0, 0, "0")
    shared = await Rollup.open(tmp_path / "shared", Market(), Rates(settlement=1, least_tokens=100_000, margin_percent=0))
    await shared.batch(1)
    assert shared.ledger.price == -(-APPEND // 100_000)


async def test_tips_are_counted_also_where_the_fee_recipient_spends(tmp_path: Path) -> None:
    rollup = await Rollup.open(tmp_path, Market())
    await rollup.batch(3)
    from_balance = _count(rollup.chain.evm, 1, 1, bytes(20))
    from_receipts = _count(rollup.chain.evm, 1, 1, ALICE.address)  # as if the sender were the fee recipient
    assert from_balance == from_receipts
    assert from_balance[1] > 0


async def test_the_ledger_remembers(tmp_path: Path) -> None:
    market = Market()
    rollup = await Rollup.open(tmp_path, market)
    await rollup.batch(2)
    await rollup.ledger.save()
    facts, price = rollup.ledger.facts(), rollup.ledger.price
    again = await Ledger.open(rollup.chain, market, RATES, rollup.ledger._store)
    await again.reckon()
    assert (again.facts(), again.price) == (facts, price)


def test_tokens_are_eip_7623s() -> None:
    assert tokens(b"") == 0
    assert tokens(b"\x00\x01\x00") == 6
