"""A DA node that misbehaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dougong.availability.chain.layer import SquareLayer
from dougong.errors import Unavailable
from dougong.types import (
    BlobMarket,
    FeeAccount,
    MerkleProof,
    Namespace,
    Placement,
    Quote,
    ShareProof,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)


class Tampering:
    """A DA node that misbehaves in one way at a time (`AvailabilityNode`)."""

    def __init__(self, layer: SquareLayer) -> None:
        self.layer = layer
        self.withheld: set[tuple[int, int]] = set()
        self.withhold_all = False
        self.fail_next = 0
        self.flip_shares = False
        self.false_root = False
        self.hide_blobs = False

    async def latest(self) -> int:
        return await self.layer.latest()

    async def header(self, height: int) -> SquareHeader:
        header = await self.layer.header(height)
        return replace(header, data_root=bytes(32)) if self.false_root else header

    async def data_root_proof(self, height: int) -> MerkleProof:
        return await self.layer.data_root_proof(height)

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        found = await self.layer.blobs(height, namespace)
        return replace(found, blobs=found.blobs[:-1]) if self.hide_blobs else found

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        if self.fail_next > 0:
            self.fail_next -= 1
            raise Unavailable("busy")
        if self.withhold_all or (row, column) in self.withheld:
            raise Unavailable("withheld")
        cell = await self.layer.sample(height, row, column)
        return replace(cell, share=bytes(len(cell.share))) if self.flip_shares else cell

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        return await self.layer.axis_cells(height, axis, index)

    async def shares(self, height: int) -> Sequence[bytes]:
        shares = list(await self.layer.shares(height))
        return [*shares[:-1], bytes(512)] if self.flip_shares else shares

    async def prove(self, placement: Placement) -> ShareProof:
        proof = await self.layer.prove(placement)
        if not self.flip_shares:
            return proof
        row = proof.rows[0]
        return replace(proof, rows=(replace(row, shares=(bytes(512), *row.shares[1:])), *proof.rows[1:]))

    async def quote(self, size: int) -> Quote:
        return await self.layer.quote(size)

    async def next_sequence(self, signer: bytes) -> int:
        return await self.layer.next_sequence(signer)

    async def account(self, address: bytes) -> FeeAccount:
        return await self.layer.account(address)

    async def market(self) -> BlobMarket:
        return await self.layer.market()
