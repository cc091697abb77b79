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
from typing import Any, Protocol

from dougong.errors import InvalidBlob, InvalidProof, NotFound
from dougong.interfaces import DataAvailability
from dougong.types import (
    Blob,
    DataHeader,
    Namespace,
    Placement,
)

MakeAvailability = Callable[[], AbstractAsyncContextManager[DataAvailability]]


class Verifier(Protocol):
    """A family's pure functions, over its own headers, cells and proofs, that raise `InvalidProof` (`InvalidHeader`);
    `dougong.availability` is one."""

    def verify_header(self, header: Any, /) -> None: ...
    def verify_cell(self, header: Any, cell: Any, /) -> None: ...
    def verify_blob_proof(self, placement: Placement, namespace: Namespace, proof: Any, /) -> Blob: ...
    def verify_namespace_data(self, header: Any, data: Any, /) -> None: ...


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
    capacity = header.capacity(placement.data_root)
    assert capacity is not None, "a placement names a data root of its block"
    assert 0 <= placement.start_share < placement.start_share + placement.share_count <= capacity, "a placement lies under it"
    proof = await layer.prove(placement)
    assert verifier.verify_blob_proof(placement, blob.namespace, proof) == blob, "prove proves the blob submitted"
    assert await layer.blob(placement, blob.namespace) == blob, "blob reads what was submitted"
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
    proof = await layer.prove(placement)
    elsewhere = replace(placement, start_share=placement.start_share + 1)
    _refused("a proof for another place", verifier.verify_blob_proof, elsewhere, blob.namespace, proof)

    for label in (b"\1", b"lav", b"law" + b"\0", b"\xff" * 10):
        empty = await layer.blobs(placement.height, Namespace.user(label.rjust(2, b"\1")))
        verifier.verify_namespace_data(header, empty)
        assert not empty.blobs, "a namespace that no one used is provably empty"

    await _check_foreign_places(layer, placement, blob)
    rows, columns = header.extent
    for row, column in {(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1), (rows // 2, columns // 3)}:
        cell = await layer.sample(placement.height, row, column)
        assert (cell.row, cell.column) == (row, column), "sample answers for the cell asked for"
        verifier.verify_cell(header, cell)
        forged = replace(cell, share=cell.share[:-1] + bytes([cell.share[-1] ^ 1]))
        _refused("a cell with one bit changed", verifier.verify_cell, header, forged)


async def _check_foreign_places(layer: DataAvailability, placement: Placement, blob: Blob) -> None:
    """References that a hostile sequencer may have had settled: each has one answer, and never an error."""
    other = Namespace.user(b"lav")
    assert await layer.blob(placement, other) is None, "a blob is read under its own namespace only"
    foreign = (
        replace(placement, start_share=2**31),
        replace(placement, share_count=2**31),
        replace(placement, share_count=placement.share_count + 1),
        replace(placement, data_root=bytes(32)),
    )
    for place in foreign:
        assert await layer.blob(place, blob.namespace) is None, "a place that holds no blob of the namespace reads as None"


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
