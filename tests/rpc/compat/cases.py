"""The cases of ethereum/execution-apis `tests/`: what is asked, what was answered, and whether our answer is that one.

    case = read_case(folder / "eth_chainId" / "get-chain-id.io")
    for request, expected in case.exchanges:
        assert difference(json.loads(answer), expected, spec_only=case.spec_only) is None

The rules are hive's (`simulators/ethereum/rpc-compat/main.go`): the answer is the same JSON, but for the words of errors; numbers
are compared as numbers. Where a case says `speconly` any answer of the method's schema will do: we want the recorded answer's
fields, all of them (but the `OPTIONAL` ones) and with the same types of values.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Case", "difference", "find_cases", "read_case"]

OPTIONAL = frozenset({"deleteStrategy"})  # recorded fields that the method's schema lets out

VECTORS = Path(os.environ.get("DOUGONG_VECTORS", Path(__file__).parents[4] / "shared" / "vectors")) / "rpc-compat"


@dataclass(frozen=True, slots=True)
class Case:
    """`name`: method/file. `exchanges`: each request's bytes and the answer that it wants."""

    name: str
    spec_only: bool
    exchanges: tuple[tuple[bytes, dict[str, Any]], ...]

    @property
    def method(self) -> str:
        return self.name.split("/")[0]


def find_cases(folder: Path = VECTORS) -> list[Path]:
    """In hive's order; none where the vectors are not."""
    return sorted(folder.glob("*/*.io"))


def read_case(path: Path) -> Case:
    requests, answers, comments = [], [], []
    for line in path.read_text().splitlines():
        match line[:3]:
            case ">> ":
                requests.append(line[3:].encode())
            case "<< ":
                answers.append(json.loads(line[3:]))
            case _:
                comments.append(line)
    spec_only = any("speconly:" in comment for comment in comments)
    return Case(f"{path.parent.name}/{path.stem}", spec_only, tuple(zip(requests, answers, strict=True)))


def difference(ours: Any, wanted: Any, *, spec_only: bool) -> str | None:
    """Where the two part, and how; None where they do not."""
    if spec_only and "error" not in ours:
        return _shape(ours, wanted, "")
    return _exact(ours, wanted, "")


def _exact(ours: Any, wanted: Any, place: str) -> str | None:
    if isinstance(ours, dict) and isinstance(wanted, dict):
        silent = {"message"} if place.endswith(".error") and "message" in ours and "message" in wanted else set()
        missing, more = wanted.keys() - ours.keys(), ours.keys() - wanted.keys()
        if missing or more:
            return f"{place}: lacks {sorted(missing)}, has {sorted(more)} too"
        return _first(_exact(ours[key], wanted[key], f"{place}.{key}") for key in wanted.keys() - silent)
    if isinstance(ours, list) and isinstance(wanted, list):
        if len(ours) != len(wanted):
            return f"{place}: has {len(ours)} items, not {len(wanted)}"
        return _first(_exact(one, other, f"{place}[{i}]") for i, (one, other) in enumerate(zip(ours, wanted, strict=True)))
    same = ours == wanted and isinstance(ours, bool) == isinstance(wanted, bool)
    return None if same else f"{place}: {_short(ours)}, not {_short(wanted)}"


def _shape(ours: Any, wanted: Any, place: str) -> str | None:
    if _kind(ours) != _kind(wanted):
        return f"{place}: {_short(ours)} is not of the kind of {_short(wanted)}"
    if isinstance(wanted, dict):
        missing = wanted.keys() - ours.keys() - OPTIONAL
        if missing:
            return f"{place}: lacks {sorted(missing)}"
        return _first(_shape(ours[key], wanted[key], f"{place}.{key}") for key in wanted.keys() & ours.keys())
    if isinstance(wanted, list) and wanted and not ours:
        return f"{place}: is empty"
    if isinstance(wanted, list) and wanted:
        return _first(_shape(one, wanted[0], f"{place}[{i}]") for i, one in enumerate(ours))
    return None


def _kind(value: Any) -> type:
    return float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)


def _first(found: Any) -> str | None:
    return next((one for one in found if one is not None), None)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
