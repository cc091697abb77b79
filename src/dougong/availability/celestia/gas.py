"""Celestia's gas: what a pay-for-blobs transaction uses up, and what TxConfig says to pay for it.

    >>> from dougong.types import Blob, Namespace
    >>> gas_estimate([Blob(Namespace.user(b"alpha"), b"x" * 1000)])
    87988

Source: celestia-app `x/blob/types/payforblob.go` (EstimateGas), `pkg/appconsts` (version 9); celestia-node
`state/txclient/tx_config.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from dougong.availability.square.shares import SHARE_BYTES, shares_needed
from dougong.types import Blob

__all__ = ["DEFAULT_MAX_GAS_PRICE", "MIN_GAS_PRICE", "fee", "gas_estimate"]

GAS_PER_BLOB_BYTE = 8
TX_SIZE_COST_PER_BYTE = 10
BYTES_PER_BLOB_INFO = 70
FIXED_COST = 75_000

MIN_GAS_PRICE = Fraction(4, 1000)
"""utia for a unit of gas."""

DEFAULT_MAX_GAS_PRICE = MIN_GAS_PRICE * 100


def gas_estimate(blobs: Sequence[Blob]) -> int:
    """An upper bound, as celestia-node's own."""
    shares = sum(shares_needed(len(blob.data), blob.share_version) for blob in blobs)
    return shares * SHARE_BYTES * GAS_PER_BLOB_BYTE + TX_SIZE_COST_PER_BYTE * BYTES_PER_BLOB_INFO * len(blobs) + FIXED_COST


def fee(gas: int, price: Fraction) -> int:
    """In utia, rounded up as the node rounds it."""
    return -(-gas * price.numerator // price.denominator)
