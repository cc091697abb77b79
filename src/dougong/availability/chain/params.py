"""What the genesis document fixes of a DA chain: the application's own part of it.

>>> SquareParams.parse(b'{"max_square_size": 128}').max_square_size
128
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dougong.availability.chain.cosmos_tx import ADDRESS_BYTES, MAX_AMOUNT, parse_address
from dougong.availability.square.layout import MAX_SQUARE_SIZE
from dougong.availability.square.shares import SHARE_BYTES
from dougong.errors import ConfigError, InvalidInput

DEFAULT_SQUARE_SIZE = 64
DEFAULT_TX_BYTES = 8 << 20
MAX_BASE_FEE = 10**18  # of a floor, in nano-utia
_LIMITS = {
    "max_square_size": (1, MAX_SQUARE_SIZE),
    "max_tx_bytes": (1024, 128 << 20),
    "min_base_fee": (0, MAX_BASE_FEE),
    "target_percent": (1, 100),
}
_TABLES = ("accounts", "payouts")


@dataclass(frozen=True, slots=True)
class SquareParams:
    """`max_square_size`: the widest original square, in shares, a power of two. `max_tx_bytes`: the largest transaction, its
    blobs included.

    The market: `min_base_fee`, the floor of the base fee in nano-utia per gas, where it also begins; 0, as in a document
    that does not say, for a chain that never charges. `target_percent`: how full a square leaves the base fee as it is.
    `accounts`: who holds how much utia at the beginning. `payouts`: which account gets the tips of a validator's blocks, by
    the validator's address in hexadecimal digits; without one they are burnt.
    """

    max_square_size: int = DEFAULT_SQUARE_SIZE
    max_tx_bytes: int = DEFAULT_TX_BYTES
    min_base_fee: int = 0
    target_percent: int = 50
    accounts: Mapping[str, int] = field(default_factory=dict)
    payouts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"a DA chain's {name} is a number from {low} to {high}, not {value!r}")
        if self.max_square_size & (self.max_square_size - 1):
            raise ConfigError(f"a DA chain's max_square_size is a power of two, not {self.max_square_size}")
        self._check_accounts()
        self._check_payouts()

    def _check_accounts(self) -> None:
        total = 0
        for address, amount in _table("accounts", self.accounts):
            _check_address("accounts", address)
            if type(amount) is not int or not 0 < amount <= MAX_AMOUNT:
                raise ConfigError(f"a DA chain's account {address} holds a number of utia below 2**63, not {amount!r}")
            total += amount
        if total > MAX_AMOUNT:
            raise ConfigError(f"a DA chain's accounts hold {total} utia together, which is 2**63 or more")

    def _check_payouts(self) -> None:
        for validator, address in _table("payouts", self.payouts):
            if len(validator) != 2 * ADDRESS_BYTES or any(digit not in "0123456789abcdef" for digit in validator):
                raise ConfigError(f"a DA chain's payouts are by validator address in lower-case hexadecimal, not {validator!r}")
            _check_address("payouts", address)

    @classmethod
    def parse(cls, app_state: bytes) -> SquareParams:
        """Reads `app_state`; what it leaves out has its default. Raises `ConfigError`."""
        try:
            values = json.loads(app_state or b"{}")
        except ValueError as error:
            raise ConfigError(f"a DA chain's app_state is not JSON: {error}") from error
        known = (*_LIMITS, *_TABLES)
        if not isinstance(values, dict) or set(values) - set(known):
            raise ConfigError(f"a DA chain's app_state holds {', '.join(known)} and nothing else")
        return cls(**values)

    def app_state(self) -> dict[str, Any]:
        """For the genesis document."""
        return asdict(self)

    @property
    def capacity_bytes(self) -> int:
        """Of the widest original square."""
        return self.max_square_size**2 * SHARE_BYTES

    @property
    def target_bytes(self) -> int:
        """How much use leaves the base fee as it is."""
        return max(1, self.capacity_bytes * self.target_percent // 100)

    def balances(self) -> dict[bytes, int]:
        """utia by address, at the beginning."""
        return {parse_address(address): amount for address, amount in self.accounts.items()}

    def payout(self, validator: bytes) -> bytes | None:
        """Whom the tips of a block go to that this validator proposed."""
        address = self.payouts.get(validator.hex())
        return None if address is None else parse_address(address)


def _table(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(f"a DA chain's {name} are a table, not {value!r}")
    return value.items()


def _check_address(name: str, text: Any) -> None:
    try:
        if not isinstance(text, str):
            raise InvalidInput(f"{text!r} is not text")
        parse_address(text)
    except InvalidInput as error:
        raise ConfigError(f"a DA chain's {name} name a wrong address: {error}") from error
