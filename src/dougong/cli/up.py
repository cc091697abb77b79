"""`dougong up`: a stack in this process until Ctrl-C."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from dougong.cli.ending import run
from dougong.cli.logs import make_log
from dougong.cli.memory import rest_after_start
from dougong.cli.output import make_printer, print_json
from dougong.stack.events import Event
from dougong.stack.reading import load
from dougong.stack.runtime import running

__all__ = ["up"]


def up(path: Path | None, *, as_json: bool) -> None:
    run(_up(path, as_json=as_json))


async def _up(path: Path | None, *, as_json: bool) -> None:
    started = time.monotonic()
    config = load(path)
    report = print_json if as_json else make_printer()
    log = make_log(config.data_dir / "dougong.log")
    async with running(config, report, log) as stack:
        await stack.opened()
        facts: dict[str, object] = {
            "url": stack.url,
            "chains": sorted(stack.facts),
            "seconds": round(time.monotonic() - started, 2),
        }
        report(Event("ready", facts=facts))
        rest_after_start()
        await asyncio.Event().wait()
