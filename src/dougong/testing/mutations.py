"""Every small change of a value of the ground: what a verifier must refuse.

>>> [changed.hex() for changed in mutations(bytes(2))]
['0100', '0002', '00']
>>> list(mutations((5,)))
[(6,), (4,), (), (5, 5)]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from dougong.errors import InvalidInput


def mutations(value: Any, step: int = 1) -> Iterator[Any]:
    """The value with one bit of a byte flipped, bytes cut by one, one number off by one, or one element of a tuple left out or
    doubled; at all places (of bytes: each `step`-th), in nested values too. Values that their type refuses are left out."""
    if isinstance(value, bytes):
        for at in range(0, len(value), step):
            yield value[:at] + bytes([value[at] ^ (1 << at % 8)]) + value[at + 1 :]
        yield value[:-1] if value else b"\0"
    elif isinstance(value, int):
        yield value + 1
        yield value - 1
    elif isinstance(value, tuple):
        for at, element in enumerate(value):
            for changed in mutations(element, step):
                yield (*value[:at], changed, *value[at + 1 :])
            yield value[:at] + value[at + 1 :]
            yield value[: at + 1] + value[at:]
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for changed in mutations(getattr(value, field.name), step):
                try:
                    mutated = replace(value, **{field.name: changed})
                except InvalidInput:
                    continue
                yield mutated
