"""The formats that every layer uses: protobuf, bech32, and the JSON of the node API for every ground type."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from functools import partial

import orjson

import dougong.types
from dougong.codec import bech32
from dougong.codec.protobuf import Reader, Writer, fields, read_varint, varint
from dougong.errors import InvalidInput
from dougong.net.codec import from_json, to_json
from dougong.net.reverts import revert_reason
from fuzz.target import Target, accepted

MIXED = [getattr(dougong.types, name) for name in sorted(dougong.types.__all__)]
GROUND: list[type] = [kind for kind in MIXED if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
KINDS = [kind for kind in GROUND if not inspect.isabstract(kind)]


def _check_protobuf(data: bytes) -> None:
    found = accepted(lambda raw: list(fields(raw)), data)
    reader = accepted(lambda raw: Reader(raw, range(16), repeated=(2, 3)), data)
    if reader is not None:
        assert found is not None
        for number in range(16):
            reads: tuple[Callable[[int], object], ...] = (reader.uint, reader.sint, reader.raw, reader.text, reader.many)
            for read in reads:
                accepted(partial(_call, read, number), data)
    value = accepted(lambda raw: read_varint(raw, 0), data)
    if value is not None:
        number, end = value
        assert read_varint(varint(number), 0) == (number, len(varint(number)))
        assert len(varint(number)) <= end <= 10


def _call(read: Callable[[int], object], number: int, _: bytes) -> object:
    return read(number)


def _protobufs() -> Iterator[bytes]:
    yield Writer().uint(1, 300).bytes(2, b"raw").string(3, "text").sfixed64(4, -1).message(5, b"", always=True).done()
    yield varint((1 << 64) - 1)


def _check_bech32(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    value = accepted(lambda _: bech32.decode("celestia", text), data)
    if value is not None:
        assert bech32.encode("celestia", value) == text


def _check_json(data: bytes) -> None:
    try:
        value = orjson.loads(data[1:])
    except orjson.JSONDecodeError:
        return
    kind = KINDS[data[0] % len(KINDS)]
    try:
        read: object = from_json(kind, value)
    except InvalidInput:
        return
    written = orjson.dumps(to_json(read))
    assert from_json(kind, orjson.loads(written)) == read


def _example(kind: object, depth: int = 0) -> object:
    """Some JSON of a type: enough for its reader to go all the way."""
    import types as python
    import typing
    from enum import Enum

    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        inner = arguments[:1] * 2 if len(arguments) == 2 and arguments[1] is Ellipsis else arguments
        return [_example(one, depth + 1) for one in inner]
    if origin in (python.UnionType, typing.Union):
        return _example(arguments[0], depth + 1)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).name.lower()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if kind is dougong.types.Namespace:
            return {"raw": "0x" + bytes(29).hex()}
        return {field.name: _example(hints[field.name], depth + 1) for field in dataclasses.fields(kind)}
    return {bytes: "0x0102", int: "7", bool: True, str: "text"}.get(kind)  # type: ignore[call-overload]


def _jsons() -> Iterator[bytes]:
    for number, kind in enumerate(KINDS):
        raw = bytes([number]) + orjson.dumps(_example(kind))
        from_json(kind, orjson.loads(raw[1:]))  # a seed that is refused would show the fuzzer nothing
        yield raw


def _check_revert(data: bytes) -> None:
    assert isinstance(revert_reason(data), str)


def _reverts() -> Iterator[bytes]:
    yield bytes.fromhex("08c379a0") + (32).to_bytes(32) + (4).to_bytes(32) + b"word".ljust(32, b"\0")
    yield bytes.fromhex("4e487b71") + (17).to_bytes(32)
    yield b""


TARGETS = (
    Target("protobuf", _check_protobuf, _protobufs),
    Target("bech32", _check_bech32, lambda: [bech32.encode("celestia", bytes(range(20))).encode()]),
    Target("json", _check_json, _jsons, runs=30_000),
    Target("revert", _check_revert, _reverts),
)
