"""The law suite itself: a layer that keeps squares in memory passes, and one that lies or leaves out does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

import dougong.availability
from dougong.availability import BlobTx, ServedSquare, SquareBuilder, check_blob_format
from dougong.availability.square.reading import blob_in_shares, holds, shares_at
from dougong.errors import InvalidBlob, InvalidInput, NotFound
from dougong.interfaces import DataAvailability
from dougong.testing import check_availability
from dougong.types import Blob, Namespace, Placement, Quote, ShareProof, SquareCell, SquareHeader, SquareNamespaceData

LIMIT = 20_000


class Shelf:
    """A block for each blob, at once final."""

    def __init__(self) -> None:
        self.blocks: list[ServedSquare] = []

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        check_blob_format(blob)
        if len(blob.data) > LIMIT:
            raise InvalidBlob(f"a blob is at most {LIMIT} bytes")
        builder = SquareBuilder(max_size=16)
        builder.append_blob_tx(BlobTx(b"pay", (blob,)))
        height = len(self.blocks) + 1
        self.blocks.append(ServedSquare.extend(builder.square().data, height=height, time_ns=height))
        return self.blocks[-1].namespace_data(blob.namespace).blobs[0].placement

    def at(self, height: int) -> ServedSquare:
        if not 0 < height <= len(self.blocks):
            raise NotFound(f"no block at height {height}")
        return self.blocks[height - 1]

    async def header(self, height: int) -> SquareHeader:
        return self.at(height).header

    async def latest(self) -> int:
        return len(self.blocks)

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        return self.at(height).namespace_data(namespace)

    async def prove(self, placement: Placement) -> ShareProof:
        return self.at(placement.height).prove(placement)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        return self.at(height).cell(row, column)

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        square = self.at(placement.height)
        if not holds(square.header, placement):
            return None
        return blob_in_shares(shares_at(placement, square.prove(placement)), namespace)

    async def quote(self, size: int) -> Quote:
        return Quote(0, "utia", 1, LIMIT)


class LeavesOut(Shelf):
    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        return replace(await super().blobs(height, namespace), blobs=(), rows=())


class AnswersForAnotherCell(Shelf):
    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        return await super().sample(height, column, row)


class TakesTooMuch(Shelf):
    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        return await super().submit(replace(blob, data=blob.data[:LIMIT]))


class ForgetsToRefuseHeights(Shelf):
    def at(self, height: int) -> ServedSquare:
        return self.blocks[min(max(height, 1), len(self.blocks)) - 1]


def make(layer: Callable[[], DataAvailability]) -> Callable[[], AbstractAsyncContextManager[DataAvailability]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[DataAvailability]:
        yield layer()

    return opened


async def test_a_layer_that_keeps_the_law_passes() -> None:
    await check_availability(make(Shelf), dougong.availability, max_blob_bytes=LIMIT)


@pytest.mark.parametrize("layer", [LeavesOut, AnswersForAnotherCell, TakesTooMuch, ForgetsToRefuseHeights])
async def test_a_layer_that_breaks_it_does_not(layer: Callable[[], DataAvailability]) -> None:
    with pytest.raises((AssertionError, InvalidInput)):
        await check_availability(make(layer), dougong.availability, max_blob_bytes=LIMIT)
