"""`dougong full-node`: the node that downloads every square, and tells everybody when one is badly encoded.

Each DA chain is followed by itself: one that is withheld, or whose peers lie, stops no other. Where it listens, a node that has
convicted a block stays: the proof and what lies below is what it is asked for then.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from dougong.availability.square.fraud import BadBlock
from dougong.cli.ending import run
from dougong.cli.logs import make_log
from dougong.cli.nodes import bound, locate
from dougong.cli.output import print_json
from dougong.errors import ConfigError, DougongError, InvalidInput, Unavailable
from dougong.services.nodes.full_node import FullNode, SquareWithheld
from dougong.stack.events import Event
from dougong.stack.full_nodes import full_node
from dougong.stack.trust import Trust

__all__ = ["Keeping", "full_node_command"]

FOLLOW_S = 1.0
TELL_S = 30.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where what was checked is kept, of how many heights the squares are (None: all), and where they are shown."""

    folder: Path
    blocks: int | None = None
    listen: str | None = None


def full_node_command(
    stack: Path | None,
    api: str | None,
    trust_file: Path | None,
    peers: Sequence[str],
    name: str | None,
    keeping: Keeping,
    *,
    once: bool,
    as_json: bool,
) -> None:
    """Raises `SquareWithheld` (with `once`) and `BadBlock`. Without `api` the first of the peers is in its place."""
    if api is None and trust_file is not None and peers:
        api, *peers = peers
    url, trust = locate(stack, api, trust_file, peers)
    if keeping.listen is not None and once:
        raise ConfigError("--once ends after one pass, and --listen is for who stays", remedy="give one of them")
    run(_full_nodes(url, trust, [name] if name else list(trust.availability), keeping, once=once, as_json=as_json))


async def _full_nodes(url: str, trust: Trust, names: Sequence[str], keeping: Keeping, *, once: bool, as_json: bool) -> None:
    if not names:
        raise ConfigError("the trust file has no DA chain of squares", remedy="take it from a stack that has one")
    server = None if keeping.listen is None else bound(keeping.listen)
    log = make_log(keeping.folder / "log.jsonl")
    async with AsyncExitStack() as closing:
        if server is not None:
            closing.callback(server.close)
        nodes = {
            name: await closing.enter_async_context(
                full_node(url, trust, name, keeping.folder / name, server=server, blocks=keeping.blocks, log=log)
            )
            for name in names
        }
        if once:
            await _once(nodes, as_json=as_json)
            return
        async with asyncio.TaskGroup() as group:
            if server is not None:
                _say(as_json, "listening", "", {"url": server.origin})
                group.create_task(server.run())
            for name, node in nodes.items():
                group.create_task(_follow(name, node, stays=server is not None, as_json=as_json))


async def _once(nodes: dict[str, FullNode], *, as_json: bool) -> None:
    """Every chain is looked at; the first thing that is wrong is raised then."""
    wrong: list[DougongError] = []
    for name, node in nodes.items():
        try:
            await node.check()
        except (BadBlock, SquareWithheld) as error:
            wrong.append(error)
        _say(as_json, "report", name, {"height": node.height})
    if wrong:
        raise wrong[0]


async def _follow(name: str, node: FullNode, *, stays: bool, as_json: bool) -> None:
    said = -1
    while True:
        try:
            await node.check()
        except BadBlock as error:
            if not stays:
                raise
            print(f"{name}: {error}", file=sys.stderr)
            _say(as_json, "rejected", name, {"height": error.proof.height})
            await _tell(node)
        except (Unavailable, InvalidInput) as error:  # what is withheld may turn up; who lied is asked last
            print(f"{name}: waiting: {error}", file=sys.stderr)
        if node.height != said:
            said = node.height
            _say(as_json, "checked", name, {"height": said})
        await asyncio.sleep(FOLLOW_S)


async def _tell(node: FullNode) -> None:
    """For ever: whoever comes later, or was away, is to hear of it too."""
    while True:
        await asyncio.sleep(TELL_S)
        await node.listen()
        await node.tell()


def _say(as_json: bool, kind: str, name: str, facts: dict[str, object]) -> None:
    if as_json:
        print_json(Event(kind, name, facts))
    else:
        said = ", ".join(f"{fact} {value}" for fact, value in facts.items())
        print(f"{name}: {kind}: {said}" if name else f"{kind}: {said}", flush=True)
