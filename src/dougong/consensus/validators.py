"""Validator sets as CometBFT orders and hashes them.

Source: CometBFT v0.38, types/validator_set.go. A set is a tuple of `Validator` in the order that the hash and the commit's
signatures follow: by power, largest first, then by address. Keys are Ed25519.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dougong.codec.protobuf import Writer
from dougong.crypto import merkle
from dougong.crypto.keys import ed25519_address
from dougong.errors import InvalidInput
from dougong.types import Validator

MAX_TOTAL_POWER = ((1 << 63) - 1) // 8
PUBLIC_KEY_BYTES = 32


def ordered(validators: Iterable[Validator]) -> tuple[Validator, ...]:
    """The set in its order. Raises `InvalidInput` for an empty one, a bad key, a double one, or power out of range."""
    result = tuple(sorted(validators, key=lambda validator: (-validator.power, ed25519_address(validator.public_key))))
    check(result)
    return result


def check(validators: Sequence[Validator]) -> None:
    if not validators:
        raise InvalidInput("a validator set is empty")
    for validator in validators:
        if len(validator.public_key) != PUBLIC_KEY_BYTES:
            raise InvalidInput(f"a validator's Ed25519 key is {PUBLIC_KEY_BYTES} bytes, not {len(validator.public_key)}")
        if validator.power <= 0:
            raise InvalidInput(f"a validator has power {validator.power}")
    if len({validator.public_key for validator in validators}) != len(validators):
        raise InvalidInput("a validator is in the set twice")
    if total_power(validators) > MAX_TOTAL_POWER:
        raise InvalidInput("the validators' total power is over CometBFT's limit")


def total_power(validators: Iterable[Validator]) -> int:
    return sum(validator.power for validator in validators)


def validators_hash(validators: Iterable[Validator]) -> bytes:
    """The RFC 6962 root over one SimpleValidator message a validator, in the set's order."""
    return merkle.root(
        [
            Writer().message(1, Writer().bytes(1, validator.public_key).done(), always=True).uint(2, validator.power).done()
            for validator in validators
        ]
    )
