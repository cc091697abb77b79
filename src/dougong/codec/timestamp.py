"""google.protobuf.Timestamp as consensus writes it: nanoseconds since 1970, from the year 1 (Go's zero time) to 9999.

>>> decode_time(encode_time(1_500_000_000_000_000_007))
1500000000000000007
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dougong.codec.protobuf import Reader, Writer
from dougong.errors import InvalidInput

NANOSECONDS = 1_000_000_000
# Go's zero time, 0001-01-01T00:00:00Z: what an absent validator's signature carries.
ZERO_TIME_NS = -62_135_596_800 * NANOSECONDS
_END_TIME_NS = 253_402_300_800 * NANOSECONDS  # 10000-01-01


def encode_time(time_ns: int) -> bytes:
    """Negative seconds are ten-byte varints, as in Go. Raises `InvalidInput` outside the years 1 to 9999."""
    _check(time_ns)
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
    return Writer().uint(1, seconds).uint(2, nanoseconds).done()


def decode_time(data: bytes) -> int:
    """Raises `InvalidInput`."""
    reader = Reader(data, (1, 2))
    nanoseconds = reader.uint(2)
    if nanoseconds >= NANOSECONDS:
        raise InvalidInput("a timestamp's nanoseconds are a second or more")
    time_ns = reader.sint(1) * NANOSECONDS + nanoseconds
    _check(time_ns)
    return time_ns


def format_time(time_ns: int) -> str:
    """RFC 3339 as Go writes it: UTC, with as many of nine decimals as it takes. Raises `InvalidInput` outside the years 1 to
    9999."""
    _check(time_ns)
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
    decimals = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds").removesuffix("+00:00") + decimals + "Z"


def _check(time_ns: int) -> None:
    if not ZERO_TIME_NS <= time_ns < _END_TIME_NS:
        raise InvalidInput(f"the time {time_ns} ns is outside the years 1 to 9999")
