"""What a transaction offers a chain's block makers, and how it outbids itself.

    fees = await current_fees(rpc, blobs=True)
    dearer = fees.outbid(earlier)

The caps leave room for the chain's prices to rise while the transaction waits: twice the base fee, and twice the blob base fee
(EIP-1559, EIP-4844: an eighth more a block at most, so six full blocks in a row do not price it out). What is above the price of
the block that takes it is not paid. Blob pools take a replacement only at twice every fee, others ask for a tenth more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dougong.errors import Unavailable
from dougong.net.jsonrpc import JsonRpc, quantity

__all__ = ["Fees", "current_fees"]

BUMP_PERCENT = 25  # nodes ask for 10 % before one transaction replaces another
BLOB_BUMP_PERCENT = 100  # geth's blobpool, `pricebump`
LEAST_BLOB_CAP = 10**9  # blob gas costs 1 wei when blobs are few: a cap that small would be outrun in minutes


@dataclass(frozen=True, slots=True)
class Fees:
    """In wei a gas: tip, cap, and the cap for blob gas (0 for a transaction without blobs)."""

    tip: int
    cap: int
    blob_cap: int = 0

    def outbid(self, earlier: Fees) -> Fees:
        """These, or what a node takes in place of `earlier` where that is more."""
        percent = 100 + (BLOB_BUMP_PERCENT if earlier.blob_cap else BUMP_PERCENT)
        tip, cap, blob_cap = (
            max(now, then * percent // 100 + 1)
            for now, then in ((self.tip, earlier.tip), (self.cap, earlier.cap), (self.blob_cap, earlier.blob_cap))
        )
        return Fees(tip, cap, blob_cap if earlier.blob_cap else 0)


async def current_fees(rpc: JsonRpc, *, blobs: bool) -> Fees:
    """What to offer now. Raises `Unavailable` where the chain has no such market."""
    asked = [rpc.call("eth_getBlockByNumber", "latest", False), rpc.call("eth_maxPriorityFeePerGas")]
    block, raw_tip, *rest = await asyncio.gather(*asked, *([rpc.call("eth_blobBaseFee")] if blobs else []))
    if not isinstance(block, dict) or "baseFeePerGas" not in block:
        raise Unavailable(f"{rpc.url} has no fee market (EIP-1559)")
    tip = quantity(raw_tip)
    cap = 2 * quantity(block["baseFeePerGas"]) + tip
    # Twice of nothing is nothing to double: a pool wants each fee of a replacement above the last.
    return Fees(max(tip, 1), cap, max(2 * quantity(rest[0]), LEAST_BLOB_CAP)) if blobs else Fees(tip, cap)
