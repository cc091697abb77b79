"""A DA chain in this process as `DataAvailability`, for one account.

da = SquareClient(layer, key)
placement = await da.submit(Blob(namespace, data))
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.chain.bidding import Bidder, BidPolicy, Published
from dougong.availability.chain.layer import SquareLayer
from dougong.crypto.keys import Secp256k1Key
from dougong.types import Blob, Namespace, Placement, Quote, ShareProof, SquareCell, SquareHeader, SquareNamespaceData

__all__ = ["Published", "SquareClient"]


class SquareClient:
    """`DataAvailability` for one account of a `SquareLayer` in this process."""

    def __init__(self, layer: SquareLayer, key: Secp256k1Key, policy: BidPolicy | None = None) -> None:
        self._layer = layer
        self._bidder = Bidder(layer, key, policy)
        self.address = self._bidder.address

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        """`DataAvailability.submit`. A blob of share version 1 must name this account (`address`) as its signer."""
        return (await self.publish([blob], budget=budget)).placements[0]

    async def publish(self, blobs: Sequence[Blob], *, budget: int | None = None) -> Published:
        """All of them in one transaction, so in one block or not at all. Raises as `submit` does."""
        return await self._bidder.publish(blobs, budget=budget)

    async def balance(self, address: bytes) -> int:
        """What an account holds, in utia."""
        return await self._layer.balance(address)

    async def header(self, height: int) -> SquareHeader:
        return await self._layer.header(height)

    async def latest(self) -> int:
        return await self._layer.latest()

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        return await self._layer.blobs(height, namespace)

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        return await self._layer.blob(placement, namespace)

    async def quote(self, size: int) -> Quote:
        return await self._layer.quote(size)

    async def prove(self, placement: Placement) -> ShareProof:
        return await self._layer.prove(placement)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        return await self._layer.sample(height, row, column)

    async def cells(self, height: int, places: Sequence[tuple[int, int]]) -> list[SquareCell | None]:
        """Cells by (row, column)."""
        return [await self._layer.sample(height, row, column) for row, column in places]

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        return await self._layer.axis_cells(height, axis, index)

    async def shares(self, height: int) -> Sequence[bytes]:
        return await self._layer.shares(height)
