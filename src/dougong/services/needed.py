"""Which of a DA chain's heights a rollup's node may yet need: what a pruning must leave alone.

    needed = NeededHeights(da, follower, published, proposer)
    floor = await needed.lowest()                   # 0: not known yet, so everything

Needed are blobs on their way (to be found, read back and proven), batches that settlement refers to and that are not derived
yet, and batches that no final claim covers: until then whoever checks the claim derives them again.
"""

from __future__ import annotations

from typing import Protocol

from dougong.services.rollup.batches import BatchState, PublishedBlocks
from dougong.services.rollup.follower import Follower
from dougong.services.threads import in_thread
from dougong.types import Claim

__all__ = ["NeededHeights"]


class Heights(Protocol):
    async def latest(self) -> int: ...


class Claims(Protocol):
    """`Proposer`: the own claims in order, and how many of them are final."""

    claims: list[Claim]
    final: int


class NeededHeights:
    """Of one rollup on one DA chain. A sovereign rollup has no proposer."""

    def __init__(self, da: Heights, follower: Follower, published: PublishedBlocks, proposer: Claims | None) -> None:
        self._da = da
        self._follower = follower
        self._published = published
        self._proposer = proposer
        self._derived = 0
        self._mark = (0, 0)
        self._oldest: dict[int, int] = {}

    async def lowest(self) -> int:
        """The lowest needed height, 0 before the first derivation round after a start."""
        derived = await self._derived_to()
        if not self._follower.rounds:
            return 0
        needed = [derived]
        for record in self._published.records:
            if record.placement is not None:
                needed.append(record.placement.height)
            elif record.state is not BatchState.ENCODED:
                needed.append(record.from_height)
        if self._proposer is not None:
            needed.append(await self._unsettled(self._proposer, derived))
        return min(needed)

    async def _derived_to(self) -> int:
        """A height up to which every batch that is fixed was derived: once a whole round began after it was the latest."""
        if self._proposer is None:
            return self._follower.position.scanned + 1
        height, rounds = self._mark
        if self._follower.rounds >= rounds + 2:
            self._derived = height
            self._mark = (await self._da.latest(), self._follower.rounds)
        return self._derived

    async def _unsettled(self, proposer: Claims, derived: int) -> int:
        """The lowest height of a batch after the last final claim."""
        first = proposer.claims[proposer.final - 1].batch_end if 0 < proposer.final <= len(proposer.claims) else 0
        end = self._follower.position.index
        if first < self._follower.base - 1 and end:
            return 0  # begun with a snapshot, and the claim under it not met yet: where those batches lie is not known here
        self._oldest = {index: height for index, height in self._oldest.items() if first <= index < end}
        for index in range(first, end):
            if index not in self._oldest:
                placement = (await in_thread(self._follower.record, index))[0].placement
                self._oldest[index] = derived if placement is None else placement.height
        return min(self._oldest.values(), default=derived)
