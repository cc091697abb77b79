"""Squares on disk: bytes a block, and what cold reads cost, against extending the square again for each (as without an archive).

A read is cold to this process: nothing of the square is in memory (the file is in the page cache).
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dougong.availability.square.archive import SquareArchive
from dougong.availability.square.layout import SquareBuilder
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.wire import BlobTx
from dougong.crypto import merkle
from dougong.types import Blob, Namespace

ROUNDS = 12
NAMESPACE, OTHER = Namespace.user(b"alpha"), Namespace.user(b"other")


def full_square(k: int) -> bytes:
    """Shares of a square that blobs of 25,000 bytes fill, one of them in `NAMESPACE`."""
    builder, draw, number = SquareBuilder(k), random.Random(k), 0
    size = min(25_000, k * k * 100)
    while builder.append_blob_tx(BlobTx(b"tx", (Blob(NAMESPACE if not number else OTHER, draw.randbytes(size)),))):
        number += 1
    return builder.square().data


def best_ms(make: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        make()
        best = min(best, time.perf_counter() - start)
    return round(best * 1e3, 3)


def run() -> Iterator[dict[str, Any]]:
    for k in (8, 32, 64, 128):
        data = full_square(k)
        memory = ServedSquare.extend(data, height=1, time_ns=0)
        placement = memory.namespace_data(NAMESPACE).blobs[0].placement
        proof = merkle.prove([b"data root", b"tx"], 0)
        questions: dict[str, Callable[[ServedSquare], object]] = {
            "sample": lambda square: square.cell(square.size, 2 * square.size - 1),
            "namespace": lambda square: square.namespace_data(NAMESPACE),
            "prove": lambda square, placement=placement: square.prove(placement),  # type: ignore[misc]
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            start = time.perf_counter()
            archive = SquareArchive(path)
            archive.put(memory, proof)
            put_ms = round((time.perf_counter() - start) * 1e3, 2)
            disk = sum(file.stat().st_size for file in (path / "squares").rglob("*.square"))
            yield {"bench": "da_store", "k": k, "shares_bytes": len(data), "disk_bytes": disk, "put_ms": put_ms}
            for name, ask in questions.items():

                def cold(ask: Callable[[ServedSquare], object] = ask, archive: SquareArchive = archive) -> object:
                    archive.close_squares()
                    return ask(archive.square(1))

                def again(ask: Callable[[ServedSquare], object] = ask, data: bytes = data) -> object:
                    return ask(ServedSquare.extend(data, height=1, time_ns=0))

                yield {
                    "bench": "da_store",
                    "k": k,
                    "read": name,
                    "unit": "ms",
                    "archive_cold": best_ms(cold),
                    "extended_again": best_ms(again),
                    "memory": best_ms(lambda ask=ask, memory=memory: ask(memory)),  # type: ignore[misc]
                }
            archive.close()
