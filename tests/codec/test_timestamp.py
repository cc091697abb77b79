"""Times as consensus writes them, in bytes and in text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.codec.timestamp import NANOSECONDS, ZERO_TIME_NS, decode_time, encode_time, format_time
from dougong.errors import InvalidInput

LAST = 253_402_300_800 * NANOSECONDS - 1


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_000_000_007, "2023-11-14T22:13:20.000000007Z"),
        (1_700_000_000_500_000_000, "2023-11-14T22:13:20.5Z"),
        (ZERO_TIME_NS, "0001-01-01T00:00:00Z"),
        (LAST, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_text_is_gos(time_ns: int, text: str) -> None:
    assert format_time(time_ns) == text


@given(st.integers(ZERO_TIME_NS, LAST))
def test_bytes_come_back_and_text_says_the_same_second(time_ns: int) -> None:
    assert decode_time(encode_time(time_ns)) == time_ns
    whole = datetime.fromisoformat(format_time(time_ns)[:19]).replace(tzinfo=UTC)
    assert (whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == time_ns // NANOSECONDS


@pytest.mark.parametrize("time_ns", [ZERO_TIME_NS - 1, LAST + 1])
def test_other_years_are_refused(time_ns: int) -> None:
    for convert in (encode_time, format_time):
        with pytest.raises(InvalidInput):
            convert(time_ns)
