"""rsmt2d and nmt at their fastest, for a run beside ours: the Go program in `benches/peers`, built here and asked over a pipe."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "peers"
PROGRAM = FOLDER / "build" / "peers"
NAME = "rsmt2d 0.15.3 + nmt 0.24.3"


@dataclass
class Best:
    """The best of several runs: the fewest seconds, and the fewest seconds that all cores together worked."""

    seconds: float = float("inf")
    cpu: float = float("inf")

    def add(self, seconds: float, cpu: float) -> None:
        self.seconds, self.cpu = min(self.seconds, seconds), min(self.cpu, cpu)


class Peer:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def ask(self, op: str, body: bytes = b"", **fields: Any) -> dict[str, Any]:
        self._in.write(json.dumps({"op": op, "bytes": len(body), **fields}).encode() + b"\n" + body)
        self._in.flush()
        answer: dict[str, Any] = json.loads(self._out.readline())
        if "error" in answer:
            raise RuntimeError(f"the peer failed: {answer['error']}")
        return answer


@contextmanager
def peer() -> Iterator[Peer | None]:
    """None, and a word about it, where there is no Go."""
    if not shutil.which("go"):
        print("without Go (https://go.dev/dl) there is no rival to run beside", file=sys.stderr)
        yield None
        return
    subprocess.run(["go", "build", "-o", str(PROGRAM), "."], cwd=FOLDER, check=True)
    with subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Peer(process)
        assert process.stdin is not None
        process.stdin.close()


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(best: Best, work: Callable[[], Any]) -> Any:
    start, before = time.perf_counter(), cpu()
    result = work()
    best.add(time.perf_counter() - start, cpu() - before)
    return result


def peak_mib(work: Callable[[], object]) -> float:
    """By how much the most memory that the process holds grows while `work` runs; 0 where the system does not tell."""
    before = _status("VmRSS:")
    result = work()
    grown = _status("VmHWM:") - before
    del result
    return round(grown / 1024, 1)


def _status(key: str) -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)
