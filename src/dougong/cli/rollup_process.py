"""`python -m dougong.cli.rollup_process`: what a stack starts for a rollup with `process = true`. Not for people.

Standard input: a line with what to run, then lines to hear; its end is the end. Standard output: lines that tell how it goes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from dougong.cli.ending import family_error, run
from dougong.cli.logs import make_log
from dougong.cli.memory import rest_after_start
from dougong.stack.hosted import host

__all__: list[str] = []

LAST_S = 30.0  # for services to end; then the process ends itself, which loses nothing


async def _main() -> None:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def listen() -> None:
        # Unbuffered: a thread that waits inside a buffer would hold its lock when the interpreter ends.
        for line in open(0, "rb", buffering=0, closefd=False):  # noqa: SIM115
            loop.call_soon_threadsafe(heard.put_nowait, orjson.loads(line))
        loop.call_soon_threadsafe(heard.put_nowait, None)
        threading.Event().wait(LAST_S)
        os._exit(1)  # the loop hangs, and nobody is there to kill this process

    def say(line: dict[str, object]) -> None:
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.buffer.flush()
        if "up" in line:
            rest_after_start()

    async def lines() -> AsyncIterator[dict[str, Any]]:
        while (line := await heard.get()) is not None:
            yield line

    threading.Thread(target=listen, daemon=True).start()
    start = await heard.get()
    if start is None:
        return
    folder = Path(orjson.loads(start["config"])["data_dir"])
    log = make_log(folder / f"dougong.{start['rollup']}.log")
    try:
        await host(start, lines(), say, log)
    except BrokenPipeError:
        return  # nobody listens any more
    except BaseException as error:
        cause = family_error(error)
        if cause is None:
            raise
        say({"failed": {"kind": type(cause).__name__, "message": str(cause), "remedy": cause.remedy}})


if __name__ == "__main__":
    run(_main())
