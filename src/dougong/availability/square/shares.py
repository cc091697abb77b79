"""Shares: blobs and transactions cut into pieces of 512 bytes, and put together again.

    >>> blob = Blob(Namespace.user(b"alpha"), b"x" * 1000)
    >>> shares = split_blob(blob)
    >>> len(shares), parse_blobs(shares) == [PlacedSequence(0, 3, blob)]
    (3, True)

Source: celestia-app specs, "Shares", and go-square `share/`. A share is

    namespace[29] | info byte (version << 1 | sequence start) | sequence length[4], first only | signer[20], first of version 1
    | reserved[4], compact only: where the first transaction that starts in this share begins, 0 if none | data, zero padded

Compact shares hold transactions, each behind its length as a varint, as one sequence; the others hold one blob a sequence.
Reading is strict: a sequence has exactly one form as shares, and only that form is read. (Celestia's parser lets the bytes
after a sequence's end be anything; its chain never orders such a square.) It is total too: what is not that form is no blob, and
spoils none beside it, so that nobody can stop a namespace's readers with a share version that they do not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from dougong.availability.square.namespaces import COMPACT, PRIMARY_RESERVED_PADDING, TAIL_PADDING, check_blob_namespace
from dougong.codec.protobuf import read_varint, varint
from dougong.errors import InvalidBlob, InvalidInput
from dougong.types import NAMESPACE_BYTES, Blob, Namespace

SHARE_BYTES = 512
SIGNER_BYTES = 20
SHARE_VERSIONS = (0, 1)
MAX_BLOB_BYTES = (1 << 32) - 1

_SEQUENCE_BYTES = 4
_RESERVED_BYTES = 4
_PREFIX_BYTES = NAMESPACE_BYTES + 1
CONTINUATION_BYTES = SHARE_BYTES - _PREFIX_BYTES
FIRST_BYTES = CONTINUATION_BYTES - _SEQUENCE_BYTES
FIRST_COMPACT_BYTES = FIRST_BYTES - _RESERVED_BYTES
CONTINUATION_COMPACT_BYTES = CONTINUATION_BYTES - _RESERVED_BYTES


@dataclass(frozen=True, slots=True)
class PlacedSequence:
    """A blob found among shares: its first share, counted from the first one given, and how many it takes."""

    start: int
    count: int
    blob: Blob


def check_blob_format(blob: Blob) -> None:
    """Raises `InvalidBlob` for a blob that shares cannot hold. Whether its namespace may be used is another question."""
    if not blob.data:
        raise InvalidBlob("a blob is not empty")
    if len(blob.data) > MAX_BLOB_BYTES:
        raise InvalidBlob(f"a blob of {len(blob.data)} bytes does not fit a sequence")
    if blob.namespace.raw[0] != 0:
        raise InvalidBlob(f"blobs need a namespace of version 0, not {blob.namespace.raw[0]}")
    if blob.share_version not in SHARE_VERSIONS:
        raise InvalidBlob(f"share version {blob.share_version} is not in use")
    wanted = SIGNER_BYTES if blob.share_version == 1 else 0
    if len(blob.signer) != wanted:
        raise InvalidBlob(f"share version {blob.share_version} takes a signer of {wanted} bytes, not {len(blob.signer)}")


def share_namespace(share: bytes) -> bytes:
    return share[:NAMESPACE_BYTES]


def shares_needed(size: int, share_version: int = 0) -> int:
    """How many shares a blob of `size` bytes takes."""
    return 1 + _ceil(max(0, size - FIRST_BYTES + SIGNER_BYTES * share_version), CONTINUATION_BYTES) if size else 0


def compact_shares_needed(size: int) -> int:
    """How many compact shares a sequence of `size` bytes (transactions with their lengths) takes."""
    return 1 + _ceil(max(0, size - FIRST_COMPACT_BYTES), CONTINUATION_COMPACT_BYTES) if size else 0


def split_blob(blob: Blob) -> list[bytes]:
    """Raises `InvalidBlob`."""
    check_blob_format(blob)
    head = blob.namespace.raw + bytes([blob.share_version << 1 | 1]) + len(blob.data).to_bytes(_SEQUENCE_BYTES, "big")
    prefix = blob.namespace.raw + bytes([blob.share_version << 1])
    first = FIRST_BYTES - len(blob.signer)
    shares = [(head + blob.signer + blob.data[:first]).ljust(SHARE_BYTES, b"\0")]
    data = blob.data
    shares += [prefix + data[at : at + CONTINUATION_BYTES] for at in range(first, len(data), CONTINUATION_BYTES)]
    shares[-1] = shares[-1].ljust(SHARE_BYTES, b"\0")
    return shares


def padding_share(namespace: Namespace, share_version: int = 0) -> bytes:
    """A sequence of length 0: fills the gap after a blob of this namespace and version."""
    return (namespace.raw + bytes([share_version << 1 | 1])).ljust(SHARE_BYTES, b"\0")


RESERVED_PADDING_SHARE = padding_share(PRIMARY_RESERVED_PADDING)
TAIL_PADDING_SHARE = padding_share(TAIL_PADDING)


def delimited_size(size: int) -> int:
    """What a transaction of `size` bytes adds to a compact sequence."""
    return len(varint(size)) + size


def split_transactions(namespace: Namespace, txs: Sequence[bytes]) -> list[bytes]:
    """The compact shares of a reserved namespace, none for no transactions."""
    if not txs:
        return []
    starts, parts, size = [], [], 0
    for tx in txs:
        starts.append(size)
        parts.append(varint(len(tx)) + tx)
        size += len(parts[-1])
    data = b"".join(parts)
    shares, begin, next_start = [], 0, 0
    while begin < size:
        first = begin == 0
        end = begin + (FIRST_COMPACT_BYTES if first else CONTINUATION_COMPACT_BYTES)
        while next_start < len(starts) and starts[next_start] < begin:
            next_start += 1
        head = namespace.raw + (b"\1" + size.to_bytes(_SEQUENCE_BYTES, "big") if first else b"\0")
        reserved = 0
        if next_start < len(starts) and starts[next_start] < end:
            reserved = len(head) + _RESERVED_BYTES + starts[next_start] - begin
        share = head + reserved.to_bytes(_RESERVED_BYTES, "big") + data[begin:end]
        shares.append(share.ljust(SHARE_BYTES, b"\0"))
        begin = end
    return shares


def parse_transactions(shares: Sequence[bytes]) -> list[bytes]:
    """The transactions of one namespace's compact shares. Raises `InvalidInput` unless they are exactly what
    `split_transactions` makes of them."""
    if not shares:
        return []
    namespace = Namespace(share_namespace(shares[0]))
    if namespace not in COMPACT or any(len(share) != SHARE_BYTES for share in shares):
        raise InvalidInput(f"namespace {namespace.hex()} does not hold compact shares")
    size = int.from_bytes(shares[0][_PREFIX_BYTES : _PREFIX_BYTES + _SEQUENCE_BYTES], "big")
    skip = _PREFIX_BYTES + _RESERVED_BYTES
    data = shares[0][skip + _SEQUENCE_BYTES :] + b"".join(share[skip:] for share in shares[1:])
    if compact_shares_needed(size) != len(shares):
        raise InvalidInput(f"a compact sequence of {size} bytes does not take {len(shares)} shares")
    txs, offset = [], 0
    while offset < size:
        length, offset = read_varint(data, offset)
        if offset + length > size:
            raise InvalidInput("a transaction runs past the end of its shares")
        txs.append(data[offset : offset + length])
        offset += length
    if split_transactions(namespace, txs) != list(shares):
        raise InvalidInput("compact shares are not in their one form")
    return txs


def parse_blobs(shares: Sequence[bytes]) -> list[PlacedSequence]:
    """The blobs among a run of shares, in order: wherever these are exactly the one form of a blob, there is one. Everything else
    is none: padding, share versions that are not known here, reserved namespaces, and what is not well formed. Total over any
    bytes, and whether a blob lies at a place depends on the shares of that place alone."""
    found: list[PlacedSequence] = []
    at = 0
    while at < len(shares):
        blob = _blob_at(shares, at)
        count = 1 if blob is None else shares_needed(len(blob.data), blob.share_version)
        if blob is not None:
            found.append(PlacedSequence(at, count, blob))
        at += count
    return found


def _blob_at(shares: Sequence[bytes], at: int) -> Blob | None:
    first = shares[at]
    version = first[NAMESPACE_BYTES] >> 1 if len(first) == SHARE_BYTES else -1
    if version not in SHARE_VERSIONS or not first[NAMESPACE_BYTES] & 1:
        return None
    size = int.from_bytes(first[_PREFIX_BYTES : _PREFIX_BYTES + _SEQUENCE_BYTES], "big")
    count = shares_needed(size, version)
    if not 0 < count <= len(shares) - at:
        return None
    # Up to the first that does not continue it: shares that all claim to begin something long cost no more than others.
    rest = list(takewhile(lambda share: _continues(first, share), (shares[index] for index in range(at + 1, at + count))))
    if len(rest) + 1 != count:
        return None
    body = _PREFIX_BYTES + _SEQUENCE_BYTES
    signer = first[body : body + SIGNER_BYTES * version]
    data = first[body + len(signer) :] + b"".join(share[_PREFIX_BYTES:] for share in rest)
    try:
        blob = Blob(Namespace(share_namespace(first)), data[:size], version, signer)
        check_blob_namespace(blob.namespace)
    except InvalidInput:
        return None
    return blob if split_blob(blob) == [first, *rest] else None


def _continues(first: bytes, share: bytes) -> bool:
    prefix = first[:NAMESPACE_BYTES] + bytes([first[NAMESPACE_BYTES] & 0xFE])
    return len(share) == SHARE_BYTES and share[:_PREFIX_BYTES] == prefix


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
