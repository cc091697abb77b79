"""Events on the terminal: one JSON object a line for machines, one coloured line for people."""

from __future__ import annotations

import sys

import orjson

from dougong.stack.events import Event, Report

__all__ = ["make_printer", "print_json"]


def print_json(event: Event) -> None:
    """One JSON object a line, at once: whoever reads it waits for it."""
    sys.stdout.buffer.write(orjson.dumps({"event": event.kind, "name": event.name, **event.facts}) + b"\n")
    sys.stdout.buffer.flush()


def make_printer() -> Report:
    from rich.console import Console
    from rich.markup import escape

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
            console.print(f"[{colour}]●[/] [bold]{event.name:<10}[/] {facts['service']}: {escape(str(facts['error']))}")
            if facts["remedy"]:
                console.print(f"  {'':<10} → {facts['remedy']}", markup=False)

    return show
