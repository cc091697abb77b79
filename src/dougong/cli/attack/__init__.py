"""`dougong attack`: what happens when a DA chain's producer is dishonest, step by step, on a running stack.

    attack(BAD_ENCODING, keep=None, as_json=False)

Each attack is two drills on two stacks, started in a folder that goes when they end: (a) attestors that look; (b) more than two
thirds that collude. Nothing is acted: the producer is dishonest code in the place of the honest, everybody else is the code that
runs in every stack. Ends without an error only when every expectation was observed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dougong.cli.attack.drills import BAD_ENCODING, WITHHOLD, Attack, colluding_attestors, honest_attestors
from dougong.cli.attack.report import Drill, Line
from dougong.cli.ending import run
from dougong.errors import ConfigError

__all__ = ["ATTACKS", "attack", "perform"]

ATTACKS = {attack.name: attack for attack in (BAD_ENCODING, WITHHOLD)}
DRILLS = (
    ("honest attestors", "the attestors sign only what they downloaded and encoded again", honest_attestors),
    ("colluding attestors", "more than two thirds of the attestors sign without looking", colluding_attestors),
)


def attack(name: str, *, keep: Path | None, as_json: bool) -> None:
    """Raises `NotObserved` for the first expectation that is not met. `keep`: where the stacks' data is left."""
    folder = _folder(keep)
    try:
        reports = run(perform(ATTACKS[name], folder, _silent if as_json else _printer(), _silent_title if as_json else _title))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print(json.dumps({"attack": name, "drills": reports}))


async def perform(
    chosen: Attack, folder: Path, tell: Callable[[Line], None], begin: Callable[[str], None], drills: tuple[int, ...] = (0, 1)
) -> list[dict[str, Any]]:
    """The drills' reports. Each runs in a folder of its own."""
    reports = []
    for number in drills:
        name, title, play = DRILLS[number]
        begin(f"{chosen.name}, ({'ab'[number]}): {title}")
        drill, started = Drill(name, title, tell), time.monotonic()
        home = folder / name.replace(" ", "-")
        home.mkdir(parents=True)
        await play(drill, chosen, home)
        reports.append({**drill.summary(), "seconds": round(time.monotonic() - started, 1)})
    return reports


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="dougong-attack-"))
    try:
        keep.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--keep {keep}: {error.strerror}", remedy="name a folder that does not exist yet") from error
    return keep.resolve()


def _silent(line: Line) -> None:
    return


def _silent_title(title: str) -> None:
    return


def _title(title: str) -> None:
    print(f"\n{title}")


def _printer() -> Callable[[Line], None]:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)

    def show(line: Line) -> None:
        mark = "[green]✓[/]" if line.kind == "saw" else "[yellow]·[/]"
        figures = ", ".join(f"{name} {value}" for name, value in line.facts.items())
        console.print(f"{mark} {escape(line.text)}" + (f"  [dim]{escape(figures)}[/]" if figures else ""))

    return show
