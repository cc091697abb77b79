"""The law suite of `DataAvailability`.

    await check_availability(make, dougong.availability, max_blob_bytes=1_000_000)

`make()` opens a running layer whose blocks come without being asked for. The second argument is a module or object with the
layer's own verifier: every answer is checked by it, and so are forged answers, which it must refuse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Protocol

from dougong.errors import InvalidBlob, InvalidProof, NotFound
from dougong.interfaces import DataAvailability
from dougong.types import (
    NAMESPACE_BYTES,
    Blob,
    Cell,
    DataHeader,
    Namespace,
    NamespaceData,
    Placement,
    ShareProof,
)

MakeAvailability = Callable[[], AbstractAsyncContextManager[DataAvailability]]


class Verifier(Protocol):
    """Pure functions that raise `InvalidProof` (`InvalidHeader`); `dougong.availability` is one."""

    def verify_header(self, header: DataHeader, /) -> None: ...
    def verify_cell(self, header: DataHeader, cell: Cell, /) -> None: ...
    def verify_blob_proof(self, placement: Placement, namespace: Namespace, proof: ShareProof, /) -> Blob: ...
    def verify_namespace_data(self, header: DataHeader, data: NamespaceData, /) -> None: ...


async def check_availability(make: MakeAvailability, verifier: Verifier, *, max_blob_bytes: int) -> None:
    """Raises `AssertionError` where an implementation breaks `DataAvailability`'s contract. `max_blob_bytes` is the size of the
    largest blob that the layer takes."""
    async with make() as layer:
        assert isinstance(layer, DataAvailability), "it has every method of DataAvailability"
        await _check_one_blob(layer, verifier)
        await _check_every_size(layer, verifier, max_blob_bytes)
        await _check_refusals(layer, max_blob_bytes)
        await _check_together(layer, verifier)
        await _check_unknown_heights(layer)


async def _read_back(layer: DataAvailability, verifier: Verifier, placement: Placement, blob: Blob) -> DataHeader:
    """The blob is where it was said to be, by both ways to read it."""
    header = await layer.header(placement.height)
    verifier.verify_header(header)
    assert header.height == placement.height <= await layer.latest(), "a placement is in a final block"
    assert header.data_root == placement.data_root, "a placement names its block's data root"
    proof = await layer.prove(placement)
    assert verifier.verify_blob_proof(placement, blob.namespace, proof) == blob, "prove proves the blob submitted"
    found = await layer.blobs(placement.height, blob.namespace)
    verifier.verify_namespace_data(header, found)
    assert (placement, blob) in [(one.placement, one.blob) for one in found.blobs], "blobs finds what was submitted"
    return header


async def _check_one_blob(layer: DataAvailability, verifier: Verifier) -> None:
    blob = Blob(Namespace.user(b"law"), b"one blob")
    placement = await layer.submit(blob)
    header = await _read_back(layer, verifier, placement, blob)

    found = await layer.blobs(placement.height, blob.namespace)
    _refused("a blob left out", verifier.verify_namespace_data, header, replace(found, blobs=()))
    _refused("all rows left out", verifier.verify_namespace_data, header, replace(found, blobs=(), rows=()))
    proof = await layer.prove(placement)
    elsewhere = replace(placement, start_share=placement.start_share + 1)
    _refused("a proof for another place", verifier.verify_blob_proof, elsewhere, blob.namespace, proof)

    for label in (b"\1", b"lav", b"law" + b"\0", b"\xff" * 10):
        empty = await layer.blobs(placement.height, Namespace.user(label.rjust(2, b"\1")))
        verifier.verify_namespace_data(header, empty)
        assert not empty.blobs, "a namespace that no one used is provably empty"

    shares = await layer.shares(placement.height)
    assert len(shares) == header.square_size**2, "shares returns the original square"
    assert all(share[:NAMESPACE_BYTES] <= after[:NAMESPACE_BYTES] for share, after in pairwise(shares))
    width = 2 * header.square_size
    for row, column in {(0, 0), (0, width - 1), (width - 1, 0), (width - 1, width - 1), (width // 2, width // 3)}:
        cell = await layer.sample(placement.height, row, column)
        assert (cell.row, cell.column) == (row, column), "sample answers for the cell asked for"
        verifier.verify_cell(header, cell)
        forged = replace(cell, share=cell.share[:-1] + bytes([cell.share[-1] ^ 1]))
        _refused("a cell with one bit changed", verifier.verify_cell, header, forged)
        if row < header.square_size and column < header.square_size:
            assert cell.share == shares[row * header.square_size + column], "a cell of the original square is its share"


async def _check_every_size(layer: DataAvailability, verifier: Verifier, max_blob_bytes: int) -> None:
    for size in sorted({1, 478, 479, 10_000, max_blob_bytes}):
        if size <= max_blob_bytes:
            blob = Blob(Namespace.user(b"size"), bytes([size % 251]) * size)
            await _read_back(layer, verifier, await layer.submit(blob), blob)


async def _check_refusals(layer: DataAvailability, max_blob_bytes: int) -> None:
    user = Namespace.user(b"law")
    before = await layer.latest()
    bad = {
        "an empty blob": Blob(user, b""),
        "a blob over the limit": Blob(user, b"x" * (max_blob_bytes + 1)),
        "an unknown share version": Blob(user, b"x", 99),
        "a signer that its version does not take": Blob(user, b"x", 0, bytes(20)),
        "a missing signer": Blob(user, b"x", 1),
    }
    for what, blob in bad.items():
        try:
            await layer.submit(blob)
        except InvalidBlob:
            continue
        raise AssertionError(f"submit raises InvalidBlob for {what}")
    for height in range(before + 1, await layer.latest() + 1):
        assert not (await layer.blobs(height, user)).blobs, "nothing of a refused blob is published"


async def _check_together(layer: DataAvailability, verifier: Verifier) -> None:
    blobs = [Blob(Namespace.user(b"many" + bytes([number % 3])), b"blob %d" % number * 50) for number in range(12)]
    placements = await asyncio.gather(*(layer.submit(blob) for blob in blobs))
    assert len(set(placements)) == len(blobs), "each blob has a place of its own"
    for placement, blob in zip(placements, blobs, strict=True):
        await _read_back(layer, verifier, placement, blob)


async def _check_unknown_heights(layer: DataAvailability) -> None:
    user = Namespace.user(b"law")
    for height in (0, -1, await layer.latest() + 1_000_000):
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "header": partial(layer.header, height),
            "blobs": partial(layer.blobs, height, user),
            "sample": partial(layer.sample, height, 0, 0),
            "shares": partial(layer.shares, height),
        }
        for name, call in calls.items():
            try:
                await call()
            except NotFound:
                continue
            raise AssertionError(f"{name}({height}) raises NotFound")


def _refused(what: str, check: Callable[..., object], *arguments: object) -> None:
    try:
        check(*arguments)
    except InvalidProof:
        return
    raise AssertionError(f"the verifier accepts {what}")
