"""What stack.toml says of a rollup's fees, as its ledger reckons with it.

    rates(config, "alpha")

Where no rate is written: ether is ether (the settlement chain's, bridged, and what its blobs cost), TIA is free until the
operator says what it is worth, and in a `dev` stack all of it is free.
"""

from __future__ import annotations

from fractions import Fraction

from dougong.services.rollup.ledger import Rates
from dougong.stack.config import EthereumBlobsAvailability, StackConfig

__all__ = ["rates"]


def rates(config: StackConfig, rollup: str) -> Rates:
    fees = config.rollup[rollup].fees
    on_ether = isinstance(config.availability[config.rollup[rollup].availability], EthereumBlobsAvailability)
    return Rates(
        availability=_rate(fees.availability_rate, 1 if on_ether and not config.dev else 0),
        settlement=_rate(fees.settlement_rate, 0 if config.dev else 1),
        margin_percent=fees.margin_percent,
        least_tokens=4 * fees.least_batch_bytes,
    )


def _rate(written: float | None, default: int) -> Fraction:
    return Fraction(default) if written is None else Fraction(str(written))
