"""Contracts that misbehave, compiled when a test wants them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dougong.contracts import Artifact
from dougong.contracts.__main__ import compile_contract

SOURCES = Path(__file__).parent


@cache
def attacker(name: str) -> Artifact:
    built = compile_contract(SOURCES / f"{name}.vy", key="")
    return Artifact(name, tuple(built["abi"]), bytes.fromhex(built["bytecode"]), bytes.fromhex(built["runtime"]), built["layout"])
