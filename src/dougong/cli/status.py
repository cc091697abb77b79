"""`dougong status`: what a running stack says of itself. Nothing here is checked; `dougong verify` does that."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson

from dougong.cli.ending import run
from dougong.errors import NotFound, Unavailable
from dougong.net.document import fetch_json
from dougong.stack.disk import Disk
from dougong.stack.reading import load

__all__ = ["status"]


def status(stack: Path | None, api: str | None, *, as_json: bool) -> None:
    url = (api or _running(stack)).rstrip("/")
    info, heads = run(_ask(url))
    if as_json:
        answer = {"url": url, "heads": heads} | {key: info[key] for key in ("chains", "services", "markets", "fees")}
        print(orjson.dumps(answer).decode())
    else:
        _show(url, info, heads)


def _running(stack: Path | None) -> str:
    disk = Disk(load(stack).data_dir)
    raw = disk.read(disk.running)
    if raw is None:
        raise NotFound(f"no stack runs on {disk.root}", remedy="start it with `dougong up`, or name a URL with --api")
    return str(json.loads(raw)["url"])


async def _ask(url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        info: dict[str, Any] = await fetch_json(f"{url}/stack", seconds=10)
        answers = await asyncio.gather(*(fetch_json(f"{url}/{name}", seconds=10) for name in info["chains"]))
        return info, dict(zip(info["chains"], answers, strict=True))
    except Unavailable as error:
        raise Unavailable(f"no stack answers at {url}: {error}", remedy="start it with `dougong up`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"what answers at {url} is no dougong stack: {error!r}", remedy="check the URL") from error


def _show(url: str, info: dict[str, Any], heads: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    chains = Table("chain", "layer", "latest", "safe", "finalized", "services", title=f"stack at {url}", title_justify="left")
    for name, facts in info["chains"].items():
        services = [service for service in info["services"] if service["chain"] == name]
        head = heads[name]
        row = [str(head.get(key, "")) for key in ("latest", "safe", "finalized")]
        chains.add_row(name, facts["layer"], *row, _summary(services))
    console.print(chains)
    for name, market in info["markets"].items():
        console.print(_market(name, market), markup=False)
    for name, fees in info["fees"].items():
        console.print(_fees(name, fees), markup=False)
    for service in info["services"]:
        if service["error"]:
            console.print(f"{service['chain']} {service['service']}, {service['state']}: {service['error']}", markup=False)
            if service["remedy"]:
                console.print(f"  → {service['remedy']}", markup=False)


def _market(name: str, market: dict[str, Any]) -> str:
    """Amounts in TIA, base fees in utia a gas."""
    fee, floor = (market[key] / 10**9 for key in ("base_fee", "min_base_fee"))
    use = f"squares {market['used_percent']} % full, {market['waiting_txs']} waiting"
    balances = ", ".join(f"{role} {entry['utia'] / 10**6:g} TIA" for role, entry in market["balances"].items())
    return f"{name}: base fee {fee:g} utia/gas (floor {floor:g}), {use}; {balances}"


def _fees(name: str, fees: dict[str, Any]) -> str:
    """Amounts in the rollup's ether. Prices in gwei."""
    revenue, cost = (int(fees[key]) / 10**18 for key in ("revenue_wei", "cost_wei"))
    settling = int(fees["settlement_cost_wei"]) / 10**18
    spent = f"{int(fees['availability_cost']):,} {fees['unit'] or 'spent'} on DA, {settling:.3g} ether on settlement"
    tip = int(fees["suggested_tip_wei"]) / 10**9
    return (
        f"{name}: fees {revenue:.3g} ether, cost {cost:.3g} ether ({spent}) in {fees['batches']} batches; least tip {tip:g} gwei"
    )


def _summary(services: list[dict[str, Any]]) -> str:
    well = [service for service in services if service["state"] in ("running", "finished")]
    return f"{len(well)} of {len(services)} well"
