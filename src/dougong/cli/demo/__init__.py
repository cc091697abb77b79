"""The main job, from deposit to withdrawal, on real input and through sockets only.

    demo(Options(transactions=2_400, accounts=120), keep=None, as_json=False)

The stack is a process (`dougong up`), the light node and the verifying nodes are processes; this one is their users.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from dougong.cli.demo.figures import gather, table
from dougong.cli.demo.phases import PHASES, Phase
from dougong.cli.demo.scene import Options, Scene, write_stack_toml
from dougong.cli.demo.stage import running_stack
from dougong.cli.ending import run
from dougong.errors import ConfigError

__all__ = ["Options", "demo"]

Tell = Callable[[str, float | None], None]


def demo(options: Options, *, keep: Path | None, as_json: bool) -> None:
    """Raises `Divergence` if any root differs, or anything else is not as it must be. `keep`: where its data is left."""
    folder = _folder(keep)
    try:
        with nullcontext(_silent) if as_json else _progress() as tell:
            figures = run(perform(options, folder, tell))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print(json.dumps(figures))
    else:
        _show(figures)


async def perform(options: Options, folder: Path, tell: Tell, phases: Mapping[str, Phase] = PHASES) -> dict[str, Any]:
    """All phases, in a folder that is empty; returns the figures."""
    write_stack_toml(folder / "stack.toml")
    seconds: dict[str, float] = {}
    started = _begin("start the stack", tell)
    async with running_stack(folder / "stack.toml") as (_, facts):
        scene = await Scene.open(options, folder, facts)
        try:
            _end("start the stack", started, seconds, tell)
            for name, phase in phases.items():
                started = _begin(name, tell)
                await phase(scene)
                _end(name, started, seconds, tell)
            return await gather(scene, seconds)
        finally:
            await scene.aclose()


def _begin(name: str, tell: Tell) -> float:
    tell(name, None)
    return time.monotonic()


def _end(name: str, started: float, seconds: dict[str, float], tell: Tell) -> None:
    seconds[name] = time.monotonic() - started
    tell(name, seconds[name])


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="dougong-demo-"))
    try:
        keep.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--keep {keep}: {error.strerror}", remedy="name a folder that does not exist yet") from error
    return keep.resolve()


def _silent(name: str, seconds: float | None) -> None:
    return


@contextmanager
def _progress() -> Iterator[Tell]:
    """A line for each phase: a spinner while it runs, its time when it is done."""
    from rich.console import Console

    console = Console(highlight=False, stderr=True)
    with console.status("") as status:

        def tell(name: str, seconds: float | None) -> None:
            if seconds is None:
                status.update(name)
            else:
                console.print(f"[green]✓[/] {name:<32} {seconds:6.2f} s")

        yield tell


def _show(figures: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(table(figures))
    console.print("Still trusted:")
    for line in figures["trusted"]:
        console.print(f"  · {line}", markup=False)
