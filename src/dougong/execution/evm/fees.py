"""What a transaction pays: EIP-1559's base fee and the tip above it.

    >>> next_base_fee(base_fee=1_000_000_000, gas_used=60_000_000, gas_limit=60_000_000)
    1125000000

Source: EIP-1559, "Specification".
"""

from __future__ import annotations

__all__ = ["effective_tip", "next_base_fee"]

ELASTICITY_MULTIPLIER = 2
BASE_FEE_MAX_CHANGE_DENOMINATOR = 8


def next_base_fee(*, base_fee: int, gas_used: int, gas_limit: int) -> int:
    """The base fee (wei) of the block after one with these header fields."""
    target = gas_limit // ELASTICITY_MULTIPLIER
    if gas_used == target:
        return base_fee
    change = base_fee * abs(gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    return base_fee + max(change, 1) if gas_used > target else base_fee - change


def effective_tip(*, max_fee: int, max_priority_fee: int, base_fee: int) -> int:
    """What the fee recipient gets per gas (wei); negative when the transaction cannot be in a block of this base fee."""
    return min(max_priority_fee, max_fee - base_fee)
