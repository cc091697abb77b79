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
after a sequence's end be anything; its chain never orders such a square.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dougong.availability.namespaces import COMPACT, PRIMARY_RESERVED_PADDING, TAIL_PADDING
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
    """The blobs of one namespace's shares, in order; padding is skipped. Raises `InvalidInput` when a share is not part of a
    whole, well-formed sequence of one namespace."""
    return list(_sequences(shares))


def _sequences(shares: Sequence[bytes]) -> Iterator[PlacedSequence]:
    at = 0
    while at < len(shares):
        share = shares[at]
        if len(share) != SHARE_BYTES:
            raise InvalidInput(f"a share is {SHARE_BYTES} bytes, not {len(share)}")
        namespace, info = Namespace(share_namespace(share)), share[NAMESPACE_BYTES]
        version = info >> 1
        if not info & 1:
            raise InvalidInput("a continuation share has no first share before it")
        size = int.from_bytes(share[_PREFIX_BYTES : _PREFIX_BYTES + _SEQUENCE_BYTES], "big")
        if size == 0:
            if any(share[_PREFIX_BYTES:]) or version not in SHARE_VERSIONS:
                raise InvalidInput("a padding share carries bytes")
            at += 1
            continue
        if version not in SHARE_VERSIONS:
            raise InvalidInput(f"share version {version} is not in use")
        count = shares_needed(size, version)
        run = shares[at : at + count]
        body = _PREFIX_BYTES + _SEQUENCE_BYTES
        signer = share[body : body + SIGNER_BYTES * version]
        data = share[body + len(signer) :] + b"".join(rest[_PREFIX_BYTES:] for rest in run[1:])
        if len(run) != count or any(len(rest) != SHARE_BYTES for rest in run):
            raise InvalidInput(f"a sequence of {count} shares is cut after {len(run)}")
        blob = Blob(namespace, data[:size], version, signer)
        if split_blob(blob) != list(run):
            raise InvalidInput("shares of a sequence differ from its one form")
        yield PlacedSequence(at, count, blob)
        at += count


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
