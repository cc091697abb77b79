"""How Ethereum's JSON-RPC writes numbers, bytes and blocks: read strictly, written canonically.

    >>> read_quantity("0x10"), quantity(16)
    (16, '0x10')

Source: ethereum/execution-apis, `src/schemas`; EIP-1898 for blocks named by an object. A quantity is 0x-hex without leading
zeros, data is 0x-hex of whole bytes. Every reader raises `InvalidInput`.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from dougong.errors import InvalidInput
from dougong.types import ADDRESS_BYTES, HASH_BYTES

__all__ = [
    "LATEST",
    "BlockId",
    "hex_data",
    "quantity",
    "read_address",
    "read_block",
    "read_bool",
    "read_count",
    "read_data",
    "read_hash",
    "read_object",
    "read_quantity",
    "read_slot",
]

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})\Z")
_SLOT = re.compile(r"0x[0-9a-fA-F]{0,64}\Z")
_TAGS = frozenset({"latest", "safe", "finalized", "earliest", "pending"})


def quantity(value: int) -> str:
    return hex(value)


def hex_data(value: bytes) -> str:
    return "0x" + value.hex()


def read_quantity(value: object) -> int:
    if not isinstance(value, str) or not _QUANTITY.match(value):
        raise InvalidInput("want a quantity: 0x-prefixed hex of at most 256 bits without leading zeros")
    return int(value, 16)


def read_count(value: object) -> int:
    """A small number, as a quantity or as JSON's own (clients send both where the standard has a quantity)."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return read_quantity(value)


def read_data(value: object) -> bytes:
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise InvalidInput("want data: 0x-prefixed hex")
    try:
        return binascii.unhexlify(value[2:])
    except ValueError as error:
        raise InvalidInput(f"want data: 0x-prefixed hex of whole bytes ({error})") from error


def read_address(value: object) -> bytes:
    data = read_data(value)
    if len(data) != ADDRESS_BYTES:
        raise InvalidInput(f"want an address of {ADDRESS_BYTES} bytes, not {len(data)}")
    return data


def read_hash(value: object) -> bytes:
    data = read_data(value)
    if len(data) != HASH_BYTES:
        raise InvalidInput(f"want a hash of {HASH_BYTES} bytes, not {len(data)}")
    return data


def read_slot(value: object) -> bytes:
    """A storage slot: 32 bytes, or a number (the standard allows both, and leading zeros in it)."""
    if isinstance(value, str) and _SLOT.match(value):
        return int(value[2:] or "0", 16).to_bytes(HASH_BYTES, "big")
    raise InvalidInput("want a storage slot: 0x-prefixed hex of at most 32 bytes")


def read_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput("want true or false")
    return value


def read_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidInput("want an object")
    return value


@dataclass(frozen=True, slots=True)
class BlockId:
    """A block as a caller names it: by tag, number or hash (exactly one is set)."""

    tag: str = ""
    number: int | None = None
    hash: bytes | None = None


LATEST = BlockId(tag="latest")


def read_block(value: object) -> BlockId:
    """A tag, a number, a block hash (32 bytes), or EIP-1898's object."""
    if isinstance(value, str):
        if value in _TAGS:
            return BlockId(tag=value)
        if len(value) == 2 + 2 * HASH_BYTES:
            return BlockId(hash=read_hash(value))
        return BlockId(number=_number(value))
    if isinstance(value, dict):
        if value.keys() <= {"blockHash", "requireCanonical"} and "blockHash" in value:
            return BlockId(hash=read_hash(value["blockHash"]))
        if value.keys() == {"blockNumber"}:
            return read_block(value["blockNumber"])
    raise InvalidInput("want a block: a tag (latest, safe, finalized, earliest, pending), a number or an object with blockHash")


def _number(value: object) -> int:
    number = read_quantity(value)
    if number >= 2**63:
        raise InvalidInput("want a block number below 2^63")
    return number
