"""Lists that the contract keeps as hash chains, read from the log and folded against the chain.

    found = await read_chained(contract, BATCHES, rollup_id, start)

1. One block is fixed: the node's latest.
2. At that block the contract says how long the list is, its accumulators before `start` and after the end, and in which blocks
   the entries lie.
3. The entries are read from the log, and must be numbered without a gap and fold from the one accumulator to the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dougong.errors import Divergence, Unavailable
from dougong.net.jsonrpc import data, quantity
from dougong.settlement.contract import Contract
from dougong.settlement.encoding import extend_batch_accumulator, extend_inbox_accumulator, parse_batch, parse_message
from dougong.settlement.logs import logs
from dougong.types import BatchReference, InboxMessage

__all__ = ["BATCHES", "MESSAGES", "Chained", "head", "read_chained"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chained(Generic[T]):
    """A list: its event, the contract's views of it, and how an entry is read and folded in."""

    event: str
    count: str
    accumulator: str
    block: str
    parse: Callable[[dict[str, Any]], T]
    extend: Callable[[bytes, T], bytes]


BATCHES: Chained[BatchReference] = Chained(
    "BatchAppended", "batch_count", "batch_accumulator", "batch_block", parse_batch, extend_batch_accumulator
)
MESSAGES: Chained[InboxMessage] = Chained(
    "MessageEnqueued", "message_count", "inbox_accumulator", "message_block", parse_message, extend_inbox_accumulator
)


async def head(contract: Contract) -> tuple[int, bytes]:
    """The node's latest block: number and hash."""
    return await _block(contract, "latest")


async def read_chained(contract: Contract, kind: Chained[T], rollup_id: int, start: int) -> list[T]:
    """Entries from index `start` on. Raises `Divergence` when log and accumulator disagree, `Unavailable` when the node changed
    its mind about the block meanwhile."""
    number, block_hash = await head(contract)
    count, accumulator, first = await contract.ask_all(
        [(kind.count, [rollup_id]), (kind.accumulator, [rollup_id, start]), (kind.block, [rollup_id, start])], block=number
    )
    if start >= count:
        return []
    expected, last = await contract.ask_all(
        [(kind.accumulator, [rollup_id, count]), (kind.block, [rollup_id, count - 1])], block=number
    )
    found: list[T] = []
    async for log in logs(contract.rpc, contract.address, [contract.abi.topic(kind.event), rollup_id.to_bytes(32)], first, last):
        event = contract.abi.event(kind.event, log.topics, log.data)
        # The first block may hold earlier entries, and none may be missing, doubled or swapped.
        if event["index"] == start + len(found):
            entry = kind.parse(event)
            accumulator = kind.extend(accumulator, entry)
            found.append(entry)
    if len(found) != count - start or accumulator != expected:
        if await _block(contract, hex(number)) != (number, block_hash):
            raise Unavailable(f"{contract.rpc.url} replaced its block {number} while it was being read")
        raise Divergence(
            f"{contract.rpc.url} has {len(found)} of {count - start} {kind.event} entries of rollup {rollup_id} from {start} on, "
            f"folding to 0x{accumulator.hex()}; the contract holds 0x{expected.hex()}",
            remedy="read from another node, or one that keeps all logs",
        )
    return found


async def _block(contract: Contract, tag: str) -> tuple[int, bytes]:
    block = await contract.rpc.call("eth_getBlockByNumber", tag, False)
    if not isinstance(block, dict):
        raise Unavailable(f"{contract.rpc.url} has no block {tag}")
    return quantity(block.get("number")), data(block.get("hash"), 32)
