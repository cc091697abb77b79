"""What a drill says: one line for each thing that happened, and one for each expectation that was observed or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dougong.errors import DougongError

__all__ = ["Drill", "Line", "NotObserved"]


@dataclass(frozen=True, slots=True)
class Line:
    """`kind` is "did" for what the drill did, "saw" for an expectation that was observed. `facts` are its figures."""

    kind: str
    text: str
    facts: dict[str, Any]


class NotObserved(DougongError):
    """Something that must follow from the attack did not: the defence is broken, or the drill is."""


@dataclass(slots=True)
class Drill:
    """One drill's report as it grows; `tell` hears every line at once."""

    name: str
    title: str
    tell: Callable[[Line], None]
    lines: list[Line] = field(default_factory=list)

    def did(self, text: str, **facts: Any) -> None:
        self._add(Line("did", text, facts))

    def saw(self, observed: bool, text: str, **facts: Any) -> None:
        """Raises `NotObserved` unless it was."""
        if not observed:
            raise NotObserved(
                f"{self.title}: not observed: {text} {facts or ''}".strip(), remedy="run again with --keep and read the log"
            )
        self._add(Line("saw", text, facts))

    def summary(self) -> dict[str, Any]:
        lines = [{"kind": line.kind, "text": line.text, **line.facts} for line in self.lines]
        return {"drill": self.name, "title": self.title, "lines": lines}

    def _add(self, line: Line) -> None:
        self.lines.append(line)
        self.tell(line)
