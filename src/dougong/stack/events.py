"""What a stack says about itself while it starts and runs, for people and for machines.

    report(Event("chain", "square", {"layer": "availability", "url": url}))

Kinds: `chain` once for each chain that is up, `deployed` for a settlement contract, `ready`; whenever it happens `waiting` (a
service met an error and tries again) and `failed` (its chain is stopped for good).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Event", "Report"]


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is the chain's, or empty for the whole stack; `facts` are JSON values."""

    kind: str
    name: str = ""
    facts: dict[str, object] = field(default_factory=dict)


Report = Callable[[Event], None]
