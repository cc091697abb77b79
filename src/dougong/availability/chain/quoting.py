"""What a place in the next block costs, as the pool and the last block show it.

    ladder = Ladder.of(pool, state)                 # as long as neither changes
    price = ladder.price(used=bytes_used(tx_bytes, shares))     # nano-utia per gas

Nobody can promise a price: others bid until the block is made. The base fee of the next block is known; where squares are
fuller than the target it is quoted an eighth higher, for whoever gets in a block later. If what waits fills the square, the
price is just above the bid that a blob of this size would push out.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from dougong.availability.chain.fees import CHANGE_DENOMINATOR
from dougong.availability.chain.pool import Pool
from dougong.availability.chain.state import State

_PACKED_PERCENT = 95  # how full padding and rounding let a square become


@dataclass(frozen=True, slots=True)
class Ladder:
    """The best bids down to the one at which the square is full: `filled` is what those up to each take together, `worths`
    what each is worth. Made once for all who ask: that costs milliseconds where many wait. `version` is the pool's."""

    version: int
    height: int
    least: int
    capacity: int
    filled: tuple[int, ...]
    worths: tuple[int, ...]

    @classmethod
    def of(cls, pool: Pool, state: State) -> Ladder:
        tip, params = state.tip, state.params
        least, capacity = tip.base_fee, params.capacity_bytes * _PACKED_PERCENT // 100
        if tip.used > params.target_bytes:
            least += -(-least // CHANGE_DENOMINATOR)
        filled, worths, total = [], [], 0
        for entry in pool.by_bid(tip.base_fee):
            total += entry.offer.used
            filled.append(total)
            worths.append(entry.worth)
            if total > capacity:
                break
        return cls(pool.version, tip.height, least, capacity, tuple(filled), tuple(worths))

    def is_of(self, pool: Pool, state: State) -> bool:
        return (self.version, self.height) == (pool.version, state.tip.height)

    def price(self, used: int) -> int:
        """For a transaction that takes `used` bytes of the square."""
        place = bisect_right(self.filled, self.capacity - used)
        return max(self.least, self.worths[place] + 1) if place < len(self.worths) else self.least
