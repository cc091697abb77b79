"""What blobs cost on an Ethereum chain now, and how fast it takes them.

    quote = await measure(rpc, blobs=2, final_blocks=64)

Blob gas has a market of its own (EIP-4844): 131,072 a blob at the blob base fee of the moment, all of it burnt. What the
transaction itself costs comes on top: 21,000 gas (EIP-2930: no calldata) at the base fee and the node's suggested tip. Blobs
are quoted at what the next block takes; whoever waits while the fee rises needs a budget above it.
"""

from __future__ import annotations

from typing import Any

from dougong.availability.kzg.frames import DATA_BYTES_PER_BLOB
from dougong.availability.kzg.params import GAS_PER_BLOB
from dougong.errors import InvalidInput, Unavailable
from dougong.net.jsonrpc import JsonRpc, RpcError, quantity
from dougong.types import Quote

__all__ = ["measure"]

TRANSACTION_GAS = 21_000
# The blocks whose times are measured.
WINDOW = 32
# Osaka's BPO2, for nodes that do not know eth_config (EIP-7910).
TARGET_BLOBS = 14


async def measure(rpc: JsonRpc, blobs: int, final_blocks: int) -> Quote:
    """The quote for one transaction of so many blobs, whose block is final once `final_blocks` lie above it. Raises
    `Unavailable`."""
    head, tip, history = await rpc.batch(
        [
            ("eth_getBlockByNumber", ["latest", False]),
            ("eth_maxPriorityFeePerGas", []),
            ("eth_feeHistory", [hex(1), "latest", []]),
        ]
    )
    try:
        # One entry more than blocks: the last is what the next block asks.
        base_fee = quantity(history["baseFeePerGas"][-1])
        blob_fee = quantity(history["baseFeePerBlobGas"][-1])
        number, now = quantity(head["number"]), quantity(head["timestamp"])
        block_ms = await _block_ms(rpc, number, now)
        price = blobs * GAS_PER_BLOB * blob_fee + TRANSACTION_GAS * (base_fee + quantity(tip))
    except (KeyError, IndexError, TypeError, InvalidInput) as error:
        raise Unavailable(
            f"{rpc.url} does not say what blobs cost: {error}",
            remedy="use a chain with blobs (Cancun or later) and eth_feeHistory",
        ) from error
    throughput = await _target(rpc) * DATA_BYTES_PER_BLOB * 1000 // block_ms
    return Quote(price, "wei", block_ms * (1 + final_blocks), throughput)


async def _block_ms(rpc: JsonRpc, number: int, now: int) -> int:
    """The mean time of a block, as far as headers (whole seconds) tell; at least 1."""
    back = min(WINDOW, number)
    if back == 0:
        return 1000
    earlier = await rpc.call("eth_getBlockByNumber", hex(number - back), False)
    return max(1, (now - quantity(earlier["timestamp"])) * 1000 // back)


async def _target(rpc: JsonRpc) -> int:
    """How many blobs a block takes in the long run."""
    try:
        config: Any = await rpc.call("eth_config")
        return int(config["current"]["blobSchedule"]["target"])
    except (RpcError, KeyError, TypeError, ValueError):
        return TARGET_BLOBS
