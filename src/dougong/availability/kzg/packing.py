"""Bytes in field elements: 31 in each, behind a zero byte, so that every element is below the modulus.

    >>> blob = pack(b"abc")
    >>> len(blob), blob[:5].hex(), unpack(blob)[:4]
    (131072, '0061626300', b'abc\\x00')

126,976 bytes fit into a blob. (254 bits in each would be 2 % more, and no cell would begin at a whole byte.)
"""

from __future__ import annotations

from dougong.availability.kzg.params import BYTES_PER_BLOB, BYTES_PER_FIELD_ELEMENT, FIELD_ELEMENTS_PER_BLOB
from dougong.errors import InvalidInput

__all__ = ["USABLE_BYTES_PER_BLOB", "pack", "unpack"]

USABLE_BYTES_PER_ELEMENT = BYTES_PER_FIELD_ELEMENT - 1
USABLE_BYTES_PER_BLOB = USABLE_BYTES_PER_ELEMENT * FIELD_ELEMENTS_PER_BLOB


def pack(content: bytes) -> bytes:
    """A blob that holds these bytes, zero padded. Raises `InvalidInput` for more than fit."""
    if len(content) > USABLE_BYTES_PER_BLOB:
        raise InvalidInput(f"{len(content)} bytes do not fit a blob, which holds {USABLE_BYTES_PER_BLOB}")
    padded = content.ljust(USABLE_BYTES_PER_BLOB, b"\0")
    blob = bytearray(BYTES_PER_BLOB)
    for place in range(USABLE_BYTES_PER_ELEMENT):
        blob[place + 1 :: BYTES_PER_FIELD_ELEMENT] = padded[place::USABLE_BYTES_PER_ELEMENT]
    return bytes(blob)


def unpack(elements: bytes) -> bytes | None:
    """The bytes in whole field elements (a blob, a cell); None if one does not begin with a zero byte."""
    if any(elements[::BYTES_PER_FIELD_ELEMENT]) or len(elements) % BYTES_PER_FIELD_ELEMENT:
        return None
    content = bytearray(elements)
    del content[::BYTES_PER_FIELD_ELEMENT]
    return bytes(content)
