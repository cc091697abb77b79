"""`dougong verify`, `dougong light-node` and `dougong verifying-node`: checking a stack that runs elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from dougong.cli.ending import run
from dougong.cli.logs import make_log
from dougong.cli.output import print_json
from dougong.errors import ConfigError, NotFound, Unavailable
from dougong.rpc.server import RpcServer
from dougong.services.nodes.light_node import LightConfig
from dougong.services.rollup.keeping import Keeping, KeepingConfig
from dougong.stack.config import host_and_port
from dougong.stack.disk import Disk
from dougong.stack.events import Event
from dougong.stack.nodes import LightFindings, MeteredNode, light_check, verifying_node
from dougong.stack.reading import load
from dougong.stack.trust import Trust, read_trust

__all__ = ["Sampling", "Serving", "bound", "light_node_command", "locate", "verify_command", "verifying_node_command"]

FOLLOW_S = 1.0
CELESTIA_TOKEN = "DOUGONG_CELESTIA_TOKEN"  # for the node of a Celestia network


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the command line says of it; None: as `LightConfig` has it."""

    confidence: float | None = None
    samples: int | None = None
    window_days: float | None = None

    def config(self) -> LightConfig:
        if self.confidence is not None and not 0.0 < self.confidence < 1.0:
            raise ConfigError(f"--confidence {self.confidence}: a confidence lies between 0 and 1", remedy="such as 0.99")
        if self.confidence is not None and self.samples is not None:
            raise ConfigError("--confidence and --samples both say how many cells are sampled", remedy="give one of them")
        chosen = LightConfig(confidence=self.confidence)
        chosen = chosen if self.samples is None else replace(chosen, samples=self.samples)
        return chosen if self.window_days is None else replace(chosen, window_s=self.window_days * 86_400)


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a verifying node shows what it has derived (None: nowhere), to whom it hands transactions on, and with which
    snapshot, under which claim, an empty folder begins (None: with the genesis block). `history`: of how many blocks under the
    finalized head states are kept (None: of all). `soft`: whether the sequencer's word is `latest`."""

    listen: str | None = None
    sequencer: str | None = None
    snapshot: Path | None = None
    claim: str | None = None
    history: int | None = None
    soft: bool = False

    def beginning(self) -> tuple[Path, bytes] | None:
        if self.snapshot is None and self.claim is None:
            return None
        if self.snapshot is None or self.claim is None:
            raise ConfigError("--snapshot and --claim go together", remedy="give both, or neither")
        try:
            identity = bytes.fromhex(self.claim.removeprefix("0x"))
        except ValueError:
            identity = b""
        if len(identity) != 32:
            raise ConfigError(f"--claim {self.claim} is not a claim's id", remedy="0x and 64 hexadecimal digits")
        return self.snapshot, identity


def verify_command(
    stack: Path | None, api: str | None, trust_file: Path | None, peers: Sequence[str], sampling: Sampling, *, as_json: bool
) -> None:
    """One pass of a light node, from nothing."""
    url, trust = locate(stack, api, trust_file, peers)
    with tempfile.TemporaryDirectory(prefix="dougong-verify-") as folder:
        findings = run(_light_once(url, trust, Path(folder), sampling.config()))
    report(findings, as_json=as_json)
    refuse(findings)


def light_node_command(
    stack: Path | None,
    api: str | None,
    trust_file: Path | None,
    folder: Path,
    peers: Sequence[str],
    sampling: Sampling,
    *,
    once: bool,
    as_json: bool,
) -> None:
    """As `verify`, with a folder that remembers, and on and on unless `once`."""
    url, trust = locate(stack, api, trust_file, peers)
    config = sampling.config()
    if once:
        findings = run(_light_once(url, trust, folder, config))
        report(findings, as_json=as_json)
        refuse(findings)
    else:
        run(_light_follow(url, trust, folder, config, as_json=as_json))


def verifying_node_command(
    rollup: str,
    stack: Path | None,
    api: str | None,
    trust_file: Path | None,
    folder: Path,
    peers: Sequence[str],
    serving: Serving,
    *,
    until: int | None,
    as_json: bool,
) -> None:
    """Rebuilds a rollup; ends at block `until`, if that is given."""
    url, trust = locate(stack, api, trust_file, peers)
    if serving.sequencer is not None and not serving.sequencer.startswith(("http://", "https://")):
        raise ConfigError(f"--sequencer {serving.sequencer} is not a URL", remedy="such as http://203.0.113.7:8545/alpha")
    run(_verifying(url, trust, rollup, folder, serving, until, as_json=as_json))


def locate(stack: Path | None, api: str | None, trust_file: Path | None, peers: Sequence[str] = ()) -> tuple[str, Trust]:
    """The URL of a running stack and the facts to trust about it: as given, or from the `data_dir` that stack.toml names.
    `peers` join those that the trust file lists."""
    if api is None or trust_file is None:
        disk = Disk(load(stack).data_dir)
        trust_file = trust_file or disk.trust
        if api is None:
            running = disk.read(disk.running)
            if running is None:
                raise NotFound(f"no stack runs on {disk.root}", remedy="start it with `dougong up`, or name a URL with --api")
            api = str(json.loads(running)["url"])
    trust = read_trust(trust_file)
    for url in peers:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--peer {url} is not a URL", remedy="such as http://203.0.113.7:8545")
    return api.rstrip("/"), trust.model_copy(update={"peers": (*trust.peers, *peers)})


def bound(listen: str) -> RpcServer:
    try:
        host, port = host_and_port(listen)
    except ValueError:
        raise ConfigError(f"--listen {listen} is not an address", remedy="such as 0.0.0.0:8600") from None
    return RpcServer.bind(host, port)


