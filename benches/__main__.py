"""Runs a suite: `python -m benches core`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def suites() -> dict[str, list[str]]:
    """The modules of each suite, by the part of their name before the first underscore."""
    found: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("[!_]*_*.py")):
        found.setdefault(path.name.split("_", 1)[0], []).append(path.stem)
    return found


def main(arguments: list[str]) -> int:
    known = suites()
    if len(arguments) != 1 or arguments[0] not in known:
        print(f"usage: python -m benches SUITE, where SUITE is one of: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in known[arguments[0]]:
        for line in importlib.import_module(f"benches.{name}").run():
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
