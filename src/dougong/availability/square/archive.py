"""Squares on disk: what a node keeps of its blocks' squares, so that no question about an old height extends one again.

    archive = SquareArchive(path)
    archive.put(served, data_root_proof)            # durable when it returns
    archive.square(7).cell(3, 5)                    # reads one row
    archive.prune(below=1000)                       # squares go, headers stay
    archive.header(7)

A square's header and the proof of its data root lie in LMDB and stay for ever. Its cells lie in a file of their own, which
vanishes when it is pruned: the first halves of all 2k rows, that is twice the original square's bytes. The other halves are
their parity. Measured (`make bench SUITE=da`): with the original half alone three samples of four would extend the square;
the whole of it on disk takes twice the room and saves microseconds a row.

Every row is hashed when it is read and compared with its root, so a damaged file is noticed (`StoreCorrupt`) and nothing false
is served; whoever has the block makes the square anew. A file is written whole or not at all; the header is written after it. A
pruning first says durably from which height on squares are kept. So a kill -9 at any point leaves a file without a header, or
one below the window, and the next opening removes both. Methods block on the disk and may be called from several threads.
"""

from __future__ import annotations

import errno
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dougong.availability.square.archived_cells import ArchivedCells, cells_file
from dougong.availability.square.nmt import NODE_BYTES
from dougong.availability.square.proofs import verify_header
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.shares import TAIL_PADDING_SHARE
from dougong.codec.protobuf import Reader, Writer
from dougong.errors import InvalidInput, NotFound, Pruned, StoreCorrupt, StoreError, StoreFull
from dougong.store import Store, height_key
from dougong.store.files import make_folder_durably, write_durably
from dougong.types import HASH_BYTES, MerkleProof, SquareHeader

__all__ = ["ArchivedHeader", "SquareArchive"]

_TABLES = ("headers", "meta")
_BASE = b"base"
_FOLDER_HEIGHTS = 1000
_FOLDER = re.compile(r"[0-9]{12}")
_FILE = re.compile(r"(?P<height>[0-9]{1,18})\.square(?P<draft>\.draft)?")
_OPEN_SQUARES = 64
_REMEDY = "it is made anew from its block; if that was pruned, remove the archive's folder or restore it"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class ArchivedHeader:
    """A square's header and the proof that its data root is transaction 0 of its block."""

    header: SquareHeader
    data_root_proof: MerkleProof


