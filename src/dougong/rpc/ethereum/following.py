"""The way of a chain's head, one step at a time: a block came, or a block went.

    following = Following(chain, watching_logs)
    following.start()
    async for step in following.advance():          # every step since, each once, in order
        ...

The chain itself tells no more than that its head moved. What was seen last is compared with what the chain holds now: the next
block's parent is the last one seen, or that one has gone. So nothing is left out or told twice, however fast the head moves
between two looks, and a block that came and went unseen is not told of at all.

When a block goes the store has forgotten it already. Its logs are told once more (`removed`), so those of late blocks are kept
here, while somebody wants logs: `KEPT_BYTES` of them. Who asks for what is no longer kept learns that (`Lost`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from dougong.errors import DougongError, NotFound
from dougong.rpc.ethereum.chain import Chain

__all__ = ["KEPT_BYTES", "WINDOW", "Following", "LogItem", "Lost", "Step"]

WINDOW = 16_384
"""Blocks that may go at a time, and steps that are remembered."""
KEPT_BYTES = 64 << 20
_LOG_OVERHEAD = 512

LogItem: TypeAlias = tuple[bytes, list[bytes], bytes]
"""Address, topics and JSON of a log."""


class Lost(DougongError):
    """What happened can no longer be told in full. Never leaves `rpc`."""


@dataclass(frozen=True, slots=True)
class Step:
    """Block `number` came, or went (`removed`)."""

    number: int
    hash: bytes
    removed: bool


class Following:
    """`total` counts steps; `since(total)` is those after it."""

    def __init__(
        self, chain: Chain, wants_logs: Callable[[], bool], *, window: int = WINDOW, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._chain = chain
        self._window = window
        self._most_kept_bytes = kept_bytes
        self._wants_logs = wants_logs
        self._blocks: deque[tuple[int, bytes]] = deque(maxlen=window)
        self._steps: deque[Step] = deque(maxlen=window)
        self._logs: OrderedDict[bytes, list[LogItem]] = OrderedDict()
        self._kept_bytes = 0
        self._dropped: OrderedDict[bytes, None] = OrderedDict()
        self.total = 0

    def start(self) -> None:
        """From the present head on. Forgets what was before."""
        number = self._chain.backend.heads().latest
        self._blocks.clear()
        self._blocks.append((number, self._chain.evm.header(number).hash))
        self._steps.clear()
        self._logs.clear()
        self._dropped.clear()
        self._kept_bytes = 0

    async def advance(self) -> AsyncIterator[Step]:
        """Each step as it is found. Raises `Lost` when more blocks have gone than are remembered."""
        while True:
            number, last = self._blocks[-1]
            latest = self._chain.backend.heads().latest
            following = self._header(number + 1) if number < latest else None
            if following is not None and following[1] == last:
                block_hash = following[0]
                if self._wants_logs() and not await self._keep_logs(number + 1, block_hash):
                    continue  # it has gone meanwhile
                self._blocks.append((number + 1, block_hash))
                yield self._note(Step(number + 1, block_hash, False))
                continue
            there = self._header(number)
            if number <= latest and there is not None and there[0] == last:
                if following is None:
                    return
                continue  # both changed between two looks
            self._blocks.pop()
            if not self._blocks:
                raise Lost(f"more than {self._window} blocks went at a time")
            yield self._note(Step(number, last, True))

    def since(self, total: int) -> list[Step]:
        """Raises `Lost`."""
        missed = self.total - total
        if missed > len(self._steps):
            raise Lost("too much happened since")
        return [self._steps[at] for at in range(len(self._steps) - missed, len(self._steps))]

    def logs(self, step: Step) -> list[LogItem]:
        """Of a block for which somebody wanted logs when it came; none of any other. Raises `Lost`."""
        if step.hash in self._dropped:
            raise Lost("the logs of a block that has gone are not kept any more")
        return self._logs.get(step.hash, [])

    def is_canonical(self, step: Step) -> bool:
        found = self._header(step.number)
        return found is not None and found[0] == step.hash

    def forget_logs(self) -> None:
        """Nobody wants logs now, so nobody will want those of the blocks that came."""
        self._logs.clear()
        self._dropped.clear()
        self._kept_bytes = 0

    def _header(self, number: int) -> tuple[bytes, bytes] | None:
        try:
            header = self._chain.evm.header(number)
        except NotFound:
            return None
        return header.hash, header.parent_hash

    def _note(self, step: Step) -> Step:
        self._steps.append(step)
        self.total += 1
        return step

    async def _keep_logs(self, number: int, block_hash: bytes) -> bool:
        if block_hash in self._logs:
            return True
        items = await self._chain.read(self._chain.evm.block_logs, number, block_hash)
        if items is None:
            return False
        self._logs[block_hash] = items
        self._dropped.pop(block_hash, None)
        self._kept_bytes += _size(items)
        while self._kept_bytes > self._most_kept_bytes or len(self._logs) > self._window:
            oldest, gone = next(iter(self._logs.items()))
            if oldest == block_hash:
                break
            del self._logs[oldest]
            self._kept_bytes -= _size(gone)
            if gone:
                self._dropped[oldest] = None
        while len(self._dropped) > self._window:
            self._dropped.popitem(last=False)
        return True


def _size(items: list[LogItem]) -> int:
    return sum(len(json) + _LOG_OVERHEAD for _, _, json in items)
