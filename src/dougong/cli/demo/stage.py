"""The processes of the demo: the stack, and the nodes that check it, each with a folder of its own and sockets between them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from dougong.errors import Unavailable
from dougong.net.child import see_off

__all__ = ["STOP_S", "Process", "node_report", "running_stack"]

STOP_S = 20.0
START_S = 60.0
LINE_BYTES = 1 << 20
PROGRAM = (sys.executable, "-c", "from dougong.cli import main; main()")


class Process:
    """A `dougong` command that prints JSON lines. What it says on its error output goes to `NAME.err` in its folder."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.name = name
        self.process = process
        self._errors = errors

    @classmethod
    async def start(cls, name: str, folder: Path, *arguments: str) -> Process:
        errors = folder / f"{name}.err"
        with errors.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *PROGRAM,
                *arguments,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                limit=LINE_BYTES,
            )
        return cls(name, process, errors)

    async def event(self) -> dict[str, Any]:
        """The next line. Raises `Unavailable` with what the process said when there is none."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            code = await see_off(self.process)
            said = self._errors.read_text(errors="replace").strip()[-2000:]
            raise Unavailable(f"{self.name} ended with code {code}: {said or 'it said nothing'}")
        event: dict[str, Any] = orjson.loads(line)
        return event

    async def stop(self) -> None:
        """Ctrl-C, and a kill where that does not help."""
        if self.process.returncode is None:
            self.process.send_signal(2)
        try:
            async with asyncio.timeout(STOP_S):
                await see_off(self.process)
        except TimeoutError:
            self.process.kill()
            await see_off(self.process)


@asynccontextmanager
async def running_stack(config: Path) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """`dougong up` on a stack.toml, and its chains by name, once every one of them is up."""
    process = await Process.start("stack", config.parent, "up", str(config), "--json")
    try:
        chains: dict[str, Any] = {}
        async with asyncio.timeout(START_S):
            while (event := await process.event())["event"] != "ready":
                if event["event"] in ("chain", "deployed"):
                    chains.setdefault(event["name"], {}).update(event)
                elif event["event"] == "failed":
                    raise Unavailable(f"{event['name']}: {event['error']}", remedy=event["remedy"])
        yield process, chains
    finally:
        await process.stop()


async def node_report(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Runs a node that ends by itself, in a folder that is empty; its last line is its report."""
    process = await Process.start(name, folder, *arguments, "--json")
    try:
        while (event := await process.event())["event"] != "report":
            continue
        return event
    finally:
        await process.stop()
