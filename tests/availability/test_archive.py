"""The archive: what it serves from disk is what memory serves, a crash leaves no half, damage is noticed, pruning is real."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dougong.availability.square.archive import SquareArchive
from dougong.availability.square.layout import SquareBuilder
from dougong.availability.square.proofs import verify_cell, verify_namespace_data, verify_share_proof
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.shares import TAIL_PADDING_SHARE
from dougong.availability.square.wire import BlobTx
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import NotFound, Pruned, StoreCorrupt, StoreFull
from dougong.types import Blob, MerkleProof, Namespace, Placement

ALPHA, BETA, GAMMA = (Namespace.user(name) for name in (b"alpha", b"beta", b"gamma"))


def served(height: int, seed: int = 0, size: int = 16) -> ServedSquare:
    draw = random.Random(height * 1000 + seed)
    builder = SquareBuilder(size)
    for namespace in (ALPHA, GAMMA, ALPHA):
        assert builder.append_blob_tx(BlobTx(b"signed", (Blob(namespace, draw.randbytes(draw.randint(1, 9000))),)))
    return ServedSquare.extend(builder.square().data, height=height, time_ns=height * 10**9)


def proof_of(square: ServedSquare) -> MerkleProof:
    return merkle.prove([sha256(square.header.data_root), sha256(b"tx"), sha256(b"other")], 0)


def filled(folder: Path, heights: int) -> tuple[SquareArchive, dict[int, ServedSquare]]:
    archive = SquareArchive(folder)
    squares = {height: served(height) for height in range(1, heights + 1)}
    for square in squares.values():
        archive.put(square, proof_of(square))
    return archive, squares


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "squares").rglob("*") if path.is_file())


def test_the_disk_answers_as_memory_does(tmp_path: Path) -> None:
    archive, squares = filled(tmp_path, 2)
    archive.close()
    archive = SquareArchive(tmp_path)
    for height, memory in squares.items():
        disk = archive.square(height)
        assert disk.header == memory.header
        assert archive.header(height).data_root_proof == proof_of(memory)
        assert disk.original() == memory.original()
        width = 2 * memory.size
        for row in range(width):
            for column in range(width):
                assert disk.cell(row, column) == memory.cell(row, column)
        for column in (0, memory.size - 1, memory.size, width - 1):
            verify_cell(memory.header, disk.cell(3, column, axis=1))
            assert disk.extended.axis(1, column) == memory.extended.axis(1, column)
        for namespace in (ALPHA, BETA, GAMMA):
            found = disk.namespace_data(namespace)
            assert found == memory.namespace_data(namespace)
            verify_namespace_data(memory.header, found)
            for placed in found.blobs:
                verify_share_proof(disk.prove(placed.placement))
                assert disk.prove(placed.placement) == memory.prove(placed.placement)
        with pytest.raises(NotFound):
            disk.cell(width, 0)
        with pytest.raises(NotFound):
            disk.prove(Placement(height, memory.header.data_root, memory.size**2 - 1, 2))
    for height in (0, 3, 1 << 64, -1):
        with pytest.raises(NotFound):
            archive.square(height)


def test_an_empty_square_takes_no_file(tmp_path: Path) -> None:
    archive = SquareArchive(tmp_path)
    empty = ServedSquare.extend(TAIL_PADDING_SHARE, height=1, time_ns=5)
    archive.put(empty, proof_of(empty))
    assert files(tmp_path) == []
    assert archive.square(1).header == empty.header
    assert archive.square(1).cell(1, 0) == empty.cell(1, 0)


def test_pruning_frees_the_disk_and_keeps_headers(tmp_path: Path) -> None:
    archive, squares = filled(tmp_path, 5)
    assert len(files(tmp_path)) == 5
    held = archive.square(2)
    assert archive.prune(4) == 4
    assert archive.prune(3) == 4, "a window never moves back"
    assert [path.stem for path in files(tmp_path)] == ["4", "5"]
    for height in (1, 2, 3):
        with pytest.raises(Pruned, match="from height 4") as refused:
            archive.square(height)
        assert "archive node" in refused.value.remedy
        assert archive.header(height).header == squares[height].header, "light nodes still sync"
    assert held.original() == squares[2].original(), "who was reading reads to the end"
    assert archive.square(4).original() == squares[4].original()
    archive.close()
    archive = SquareArchive(tmp_path)
    assert (archive.base, archive.last) == (4, 5)
    with pytest.raises(Pruned):
        archive.square(3)


def test_readers_of_a_height_that_is_pruned_see_all_of_it_or_none(tmp_path: Path) -> None:
    heights = 24
    archive, squares = filled(tmp_path, heights)
    whole = {height: square.original() for height, square in squares.items()}

    def read(seed: int) -> tuple[int, int]:
        draw, seen, refused = random.Random(seed), 0, 0
        while archive.base <= heights:
            height = min(heights, max(1, archive.base + draw.randint(-2, 2)))
            try:
                square = archive.square(height)
                assert square.original() == whole[height]
                row, column = (draw.randrange(2 * square.size) for _ in range(2))
                assert square.cell(row, column) == squares[height].cell(row, column)
                seen += 1
            except Pruned:
                refused += 1
        return seen, refused

    with ThreadPoolExecutor(4) as readers:
        reading = [readers.submit(read, seed) for seed in range(4)]
        for below in range(2, heights + 2):
            archive.prune(below)
        counts = [future.result() for future in reading]
    assert files(tmp_path) == []
    assert sum(seen for seen, _ in counts) + sum(refused for _, refused in counts) > 0


@pytest.mark.parametrize("left", ["draft", "headerless", "below"])
def test_what_a_crash_leaves_is_removed(tmp_path: Path, left: str) -> None:
    archive, _ = filled(tmp_path, 3)
    archive.prune(2)
    archive.close()
    folder = files(tmp_path)[0].parent
    name = {"draft": "4.square.draft", "headerless": "4.square", "below": "1.square"}[left]
    (folder / name).write_bytes(b"half")
    archive = SquareArchive(tmp_path)
    assert [path.name for path in files(tmp_path)] == ["2.square", "3.square"]
    square = served(4)
    archive.put(square, proof_of(square))
    assert archive.square(4).original() == square.original()


def test_what_others_put_there_stays_and_stops_nothing(tmp_path: Path) -> None:
    archive, _ = filled(tmp_path, 3)
    archive.prune(2)
    archive.close()
    root, folder = tmp_path / "squares", files(tmp_path)[0].parent
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.square").write_bytes(b"kept")
    (root / "lost+found").mkdir()
    (root / "notes.txt").write_bytes(b"kept")
    (root / "000000000007").symlink_to(elsewhere)
    (folder / "4.square.d").mkdir()
    (folder / "notes.txt").write_bytes(b"kept")
    with closing(SquareArchive(tmp_path)) as archive:
        assert (archive.base, archive.last) == (2, 3)
    left = {str(path.relative_to(tmp_path)) for path in [*root.iterdir(), *folder.iterdir(), *elsewhere.iterdir()]}
    assert {"squares/lost+found", "squares/notes.txt", "elsewhere/1.square"} < left
    assert {f"squares/{folder.name}/{name}" for name in ("2.square", "3.square", "4.square.d", "notes.txt")} < left


@pytest.mark.parametrize("how", ["flip", "cut", "longer", "gone", "another's"])
def test_a_damaged_file_is_noticed_and_can_be_replaced(tmp_path: Path, how: str) -> None:
    archive, squares = filled(tmp_path, 2)
    path = files(tmp_path)[0]
    raw = bytearray(path.read_bytes())
    if how == "flip":
        raw[64 + 700] ^= 1
        path.write_bytes(raw)
    elif how == "cut":
        path.write_bytes(raw[:-1])
    elif how == "longer":
        path.write_bytes(raw + b"\0")
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(files(tmp_path)[1].read_bytes())
    with pytest.raises(StoreCorrupt):
        archive.square(1).original()
    archive.put(squares[1], proof_of(squares[1]))
    assert archive.square(1).original() == squares[1].original()
    assert archive.last == 2


def test_every_flipped_byte_of_a_file_is_noticed(tmp_path: Path) -> None:
    archive, squares = filled(tmp_path, 1)
    path = files(tmp_path)[0]
    raw = path.read_bytes()
    draw = random.Random(3)
    for _ in range(60):
        at = draw.randrange(len(raw))
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :])
        archive.close()
        archive = SquareArchive(tmp_path)  # nothing is open, nothing remembered
        try:
            square = archive.square(1)
            width = 2 * square.size
            answers = [[square.cell(row, column) for column in range(width)] for row in range(width)]
        except StoreCorrupt:
            continue
        # What no answer depends on may differ: the padding of the file's head.
        assert answers == [[squares[1].cell(row, column) for column in range(width)] for row in range(width)]


@contextmanager
def no_room(file_bytes: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    archive, squares = filled(tmp_path, 2)
    square = served(3)
    with no_room(1000), pytest.raises(StoreFull):
        archive.put(square, proof_of(square))
    assert (archive.last, len(files(tmp_path))) == (2, 2), "no half and no draft"
    assert archive.square(2).original() == squares[2].original()
    archive.put(square, proof_of(square))
    assert archive.square(3).original() == square.original()


def test_a_damaged_header_is_noticed(tmp_path: Path) -> None:
    archive, squares = filled(tmp_path, 1)
    header = squares[1].header
    lie = replace(header, row_roots=(header.row_roots[1], *header.row_roots[1:]))
    archive.put(ServedSquare(lie, squares[1].extended), proof_of(squares[1]))
    with pytest.raises(StoreCorrupt):
        archive.header(1)
    with pytest.raises(StoreCorrupt):
        archive.square(1)
