"""Extending a square (both extensions, all row and column roots, the data root) beside rsmt2d + nmt in the same run, in turns; in
megabytes of original data a second. `cpu_ratio` compares the seconds that all cores together worked, which others on the machine
disturb less. `sha_limit` is what SHA-256 alone would let through: the kernel's own rate, measured in the same run, over the bytes
that an extension must hash. `peak_mib` is by how much a fresh process grows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benches._rsmt2d import NAME, Best, Peer, peak_mib, peer, timed
from benches.core_extend import SHARE_BYTES, original
from dougong._native import ExtendedSquare, sha256_many

ROUNDS = {128: 60, 256: 40, 512: 24}
LEAF_BLOCKS, NODE_BLOCKS, BLOCK = 9, 3, 64


def hashed(k: int) -> int:
    """Bytes, padding included, that the leaves (each once) and the inner nodes of all trees make."""
    return BLOCK * (LEAF_BLOCKS * 4 * k * k + NODE_BLOCKS * 4 * k * (2 * k - 1))


def sha_rate(best: Best, messages: bytes) -> float:
    """Bytes a second of messages of a leaf's length, padding included, on all cores; few enough of them to lie in caches."""
    for _ in range(20):
        timed(best, lambda: sha256_many(messages, LEAF_BLOCKS * BLOCK - 9))
    return len(messages) // (LEAF_BLOCKS * BLOCK - 9) * LEAF_BLOCKS * BLOCK / best.seconds


def line(k: int, rival: Peer | None) -> dict[str, Any]:
    data, ours, theirs, sha = original(k), Best(), Best(), Best()
    messages = bytes((LEAF_BLOCKS * BLOCK - 9) * 4096)
    root = ExtendedSquare(data).data_root().hex()
    if rival:
        rival.ask("load", data, k=k)
    for _ in range(ROUNDS[k]):
        timed(ours, lambda: ExtendedSquare(data))
        rate = sha_rate(sha, messages)
        if rival:
            answer = rival.ask("extend")
            assert answer["data_root"] == root, "both compute the same"
            theirs.add(answer["seconds"], answer["cpu"])
    size = k * k * SHARE_BYTES
    result: dict[str, Any] = {"bench": "extend", "k": k, "unit": "MB/s", "ours": round(size / ours.seconds / 1e6, 1)}
    if rival:
        result |= {
            "peer_name": NAME,
            "peer": round(size / theirs.seconds / 1e6, 1),
            "ratio": round(theirs.seconds / ours.seconds, 2),
            "cpu_ratio": round(theirs.cpu / ours.cpu, 2),
            "peer_peak_mib": round(rival.ask("extend", memory=True)["peak_kib"] / 1024, 1),
        }
    result["sha_limit"] = round(rate * size / hashed(k) / 1e6, 1)
    result["peak_mib"] = apart(k)[1]
    return result


def apart(k: int, **environment: str) -> tuple[float, float]:
    """Best seconds, and by how many MiB the process grows, in a process of its own."""
    program = f"from benches.da_extend import alone; alone({k})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    seconds, grown = done.stdout.split()
    return float(seconds), float(grown)


def alone(k: int) -> None:
    data, best = original(k), Best()
    grown = peak_mib(lambda: ExtendedSquare(data))
    for _ in range(3):
        timed(best, lambda: ExtendedSquare(data))
    print(best.seconds, grown)


def portable(k: int) -> dict[str, Any]:
    """Without the instructions that not every processor has: for information."""
    speed = round(k * k * SHARE_BYTES / apart(k, DOUGONG_PORTABLE="1")[0] / 1e6, 1)
    return {"bench": "extend, portable code", "k": k, "unit": "MB/s", "ours": speed}


def run() -> Iterator[dict[str, Any]]:
    with peer() as rival:
        for k in ROUNDS:
            yield line(k, rival)
    yield portable(128)
