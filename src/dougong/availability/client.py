"""A DA chain in this process as `DataAvailability`, for one account.

da = layer.client(key)
placement = await da.submit(Blob(namespace, data))
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dougong.availability.app import INVALID, TOO_LARGE
from dougong.availability.blob_tx import account_address, make_blob_tx
from dougong.availability.wire import decode_blob_tx
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidBlob, Rejected
from dougong.types import Blob, Namespace, Placement, Quote, ShareProof, SquareCell, SquareHeader, SquareNamespaceData

if TYPE_CHECKING:
    from dougong.availability.layer import SquareLayer

_SEQUENCE_TRIES = 32


@dataclass(frozen=True, slots=True)
class Published:
    """Where the blobs of one transaction lie, and its hash as Celestia counts it: SHA-256 of the signed part, without blobs."""

    placements: tuple[Placement, ...]
    tx_hash: bytes


class SquareClient:
    """`DataAvailability` for one account of a `SquareLayer` in this process."""

    def __init__(self, layer: SquareLayer, key: Secp256k1Key) -> None:
        self._layer = layer
        self._key = key
        self._turn = asyncio.Lock()
        self.address = account_address(key.public_key)

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        """`DataAvailability.submit`. A blob of share version 1 must name this account (`address`) as its signer."""
        return (await self.publish([blob], budget=budget)).placements[0]

    async def publish(self, blobs: Sequence[Blob], *, budget: int | None = None) -> Published:
        """All of them in one transaction, so in one block or not at all. Raises as `submit` does."""
        while True:
            raw, sequence, after = await self._send(blobs)
            placed = await self._layer.included(raw, self.address, sequence, after)
            if placed is not None:
                inner = decode_blob_tx(raw)
                return Published(placed, sha256(b"" if inner is None else inner.tx))
            # Another transaction of this account took the sequence, and this one can never take effect: sign anew.

    async def _send(self, blobs: Sequence[Blob]) -> tuple[bytes, int, int]:
        layer = self._layer
        async with self._turn:
            for _ in range(_SEQUENCE_TRIES):
                sequence = layer.app.pending_sequence(self.address)
                raw = await asyncio.to_thread(make_blob_tx, self._key, layer.app.chain_id, sequence, blobs)
                after = await layer.latest()
                verdict = await layer.broadcast(raw)
                if verdict.accepted:
                    return raw, sequence, after
                if verdict.code in (INVALID, TOO_LARGE):
                    raise InvalidBlob(f"the DA layer refuses the blob: {verdict.log}")
                # Someone else signs with the same key and was faster.
        raise Rejected(f"the DA layer refuses the transaction: {verdict.log}", remedy="let one process alone use the key")

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

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        return await self._layer.axis_cells(height, axis, index)

    async def shares(self, height: int) -> Sequence[bytes]:
        return await self._layer.shares(height)
