"""Log entries of a contract over a range of blocks, asked for in pieces that the node is willing to answer.

async for log in logs(rpc, contract, [topic], first=100, last=9_000):
    ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from dougong.errors import InvalidInput, Pruned
from dougong.net.codes import PRUNED
from dougong.net.jsonrpc import AnswerTooLarge, JsonRpc, RpcError, data, quantity

__all__ = ["Log", "logs"]

WIDEST_RANGE = 4_000  # blocks; public nodes stop between 2,000 and 10,000


@dataclass(frozen=True, slots=True)
class Log:
    """One entry of a receipt or of eth_getLogs."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    log_index: int

    @classmethod
    def parse(cls, raw: Any) -> Log:
        """Raises `InvalidInput` for what is not a log entry."""
        try:
            return cls(
                address=data(raw["address"], 20),
                topics=tuple(data(topic, 32) for topic in raw["topics"]),
                data=data(raw["data"]),
                block_number=quantity(raw["blockNumber"]),
                log_index=quantity(raw["logIndex"]),
            )
        except (KeyError, TypeError) as error:
            raise InvalidInput(f"not a log entry: {raw!r:.120}") from error


async def logs(
    rpc: JsonRpc, address: bytes, topics: Sequence[bytes | None], first: int, last: int, *, widest: int = WIDEST_RANGE
) -> AsyncIterator[Log]:
    """Entries in blocks `first` to `last`, both included, in order. A topic of None matches any.

    The node is not trusted to filter or to sort; that it leaves nothing out is for the caller to check. Raises `Unavailable`, or
    `Pruned` where it no longer has the first of these blocks' logs.
    """
    width = widest
    while first <= last:
        end = min(last, first + width - 1)
        query = {
            "address": "0x" + address.hex(),
            "topics": [None if topic is None else "0x" + topic.hex() for topic in topics],
            "fromBlock": hex(first),
            "toBlock": hex(end),
        }
        try:
            raw = await rpc.call("eth_getLogs", query)
        except (RpcError, AnswerTooLarge) as error:
            if isinstance(error, RpcError) and error.code == PRUNED:
                raise Pruned(f"{rpc.url} no longer has the logs of block {first}", remedy="ask a node that keeps more") from error
            if width == 1:
                raise
            width = max(1, width // 8)  # too many blocks or too many entries for this node
            continue
        if not isinstance(raw, list):
            raise InvalidInput(f"{rpc.url} answered eth_getLogs with no list")
        found = [Log.parse(entry) for entry in raw]
        for log in sorted(found, key=lambda entry: (entry.block_number, entry.log_index)):
            if log.address == address and first <= log.block_number <= end and _matches(log, topics):
                yield log
        first = end + 1
        width = min(widest, width * 2)


def _matches(log: Log, topics: Sequence[bytes | None]) -> bool:
    return len(log.topics) >= len(topics) and all(
        wanted is None or wanted == found for wanted, found in zip(topics, log.topics, strict=False)
    )
