"""The three protobuf messages that Celestia's square itself understands: `BlobProto`, `BlobTx` and `IndexWrapper`.

    >>> blob = Blob(Namespace.user(b"alpha"), b"hello")
    >>> decode_blob_tx(encode_blob_tx(b"signed", [blob])) == BlobTx(b"signed", (blob,))
    True
    >>> decode_blob_tx(b"any other transaction") is None
    True

Source: go-square `proto/blob` and `tx/`. A transaction is a `BlobTx` when it parses as one and its type id says so; whatever
else the bytes are, they are a plain transaction. A message that says BLOB but breaks a rule is an error, not a plain
transaction. Deviations: protobuf groups, which nothing writes, and more than 4,096 fields make a transaction plain here; a blob
with a field twice is an error. Both bound what reading costs: a field of two bytes takes as long as one of a megabyte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dougong.availability.square.shares import check_blob_format
from dougong.codec.protobuf import LENGTH_DELIMITED, VARINT, Writer, fields, read_varint, varint
from dougong.errors import InvalidInput, InvalidTransaction
from dougong.types import Blob, Namespace

BLOB_TX_TYPE_ID = "BLOB"
INDEX_WRAPPER_TYPE_ID = "INDX"
_MASK32 = (1 << 32) - 1
_MOST_FIELDS = 4096


@dataclass(frozen=True, slots=True)
class BlobTx:
    """A signed transaction that pays for blobs, and the blobs, in the order of its messages."""

    tx: bytes
    blobs: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class IndexWrapper:
    """What the square stores of a `BlobTx`: its transaction, and the first share of each of its blobs."""

    tx: bytes
    share_indexes: tuple[int, ...]


def encode_blob(blob: Blob) -> bytes:
    """`BlobProto`."""
    writer = Writer().bytes(1, blob.namespace.raw[1:]).bytes(2, blob.data).uint(3, blob.share_version)
    return writer.uint(4, blob.namespace.raw[0]).bytes(5, blob.signer).done()


def encode_blob_tx(tx: bytes, blobs: Sequence[Blob]) -> bytes:
    """Raises `InvalidBlob` for a blob that no square can hold, `InvalidTransaction` for none at all."""
    if not blobs:
        raise InvalidTransaction("a BlobTx carries at least one blob")
    writer = Writer().bytes(1, tx)
    for blob in blobs:
        check_blob_format(blob)
        writer.message(2, encode_blob(blob), always=True)
    return writer.string(3, BLOB_TX_TYPE_ID).done()


def decode_blob_tx(raw: bytes) -> BlobTx | None:
    """None for a plain transaction. Raises `InvalidInput` for a `BlobTx` that is not well formed: no blobs, unknown
    fields, a `BlobTx` inside, or a blob that no square can hold. Namespaces are not judged (see `check_blob_namespace`)."""
    message = _parse(raw)
    if message is None or message.type_id != BLOB_TX_TYPE_ID.encode():
        return None
    if message.unknown:
        raise InvalidTransaction("a BlobTx has fields that its schema does not know")
    if not message.repeated:
        raise InvalidTransaction("a BlobTx carries at least one blob")
    inner = _parse(message.tx)
    if inner is not None and inner.type_id == BLOB_TX_TYPE_ID.encode():
        raise InvalidTransaction("a BlobTx wraps another BlobTx")
    return BlobTx(message.tx, tuple(_decode_blob(part) for part in message.repeated))


def encode_index_wrapper(tx: bytes, share_indexes: Iterable[int]) -> bytes:
    packed = b"".join(varint(index) for index in share_indexes)
    return Writer().bytes(1, tx).bytes(2, packed).string(3, INDEX_WRAPPER_TYPE_ID).done()


def decode_index_wrapper(raw: bytes) -> IndexWrapper | None:
    """None when the bytes are not an `IndexWrapper` in its one canonical form."""
    message = _parse(raw)
    if message is None or message.type_id != INDEX_WRAPPER_TYPE_ID.encode() or len(message.repeated) > 1:
        return None
    try:
        indexes = tuple(_varints(message.repeated[0])) if message.repeated else ()
    except InvalidInput:
        return None
    return IndexWrapper(message.tx, indexes) if encode_index_wrapper(message.tx, indexes) == raw else None


@dataclass(slots=True)
class _Message:
    """`BlobTx` and `IndexWrapper` have one shape: bytes tx = 1, repeated = 2, string type_id = 3."""

    tx: bytes = b""
    repeated: tuple[bytes, ...] = ()
    type_id: bytes = b""
    unknown: bool = False


def _parse(raw: bytes) -> _Message | None:
    message = _Message()
    repeated: list[bytes] = []
    try:
        for place, (number, wire, value) in enumerate(fields(raw)):
            if place >= _MOST_FIELDS:
                return None
            if wire != LENGTH_DELIMITED or not isinstance(value, bytes) or number > 3:
                message.unknown = True
            elif number == 1:
                message.tx = value
            elif number == 2:
                repeated.append(value)
            else:
                message.type_id = value
    except InvalidInput:
        return None
    message.repeated = tuple(repeated)
    return message


def _varints(packed: bytes) -> Iterable[int]:
    offset = 0
    while offset < len(packed):
        value, offset = read_varint(packed, offset)
        yield value


def _decode_blob(raw: bytes) -> Blob:
    numbers = {3: 0, 4: 0}
    parts = {1: b"", 2: b"", 5: b""}
    seen: set[int] = set()
    for number, wire, value in fields(raw):
        if number in seen:
            raise InvalidTransaction(f"a blob of a BlobTx has field {number} twice")
        seen.add(number)
        if wire == VARINT and number in numbers and isinstance(value, int):
            numbers[number] = value & _MASK32
        elif wire == LENGTH_DELIMITED and number in parts and isinstance(value, bytes):
            parts[number] = value
        else:
            raise InvalidTransaction("a blob of a BlobTx has fields that its schema does not know")
    if numbers[4] > 255:
        raise InvalidTransaction(f"namespace version {numbers[4]} does not fit a byte")
    blob = Blob(Namespace(bytes([numbers[4]]) + parts[1]), parts[2], numbers[3], parts[5])
    check_blob_format(blob)
    return blob
