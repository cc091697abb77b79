"""The dishonest parts of the drills. Each is a real part of a stack that breaks exactly one rule, and no other.

Blocks are spoilt by their width: small ones, with which a stack comes up, are honest, so that a drill begins on a sound chain.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong._native import ExtendedSquare
from dougong.availability.chain.attestor import Attestor
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.chain.square_cache import LaidOut, lay_out
from dougong.availability.square.layout import Square
from dougong.availability.square.sampling import withheld_cells
from dougong.availability.square.served import ServedSquare
from dougong.errors import Unavailable
from dougong.services.attesting import AttestorService
from dougong.services.threads import in_thread
from dougong.types import Namespace, Placement, ShareProof, SquareCell, SquareHeader, SquareNamespaceData

__all__ = ["BADLY_ENCODED_WIDTH", "SPOILT_ROW", "WITHHELD_WIDTH", "BlindAttestor", "BlindService", "Withholding", "encode_badly"]

BADLY_ENCODED_WIDTH = 32
WITHHELD_WIDTH = 16
SPOILT_ROW = 1


def encode_badly(square: Square) -> LaidOut:
    """A producer that changes one parity cell of a row and commits to that: every cell lies under both of its roots, the row is
    no codeword."""
    honest = lay_out(square)
    k = square.size
    if k < BADLY_ENCODED_WIDTH:
        return honest
    rows = [honest.served.extended.axis(0, row) for row in range(2 * k)]
    cell = rows[SPOILT_ROW][2 * k - 1]
    rows[SPOILT_ROW][2 * k - 1] = bytes([cell[0] ^ 1]) + cell[1:]
    bad = ExtendedSquare.from_cells(b"".join(share for row in rows for share in row))
    header = SquareHeader(0, 0, bad.data_root(), tuple(bad.row_roots()), tuple(bad.column_roots()))
    return LaidOut(square, ServedSquare(header, bad))


class Withholding(SquareLayer):
    """A node that hides the fewest cells that keep a square from being rebuilt, (k + 1)², and whatever would show them."""

    @classmethod
    def of(cls, layer: SquareLayer) -> Withholding:
        return cls(layer.chain, layer.app, layer.archive)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        size = (await self.header(height)).square_size
        if size >= WITHHELD_WIDTH and row <= size and column <= size:
            raise Unavailable(f"cell ({row}, {column}) of block {height} is not here")
        return await super().sample(height, row, column)

    async def shares(self, height: int) -> Sequence[bytes]:
        await self._hide(height)
        return await super().shares(height)

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        await self._hide(height)
        return await super().axis_cells(height, axis, index)

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        await self._hide(height)
        return await super().blobs(height, namespace)

    async def prove(self, placement: Placement) -> ShareProof:
        await self._hide(placement.height)
        return await super().prove(placement)

    async def _hide(self, height: int) -> None:
        size = (await self.header(height)).square_size
        if size >= WITHHELD_WIDTH:
            raise Unavailable(f"block {height} is not here: {withheld_cells(size)} of its cells are withheld")


class BlindAttestor(Attestor):
    """Takes every header for good, and no shares."""

    def observe(self, header: SquareHeader, shares: Sequence[bytes]) -> None:
        if header.height == self.height + 1:
            self._accept(header)


class BlindService(AttestorService):
    """Signs without looking: what colluding attestors do."""

    async def catch_up(self) -> None:
        async with self._checking:
            latest = await self._da.latest()
            while self._attestor.height < latest:
                header = await self._da.header(self._attestor.height + 1)
                await in_thread(self._attestor.observe, header, ())
