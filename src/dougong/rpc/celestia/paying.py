"""TxConfig: what a caller wants to pay for a transaction that the node signs.

Source: celestia-node `state/txclient/tx_config.go`. Celestia's gas and its price in utia for a unit say what may be spent;
what is spent is what this chain asks. Refused: a key or a payer that is not the node's own account.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from dougong.availability.celestia.gas import DEFAULT_MAX_GAS_PRICE, fee, gas_estimate
from dougong.availability.celestia.values import read_integer, read_object
from dougong.availability.chain.cosmos_tx import parse_address
from dougong.errors import InvalidInput, Underpaid
from dougong.rpc.celestia.node import Node, Published, failure
from dougong.rpc.protocol import Param
from dougong.types import Blob

__all__ = ["TX_CONFIG", "TxConfig", "publish"]

DEFAULT_KEY_NAMES = ("", "my_celes_key")
PRICE_TOO_HIGH = "state: estimated gas price exceeds max gas price in tx config"
NO_MONEY = "insufficient funds"
MAX_GAS = 1 << 53
MAX_PRICE = 10**9


@dataclass(frozen=True, slots=True)
class TxConfig:
    """Prices in utia for a unit of gas; None where the caller left it to the node."""

    gas: int = 0
    gas_price: Fraction | None = None
    max_gas_price: Fraction | None = None
    signer: bytes | None = None

    def budget(self, blobs: Sequence[Blob]) -> int:
        """The most that these blobs may cost."""
        price = self.gas_price if self.gas_price is not None else self.max_gas_price or DEFAULT_MAX_GAS_PRICE
        return fee(self.gas or gas_estimate(blobs), price)


def read_tx_config(value: object) -> TxConfig:
    shape = read_object(value, "a TxConfig")
    if shape.get("key_name", "") not in DEFAULT_KEY_NAMES:
        raise InvalidInput("key_name: this node has one key only")
    if shape.get("fee_granter_address"):
        raise InvalidInput("fee_granter_address: nobody pays for others here")
    signer = shape.get("signer_address")
    price = _price(shape.get("gas_price"), "gas_price")
    return TxConfig(
        gas=read_integer(shape.get("gas", 0), "gas", 0, MAX_GAS),
        gas_price=price if shape.get("is_gas_price_set") is True else price or None,
        max_gas_price=_price(shape.get("max_gas_price"), "max_gas_price"),
        signer=parse_address(signer) if isinstance(signer, str) and signer else None,
    )


def _price(value: object, name: str) -> Fraction | None:
    """Missing, null and negative mean: as the node has it."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value > MAX_PRICE:
        raise InvalidInput(f"{name} must be a number of at most {MAX_PRICE}")
    return Fraction(str(value)) if value >= 0 else None


TX_CONFIG = Param("options", read_tx_config, TxConfig())


async def publish(node: Node, blobs: Sequence[Blob], config: TxConfig) -> Published:
    account = node.account
    if not blobs:
        raise failure("no blobs were given")
    if config.signer not in (None, account.address):
        raise failure("signer_address is not this node's account")
    budget = config.budget(blobs)
    try:
        return await account.publish(blobs, budget=budget)
    except Underpaid as error:
        words = PRICE_TOO_HIGH if error.wanted > budget else NO_MONEY
        raise failure(f"{words}: {error}") from error
