"""What a rollup's batches cost, what its users paid for them, and the price of a place in the next one.

    ledger = await Ledger.open(chain, da.quote, Rates(availability=1, settlement=1), store, name="alpha")
    ledger.published(first, last, len(data))        # the batcher: these blocks lie in so many bytes of blob
    ledger.spent(wei)                               # a transaction on settlement: appending, claiming, attesting
    sequencer = await Sequencer.open(..., least_tip=ledger.least_tip)

The price of one token (EIP-7623's: four for a byte, one for a zero byte) is, over the last `WINDOW` batches:

1. what a blob of their mean size costs *now* (`DataAvailability.quote`), so with the compression that was measured; and what
   was spent on settlement in that time, by batch;
2. each turned into the rollup's wei by a configured rate, and raised by `margin_percent`;
3. divided by the tokens of a batch's transactions, or by `least_tokens` where a batch has fewer: a single transfer need not pay
   for a whole batch.

A transaction pays it with its tip, on gas that it surely uses (`execution.evm.fees`). No rule of the chain is changed: tips go to
the fee recipient, and who derives the chain need not know the price. Rule: docs/spec/fees.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from fractions import Fraction

import orjson
import structlog
from prometheus_client import CollectorRegistry, Gauge

from dougong._native import Evm
from dougong.errors import DougongError, NotFound
from dougong.execution.evm.fees import tip_for_any, tip_for_space, tokens
from dougong.services.records import pack, unpack
from dougong.services.rollup.chain import RollupChain
from dougong.services.threads import in_thread
from dougong.settlement.transactor import Receipt
from dougong.store import Store
from dougong.types import Quote

__all__ = ["LEDGER_TABLES", "Ledger", "Rates"]

LEDGER_TABLES = ("ledger",)
WINDOW = 32
QUOTE_S = 5.0
SAVE_S = 10.0
_RECORD = b"ledger"
_GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Rates:
    """What one unit of the layers' money is worth in the rollup's wei; 0: that layer is free. `margin_percent` is asked on top,
    `least_tokens` what a batch counts for at least."""

    availability: Fraction | float = 0
    settlement: Fraction | float = 0
    margin_percent: int = 10
    least_tokens: int = 4 * 4_096


@dataclass(frozen=True, slots=True)
class _Batch:
    """`availability` in the DA layer's unit, `settlement` in its wei, `revenue` (tips) in the rollup's wei."""

    tokens: int
    blob_bytes: int
    availability: int
    settlement: int
    revenue: int


class Ledger:
    """One per rollup and sequencer. Called from the event loop."""

    def __init__(
        self,
        chain: RollupChain,
        quote: Callable[[int], Awaitable[Quote]],
        rates: Rates,
        store: Store,
        *,
        fee_recipient: bytes = bytes(20),
        name: str = "",
        registry: CollectorRegistry | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`fee_recipient` (20 bytes) as the genesis document names it."""
        self._chain = chain
        self._fee_recipient = fee_recipient
        self._quote = quote
        self._rates = rates
        self._store = store
        self._log = (log or structlog.get_logger()).bind(rollup=name)
        self._to_count: asyncio.Queue[tuple[int, int, int]] = asyncio.Queue()
        self._recent: list[_Batch] = []
        self._total = _Batch(0, 0, 0, 0, 0)
        self._batches = 0
        self._unassigned = 0  # spent on settlement since the last batch was counted
        self._unit = ""
        self.price = 0
        """Of a token, in the rollup's wei."""
        registry = registry or CollectorRegistry()
        labels = ("rollup",)

        def gauge(name_: str, about: str) -> Gauge:
            return Gauge(name_, about, labels, registry=registry).labels(name)

        self._m_price = gauge("dougong_space_price_wei", "Price of a token of a transaction's bytes")
        self._m_tip = gauge("dougong_least_tip_wei", "The tip that suffices for any transaction")
        self._m_revenue = gauge("dougong_fee_revenue_gwei", "Tips that published blocks paid, in the rollup's gwei")
        self._m_cost = gauge("dougong_publishing_cost_gwei", "What publishing and settling them cost, in the rollup's gwei")
        self._m_availability = gauge("dougong_availability_cost", "What publishing cost, in the DA layer's unit")
        self._m_settlement = gauge("dougong_settlement_cost_gwei", "What settling cost, in the settlement chain's gwei")

    @classmethod
    async def open(
        cls,
        chain: RollupChain,
        quote: Callable[[int], Awaitable[Quote]],
        rates: Rates,
        store: Store,
        *,
        fee_recipient: bytes = bytes(20),
        name: str = "",
        registry: CollectorRegistry | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> Ledger:
        """With what the store remembers."""
        ledger = cls(chain, quote, rates, store, fee_recipient=fee_recipient, name=name, registry=registry, log=log)
        raw = await in_thread(store.get, "ledger", _RECORD)
        if raw is not None:
            record = unpack(raw)
            ledger._recent = [_read(entry) for entry in record["recent"]]
            ledger._total, ledger._batches = _read(record["total"]), record["batches"]
        return ledger

    # --- told ---------------------------------------------------------------------------------------------------------

    def published(self, first: int, last: int, blob_bytes: int) -> None:
        """Blocks first..last were published in a blob of so many bytes."""
        self._to_count.put_nowait((first, last, blob_bytes))

    def spent(self, wei: int) -> None:
        """On the settlement chain, for this rollup."""
        self._unassigned += wei

    def observe(self, operation: str, receipt: Receipt) -> None:
        """`spent`, as an observer of a `SettlementClient`."""
        self.spent(receipt.gas_used * receipt.gas_price)

    # --- asked --------------------------------------------------------------------------------------------------------

    def least_tip(self, raw: bytes) -> int:
        """What a transaction must leave above the base fee, in wei a gas."""
        return tip_for_space(self.price, tokens(raw)) if self.price else 0

    def suggested_tip(self) -> int:
        """The tip that suffices for any transaction."""
        return tip_for_any(self.price)

    def facts(self) -> dict[str, object]:
        """For `GET /stack`. Amounts as text: JSON's integers end at 64 bits."""
        window = _sum(self._recent)
        return {
            "unit": self._unit,
            "token_price_wei": str(self.price),
            "suggested_tip_wei": str(self.suggested_tip()),
            "batches": self._batches,
            "revenue_wei": str(self._total.revenue),
            "cost_wei": str(self._cost(self._total)),
            "availability_cost": str(self._total.availability),
            "settlement_cost_wei": str(self._total.settlement),
            "recent": {
                "batches": len(self._recent),
                "revenue_wei": str(window.revenue),
                "cost_wei": str(self._cost(window)),
                "bytes": window.tokens // 4,
                "blob_bytes": window.blob_bytes,
            },
        }

    # --- reckons ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Counts what was published, and asks for the price of space, until cancelled."""
        loop = asyncio.get_running_loop()
        saved = loop.time()
        while True:
            await self.reckon()
            if loop.time() - saved >= SAVE_S:
                await self.save()
                saved = loop.time()
            try:
                async with asyncio.timeout(QUOTE_S):
                    await self.count(*await self._to_count.get())
            except TimeoutError:
                continue

    async def count(self, first: int, last: int, blob_bytes: int) -> None:
        """Enters a batch."""
        try:
            weight, revenue = await in_thread(_count, self._chain.evm, first, last, self._fee_recipient)
        except NotFound:
            return  # the chain has gone back meanwhile
        spent, self._unassigned = self._unassigned, 0
        batch = _Batch(weight, blob_bytes, await self._ask(blob_bytes), spent, revenue)
        self._recent = [*self._recent[1 - WINDOW :], batch]
        self._total = _sum([self._total, batch])
        self._batches += 1
        self._m_revenue.set(self._total.revenue // _GWEI)
        self._m_cost.set(self._cost(self._total) // _GWEI)
        self._m_availability.set(self._total.availability)
        self._m_settlement.set(self._total.settlement // _GWEI)

    async def reckon(self) -> None:
        """The price, from what is known now."""
        batches = max(1, len(self._recent))
        window = _sum(self._recent)
        weight = max(window.tokens, batches * self._rates.least_tokens)
        # Before the first batch: as if a batch of the least size did not compress.
        size = window.blob_bytes // batches or self._rates.least_tokens // 4
        space = Fraction(self._rates.availability) * batches * (await self._ask(size) if self._rates.availability else 0)
        settling = Fraction(self._rates.settlement) * window.settlement
        self.price = -(-(space + settling) * (100 + self._rates.margin_percent) // (100 * weight))
        self._m_price.set(self.price)
        self._m_tip.set(self.suggested_tip())

    async def save(self) -> None:
        record = {"recent": [_written(one) for one in self._recent], "total": _written(self._total), "batches": self._batches}
        await in_thread(self._put, pack(record))

    async def _ask(self, size: int) -> int:
        """What a blob of so many bytes costs now; where the layer does not answer, what the last batch cost."""
        try:
            quote = await self._quote(max(1, size))
        except DougongError as error:
            self._log.warning("no price for a blob", size=size, error=str(error))
            return self._recent[-1].availability if self._recent else 0
        self._unit = quote.unit
        return quote.price

    def _cost(self, batch: _Batch) -> int:
        """In the rollup's wei, without the margin."""
        return -(
            -(Fraction(self._rates.availability) * batch.availability + Fraction(self._rates.settlement) * batch.settlement) // 1
        )

    def _put(self, record: bytes) -> None:
        with self._store.write() as txn:
            txn.put("ledger", _RECORD, record)


def _count(evm: Evm, first: int, last: int, fee_recipient: bytes) -> tuple[int, int]:
    """Tokens of the blocks' transactions, and what they paid to the fee recipient. Blocking."""
    weight = sum(tokens(raw) for number in range(first, last + 1) for raw in evm.transactions(number))
    nonce, before = evm.account(fee_recipient, first - 1)
    later, after = evm.account(fee_recipient, last)
    if nonce == later and after >= before:  # it has spent nothing: its balance tells, without a look at each receipt
        return weight, after - before
    return weight, sum(_tips(evm, number) for number in range(first, last + 1))


def _tips(evm: Evm, number: int) -> int:
    base_fee = evm.header(number).base_fee
    receipts = orjson.loads(evm.block_receipts_json(number))
    return sum((int(receipt["effectiveGasPrice"], 16) - base_fee) * int(receipt["gasUsed"], 16) for receipt in receipts)


def _sum(batches: list[_Batch]) -> _Batch:
    return _Batch(
        sum(batch.tokens for batch in batches),
        sum(batch.blob_bytes for batch in batches),
        sum(batch.availability for batch in batches),
        sum(batch.settlement for batch in batches),
        sum(batch.revenue for batch in batches),
    )


def _written(batch: _Batch) -> dict[str, str]:
    # As text: JSON's integers end at 64 bits.
    return {name: str(value) for name, value in asdict(batch).items()}


def _read(entry: dict[str, str]) -> _Batch:
    return _Batch(**{name: int(value) for name, value in entry.items()})
