"""What a transaction costs: its gas, and the base fee per gas that follows how full the squares are.

>>> gas_needed(tx_bytes=400, shares=3)
66288
>>> base_cost(base_fee=4_000_000, gas=66_288)      # 0.004 utia a gas, rounded up
266
>>> next_base_fee(4_000_000, used=2_000, target=1_000, floor=4_000_000)
4500000

Gas is Celestia's: 8 for each byte of each share of a blob (`GasPerBlobByte`), 10 for each byte of the transaction without
its blobs (`TxSizeCostPerByte`), and a fixed part. A price is in *nano-utia* per gas: 10⁻⁹ utia, so that 0.004 utia a gas is
a whole number.

Sources: celestia-app `x/blob/types/payforblob.go` and `pkg/appconsts`; EIP-1559. Deviations: celestia-app measures what
executing costs, and its `DefaultEstimateGas` allows 65,000 for it, transaction bytes included; here the fixed part is
exactly 50,000 and the bytes come on top, so that its estimate is always enough here. What follows use is EIP-1559's rule
over the bytes of the square, not over gas.
"""

from __future__ import annotations

from dougong.availability.square.shares import SHARE_BYTES

GAS_PER_BLOB_BYTE = 8
GAS_PER_TX_BYTE = 10
FIXED_GAS = 50_000
NANO = 10**9
CHANGE_DENOMINATOR = 8


def gas_needed(tx_bytes: int, shares: int) -> int:
    """`tx_bytes`: of the signed transaction without its blobs; `shares`: of all its blobs."""
    return FIXED_GAS + GAS_PER_TX_BYTE * tx_bytes + GAS_PER_BLOB_BYTE * SHARE_BYTES * shares


def bytes_used(tx_bytes: int, shares: int) -> int:
    """What a transaction takes of the square: its own bytes and its blobs' shares. Padding is nobody's."""
    return tx_bytes + SHARE_BYTES * shares


def base_cost(base_fee: int, gas: int) -> int:
    """The least that a transaction must pay, in utia, and what is burnt of its fee. Rounded up."""
    return -(-base_fee * gas // NANO)


def price_of(fee: int, gas: int) -> int:
    """What a fee pays for each gas, in nano-utia, rounded down: at least the base fee when `fee` is at least `base_cost`."""
    return fee * NANO // gas


def next_base_fee(base_fee: int, *, used: int, target: int, floor: int) -> int:
    """EIP-1559's rule: unchanged at `target` bytes of use, an eighth more at twice as many or above, an eighth less at none;
    never below `floor`. With a floor of 0 nothing is ever charged."""
    if floor == 0:
        return 0
    used = min(used, 2 * target)
    if used > target:
        return base_fee + max(base_fee * (used - target) // target // CHANGE_DENOMINATOR, 1)
    return max(base_fee - base_fee * (target - used) // target // CHANGE_DENOMINATOR, floor)
