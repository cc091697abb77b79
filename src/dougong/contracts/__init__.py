"""The compiled contracts, and what a genesis block needs of them.

    settlement = artifact("Settlement")
    settlement.abi, settlement.bytecode, settlement.runtime, settlement.layout

`python -m dougong.contracts` compiles the Vyper sources beside this file (and `examples/contracts` in a checkout) into
`build/*.json`; the installed package reads only those, and needs no compiler.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dougong.errors import NotFound

__all__ = ["Artifact", "artifact"]

BUILD = Path(__file__).parent / "build"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract. `layout` is the compiler's storage layout: variable (or module, then variable) -> slot."""

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    runtime: bytes
    layout: dict[str, Any]

    def slot(self, *path: str) -> int:
        """The storage slot of a variable: `slot("root")`, or `slot("claims", "posted_claims")` for one of a module's."""
        entry = self.layout
        for name in path:
            entry = entry[name]
        return int(entry["slot"])


@cache
def artifact(name: str) -> Artifact:
    """Raises `NotFound` when the contract has not been compiled."""
    try:
        built = json.loads((BUILD / f"{name}.json").read_text())
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no compiled contract {name}", remedy="run `make contracts` (python -m dougong.contracts)"
        ) from error
    return Artifact(
        name=name,
        abi=tuple(built["abi"]),
        bytecode=bytes.fromhex(built["bytecode"]),
        runtime=bytes.fromhex(built["runtime"]),
        layout=built["layout"],
    )
