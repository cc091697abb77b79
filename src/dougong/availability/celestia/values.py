"""How celestia-node's JSON writes plain values: bytes in base64, hashes in upper-case hex, integers as numbers or strings.

    >>> base64_text(b"dougong")
    'ZG91Z29uZw=='
    >>> read_base64("ZG91Z29uZw==", "data")
    b'dougong'

Source: Go's encoding/json, and CometBFT's libs/json, which writes 64-bit integers as strings. Where Go omits a zero or writes
null for an empty list, both are read. Every reader raises `InvalidInput`.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from dougong.errors import InvalidInput
from dougong.types import Namespace

__all__ = [
    "base64_text",
    "hex_text",
    "namespace_text",
    "read_base64",
    "read_hex",
    "read_integer",
    "read_list",
    "read_namespace",
    "read_object",
]

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,18})\Z")


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def hex_text(data: bytes) -> str:
    return data.hex().upper()


def namespace_text(namespace: Namespace) -> str:
    """All 29 bytes, the version in front."""
    return base64_text(namespace.raw)


def read_base64(value: object, what: str, size: int | None = None) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be base64")
    try:
        data = binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError) as error:  # binascii.Error is a ValueError
        raise InvalidInput(f"{what} is not base64: {error}") from error
    if size is not None and len(data) != size:
        raise InvalidInput(f"{what} is {len(data)} bytes, not {size}")
    return data


def read_hex(value: object, what: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be hex")
    try:
        return binascii.unhexlify(value)
    except ValueError as error:
        raise InvalidInput(f"{what} is not hex: {error}") from error


def read_integer(value: object, what: str, low: int = 0, high: int = (1 << 63) - 1) -> int:
    """A JSON integer, or a decimal string."""
    if isinstance(value, str) and _DECIMAL.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{what} must be an integer")
    if not low <= value <= high:
        raise InvalidInput(f"{what} must be between {low} and {high}")
    return value


def read_list(value: object, what: str, limit: int) -> list[Any]:
    """Null is an empty list, as Go writes it."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise InvalidInput(f"{what} must be an array of at most {limit}")
    return value


def read_object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be an object")
    return value


def read_namespace(value: object) -> Namespace:
    return Namespace(read_base64(value, "a namespace"))
