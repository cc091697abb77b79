"""The kernels' own promises: the same on any processor, and SHA-256 side by side."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from dougong._native import ExtendedSquare, repair_square, sha256_many

PROGRAM = """
from dougong._native import ExtendedSquare, repair_square
shares = b"".join((256 + n // 3).to_bytes(29, "big") + n.to_bytes(4, "big") * 120 + b"end" for n in range({k} * {k}))
square = ExtendedSquare(shares)
present = bytes(n % 2 for n in range({k})) * 4 * {k}
repaired = repair_square(memoryview(square), square.row_roots(), square.column_roots(), present)
print(square.data_root().hex(), isinstance(repaired, ExtendedSquare))
"""


@pytest.mark.parametrize("k", [2, 128, 256])
def test_portable_code_computes_the_same(k: int) -> None:
    """Both fields, decoding too."""
    answers = set()
    for environment in ({}, {"DOUGONG_PORTABLE": "1"}):
        command = [sys.executable, "-c", PROGRAM.format(k=k)]
        done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
        answers.add(done.stdout)
    assert len(answers) == 1
    assert "True" in answers.pop()


@pytest.mark.parametrize("size", [1, 55, 56, 63, 64, 65, 119, 120, 542, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 33])
def test_messages_are_hashed_side_by_side(size: int, count: int) -> None:
    messages = hashlib.shake_256(b"messages").digest(size * count)
    want = b"".join(hashlib.sha256(messages[at : at + size]).digest() for at in range(0, len(messages), size))
    assert sha256_many(bytearray(messages), size) == want


@pytest.mark.parametrize(("count", "size"), [(1, 0), (0, 0), (3, 2), (3, -1), (3, 2**70), (3, 4)])
def test_what_is_not_whole_messages_is_refused(count: int, size: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        sha256_many(bytes(count), size)


def test_a_square_dropped_leaves_nothing_of_itself() -> None:
    """Memory is used again: what was there before must not show."""
    for byte in (1, 2, 3):
        data = (256).to_bytes(29, "big") + bytes([byte]) * 483
        square = ExtendedSquare(data * 256)
        assert bytes(square).count(data) >= 256
        assert ExtendedSquare(data * 256).data_root() == square.data_root()
        assert repair_square([None] * 1024, square.row_roots(), square.column_roots()) == 0
        del square
