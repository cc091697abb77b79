"""What a place in the next block costs, as the pool and the last block show it.

    price = inclusion_price(pool, state, used=bytes_used(tx_bytes, shares))        # nano-utia per gas

Nobody can promise a price: others bid until the block is made. The base fee of the next block is known; where squares are
fuller than the target it is quoted an eighth higher, for whoever gets in a block later. If what waits fills the square, the
price is just above the bid that a blob of this size would push out.
"""

from __future__ import annotations

from dougong.availability.fees import CHANGE_DENOMINATOR
from dougong.availability.pool import Pool
from dougong.availability.state import State

_PACKED_PERCENT = 95  # how full padding and rounding let a square become


def inclusion_price(pool: Pool, state: State, used: int) -> int:
    """For a transaction that takes `used` bytes of the square."""
    params = state.params
    price = state.tip.base_fee
    if state.tip.used > params.target_bytes:
        price += -(-price // CHANGE_DENOMINATOR)
    room = params.capacity_bytes * _PACKED_PERCENT // 100 - used
    for entry in pool.by_bid(state.tip.base_fee):
        room -= entry.offer.used
        if room < 0:
            return max(price, entry.worth + 1)
    return price
