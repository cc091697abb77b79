"""The extended square of a block, and everything that is proven from it: what a full node of the layer serves.

    >>> from dougong.availability.square.layout import SquareBuilder
    >>> from dougong.availability.square.proofs import verify_namespace_data, verify_share_proof
    >>> from dougong.availability.square.wire import BlobTx
    >>> from dougong.types import Blob
    >>> builder = SquareBuilder(max_size=64)
    >>> blob = Blob(Namespace.user(b"alpha"), b"x" * 2000)
    >>> builder.append_blob_tx(BlobTx(b"signed", (blob,)))
    True
    >>> served = ServedSquare.extend(builder.square().data, height=7, time_ns=0)
    >>> found = served.namespace_data(blob.namespace)
    >>> verify_namespace_data(served.header, found)
    >>> found.blobs[0].blob == blob
    True
    >>> verify_share_proof(served.prove(found.blobs[0].placement))

The work is done by `dougong._native.ExtendedSquare`; extending and repairing take milliseconds to a second, release the GIL and
belong into a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dougong._native import ExtendedSquare, repair_square
from dougong.availability.square.nmt import covers
from dougong.availability.square.proofs import placed_blobs, verify_header
from dougong.availability.square.shares import SHARE_BYTES
from dougong.crypto import merkle
from dougong.errors import DougongError, InvalidInput, NotFound, Unavailable
from dougong.types import (
    Namespace,
    NamespaceRow,
    NmtProof,
    Placement,
    ShareProof,
    ShareRowProof,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)


class BadEncoding(DougongError):
    """The roots of a square do not commit to a codeword: row (`axis` 0) or column (`axis` 1) `index` shows it. `shares` are the
    cells of that axis that were known before it was solved, None where missing, and `nodes` those beside each of them in the tree
    of the axis that crosses, None where that is not known whole: what `prove_bad_encoding` makes a proof of."""

    def __init__(
        self, axis: int, index: int, shares: tuple[bytes | None, ...], nodes: tuple[tuple[bytes, ...] | None, ...]
    ) -> None:
        super().__init__(
            f"{'column' if axis else 'row'} {index} of the square is badly encoded",
            remedy="refuse the block; its producers signed a data root that cannot be reconstructed",
        )
        self.axis, self.index, self.shares, self.nodes = axis, index, shares, nodes


class NotEnoughShares(Unavailable):
    """Too few cells, or too badly placed, to reconstruct the square. `known` is how many are known after all that could be
    solved."""

    def __init__(self, known: int, total: int) -> None:
        super().__init__(f"{known} of {total} cells do not determine the square", remedy="fetch more cells")
        self.known, self.total = known, total


class Cells(Protocol):
    """The cells of an extended square with the trees over them, wherever they lie: see `dougong._native.ExtendedSquare`."""

    @property
    def k(self) -> int: ...

    def share(self, row: int, column: int) -> bytes: ...

    def axis(self, axis: int, index: int) -> list[bytes]: ...

    def prove_range(self, axis: int, index: int, start: int, end: int) -> list[bytes]: ...

    def prove_namespace(self, row: int, namespace: bytes) -> tuple[int, int, list[bytes], bytes] | None: ...


@dataclass(frozen=True, slots=True)
class ServedSquare:
    """An extended square at its height, with its header."""

    header: SquareHeader
    extended: Cells

    @classmethod
    def extend(cls, original: bytes | bytearray | memoryview, *, height: int, time_ns: int) -> ServedSquare:
        """Raises `InvalidInput` unless `original` is a square of shares in the order of their namespaces."""
        try:
            extended = ExtendedSquare(original)
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        return cls._of(extended, height, time_ns)

    @classmethod
    def repair(
        cls, header: SquareHeader, cells: Sequence[bytes | None] | bytearray | memoryview, present: bytes | None = None
    ) -> ServedSquare:
        """The square from its 4k² cells, row by row, None where missing; or from one buffer of them and a byte for each in
        `present`, zero where missing. Each cell must have been verified with its proof first. Raises `BadEncoding`,
        `NotEnoughShares`, `InvalidInput`, `InvalidHeader`."""
        verify_header(header)
        try:
            repaired = repair_square(cells, header.row_roots, header.column_roots, present)
        except (ValueError, TypeError, BufferError) as error:
            raise InvalidInput(str(error)) from None
        if isinstance(repaired, int):
            raise NotEnoughShares(repaired, 4 * header.square_size**2)
        if isinstance(repaired, tuple):
            axis, index, shares, nodes = repaired
            raise BadEncoding(axis, index, tuple(shares), tuple(None if proof is None else tuple(proof) for proof in nodes))
        return cls(header, repaired)

    @classmethod
    def _of(cls, extended: ExtendedSquare, height: int, time_ns: int) -> ServedSquare:
        rows, columns = tuple(extended.row_roots()), tuple(extended.column_roots())
        return cls(SquareHeader(height, time_ns, extended.data_root(), rows, columns), extended)

    @property
    def size(self) -> int:
        """k: the width of the original square."""
        return self.extended.k

    def original(self) -> list[bytes]:
        """The k² shares of the original square, row by row."""
        k, width = self.size, 2 * self.size * SHARE_BYTES
        if not isinstance(self.extended, ExtendedSquare):
            return [share for row in range(k) for share in self.extended.axis(0, row)[:k]]
        with memoryview(self.extended) as cells:
            starts = (row * width + column * SHARE_BYTES for row in range(k) for column in range(k))
            return [bytes(cells[at : at + SHARE_BYTES]) for at in starts]

    def cell(self, row: int, column: int, axis: int = 0) -> SquareCell:
        """A cell of the 2k x 2k square with its proof to the row (or column) root. Raises `NotFound` outside."""
        width = 2 * self.size
        if not (0 <= row < width and 0 <= column < width) or axis not in (0, 1):
            raise NotFound(f"cell ({row}, {column}) is outside a square of width {width}")
        index, at = (column, row) if axis else (row, column)
        nodes = self.extended.prove_range(axis, index, at, at + 1)
        return SquareCell(row, column, self.extended.share(row, column), axis, NmtProof(at, at + 1, tuple(nodes)))

    def axis_cells(self, axis: int, index: int) -> list[SquareCell]:
        """The second half of a row (`axis` 0) or column (1), k cells that determine it, each with its proof to the root of the
        axis that crosses: what convicts a badly encoded square, and acquits an honest one. Raises `NotFound` outside."""
        k = self.size
        places = [(at, index) if axis else (index, at) for at in range(k, 2 * k)]
        return [self.cell(row, column, 1 - axis) for row, column in places]

    def prove(self, placement: Placement) -> ShareProof:
        """The shares of a placement under the data root. Raises `NotFound` if it is not one of this square."""
        k, header = self.size, self.header
        start, end = placement.start_share, placement.start_share + placement.share_count
        if (placement.height, placement.data_root) != (header.height, header.data_root) or not 0 <= start < end <= k * k:
            raise NotFound(f"shares [{start}, {end}) are not in the square of height {header.height}")
        hashes = [merkle.leaf_hash(root) for root in (*header.row_roots, *header.column_roots)]
        rows = []
        for row in range(start // k, (end - 1) // k + 1):
            first, last = max(start - row * k, 0), min(end - row * k, k)
            nodes = self.extended.prove_range(0, row, first, last)
            rows.append(
                ShareRowProof(
                    row,
                    tuple(self.extended.axis(0, row)[first:last]),
                    NmtProof(first, last, tuple(nodes)),
                    header.row_roots[row],
                    merkle.prove_hashes(hashes, row),
                )
            )
        return ShareProof(header.data_root, tuple(rows))

    def namespace_data(self, namespace: Namespace) -> SquareNamespaceData:
        """All that the square has of a namespace, with the proof of completeness."""
        rows = self.namespace_rows(namespace)
        return SquareNamespaceData(self.header.height, namespace, placed_blobs(self.header, rows), rows)

    def namespace_rows(self, namespace: Namespace) -> tuple[NamespaceRow, ...]:
        """The shares of any namespace, with the proof of completeness."""
        rows = []
        for row, root in enumerate(self.header.row_roots[: self.size]):
            if not covers(root, namespace):
                continue
            proven = self.extended.prove_namespace(row, namespace.raw)
            assert proven is not None, "the kernel's roots are this header's"
            start, end, nodes, leaf = proven
            shares = () if leaf else tuple(self.extended.axis(0, row)[start:end])
            rows.append(NamespaceRow(row, shares, NmtProof(start, end, tuple(nodes), leaf)))
        return tuple(rows)
