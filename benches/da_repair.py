"""Repairing a square beside rsmt2d in the same run, in turns: from cells in memory to a square checked against all its roots; in
megabytes of original data a second. What is given: `quadrant`, the original square alone; `half`, a random half of each row;
`most`, all but a random tenth.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from benches._rsmt2d import NAME, Best, Peer, peer, timed
from benches.core_extend import SHARE_BYTES, original
from dougong._native import ExtendedSquare, repair_square

ROUNDS = {128: 10, 256: 5, 512: 3}


def given(what: str, k: int) -> bytearray:
    """A byte for each cell, row by row: whether it is given."""
    picker, width = random.Random(k), 2 * k
    if what == "quadrant":
        return bytearray((bytes([1]) * k + bytes(k)) * k + bytes(width * k))
    if what == "most":
        return bytearray(picker.random() >= 0.1 for _ in range(width * width))
    present = bytearray(width * width)
    for row in range(width):
        for column in picker.sample(range(width), k):
            present[row * width + column] = 1
    return present


def line(k: int, what: str, rival: Peer | None) -> dict[str, Any]:
    square, present, ours, theirs = ExtendedSquare(original(k)), given(what, k), Best(), Best()
    cells, rows, columns = bytearray(square), square.row_roots(), square.column_roots()
    for place, there in enumerate(present):
        if not there:
            cells[place * SHARE_BYTES : (place + 1) * SHARE_BYTES] = bytes(SHARE_BYTES)
    missing = "".join("10"[there] for there in present)
    for _ in range(ROUNDS[k]):
        repaired = timed(ours, lambda: repair_square(cells, rows, columns, present))
        assert isinstance(repaired, ExtendedSquare)
        if rival:
            answer = rival.ask("repair", missing=missing)
            assert answer["data_root"] == repaired.data_root().hex(), "both compute the same"
            theirs.add(answer["seconds"], answer["cpu"])
        del repaired
    size = k * k * SHARE_BYTES
    result: dict[str, Any] = {"bench": f"repair, {what}", "k": k, "unit": "MB/s", "ours": round(size / ours.seconds / 1e6, 1)}
    if rival:
        result |= {
            "peer_name": NAME,
            "peer": round(size / theirs.seconds / 1e6, 1),
            "ratio": round(theirs.seconds / ours.seconds, 2),
            "cpu_ratio": round(theirs.cpu / ours.cpu, 2),
        }
    return result


def run() -> Iterator[dict[str, Any]]:
    with peer() as rival:
        for k in ROUNDS:
            if rival:
                rival.ask("load", original(k), k=k)
                rival.ask("extend")
            for what in ("quadrant", "half", "most"):
                yield line(k, what, rival)
