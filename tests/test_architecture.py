"""Imports go down the floors only, and rooms on one floor do not know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dougong

PACKAGE = Path(dougong.__file__).parent

# From the ground up; see docs/map.md. A room may import rooms of lower floors, and nothing else of ours.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset({"types", "_native"}),
    frozenset({"interfaces"}),
    frozenset({"crypto", "codec", "store", "net", "contracts"}),
    frozenset({"testing"}),
    frozenset({"availability", "consensus", "execution", "settlement", "proofs", "interop", "market", "risk"}),
    frozenset({"services"}),
    frozenset({"rpc"}),
    frozenset({"stack"}),
    frozenset({"cli"}),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))
LINE_LIMIT = 450


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(tree: ast.AST, package: str) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{package}: relative imports hide the direction"
            names = [node.module or ""]
            if node.module == "dougong":
                names = [f"dougong.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("dougong.")}
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    assert room in FLOOR_OF, f"{room} has no floor: give it one in FLOORS and in docs/map.md"
    for other in imported_rooms(ast.parse(path.read_text()), room):
        if other == room or other.startswith("__"):
            continue
        assert other in FLOOR_OF, f"{path.name} imports the unknown room {other}"
        assert FLOOR_OF[other] < FLOOR_OF[room], f"{room}/{path.name} imports {other}, which is not on a lower floor"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_a_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINE_LIMIT, f"{path} holds more than one subject"
