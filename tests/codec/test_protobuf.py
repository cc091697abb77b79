"""The protobuf wire format: what is written is read back, and nothing malformed passes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.codec.protobuf import Writer, as_bytes, as_int64, delimited, fields, read_varint, varint
from dougong.errors import InvalidInput


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (-1, "ff" * 9 + "01")]
)
def test_varints_of_the_specification(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_varint_round_trip(value: int) -> None:
    encoded = varint(value)
    number, end = read_varint(encoded, 0)
    assert (as_int64(number), end) == (value, len(encoded))


@pytest.mark.parametrize("bad", [b"", b"\x80", b"\xff" * 10, b"\xff" * 9 + b"\x02"])
def test_cut_and_oversized_varints_are_refused(bad: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_varint(bad, 0)


def test_messages_are_written_and_read_in_order() -> None:
    inner = Writer().sfixed64(2, -5).done()
    message = Writer().uint(1, 7).bytes(2, b"xy").string(3, "z").message(4, inner).message(5, b"", always=True).done()
    assert list(fields(message)) == [(1, 0, 7), (2, 2, b"xy"), (3, 2, b"z"), (4, 2, inner), (5, 2, b"")]
    assert list(fields(inner)) == [(2, 1, (1 << 64) - 5)]


def test_zero_values_are_left_out() -> None:
    assert Writer().uint(1, 0).bytes(2, b"").string(3, "").sfixed64(4, 0).message(5, b"").done() == b""


def test_delimited_puts_the_length_in_front() -> None:
    assert delimited(b"abc") == b"\x03abc"


def test_a_number_is_not_bytes() -> None:
    with pytest.raises(InvalidInput):
        as_bytes(1)
    with pytest.raises(InvalidInput):
        as_int64(b"1")


@pytest.mark.parametrize("bad", [b"\x0a\x05abc", b"\x00\x01", b"\x0b", b"\x09\x01", b"\x0a"])
def test_cut_fields_and_unknown_wire_types_are_refused(bad: bytes) -> None:
    with pytest.raises(InvalidInput):
        list(fields(bad))


@given(st.binary(max_size=200))
def test_reading_noise_never_raises_anything_else(noise: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        list(fields(noise))
