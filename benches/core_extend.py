"""Extending a square: both extensions, all row and column roots and the data root, in megabytes of original data a second."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from dougong._native import ExtendedSquare

SECONDS = 2.0
SHARE_BYTES = 512
NAMESPACE = (1 << 32).to_bytes(29, "big")


def original(k: int) -> bytes:
    """k x k shares of noise under one namespace."""
    noise = hashlib.shake_256(b"extend").digest(k * k * (SHARE_BYTES - len(NAMESPACE)))
    step = SHARE_BYTES - len(NAMESPACE)
    return b"".join(NAMESPACE + noise[at : at + step] for at in range(0, len(noise), step))


def run() -> Iterator[dict[str, Any]]:
    for k in (32, 128, 256):
        data = original(k)
        best, end = float("inf"), time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            ExtendedSquare(data)
            best = min(best, time.perf_counter() - start)
        yield {"bench": "extend", "k": k, "unit": "MB/s", "ours": round(len(data) / best / 1e6, 1)}
