"""The JSON form of the ground types, both ways.

    >>> from dougong.types import MerkleProof
    >>> to_json(MerkleProof(index=1, total=2, siblings=(b"\\xab",)))
    {'index': '1', 'total': '2', 'siblings': ['0xab']}
    >>> from_json(MerkleProof, {"index": "1", "total": 2, "siblings": ["0xab"]})
    MerkleProof(index=1, total=2, siblings=(b'\\xab',))

Bytes are 0x-prefixed hex. Integers are decimal strings, as in protobuf's JSON mapping and CometBFT's RPC, because heights in
nanoseconds and amounts in wei do not fit a JavaScript number; a JSON integer is read too. An enum is its name in lower
case, a tuple an array, None null, a dataclass an object with exactly its fields. Reading is strict: whatever does not
have the shape raises `InvalidInput` with the path to it. Lengths and meanings are the caller's to check.
"""

from __future__ import annotations

import binascii
import dataclasses
import re
import types
import typing
from collections.abc import Callable, Hashable
from enum import Enum
from functools import cache
from typing import TypeVar, cast

from dougong.errors import InvalidInput

__all__ = ["JsonValue", "from_json", "to_json"]

JsonValue = object
"""What orjson reads and writes: None, bool, int, float, str, list, dict with str keys."""

T = TypeVar("T")
_Reader = Callable[[object, str], object]
_Writer = Callable[[object], object]

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,77})\Z")  # as far as uint256; longer ones would only cost time to parse


def to_json(value: object) -> JsonValue:
    """The JSON form of a ground value (a dataclass of `dougong.types`, bytes, int, str, bool, an enum, a tuple, None)."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field: to_json(getattr(value, field)) for field in _fields(type(value))}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(kind: type[T], value: JsonValue) -> T:
    """The value of type `kind` (also `tuple[X, ...]` or `X | None`) whose JSON form is `value`. Raises `InvalidInput`."""
    return cast(T, _reader(cast(Hashable, kind))(value, ""))


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _wrong(path: str, expected: str, value: object) -> InvalidInput:
    got = "null" if value is None else type(value).__name__
    return InvalidInput(f"{path or 'the value'} must be {expected}, not {got}")


def _read_bytes(value: object, path: str) -> bytes:
    if not isinstance(value, str) or value[:2] != "0x":
        raise _wrong(path, "0x-prefixed hex", value)
    try:
        return binascii.unhexlify(value[2:])
    except ValueError as error:  # binascii.Error for odd lengths and wrong digits, ValueError for non-ASCII
        raise InvalidInput(f"{path or 'the value'} is not hex: {error}") from error


def _read_int(value: object, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _DECIMAL.match(value) and value != "-0":
        return int(value)
    raise _wrong(path, "a decimal integer", value)


def _read_bool(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, "true or false", value)
    return value


def _read_str(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "a string", value)
    return value


def _read_none(value: object, path: str) -> None:
    if value is not None:
        raise _wrong(path, "null", value)


_SCALARS: dict[object, _Reader] = {
    bytes: _read_bytes,
    int: _read_int,
    bool: _read_bool,
    str: _read_str,
    types.NoneType: _read_none,
}


@cache
def _reader(kind: Hashable) -> _Reader:
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple_reader(_reader(arguments[0]))
    if origin is tuple:
        return _record_reader(tuple(_reader(argument) for argument in arguments))
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2 and types.NoneType in arguments:
        inner = _reader(next(argument for argument in arguments if argument is not types.NoneType))
        return lambda value, path: None if value is None else inner(value, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_reader(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    raise TypeError(f"{kind!r} has no JSON form")


def _tuple_reader(item: _Reader) -> _Reader:
    def read(value: object, path: str) -> object:
        if not isinstance(value, list):
            raise _wrong(path, "an array", value)
        return tuple(item(entry, f"{path}[{index}]") for index, entry in enumerate(value))

    return read


def _record_reader(items: tuple[_Reader, ...]) -> _Reader:
    def read(value: object, path: str) -> object:
        if not isinstance(value, list) or len(value) != len(items):
            raise _wrong(path, f"an array of {len(items)}", value)
        return tuple(item(entry, f"{path}[{index}]") for index, (item, entry) in enumerate(zip(items, value, strict=True)))

    return read


def _enum_reader(kind: type[Enum]) -> _Reader:
    members = {member.name.lower(): member for member in kind}

    def read(value: object, path: str) -> object:
        if not isinstance(value, str) or value not in members:
            raise _wrong(path, "one of " + ", ".join(members), value)
        return members[value]

    return read


def _dataclass_reader(kind: type) -> _Reader:
    hints = typing.get_type_hints(kind)
    readers = {name: _reader(hints[name]) for name in _fields(kind)}

    def read(value: object, path: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(path, f"an object ({kind.__name__})", value)
        if value.keys() != readers.keys():
            odd = sorted(str(key)[:40] for key in value.keys() ^ readers.keys())
            raise InvalidInput(f"{path or 'the value'} ({kind.__name__}) has missing or unknown fields: {', '.join(odd[:8])}")
        prefix = f"{path}." if path else ""
        return kind(**{name: reader(value[name], prefix + name) for name, reader in readers.items()})

    return read
