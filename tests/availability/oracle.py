"""Celestia's Go libraries, asked over a pipe: `tests/oracles`, built once for a run of the tests."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "oracles"
PROGRAM = FOLDER / "build" / "oracles"


def encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def decode(text: str | None) -> bytes:
    return base64.b64decode(text or "")


class Oracle:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def ask(self, op: str, body: bytes = b"", **fields: Any) -> Any:
        """What the operation answers. Raises `ValueError` with the library's words where that refuses."""
        self._in.write(json.dumps({"op": op, "bytes": len(body), **fields}).encode() + b"\n")
        self._in.write(body)
        self._in.flush()
        answer = json.loads(self._out.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise ValueError(answer["error"])
        return answer


@contextmanager
def running() -> Iterator[Oracle]:
    if shutil.which("go"):
        subprocess.run(["go", "build", "-o", str(PROGRAM), "."], cwd=FOLDER, check=True)
    elif not PROGRAM.exists():
        raise AssertionError("Celestia's libraries are Go's: install Go 1.25 or newer (https://go.dev/dl)")
    with subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Oracle(process)
        assert process.stdin is not None
        process.stdin.close()
