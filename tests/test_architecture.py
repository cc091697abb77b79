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
# Inside a room that is divided: who may import whom. What is not named imports none of its neighbours.
INSIDE: dict[str, dict[str, frozenset[str]]] = {
    "availability": {
        "square": frozenset(),
        "kzg": frozenset({"square"}),  # which blobs and namespaces there are
        "chain": frozenset({"square"}),
        "celestia": frozenset({"square", "chain"}),
        "ethereum": frozenset({"square", "kzg"}),
    },
    "services": {"rollup": frozenset(), "nodes": frozenset({"rollup"})},
}
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))
LINE_LIMIT = 450


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_names(tree: ast.AST) -> set[str]:
    """The dotted names of the modules that are imported."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


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


DIVIDED = [path for path in FILES if room_of(path) in INSIDE]


@pytest.mark.parametrize("path", DIVIDED, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_parts_of_a_room_know_only_those_below(path: Path) -> None:
    room, part = path.relative_to(PACKAGE).parts[:2]
    known = INSIDE[room]
    if part.endswith(".py"):
        return  # what the parts share, or what joins them
    assert part in known, f"{room}/{part} is not drawn in INSIDE and in docs/map.md"
    for name in imported_names(ast.parse(path.read_text())):
        other = name.split(".")[2] if name.startswith(f"dougong.{room}.") else part
        assert other == part or other not in known or other in known[part], f"{room}/{part}/{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_cancellation_is_lost(path: Path) -> None:
    """`asyncio.wait_for` of Python 3.11 forgets that it was cancelled when what it waits for is done at that moment: a service in
    a loop then never stops. `asyncio.timeout` does not."""
    assert "asyncio.wait_for(" not in path.read_text()
