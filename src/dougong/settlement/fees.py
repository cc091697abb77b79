"""What a transaction offers a chain's block makers, and how it outbids itself.

    market = await read_market(rpc, blobs=True)
    fees = market.offer(gas, blob_gas, budget=10**16)
    dearer = market.offer(gas, blob_gas).outbid(fees)

The caps leave room for the chain's prices to rise while the transaction waits: twice the base fee, and twice the blob base fee
(EIP-1559, EIP-4844: an eighth more a block at most, so six full blocks in a row do not price it out). What is above the price of
the block that takes it is not paid. Blob pools take a replacement only at twice every fee, others ask for a tenth more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dougong.errors import Unavailable, Underpaid
from dougong.net.jsonrpc import JsonRpc, quantity

__all__ = ["Fees", "Market", "read_market"]

BUMP_PERCENT = 25  # nodes ask for 10 % before one transaction replaces another
BLOB_BUMP_PERCENT = 100  # geth's blobpool, `pricebump`
LEAST_BLOB_CAP = 10**9  # blob gas costs 1 wei when blobs are few: a cap that small would be outrun in minutes


@dataclass(frozen=True, slots=True)
class Fees:
    """In wei a gas: tip, cap, and the cap for blob gas (0 for a transaction without blobs)."""

    tip: int
    cap: int
    blob_cap: int = 0

    def cost(self, gas: int, blob_gas: int) -> int:
        """The most that a transaction with these fees can cost, in wei."""
        return gas * self.cap + blob_gas * self.blob_cap

    def outbid(self, earlier: Fees) -> Fees:
        """These, or what a node takes in place of `earlier` where that is more."""
        percent = 100 + (BLOB_BUMP_PERCENT if earlier.blob_cap else BUMP_PERCENT)
        tip, cap, blob_cap = (
            max(now, then * percent // 100 + 1)
            for now, then in ((self.tip, earlier.tip), (self.cap, earlier.cap), (self.blob_cap, earlier.blob_cap))
        )
        return Fees(tip, cap, blob_cap if earlier.blob_cap else 0)


@dataclass(frozen=True, slots=True)
class Market:
    """A chain's prices now, in wei a gas. `blob_base_fee` is 0 where it was not asked for."""

    base_fee: int
    tip: int
    blob_base_fee: int = 0

    def offer(self, gas: int, blob_gas: int = 0, *, budget: int | None = None) -> Fees:
        """Caps with room to rise, as far as `budget` (wei) allows for so much gas. Raises `Underpaid` with the total that
        today's prices come to when it does not reach them."""
        most = Fees(self.tip, 2 * self.base_fee + self.tip, max(2 * self.blob_base_fee, LEAST_BLOB_CAP) if blob_gas else 0)
        if budget is None or most.cost(gas, blob_gas) <= budget:
            return most
        least = Fees(self.tip, self.base_fee + self.tip, self.blob_base_fee if blob_gas else 0)
        needed, wanted = least.cost(gas, blob_gas), most.cost(gas, blob_gas)
        if budget < needed:
            raise Underpaid(f"{budget} wei do not pay for {gas} gas and {blob_gas} blob gas", needed)
        room, share = wanted - needed, budget - needed
        return Fees(
            self.tip,
            least.cap + (most.cap - least.cap) * share // room,
            least.blob_cap + (most.blob_cap - least.blob_cap) * share // room,
        )


async def read_market(rpc: JsonRpc, *, blobs: bool) -> Market:
    """Raises `Unavailable` where the chain has no such market."""
    asked = [rpc.call("eth_getBlockByNumber", "latest", False), rpc.call("eth_maxPriorityFeePerGas")]
    block, tip, *rest = await asyncio.gather(*asked, *([rpc.call("eth_blobBaseFee")] if blobs else []))
    if not isinstance(block, dict) or "baseFeePerGas" not in block:
        raise Unavailable(f"{rpc.url} has no fee market (EIP-1559)")
    base_fee = quantity(block["baseFeePerGas"])
    # A replacement has to raise each fee, and twice of nothing is no more.
    return Market(base_fee, max(quantity(tip), 1), quantity(rest[0])) if blobs else Market(base_fee, quantity(tip))
