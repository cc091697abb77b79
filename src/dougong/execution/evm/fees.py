"""What a transaction pays: EIP-1559's base fee and the tip above it; and what tip pays for its place in a batch.

    >>> next_base_fee(base_fee=1_000_000_000, gas_used=60_000_000, gas_limit=60_000_000)
    1125000000
    >>> tip_for_space(price=1_000_000, count=460)            # a transfer: 460 tokens for 21,000 gas
    21905

Sources: EIP-1559 and EIP-7623, "Specification"; docs/spec/fees.md.
"""

from __future__ import annotations

__all__ = ["least_gas", "next_base_fee", "tip_for_any", "tip_for_space", "tokens"]

ELASTICITY_MULTIPLIER = 2
BASE_FEE_MAX_CHANGE_DENOMINATOR = 8
TRANSACTION_GAS = 21_000
SURE_GAS_PER_TOKEN = 6
ENVELOPE_TOKENS = 800  # of 200 bytes: nonce, gas, both fees, recipient, value, signature, in their longest forms


def next_base_fee(*, base_fee: int, gas_used: int, gas_limit: int) -> int:
    """The base fee (wei) of the block after one with these header fields."""
    target = gas_limit // ELASTICITY_MULTIPLIER
    if gas_used == target:
        return base_fee
    change = base_fee * abs(gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    return base_fee + max(change, 1) if gas_used > target else base_fee - change


def tokens(raw: bytes) -> int:
    """What a transaction's bytes count for in a batch, in EIP-7623's tokens: four for each byte, one for a zero byte."""
    return 4 * len(raw) - 3 * raw.count(0)


def least_gas(count: int) -> int:
    """Gas that a transaction of so many tokens surely pays, whatever it does. What stands around its calldata is less than
    `ENVELOPE_TOKENS`. EIP-7623 asks at least 10 gas for a token of calldata, EIP-2930 14 for one of an access list, which count
    towards the same floor: the cheapest mixture pays 7. Clearing storage costs more gas than it refunds (EIP-3529)."""
    return TRANSACTION_GAS + SURE_GAS_PER_TOKEN * max(0, count - ENVELOPE_TOKENS)


def tip_for_space(price: int, count: int) -> int:
    """The least tip (wei a gas) at which a transaction pays `price` wei for each of its tokens."""
    return -(-price * count // least_gas(count))


def tip_for_any(price: int) -> int:
    """The tip at which every transaction pays `price` wei for each of its tokens: what a wallet is told, before it has one."""
    return -(-price // SURE_GAS_PER_TOKEN)
