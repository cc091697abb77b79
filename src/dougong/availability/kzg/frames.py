"""How a namespaced blob is written into the EIP-4844 blobs of one transaction, and read out of them again.

    blobs = frame(Blob(namespace, data))                # one or several of 131,072 bytes
    blob = unframe(blobs, sender)                       # None: whatever this transaction carries, it is no blob of ours
    head = read_head(blobs[0][:BYTES_PER_CELL])         # whose it is, from the first cell alone

Every one of the transaction's blobs holds, 31 bytes to a field element,

    "dougong" ‖ format[1] = 0 ‖ namespace[29] ‖ share version[1] ‖ index[1] ‖ count[1] ‖ length[4] ‖ signer[20] ‖ data

with `index` its place among the transaction's `count` blobs, `length` that of all data (big-endian), `signer` zero in share
version 0. Each carries 126,912 bytes of data but the last, which is zero padded. There is exactly one way to write a blob, and no
other is read. A signer is the sender of the transaction: whoever copies another's blobs into a transaction of their own publishes
nothing in that other's name. Source: docs/spec/blobs.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dougong.availability.kzg.packing import USABLE_BYTES_PER_BLOB, pack, unpack
from dougong.availability.kzg.params import BYTES_PER_BLOB, BYTES_PER_CELL
from dougong.availability.square.namespaces import check_blob_namespace
from dougong.availability.square.shares import check_blob_format
from dougong.errors import InvalidBlob, InvalidNamespace
from dougong.types import ADDRESS_BYTES, NAMESPACE_BYTES, Blob, Namespace

__all__ = [
    "DATA_BYTES_PER_BLOB",
    "MAX_BLOBS_PER_FRAME",
    "FrameHead",
    "blobs_needed",
    "claimed_head",
    "frame",
    "read_head",
    "unframe",
]

MAGIC = b"dougong\0"
HEAD_BYTES = len(MAGIC) + NAMESPACE_BYTES + 3 + 4 + ADDRESS_BYTES
DATA_BYTES_PER_BLOB = USABLE_BYTES_PER_BLOB - HEAD_BYTES
MAX_BLOBS_PER_FRAME = 64


@dataclass(frozen=True, slots=True)
class FrameHead:
    """What a framed blob begins with. `signer` is 20 bytes for share version 1, else empty."""

    namespace: Namespace
    share_version: int
    index: int
    count: int
    length: int
    signer: bytes

    def encode(self) -> bytes:
        numbers = bytes([self.share_version, self.index, self.count]) + self.length.to_bytes(4)
        return MAGIC + self.namespace.raw + numbers + self.signer.rjust(ADDRESS_BYTES, b"\0")


def blobs_needed(size: int) -> int:
    """How many EIP-4844 blobs a blob of `size` bytes takes."""
    return -(-size // DATA_BYTES_PER_BLOB)


def frame(blob: Blob) -> tuple[bytes, ...]:
    """The EIP-4844 blobs of the transaction that publishes it. Raises `InvalidBlob` for one that cannot be published so."""
    check_blob_format(blob)
    try:
        check_blob_namespace(blob.namespace)
    except InvalidNamespace as error:
        raise InvalidBlob(str(error)) from None
    count = blobs_needed(len(blob.data))
    if count > MAX_BLOBS_PER_FRAME:
        raise InvalidBlob(f"a blob of {len(blob.data)} bytes does not fit {MAX_BLOBS_PER_FRAME} blobs of a transaction")
    head = FrameHead(blob.namespace, blob.share_version, 0, count, len(blob.data), blob.signer)
    return tuple(
        pack(replace(head, index=index).encode() + blob.data[index * DATA_BYTES_PER_BLOB : (index + 1) * DATA_BYTES_PER_BLOB])
        for index in range(count)
    )


def unframe(blobs: Sequence[bytes], sender: bytes) -> Blob | None:
    """The blob that all blobs of a transaction of `sender` spell, or None. Total over any bytes."""
    if not blobs or any(len(one) != BYTES_PER_BLOB for one in blobs):
        return None
    first = claimed_head(blobs[0][:BYTES_PER_CELL], len(blobs), sender)
    if first is None:
        return None
    parts: list[bytes] = []
    for index, one in enumerate(blobs):
        content = unpack(one)
        if content is None or content[:HEAD_BYTES] != replace(first, index=index).encode():
            return None
        parts.append(content[HEAD_BYTES:])
    data = b"".join(parts)
    if any(data[first.length :]):
        return None
    return Blob(first.namespace, data[: first.length], first.share_version, first.signer)


def claimed_head(first_cell: bytes, count: int, sender: bytes) -> FrameHead | None:
    """What the first cell of the first of a transaction's `count` blobs says that they are; None if they can be no frame,
    whatever follows."""
    head = read_head(first_cell)
    if head is None or (head.index, head.count) != (0, count) or head.signer not in (b"", sender):
        return None
    return head


def read_head(first_cell: bytes) -> FrameHead | None:
    """The head in a blob's first cell (2,048 bytes), if it is one that `frame` can have written."""
    content = unpack(first_cell)
    if content is None or content[: len(MAGIC)] != MAGIC or len(content) < HEAD_BYTES:
        return None
    at = len(MAGIC) + NAMESPACE_BYTES
    share_version, index, count = content[at : at + 3]
    length = int.from_bytes(content[at + 3 : at + 7])
    signer = content[at + 7 : HEAD_BYTES]
    if share_version > 1 or (share_version == 0 and any(signer)):
        return None
    if length == 0 or count != blobs_needed(length) or count > MAX_BLOBS_PER_FRAME or index >= count:
        return None
    try:
        namespace = Namespace(content[len(MAGIC) : at])
        check_blob_namespace(namespace)
    except InvalidNamespace:
        return None
    return FrameHead(namespace, share_version, index, count, length, signer if share_version else b"")
