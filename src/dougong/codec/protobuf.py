"""Protobuf's wire format, written field by field, because consensus and Celestia hash exactly these bytes.

    >>> (Writer().uint(1, 7).bytes(2, b"x")).done().hex()
    '0807120178'

A `Writer` leaves out zero values, as proto3 does; `message(..., always=True)` keeps an empty embedded message, as gogoproto
does for fields that are not nullable. `fields` reads strictly: a message that it accepts has no trailing or cut bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dougong.errors import InvalidInput

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
_MASK64 = (1 << 64) - 1
_Bytes = bytes  # `Writer.bytes` hides the name inside the class


def varint(value: int) -> bytes:
    """Unsigned LEB128 of a value below 2**64 (negative values as two's complement, as int64 fields are written)."""
    value &= _MASK64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """(value, next offset). Raises `InvalidInput` when it is cut or longer than 64 bits."""
    value = shift = 0
    while True:
        if offset >= len(data) or shift > 63:
            raise InvalidInput("a varint is cut or too long")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _MASK64:
                raise InvalidInput("a varint does not fit 64 bits")
            return value, offset
        shift += 7


class Writer:
    """Builds one message; every method returns the writer."""

    def __init__(self) -> None:
        self._out = bytearray()

    def uint(self, number: int, value: int) -> Writer:
        if value:
            self._out += varint(number << 3 | VARINT) + varint(value)
        return self

    def sfixed64(self, number: int, value: int) -> Writer:
        if value:
            self._out += varint(number << 3 | FIXED64) + (value & _MASK64).to_bytes(8, "little")
        return self

    def bytes(self, number: int, value: _Bytes) -> Writer:
        if value:
            self._out += varint(number << 3 | LENGTH_DELIMITED) + varint(len(value)) + value
        return self

    def string(self, number: int, value: str) -> Writer:
        return self.bytes(number, value.encode())

    def message(self, number: int, value: _Bytes, *, always: bool = False) -> Writer:
        """An embedded message. With `always`, an empty one is written too; otherwise it is left out."""
        if value or always:
            self._out += varint(number << 3 | LENGTH_DELIMITED) + varint(len(value)) + value
        return self

    def done(self) -> _Bytes:
        return bytes(self._out)


def delimited(message: bytes) -> bytes:
    """The message behind its length: what CometBFT signs and frames."""
    return varint(len(message)) + message


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value) in order. Fixed-width values come as unsigned integers."""
    offset = 0
    while offset < len(data):
        key, offset = read_varint(data, offset)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise InvalidInput("protobuf field number 0")
        if wire == VARINT:
            value, offset = read_varint(data, offset)
            yield number, wire, value
            continue
        if wire == LENGTH_DELIMITED:
            size, offset = read_varint(data, offset)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise InvalidInput(f"protobuf wire type {wire} is not in use")
        if offset + size > len(data):
            raise InvalidInput("a protobuf field is cut")
        chunk = data[offset : offset + size]
        offset += size
        yield number, wire, chunk if wire == LENGTH_DELIMITED else int.from_bytes(chunk, "little")


def as_int64(value: int | bytes) -> int:
    """A varint field read as a signed 64-bit integer."""
    if isinstance(value, bytes):
        raise InvalidInput("a number was expected where bytes stand")
    return value - (1 << 64) if value >> 63 else value


def as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise InvalidInput("bytes were expected where a number stands")
    return value


class Reader:
    """One message read by field number: only `known` fields, each at most once unless it is in `repeated`.

    Missing fields read as proto3's zero values. Raises `InvalidInput`. It does not ask for canonical bytes: who hashes what it
    read compares the bytes with its own encoding. `most` bounds how many fields it reads, and so what a stranger's bytes cost:
    two bytes a field are enough.
    """

    def __init__(self, data: bytes, known: Collection[int], repeated: Collection[int] = (), *, most: int | None = None) -> None:
        self._values: dict[int, list[int | bytes]] = {}
        for place, (number, _, value) in enumerate(fields(data)):
            if place == most:
                raise InvalidInput(f"a protobuf message has more than {most} fields")
            if number not in known:
                raise InvalidInput(f"protobuf field {number} is not known here")
            seen = self._values.setdefault(number, [])
            if seen and number not in repeated:
                raise InvalidInput(f"protobuf field {number} is given twice")
            seen.append(value)

    def has(self, number: int) -> bool:
        return number in self._values

    def uint(self, number: int) -> int:
        value = self._values.get(number, (0,))[0]
        if isinstance(value, bytes):
            raise InvalidInput("a number was expected where bytes stand")
        return value

    def sint(self, number: int) -> int:
        return as_int64(self.uint(number))

    def raw(self, number: int) -> bytes:
        return as_bytes(self._values.get(number, (b"",))[0])

    def text(self, number: int) -> str:
        try:
            return self.raw(number).decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"protobuf field {number} is not UTF-8") from error

    def many(self, number: int) -> list[bytes]:
        return [as_bytes(value) for value in self._values.get(number, ())]
