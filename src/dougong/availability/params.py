"""What the genesis document fixes of a DA chain: the application's own part of it.

>>> SquareParams.parse(b'{"max_square_size": 128}').max_square_size
128
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from dougong.availability.layout import MAX_SQUARE_SIZE
from dougong.errors import ConfigError

DEFAULT_SQUARE_SIZE = 64
DEFAULT_TX_BYTES = 8 << 20
_LIMITS = {"max_square_size": (1, MAX_SQUARE_SIZE), "max_tx_bytes": (1024, 128 << 20)}


@dataclass(frozen=True, slots=True)
class SquareParams:
    """`max_square_size`: the widest original square, in shares, a power of two. `max_tx_bytes`: the largest transaction, its
    blobs included."""

    max_square_size: int = DEFAULT_SQUARE_SIZE
    max_tx_bytes: int = DEFAULT_TX_BYTES

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"a DA chain's {name} is a number from {low} to {high}, not {value!r}")
        if self.max_square_size & (self.max_square_size - 1):
            raise ConfigError(f"a DA chain's max_square_size is a power of two, not {self.max_square_size}")

    @classmethod
    def parse(cls, app_state: bytes) -> SquareParams:
        """Reads `app_state`; what it leaves out has its default. Raises `ConfigError`."""
        try:
            values = json.loads(app_state or b"{}")
        except ValueError as error:
            raise ConfigError(f"a DA chain's app_state is not JSON: {error}") from error
        if not isinstance(values, dict) or set(values) - set(_LIMITS):
            raise ConfigError(f"a DA chain's app_state holds {', '.join(_LIMITS)} and nothing else")
        return cls(**values)

    def app_state(self) -> dict[str, int]:
        """For the genesis document."""
        return asdict(self)
