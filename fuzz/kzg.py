"""Blobs of Ethereum: how a namespaced blob is framed in field elements."""

from __future__ import annotations

from collections.abc import Iterator

from dougong.availability.kzg.frames import FrameHead, frame, read_head, unframe
from dougong.availability.kzg.packing import pack, unpack
from dougong.availability.kzg.params import BYTES_PER_BLOB, BYTES_PER_CELL
from dougong.types import Blob, Namespace
from fuzz.target import Target

SENDER = b"\5" * 20
SHORT = Blob(Namespace.user(b"alpha"), b"short")
SIGNED = Blob(Namespace.user(b"alpha"), b"signed", 1, SENDER)


def _check_frame(data: bytes) -> None:
    """The head of a blob whose rest is zero, and the blob behind it."""
    blob = data[:BYTES_PER_BLOB].ljust(BYTES_PER_BLOB, b"\0")
    head = read_head(blob[:BYTES_PER_CELL])
    if head is not None:
        assert isinstance(head, FrameHead)
        content = unpack(blob[:BYTES_PER_CELL])
        assert content is not None
        assert content.startswith(head.encode())
    found = unframe([blob], SENDER)
    if found is not None:
        assert frame(found) == (blob,), "a blob is read from two forms"
        assert found.signer in (b"", SENDER)
    content = unpack(blob)
    if content is not None:
        assert pack(content) == blob


def _frames() -> Iterator[bytes]:
    for blob in (SHORT, SIGNED):
        yield frame(blob)[0].rstrip(b"\0")


TARGETS = (Target("frame", _check_frame, _frames, runs=5_000),)
