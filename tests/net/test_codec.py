"""Ground types as JSON: each survives the wire, and any other JSON is refused with the place of its fault."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import typing

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dougong import types
from dougong.errors import InvalidInput, InvalidNamespace
from dougong.net.codec import from_json, to_json

GROUND = [
    kind
    for kind in vars(types).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and not inspect.isabstract(kind)
]
few = settings(max_examples=20, deadline=None)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def value_of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    if hint is types.Namespace:
        return st.binary(min_size=1, max_size=10).map(types.Namespace.user)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        kind = typing.cast(type, hint)
        return st.builds(kind, **{field.name: value_of(hints[field.name]) for field in dataclasses.fields(kind)})
    if typing.get_origin(hint) is tuple:
        return st.lists(value_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if type(None) in typing.get_args(hint):
        return st.none() | value_of(typing.get_args(hint)[0])
    if hint is int:
        return st.integers(-(2**255), 2**256 - 1)
    return st.from_type(hint)


@pytest.mark.parametrize("kind", GROUND, ids=lambda kind: kind.__name__)
def test_every_ground_type_survives_the_wire(kind: type) -> None:
    @few
    @given(value_of(kind))
    def there_and_back(value: object) -> None:
        assert from_json(kind, orjson.loads(orjson.dumps(to_json(value)))) == value

    there_and_back()


@pytest.mark.parametrize("kind", GROUND, ids=lambda kind: kind.__name__)
def test_any_json_is_a_value_or_invalid_input(kind: type) -> None:
    @few
    @given(json_values | st.fixed_dictionaries({field.name: json_values for field in dataclasses.fields(kind)}))
    def reading(value: object) -> None:
        with contextlib.suppress(InvalidInput):
            assert isinstance(from_json(kind, value), kind)

    reading()


@pytest.mark.parametrize(
    "bad",
    ["", "0", "0x0", "0xzz", "0x ab", "0x0a\n", "0x\u0661\u0661", 7, None, ["0x00"]],
)
def test_bytes_are_strict_hex(bad: object) -> None:
    with pytest.raises(InvalidInput):
        from_json(bytes, bad)


@pytest.mark.parametrize("bad", ["", "-", "-0", "01", "+1", " 1", "1\n", "0x1", "1e3", "\u0661", "9" * 79, True, 1.0, None])
def test_integers_are_strict_decimals(bad: object) -> None:
    with pytest.raises(InvalidInput):
        from_json(int, bad)


def test_the_error_names_the_place() -> None:
    row = to_json(types.MerkleProof(1, 2, (b"", b"")))
    assert isinstance(row, dict)
    row["siblings"][1] = "zz"
    with pytest.raises(InvalidInput, match=r"siblings\[1\]"):
        from_json(types.MerkleProof, row)
    with pytest.raises(InvalidInput, match="extra"):
        from_json(types.MerkleProof, {**row, "extra": 1})


def test_a_type_keeps_its_own_rules() -> None:
    with pytest.raises(InvalidNamespace):
        from_json(types.Namespace, {"raw": "0x07"})
