"""Keeps a DA chain's squares on disk, and takes away what has left the window.

    service = ArchiveService(layer, chain, archive, Window(blocks=100_000), floors=[rollup_floor])
    await service.run()                             # until cancelled

Each round: put every new height into the archive, then prune a few heights, squares first and the chain's transactions after
them. Both remember durably how far they are, so a kill -9 between any two steps is made up for by the next round. A step is one
short write; blocks go on being made and served between the steps.

What leaves the window but is still needed stays: every *floor* names the lowest height that its owner may yet ask for (a rollup
that has not derived or settled its batches). Headers, commits, data roots and row and column roots are never pruned.

With a full disk a round fails with `StoreFull` and has changed nothing; what was acknowledged is in the chain's own store. The
supervisor starts it again, and it goes on where it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, Gauge

from dougong.availability.square.archive import SquareArchive
from dougong.services.threads import in_thread
from dougong.types import SquareHeader

__all__ = ["ArchiveService", "Floor", "Window"]

Floor = Callable[[], Awaitable[int]]
"""The lowest height that somebody may yet need; 0 when that is not known."""

STEP = 16  # heights a pruning step takes: about a write and its sync


@dataclass(frozen=True, slots=True)
class Window:
    """How much is kept: the last `blocks` heights, and what is younger than `seconds`. A height goes when it is outside of both;
    with neither, nothing ever goes."""

    blocks: int | None = None
    seconds: int | None = None


class PrunedChain(Protocol):
    """A chain as the archive follows it."""

    async def wait_for_height(self, height: int) -> None: ...

    async def prune(self, below: int, limit: int = ...) -> int: ...


class KeptLayer(Protocol):
    async def latest(self) -> int: ...

    async def header(self, height: int) -> SquareHeader: ...

    async def keep(self, height: int) -> None: ...

    def forget(self, below: int) -> None: ...


class ArchiveService:
    """One for each DA chain of a node."""

    def __init__(
        self,
        layer: KeptLayer,
        chain: PrunedChain,
        archive: SquareArchive,
        window: Window,
        *,
        first: int = 1,
        floors: Callable[[], Sequence[Floor]] = lambda: (),
        clock: Callable[[], int] = time.time_ns,
        idle_s: float = 1.0,
        registry: CollectorRegistry | None = None,
        name: str = "",
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`first` is the lowest height that the chain still has whole: where an archive begins that is made late."""
        self._layer = layer
        self._chain = chain
        self._archive = archive
        self._window = window
        self._first = first
        self._floors = floors
        self._clock = clock
        self._idle_s = idle_s
        self._log = (log or structlog.get_logger()).bind(chain=name)
        labels = ("chain", "bound")
        gauge = Gauge("dougong_squares_kept", "Heights whose squares are kept", labels, registry=registry or CollectorRegistry())
        self._chain_base = 0
        self._m_base, self._m_last = gauge.labels(name, "first"), gauge.labels(name, "last")

    async def run(self) -> None:
        while True:
            await self.catch_up()
            pruned = await self.prune_step()
            self._m_base.set(self._archive.base)
            self._m_last.set(self._archive.last)
            if not pruned:
                try:
                    async with asyncio.timeout(self._idle_s):
                        await self._chain.wait_for_height(self._archive.last + 1)
                except TimeoutError:
                    continue

    async def catch_up(self) -> None:
        """Archives every height that is not in the archive."""
        while (height := max(self._archive.last + 1, self._archive.base, self._first)) <= await self._layer.latest():
            await self._layer.keep(height)

    async def prune_step(self) -> bool:
        """Takes up to `STEP` heights away; whether there may be more. What a crash left half done is finished first."""
        base = self._archive.base
        end = min(await self.target(), base + STEP)
        if end > base:
            await in_thread(self._archive.prune, end)
            self._layer.forget(end)
            if base // 1000 != end // 1000:
                self._log.info("squares pruned", below=end)
        before, wanted = self._chain_base, self._archive.base
        if before < wanted:
            self._chain_base = await self._chain.prune(wanted, STEP)
        return end > base or before < self._chain_base < wanted

    async def target(self) -> int:
        """The lowest height that must be kept."""
        window = self._window
        if window.blocks is None and window.seconds is None:
            return self._archive.base
        last = self._archive.last
        target = last if window.blocks is None else last - window.blocks + 1
        for floor in self._floors():
            target = min(target, await floor())
        if window.seconds is not None and target > self._archive.base:
            target = await self._first_since(self._clock() - window.seconds * 10**9, target)
        return max(self._archive.base, target)

    async def _first_since(self, time_ns: int, end: int) -> int:
        """The first kept height at or after a time, at most `end` and at most one step away: times rise with heights."""
        height = self._archive.base
        while height < min(end, self._archive.base + STEP) and (await self._layer.header(height)).time_ns < time_ns:
            height += 1
        return height
