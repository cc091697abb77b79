"""Ethereum's RLP, the writing half: what signing a transaction needs.

    >>> encode([b"cat", 0, [b""]]).hex()
    'c78363617480c180'

Integers are written big-endian without leading zeros (zero as the empty string). Reading is the Rust core's, which meets bytes
from outside. Source: Ethereum yellow paper, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["Item", "encode", "wrapped"]

Item: TypeAlias = "bytes | int | Sequence[Item]"


def encode(item: Item) -> bytes:
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8)
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _head(0x80, len(item)) + item
    return wrapped(b"".join(encode(member) for member in item))


def wrapped(content: bytes) -> bytes:
    """The list whose members are encoded already, one behind the other."""
    return _head(0xC0, len(content)) + content


def _head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([offset + 55 + len(size)]) + size