class SquareArchive:
    """The squares of one chain. One process and one `SquareArchive` per path."""

    def __init__(self, path: Path) -> None:
        """Opens or creates, and removes what a crash left half done. Raises `StoreError`."""
        self._store = Store(path / "headers", _TABLES)
        self._files = path / "squares"
        self._writing = threading.Lock()
        self._open: OrderedDict[int, ServedSquare] = OrderedDict()
        self._opening = threading.Lock()
        base, last = self._store.get("meta", _BASE), self._store.items("headers", reverse=True, limit=1)
        self._base = 1 if base is None else int.from_bytes(base)
        self._last = int.from_bytes(last[0][0]) if last else 0
        empty = ServedSquare.extend(TAIL_PADDING_SHARE, height=0, time_ns=0)
        self._empty_root, self._empty_cells = empty.header.data_root, empty.extended
        try:
            with _translated(path):
                make_folder_durably(self._files)
                self._sweep()
        except StoreError:
            self._store.close()
            raise

    def close(self) -> None:
        self._store.close()

    @property
    def base(self) -> int:
        """The lowest height whose square is kept."""
        return self._base

    @property
    def last(self) -> int:
        """The last height in the archive, 0 for none."""
        return self._last

    # --- writing ----------------------------------------------------------------------------------------------------

    def put(self, served: ServedSquare, data_root_proof: MerkleProof) -> None:
        """Keeps the next height's square, or one in the place of a damaged one. Raises `StoreFull`: then nothing was changed."""
        height, header = served.header.height, served.header
        with self._writing:
            if height >= self._base and header.data_root != self._empty_root:
                with _translated(self._files):
                    path = self._path(height)
                    make_folder_durably(path.parent)
                    try:
                        write_durably(path, cells_file(header, served.extended))
                    except OSError:
                        path.with_name(path.name + ".draft").unlink(missing_ok=True)
                        raise
            with self._store.write() as txn:
                txn.put("headers", height_key(height), _encode(header, data_root_proof))
            self._last = max(self._last, height)
            with self._opening:
                self._open.pop(height, None)

    def prune(self, below: int) -> int:
        """Removes the squares of all heights under `below`; returns the lowest that is kept. Raises `StoreError`; repeated,
        it goes on where it was."""
        with self._writing:
            base = self._base
            if below > base:
                with self._store.write() as txn:
                    txn.put("meta", _BASE, height_key(below))
                self._base = below
                with self._opening:
                    for height in [height for height in self._open if height < below]:
                        del self._open[height]
                with _translated(self._files):
                    for height in range(base, below):
                        self._path(height).unlink(missing_ok=True)
                        if height % _FOLDER_HEIGHTS == _FOLDER_HEIGHTS - 1:
                            with suppress(OSError):
                                self._path(height).parent.rmdir()
            return self._base

    # --- reading ----------------------------------------------------------------------------------------------------

    def header(self, height: int) -> ArchivedHeader:
        """Also of heights whose squares were pruned. Raises `NotFound`, `StoreCorrupt`."""
        raw = self._store.get("headers", height_key(height)) if 0 < height < 1 << 63 else None
        if raw is None:
            raise NotFound(f"the archive has no height {height}; it ends at {self._last}")
        try:
            found = _decode(height, raw)
            verify_header(found.header)
        except InvalidInput as error:
            raise StoreCorrupt(f"the archived header of height {height} is damaged: {error}", remedy=_REMEDY) from error
        return found

    def check_kept(self, height: int) -> None:
        """Raises `Pruned` for a height below the window."""
        if 0 < height < self._base:
            raise Pruned(f"squares are kept from height {self._base} on here, not {height}", remedy="ask an archive node")

    def square(self, height: int) -> ServedSquare:
        """What it answers later is whole or `StoreCorrupt`, also when the height is pruned meanwhile. Raises `Pruned`,
        `NotFound`, `StoreCorrupt`."""
        with self._opening:
            kept = self._open.get(height)
            if kept is not None:
                self._open.move_to_end(height)
                return kept
        self.check_kept(height)
        header = self.header(height).header
        if header.data_root == self._empty_root:
            return ServedSquare(header, self._empty_cells)
        try:
            with _translated(self._files):
                served = ServedSquare(header, ArchivedCells(self._path(height), header))
        except FileNotFoundError:
            self.check_kept(height)
            raise StoreCorrupt(f"the archived square of height {height} is gone", remedy=_REMEDY) from None
        with self._opening:
            if height >= self._base:
                self._open[height] = served
                while len(self._open) > _OPEN_SQUARES:
                    self._open.popitem(last=False)
        return served

    def close_squares(self) -> None:
        """Lets go of the files that are held open; the next question opens them anew."""
        with self._opening:
            self._open.clear()

    # --- files ------------------------------------------------------------------------------------------------------

    def _path(self, height: int) -> Path:
        return self._files / f"{height // _FOLDER_HEIGHTS:012}" / f"{height}.square"

    def _sweep(self) -> None:
        """Removes drafts, squares without a header and squares below the window, and touches nothing that the archive did not
        make. Folders between were whole before."""
        low, high = self._base // _FOLDER_HEIGHTS, self._last // _FOLDER_HEIGHTS
        for folder in self._files.iterdir():
            if not _FOLDER.fullmatch(folder.name) or folder.is_symlink() or low < int(folder.name) < high:
                continue
            for file in folder.iterdir():
                name = _FILE.fullmatch(file.name)
                if name and (name["draft"] or not self._base <= int(name["height"]) <= self._last):
                    file.unlink()
            if int(folder.name) < low:
                with suppress(OSError):
                    folder.rmdir()


def _encode(header: SquareHeader, proof: MerkleProof) -> bytes:
    return (
        Writer()
        .uint(1, header.time_ns)
        .bytes(2, header.data_root)
        .bytes(3, b"".join(header.row_roots))
        .bytes(4, b"".join(header.column_roots))
        .uint(5, proof.total)
        .bytes(6, b"".join(proof.siblings))
        .done()
    )


def _decode(height: int, raw: bytes) -> ArchivedHeader:
    reader = Reader(raw, range(1, 7))
    rows, columns = _pieces(reader.raw(3), NODE_BYTES), _pieces(reader.raw(4), NODE_BYTES)
    header = SquareHeader(height, reader.uint(1), reader.raw(2), rows, columns)
    return ArchivedHeader(header, MerkleProof(0, reader.uint(5), _pieces(reader.raw(6), HASH_BYTES)))


def _pieces(raw: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(raw[at : at + size] for at in range(0, len(raw), size))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(f"the archive {path} is full: {error.strerror}", remedy="free disk space") from error
        raise StoreError(f"the archive {path} failed: {error}") from error
