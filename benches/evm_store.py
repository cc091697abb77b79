"""The EVM's store beside other embedded stores, in its own access pattern (`benches/peers/stores`, built here with cargo).

A block is one durable transaction: random keys of a flat table rewritten, four trie nodes a change appended. Reads are of random
keys of the flat table. `ratio` is LMDB (ours) over the better of the others, so more than 1 is in its favour; for `mib`, the
other way round. Why LMDB: docs/adr/0008-store-of-the-state.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "peers" / "stores"
KEYS, BLOCKS, CHANGES, READS = 200_000, 100, 500, 200_000
KINDS = ("lmdb", "redb", "fjall")
TRIES = 2


def _program() -> Path:
    target = FOLDER.parent / "build" / "stores"
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=FOLDER, env=environment, check=True)
    return target / "release" / "stores"


def _measure(program: Path, kind: str) -> dict[str, Any]:
    # Beside the program, not in a /tmp that may be memory: durable writes are to be durable.
    with tempfile.TemporaryDirectory(dir=FOLDER.parent / "build") as folder:
        arguments = [str(program), kind, folder, *(str(size) for size in (KEYS, BLOCKS, CHANGES, READS))]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        measured: dict[str, Any] = json.loads(done.stdout)
        return measured


def run() -> Iterator[dict[str, Any]]:
    program = _program()
    best: dict[str, dict[str, Any]] = {}
    for _ in range(TRIES):
        for kind in KINDS:
            found = _measure(program, kind)
            known = best.setdefault(kind, found)
            for name, value in found.items():
                known[name] = min(known[name], value) if name in ("mib", "p99_commit_ms") else max(known[name], value)
    ours, peers = best["lmdb"], [best[kind] for kind in KINDS[1:]]
    for name, unit in (("reads_per_s", "reads/s"), ("blocks_per_s", "blocks/s"), ("mib", "MiB"), ("p99_commit_ms", "ms")):
        less = name in ("mib", "p99_commit_ms")
        peer = min(each[name] for each in peers) if less else max(each[name] for each in peers)
        ratio = peer / ours[name] if less else ours[name] / peer
        figures = {kind: best[kind][name] for kind in KINDS}
        yield {"bench": f"store-{name}", "unit": unit} | figures | {"ratio": round(ratio, 2)}
