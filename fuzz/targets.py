"""Every target, by its name."""

from __future__ import annotations

from fuzz import availability, celestia, codec, consensus, evidence, execution, kzg
from fuzz.target import Target

__all__ = ["TARGETS"]

TARGETS: dict[str, Target] = {
    target.name: target
    for room in (availability, evidence, celestia, kzg, consensus, codec, execution)
    for target in room.TARGETS
}
