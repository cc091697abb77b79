"""Stacks as their operators meet them: what a stack.toml says, table by table, and `dougong up` in a process of its own.

>>> print(stack_toml(SQUARE, rollup("free", batch_interval_ms=300)), end="")
data_dir = "data"
dev = true
[api]
listen = "127.0.0.1:0"
[availability.square]
kind = "square"
consensus = "solo"
block_time_ms = 100
[rollup.free]
execution = "evm"
availability = "square"
batch_interval_ms = 300
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dougong.cli.demo.stage import PROGRAM, Process
from dougong.errors import DougongError
from dougong.net.child import see_off


def keys(**values: str | int) -> str:
    """Lines of TOML. What JSON writes for a string, a whole number or a truth is TOML too."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def table(name: str, **values: str | int) -> str:
    return f"[{name}]\n" + keys(**values)


SQUARE = table("availability.square", kind="square", consensus="solo", block_time_ms=100)
EMBEDDED = keys(kind="evm", consensus="solo", block_time_ms=100)
BASE = "[settlement.base]\n" + EMBEDDED
SETTLED = {"settlement": "base", "proof": "none"}


def ethereum(url: str, chain_id: int) -> str:
    """The settlement of that name, as another's node serves it."""
    return keys(kind="ethereum", url=url, chain_id=chain_id)


def blobs(url: str, chain_id: int) -> str:
    """An availability layer on the blobs of the settlement chain, and that chain."""
    layer = table("availability.blobs", kind="ethereum-blobs", settlement="base", confirmations=1)
    return layer + "[settlement.base]\n" + ethereum(url, chain_id)


def rollup(name: str, *, availability: str = "square", **values: str | int) -> str:
    return table(f"rollup.{name}", execution="evm", availability=availability, **values)


def stack_toml(*tables: str) -> str:
    return keys(data_dir="data", dev=True) + table("api", listen="127.0.0.1:0") + "".join(tables)


# One rollup that settles, one that does not.
TWO_ROLLUPS = stack_toml(
    SQUARE,
    BASE,
    rollup("alpha", **SETTLED, challenge_window_s=2, batch_interval_ms=300),
    rollup("free", block_time_ms=100, batch_interval_ms=300),
)


def write_stack(folder: Path, *changes: tuple[str, str], text: str = TWO_ROLLUPS) -> Path:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    folder.mkdir(exist_ok=True)
    path = folder / "stack.toml"
    path.write_text(text)
    return path


@asynccontextmanager
async def up(path: Path) -> AsyncIterator[Process]:
    process = await Process.start("stack", path.parent, "up", str(path), "--json")
    try:
        yield process
    finally:
        await kill(process)


async def kill(process: Process) -> None:
    if process.process.returncode is None:
        process.process.kill()
    await see_off(process.process)


async def events_until(process: Process, kind: str, name: str = "") -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not seen or (seen[-1]["event"], seen[-1]["name"]) != (kind, name):
            seen.append(await process.event())
    return seen


async def ready(process: Process) -> dict[str, Any]:
    """The chains' facts by name."""
    seen = await events_until(process, "ready")
    facts: dict[str, Any] = {"": seen[-1]}
    for event in seen:
        facts.setdefault(event["name"], {}).update(event)
    return facts


async def ended(process: Process) -> tuple[int, str]:
    """Exit code and what it said on its error output."""
    async with asyncio.timeout(60):
        with pytest.raises(DougongError) as caught:
            while True:
                await process.event()
    code = await see_off(process.process)
    return code, str(caught.value)


async def dougong(*arguments: str) -> str:
    """What a command prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*PROGRAM, *arguments, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
