"""What to pay. Sources: ethereum/execution-apis `src/eth/fee_market.yaml`; go-ethereum `eth/gasprice`.

Deviation: the suggested tip is a small constant while blocks are less than half full (then any tip gets in), and the 60th
percentile of the latest block's tips above that. Where a transaction must pay for its place in a batch (`least_tip`) no
suggestion is below that, and in eth_feeHistory no reward: wallets take their tip from either.
"""

from __future__ import annotations

from typing import Any

import orjson

from dougong._native import HeaderInfo
from dougong.errors import InvalidInput
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import BlockId, quantity, read_block, read_count
from dougong.rpc.protocol import Methods, Param

__all__ = ["fee_methods", "suggested_fees"]

SUGGESTED_PERCENTILE = 60.0
MAX_PERCENTILES = 100


def fee_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, options = chain.evm, chain.options

    def history(count: int, newest: int, percentiles: list[float] | None) -> dict[str, Any]:
        count = min(count, newest + 1, options.fee_history_blocks if not percentiles else options.reward_blocks)
        oldest = newest + 1 - count
        headers = [evm.header(number) for number in range(oldest, newest + 1)]
        fees = [evm.fees(header.number) for header in headers]
        _, next_base_fee, _, next_blob_fee, _ = fees[-1]
        result: dict[str, Any] = {
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": [quantity(fee) for fee in [*(base_fee for base_fee, *_ in fees), next_base_fee]],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
            "baseFeePerBlobGas": [quantity(fee) for fee in [*(blob_fee for _, _, blob_fee, _, _ in fees), next_blob_fee]],
            "blobGasUsedRatio": [
                header.blob_gas_used / most if most else 0.0 for header, (*_, most) in zip(headers, fees, strict=True)
            ],
        }
        if percentiles is not None:
            least = options.least_tip()
            paid = (rewards(chain, header, percentiles) for header in headers)
            result["reward"] = [[quantity(max(tip, least)) for tip in tips] for tips in paid]
        return result

    async def gas_price() -> str:
        return quantity(sum(await chain.read(suggested_fees, chain, chain.backend.heads().latest)))

    async def priority_fee() -> str:
        return quantity((await chain.read(suggested_fees, chain, chain.backend.heads().latest))[1])

    async def base_fee() -> str:
        return quantity((await chain.read(evm.fees, chain.backend.heads().latest))[1])

    async def blob_base_fee() -> str:
        return quantity((await chain.read(evm.fees, chain.backend.heads().latest))[2])

    async def fee_history(count: int, newest: BlockId, percentiles: list[float] | None) -> dict[str, Any]:
        number = chain.need(newest)
        if count == 0:
            return {"oldestBlock": quantity(0), "baseFeePerGas": [], "gasUsedRatio": []}
        return await chain.call(history, count, number, percentiles)

    methods.add("eth_gasPrice", gas_price)
    methods.add("eth_maxPriorityFeePerGas", priority_fee)
    methods.add("eth_baseFee", base_fee)
    methods.add("eth_blobBaseFee", blob_base_fee)
    methods.add(
        "eth_feeHistory",
        fee_history,
        Param("blockCount", read_count),
        Param("newestBlock", read_block),
        Param("rewardPercentiles", read_percentiles, None),
    )
    return methods


def suggested_fees(chain: Chain, number: int) -> tuple[int, int]:
    """(base fee, tip): the block's base fee or the next one's, whichever is higher, so that the price suffices for calls on the
    block as well as in the next."""
    header = chain.evm.header(number)
    tip = max(chain.options.tip, chain.options.least_tip())
    if header.gas_used * 2 > header.gas_limit:
        tip = max(tip, rewards(chain, header, [SUGGESTED_PERCENTILE])[0])
    base_fee, following, *_ = chain.evm.fees(number)
    return max(base_fee, following), tip


def rewards(chain: Chain, header: HeaderInfo, percentiles: list[float]) -> list[int]:
    """The tip that stands at each percentile of the block's gas, cheapest first."""
    receipts = orjson.loads(chain.evm.block_receipts_json(header.number))
    paid = sorted((int(receipt["effectiveGasPrice"], 16) - header.base_fee, int(receipt["gasUsed"], 16)) for receipt in receipts)
    found: list[int] = []
    place, gas = 0, paid[0][1] if paid else 0
    for percentile in percentiles:
        while place < len(paid) - 1 and gas < header.gas_used * percentile / 100:
            place += 1
            gas += paid[place][1]
        found.append(paid[place][0] if paid else 0)
    return found


def read_percentiles(value: object) -> list[float]:
    if not isinstance(value, list) or len(value) > MAX_PERCENTILES:
        raise InvalidInput(f"want an array of at most {MAX_PERCENTILES} percentiles")
    percentiles: list[float] = []
    for percentile in value:
        if not isinstance(percentile, (int, float)) or isinstance(percentile, bool) or not 0 <= percentile <= 100:
            raise InvalidInput("a reward percentile is a number between 0 and 100")
        if percentiles and percentile < percentiles[-1]:
            raise InvalidInput("reward percentiles must rise")
        percentiles.append(float(percentile))
    return percentiles
