"""`dougong up`: a stack in this process until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import orjson

from dougong.cli.ending import run
from dougong.cli.logs import make_log
from dougong.stack.events import Event, Report
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
        await asyncio.Event().wait()


def print_json(event: Event) -> None:
    """One JSON object a line, at once: whoever reads it waits for it."""
    sys.stdout.buffer.write(orjson.dumps({"event": event.kind, "name": event.name, **event.facts}) + b"\n")
    sys.stdout.buffer.flush()


def make_printer() -> Report:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)

    def show(event: Event) -> None:
        facts = event.facts
        if event.kind == "chain":
            console.print(f"[green]●[/] [bold]{event.name:<10}[/] {facts['layer']:<13} {facts['url']}")
        elif event.kind == "deployed":
            console.print(f"  [bold]{event.name:<10}[/] contracts at {facts['settlement']}")
        elif event.kind == "ready":
            console.print(f"[green]Ready[/] after {facts['seconds']} s at {facts['url']}   (Ctrl-C stops, `dougong up` resumes)")
        else:
            colour = "red" if event.kind == "failed" else "yellow"
            console.print(f"[{colour}]●[/] [bold]{event.name:<10}[/] {facts['service']}: {facts['error']}", markup=True)
            if facts["remedy"]:
                console.print(f"  {'':<10} → {facts['remedy']}", markup=False)

    return show
