"""Starts the real engines that tests run against. A missing one is a failure that names the remedy, never a skip."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
ANVIL = ROOT / "engines/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
# The first of the accounts that anvil funds, the same in every run.
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
START_SECONDS = 30.0


@contextmanager
def anvil(folder: Path, *options: str) -> Iterator[str]:
    """The URL of an anvil at Prague rules on a free port; its log goes to `folder`.

    ANVIL in the environment names another binary than the pinned one.
    """
    binary = Path(os.environ.get("ANVIL", ANVIL))
    if not binary.exists():
        raise FileNotFoundError(f"{binary} is missing: run `make engines`")
    log = folder / "anvil.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "--port", "0", "--hardfork", "prague", "--balance", "1000000", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"Listening on (\S+)", log.read_text())
        if found:
            return f"http://{found[1]}"
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"anvil did not start:\n{log.read_text()[-2000:]}")