def report(findings: LightFindings, *, as_json: bool) -> None:
    if as_json:
        print_json(Event("report", facts=_facts(findings)))
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for line in findings.verified:
        console.print(f"[green]checked[/]  {line}")
    for refused in findings.refused:
        for line in refused.lines:
            console.print(f"[red]refused[/]  {line}")
    for line in findings.trusted:
        console.print(f"[yellow]trusted[/]  {line}")
    spent = ", ".join(f"{square.bytes_received:,} bytes in {square.seconds:.2f} s" for square in findings.squares)
    if spent:
        console.print(f"sampling took {spent}")


def refuse(findings: LightFindings) -> None:
    """Raises what makes a DA chain refused: what is built on it must not be used."""
    for refused in findings.refused:
        raise refused.error


def _facts(findings: LightFindings) -> dict[str, object]:
    squares, settlements = findings.squares, findings.settlements
    return {
        "height": {square.chain_id: square.height for square in squares},
        "cells": sum(square.cells for square in squares),
        "confidence": min((square.confidence for square in squares), default=0.0),
        "bytes_received": sum(square.bytes_received for square in squares),
        "seconds": round(sum(square.seconds for square in squares), 3),
        "attested_height": max((settlement.attested_height for settlement in settlements), default=0),
        "rollups": {
            found.name: {
                "batches": found.batches,
                "claims": found.claims,
                "claimed": found.claimed_batches,
                "data_window": found.data_window,
                "state": found.state.hex(),
            }
            for settlement in settlements
            for found in settlement.rollups
        },
        "old": sum(square.old for square in squares),
        "alarms": [
            {"chain": square.chain_id, "height": alarm.height, "cells": alarm.cells, "why": alarm.why, "lasts": alarm.lasts}
            for square in squares
            for alarm in square.alarms
        ],
        "peers": [
            {"url": peer.url, "asked": peer.asked, "points": peer.points, "dropped": peer.dropped, "why": peer.why}
            for square in squares
            for peer in square.peers
        ],
        "refused": [line for refused in findings.refused for line in refused.lines],
        "verified": findings.verified,
        "trusted": findings.trusted,
    }


async def _light_once(url: str, trust: Trust, folder: Path, config: LightConfig) -> LightFindings:
    async with light_check(url, trust, folder, config, log=make_log(folder / "log.jsonl")) as check:
        return await check()


async def _light_follow(url: str, trust: Trust, folder: Path, config: LightConfig, *, as_json: bool) -> None:
    async with light_check(url, trust, folder, config, log=make_log(folder / "log.jsonl")) as check:
        while True:
            try:
                findings = await check()
            except Unavailable as error:
                print(f"waiting: {error}", file=sys.stderr)
                await asyncio.sleep(FOLLOW_S)
                continue
            if as_json:
                print_json(Event("checked", facts=_facts(findings)))
            else:
                print(
                    ", ".join(f"{square.chain_id}: {square.height} blocks, {square.cells} cells" for square in findings.squares)
                )
            for refused in findings.refused:
                print("\n".join(refused.lines), file=sys.stderr)
                if not isinstance(refused.error, Unavailable):  # what is withheld may turn up; what is rejected will not
                    raise refused.error
            await asyncio.sleep(FOLLOW_S)


async def _verifying(
    url: str, trust: Trust, rollup: str, folder: Path, serving: Serving, until: int | None, *, as_json: bool
) -> None:
    token = os.environ.get(CELESTIA_TOKEN, "")
    async with AsyncExitStack() as closing:
        server = None if serving.listen is None else bound(serving.listen)
        if server is not None:
            closing.callback(server.close)
        node = await closing.enter_async_context(
            verifying_node(
                url,
                trust,
                rollup,
                folder,
                celestia_token=token,
                server=server,
                sequencer=serving.sequencer,
                snapshot=serving.beginning(),
                soft=serving.soft,
            )
        )
        async with asyncio.TaskGroup() as group:
            serves = None
            if server is not None:
                facts: dict[str, object] = {"url": server.url(rollup)}
                print_json(Event("listening", rollup, facts)) if as_json else print(f"{rollup}: JSON-RPC at {facts['url']}")
                serves = group.create_task(server.run())
            keeping = Keeping(node.node.chain, KeepingConfig(states=serving.history), folder / "snapshots")
            keeps = group.create_task(keeping.run())
            await _rebuild(node, rollup, until, as_json=as_json)
            keeps.cancel()
            if serves is not None:
                serves.cancel()


def _aged(facts: dict[str, object]) -> str:
    """Of a rollup that settles: how old data may be that settlement takes."""
    window = facts["data_window"]
    if window is None:
        return ""
    return f"; batches' data at most {window} DA heights old when appended" if window else "; batches' data may be of any age"


async def _rebuild(node: MeteredNode, rollup: str, until: int | None, *, as_json: bool) -> None:
    height = 0
    while True:
        try:
            await node.reach(height + 1 if until is None else until)
        except Unavailable as error:
            if until is not None:
                raise
            print(f"waiting: {error}", file=sys.stderr)  # what is derived is served meanwhile
            await asyncio.sleep(FOLLOW_S)
            continue
        height = node.node.follower.position.number if until is None else until
        facts = await node.report(height)
        if as_json:
            print_json(Event("checked" if until is None else "report", rollup, facts))
        else:
            print(f"{rollup}: block {height} is {facts['block_hash']}, state root {facts['state_root']}{_aged(facts)}")
        if until is not None:
            return
