"""What a fuzz target is, and what its properties are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from dougong.errors import InvalidInput

__all__ = ["Target", "accepted", "joined", "pieces", "refused", "round_trip"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """`check` returns for every input, or there is a bug. `seeds` are made by our own encoders, findings of old among them.
    `runs` is how often a brief session calls it, `max_bytes` how large an input grows."""

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    runs: int = 20_000
    max_bytes: int = 4096


def accepted(decode: Callable[[bytes], T], data: bytes) -> T | None:
    """The value, or None where the input was refused as it should be."""
    try:
        return decode(data)
    except InvalidInput:
        return None


def refused(check: Callable[[], None]) -> bool:
    """Whether it raised `InvalidInput`."""
    try:
        check()
    except InvalidInput:
        return True
    return False


def round_trip(decode: Callable[[bytes], T], encode: Callable[[T], bytes], data: bytes, *, canonical: bool = False) -> None:
    """What is read is written back: to the same bytes if the format has one form only, else to bytes that read the same."""
    value = accepted(decode, data)
    if value is None:
        return
    written = encode(value)
    if canonical:
        assert written == data, "two forms of one value are read"
    assert decode(written) == value, "what is written reads differently"


def pieces(data: bytes) -> list[bytes]:
    """Any bytes as a list of byte strings: two bytes of length before each."""
    found, at = [], 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        found.append(data[at + 2 : end])
        at = end
    return found


def joined(parts: Iterable[bytes]) -> bytes:
    """The inverse of `pieces`."""
    return b"".join(len(part).to_bytes(2) + part for part in parts)
