"""`dougong verify`, `dougong light-node` and `dougong verifying-node`: checking a stack that runs elsewhere."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from dougong.cli.ending import run
from dougong.cli.output import print_json
from dougong.errors import NotFound
from dougong.stack.disk import Disk
from dougong.stack.events import Event
from dougong.stack.nodes import LightFindings, light_check, verifying_node
from dougong.stack.reading import load
from dougong.stack.trust import Trust, read_trust

__all__ = ["light_node_command", "locate", "verify_command", "verifying_node_command"]

FOLLOW_S = 1.0


def verify_command(stack: Path | None, api: str | None, trust_file: Path | None, *, as_json: bool) -> None:
    """One pass of a light node, from nothing."""
    url, trust = locate(stack, api, trust_file)
    with tempfile.TemporaryDirectory(prefix="dougong-verify-") as folder:
        findings = run(_light_once(url, trust, Path(folder)))
    report(findings, as_json=as_json)


def light_node_command(
    stack: Path | None, api: str | None, trust_file: Path | None, folder: Path, *, once: bool, as_json: bool
) -> None:
    """As `verify`, with a folder that remembers, and on and on unless `once`."""
    url, trust = locate(stack, api, trust_file)
    if once:
        report(run(_light_once(url, trust, folder)), as_json=as_json)
    else:
        run(_light_follow(url, trust, folder, as_json=as_json))


def verifying_node_command(
    rollup: str, stack: Path | None, api: str | None, trust_file: Path | None, folder: Path, *, until: int | None, as_json: bool
) -> None:
    """Rebuilds a rollup; ends at block `until`, if that is given."""
    url, trust = locate(stack, api, trust_file)
    run(_verifying(url, trust, rollup, folder, until, as_json=as_json))


def locate(stack: Path | None, api: str | None, trust_file: Path | None) -> tuple[str, Trust]:
    """The URL of a running stack and the facts to trust about it: as given, or from the `data_dir` that stack.toml names."""
    if api is None or trust_file is None:
        disk = Disk(load(stack).data_dir)
        trust_file = trust_file or disk.trust
        if api is None:
            running = disk.read(disk.running)
            if running is None:
                raise NotFound(f"no stack runs on {disk.root}", remedy="start it with `dougong up`, or name a URL with --api")
            api = str(json.loads(running)["url"])
    return api.rstrip("/"), read_trust(trust_file)


def report(findings: LightFindings, *, as_json: bool) -> None:
    if as_json:
        print_json(Event("report", facts=_facts(findings)))
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for line in findings.verified:
        console.print(f"[green]checked[/]  {line}")
    for line in findings.trusted:
        console.print(f"[yellow]trusted[/]  {line}")
    spent = ", ".join(f"{square.bytes_received:,} bytes in {square.seconds:.2f} s" for square in findings.squares)
    console.print(f"sampling took {spent}")


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
                "state": found.state.hex(),
            }
            for settlement in settlements
            for found in settlement.rollups
        },
        "verified": findings.verified,
        "trusted": findings.trusted,
    }


async def _light_once(url: str, trust: Trust, folder: Path) -> LightFindings:
    async with light_check(url, trust, folder) as check:
        return await check()


async def _light_follow(url: str, trust: Trust, folder: Path, *, as_json: bool) -> None:
    async with light_check(url, trust, folder) as check:
        while True:
            findings = await check()
            if as_json:
                print_json(Event("checked", facts=_facts(findings)))
            else:
                print(
                    ", ".join(f"{square.chain_id}: {square.height} blocks, {square.cells} cells" for square in findings.squares)
                )
            await asyncio.sleep(FOLLOW_S)


async def _verifying(url: str, trust: Trust, rollup: str, folder: Path, until: int | None, *, as_json: bool) -> None:
    async with verifying_node(url, trust, rollup, folder) as node:
        height = 0
        while True:
            await node.reach(height + 1 if until is None else until)
            height = node.node.follower.position.number if until is None else until
            facts = await node.report(height)
            if as_json:
                print_json(Event("checked" if until is None else "report", rollup, facts))
            else:
                print(f"{rollup}: block {height} is {facts['block_hash']}, state root {facts['state_root']}")
            if until is not None:
                return
