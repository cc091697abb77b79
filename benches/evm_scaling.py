"""From one rollup to two in processes of their own, each held to one core: their transactions a second together.

The load is made beforehand and fed inside each process through the sequencer's own door (`benches/_feeder.py`): no client takes
part of a core. One process on the first core runs alone, then two run at once on two cores; each such pair is repeated, and the
best of each side counts. The goal is 1.8 times: what is missing to 2 is what the machine has but once, its memory and its disk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benches._load import TRANSACTIONS, transactions

TRIES = 4
GOAL = 1.8
ROOT = Path(__file__).parent.parent


def run() -> Iterator[dict[str, Any]]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2 or not shutil.which("taskset"):
        print("scaling from one process to two needs two cores, and taskset to hold each to one", file=sys.stderr)
        return
    one, two = 0.0, 0.0
    with TemporaryDirectory() as folder:
        file = Path(folder) / "transactions.txt"
        file.write_text("\n".join(raw.hex() for raw in transactions()))
        for _ in range(TRIES):
            one = max(one, rate(cores[:1], file))
            two = max(two, rate(cores[:2], file))
    yield {
        "bench": "scaling",
        "unit": "tx/s",
        "ours": round(two),
        "one": round(one),
        "ratio": round(two / one, 2),
        "goal": GOAL,
        "transactions": TRANSACTIONS,
    }


def rate(cores: Sequence[int], file: Path) -> float:
    """Of so many processes together: all their transactions by the time of the slowest."""
    with TemporaryDirectory() as folder:
        started = []
        for core in cores:
            command = ["taskset", "-c", str(core), sys.executable, "-m", "benches._feeder", f"{folder}/{core}", str(file)]
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        try:
            found = [_ask(process) for process in _ready(started)]
            answers = [json.loads(line) for line in found]
        finally:
            for process in started:
                process.kill()
                process.wait()
    return float(sum(answer["transactions"] for answer in answers) / max(answer["seconds"] for answer in answers))


def _ready(processes: Sequence[subprocess.Popen[str]]) -> Sequence[subprocess.Popen[str]]:
    """Once all of them wait, all of them go."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "a rollup's process did not start"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def _ask(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
