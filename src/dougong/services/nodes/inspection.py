"""Whole squares from nodes that are not trusted: downloaded, extended again, and where that does not fit, convicted or refused.

    await inspect(da, header)                       # BadBlock (with the proof), InvalidHeader (the node lied), Unavailable

1. The original square is downloaded and extended; its roots are the header's, or
2. the second halves of the axes in question are asked for, proven under the axes that cross: they convict the header of bad
   encoding, or they show that the shares downloaded were not the header's;
3. whatever is withheld of 1 and 2 is replaced by single cells, proven under either root, as light nodes get them: as many as
   determine the square. So a block that light nodes find available is either read here or convicted.

Spec: docs/spec/bad-encoding.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from dougong.availability.chain.attestor import SquareMismatch, check_square
from dougong.availability.square.fraud import BadBlock, prove_axis, prove_bad_encoding, verify_bad_encoding
from dougong.availability.square.served import BadEncoding, NotEnoughShares, ServedSquare
from dougong.errors import InvalidInput, NotFound, Unavailable
from dougong.services.threads import in_thread
from dougong.types import BadEncodingProof, SquareCell, SquareHeader

__all__ = ["SquareSource", "inspect"]

MOST_WITHHELD_AXES = 8  # before single cells are asked for instead


class SquareSource(Protocol):
    """A DA layer as those use it who look at whole squares. Cells that it returns are proven under the header."""

    async def latest(self) -> int: ...

    async def header(self, height: int) -> SquareHeader: ...

    async def shares(self, height: int) -> Sequence[bytes]:
        """The original square, row by row. May raise `SquareMismatch` itself."""
        ...

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        """The second half of a row (`axis` 0) or column (1), each cell under the root of the axis that crosses."""
        ...

    async def cells(self, height: int, places: Sequence[tuple[int, int]]) -> list[SquareCell | None]:
        """Cells by (row, column), each under either of its roots; None where nobody shows one."""
        ...


async def inspect(
    da: SquareSource, header: SquareHeader, take: Callable[[SquareHeader, Sequence[bytes]], object] = check_square
) -> None:
    """Gives `take` the original square under a (checked) header; `take` must refuse, as `check_square` does, what is not. Raises
    `BadBlock` if the header can be convicted, `InvalidHeader` if the node served something else, `Unavailable` if it withholds
    too much for either."""
    try:
        await in_thread(take, header, await da.shares(header.height))
        return
    except SquareMismatch as mismatch:
        try:
            proof = await _convict(da, header, mismatch.suspects)
        except Unavailable:
            proof = None
        else:
            if proof is None:
                raise  # every axis is of one square: the node lied
        if proof is not None:
            raise BadBlock(proof) from mismatch
    except NotFound:
        raise
    except (Unavailable, InvalidInput):
        pass  # withheld, or nonsense
    await in_thread(take, header, await _rebuild(da, header))


async def _convict(da: SquareSource, header: SquareHeader, suspects: Iterable[tuple[int, int]]) -> BadEncodingProof | None:
    """The proof against the first bad axis, suspects first; None if all are of one square."""
    every = [(axis, index) for axis in (0, 1) for index in range(2 * header.square_size)]
    withheld = 0
    for axis, index in dict.fromkeys((*suspects, *every)):
        try:
            cells = await da.axis_cells(header.height, axis, index)
        except (Unavailable, InvalidInput) as error:
            withheld += 1
            if withheld == MOST_WITHHELD_AXES:
                raise Unavailable(f"cells of block {header.height} that would tell who lied do not come: {error}") from error
            continue
        proof = await in_thread(prove_axis, header, axis, index, cells)
        if proof is not None:
            await in_thread(verify_bad_encoding, header, proof)
            return proof
    if withheld:
        raise Unavailable(f"{withheld} axes of block {header.height} that would tell who lied do not come")
    return None


async def _rebuild(da: SquareSource, header: SquareHeader) -> Sequence[bytes]:
    """The square from single cells, one quadrant after the other until they suffice."""
    k, width = header.square_size, 2 * header.square_size
    proven: list[SquareCell] = []
    known: list[bytes | None] = [None] * (width * width)
    missing: NotEnoughShares | None = None
    for top in (0, k):
        for left in (0, k):
            places = [(row, column) for row in range(top, top + k) for column in range(left, left + k)]
            for cell in await da.cells(header.height, places):
                if cell is not None:
                    proven.append(cell)
                    known[cell.row * width + cell.column] = cell.share
            try:
                return (await in_thread(ServedSquare.repair, header, known)).original()
            except NotEnoughShares as error:
                missing = error
            except BadEncoding as error:
                proof = await in_thread(prove_bad_encoding, header, error, proven)
                await in_thread(verify_bad_encoding, header, proof)
                raise BadBlock(proof) from error
    assert missing is not None, "there are four quadrants"
    raise missing
