"""python -m fuzz [TARGET ...] [--seconds N]: without targets all of them, each as often as its `runs` says, with a fixed seed.

With `--seconds` a target runs for so long instead, and its corpus is kept in `fuzz/corpus/`. Exits 1 with the findings' paths, 3
where atheris does not run. Everything is imported once, instrumented; then each target runs in a fork.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz.target import Target

HERE = Path(__file__).parent
FINDINGS, CORPUS = HERE / "findings", HERE / "corpus"
SEED = 20261
INPUT_SECONDS, MEGABYTES, LONGEST_SECONDS = 5, 2048, 15


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzzes every decoder that takes bytes from outside.")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int)
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris does not run here; the tests still mutate every target's seeds", file=sys.stderr)
        return 3
    import atheris

    with atheris.instrument_imports(include=["dougong"]):
        from fuzz.targets import TARGETS
    unknown = sorted(set(options.targets) - set(TARGETS))
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    waiting = [TARGETS[name] for name in options.targets or TARGETS]
    FINDINGS.mkdir(exist_ok=True)
    running: dict[int, tuple[Target, float]] = {}
    well = True
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                target = waiting.pop(0)
                child = os.fork()
                if not child:
                    fuzz(target, Path(folder) / target.name, options.seconds)
                running[child] = target, time.monotonic()
            child, status = os.wait()
            target, started = running.pop(child)
            well &= status == 0
            tell(target, time.monotonic() - started, status, (Path(folder) / target.name / "log").read_text(errors="replace"))
    return int(not well)


def tell(target: Target, seconds: float, status: int, log: str) -> None:
    runs = next((line.split()[1] for line in log.splitlines() if line.startswith("Done ")), "?")
    print(f"{target.name:18} {runs:>8} runs  {seconds:6.1f} s  {'FOUND SOMETHING' if status else 'ok'}", flush=True)
    if status:
        print("\n".join(line for line in log.splitlines() if not line.startswith("#")), flush=True)


def fuzz(target: Target, folder: Path, seconds: int | None) -> None:
    """In a child: never returns."""
    import atheris

    seeds = folder / "seeds"
    seeds.mkdir(parents=True)
    with (folder / "log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    for number, seed in enumerate(target.seeds()):
        (seeds / str(number)).write_bytes(seed)
    arguments = [
        f"-seed={SEED}",
        f"-max_len={target.max_bytes}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-artifact_prefix={FINDINGS}/{target.name}-",
    ]
    if seconds is None:
        arguments += [f"-runs={target.runs}", f"-max_total_time={LONGEST_SECONDS}", str(seeds)]
    else:
        kept = CORPUS / target.name
        kept.mkdir(parents=True, exist_ok=True)
        arguments += [f"-max_total_time={seconds}", str(kept), str(seeds)]
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
