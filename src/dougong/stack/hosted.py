"""The other end of `stack/processes.py`: one rollup of a stack, alone in its process.

    await host(start, lines, say, log)

It opens the rollup as the stack would (`stack/rollups.py`), with its DA chain and its settlement behind the stack's own server,
and serves it at a port of its own on this machine, which the stack's server relays to. It ends when `lines` end: then whoever
started it is gone or wants it to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import structlog

from dougong.rpc.server import RpcServer
from dougong.rpc.throttle import ClientLimits
from dougong.services.supervisor import Supervisor
from dougong.stack.blobs import open_blobs
from dougong.stack.celestia import open_celestia
from dougong.stack.config import CelestiaAvailability, EmbeddedSettlement, EthereumBlobsAvailability, StackConfig
from dougong.stack.context import Context
from dougong.stack.disk import Disk
from dougong.stack.genesis import settle_genesis
from dougong.stack.keys import Keyring
from dougong.stack.layers import Layer
from dougong.stack.metrics import Metrics
from dougong.stack.rollups import OpenRollup, open_rollup
from dougong.stack.settlements import SettlementChain, open_settlement
from dougong.stack.square_elsewhere import SquareElsewhere, open_square_elsewhere

__all__ = ["host"]

HERE = "127.0.0.1"
TELL_S = 0.1
BEAT_S = 2.0
Say = Callable[[dict[str, object]], None]


async def host(
    start: dict[str, Any], lines: AsyncIterator[dict[str, Any]], say: Say, log: structlog.typing.FilteringBoundLogger
) -> None:
    """Raises what keeps the rollup from running."""
    config = StackConfig.model_validate(orjson.loads(start["config"]))
    name, api = start["rollup"], start["api"]
    disk, metrics = Disk(config.data_dir), Metrics()
    keys = Keyring.open(disk.keys, dev=config.dev)
    limits = config.api
    clients = ClientLimits(
        bytes_per_s=limits.client_mib_per_s << 20,
        burst_bytes=limits.client_burst_mib << 20,
        calls=limits.client_calls,
        requests=limits.client_requests,
        connections=limits.client_connections,
        subscriptions=limits.client_subscriptions,
        filters=limits.client_filters,
    )
    server = RpcServer.bind(HERE, 0, registry=metrics.registry, clients=clients, proxies=(HERE,))
    supervisor = Supervisor(log=log, registry=metrics.registry)
    documents = settle_genesis(config, disk, keys)
    context = Context(config, disk, keys, documents, server, supervisor, metrics, lambda event: None, log)
    async with AsyncExitStack() as closing:
        square, opened = await _open(context, name, api, closing)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(server.run()),
                group.create_task(supervisor.run()),
                group.create_task(_tell(context, name, square, opened, say)),
            ]
            chain_id = config.chain_id(name)
            say({"up": {"url": server.url(name), "trust": opened.trust.model_dump(), "chain_id": chain_id}})
            try:
                async for line in lines:
                    if "bear" in line and square is not None and square.bear is not None:
                        square.bear(int(line["bear"]))
            finally:
                for task in tasks:
                    task.cancel()
                    await asyncio.wait([task])


async def _open(context: Context, name: str, api: str, closing: AsyncExitStack) -> tuple[SquareElsewhere | None, OpenRollup]:
    """A DA chain of the stack's own is reached through the stack's server; a network that is not, as the stack reaches it."""
    config = context.config
    rollup = config.rollup[name]
    role, home = f"sequencer.{name}", context.disk.home("rollup", name, "square")
    bases: dict[str, SettlementChain] = {}
    needed = config.availability[rollup.availability]
    carrier = needed.settlement if isinstance(needed, EthereumBlobsAvailability) else None
    for settlement in dict.fromkeys(one for one in (rollup.settlement, carrier) if one is not None):
        chain = config.settlement[settlement]
        url = f"{api}/{settlement}" if isinstance(chain, EmbeddedSettlement) else chain.url
        bases[settlement] = await open_settlement(context, settlement, url, closing)
    square: SquareElsewhere | None = None
    layer: Layer
    if isinstance(needed, CelestiaAvailability):
        headers = context.disk.home("rollup", name, "celestia")
        layer = await open_celestia(context, rollup.availability, needed, closing, headers=headers)
    elif isinstance(needed, EthereumBlobsAvailability):
        layer = await open_blobs(context, rollup.availability, needed, bases[needed.settlement], closing)
    else:
        layer = square = await open_square_elsewhere(context, rollup.availability, api, role, home, closing)
    base = None if rollup.settlement is None else bases[rollup.settlement]
    return square, await open_rollup(context, name, layer, base, closing)


async def _tell(context: Context, name: str, square: SquareElsewhere | None, opened: OpenRollup, say: Say) -> None:
    """Says how things stand whenever it has changed, and now and then all the same: who hears nothing knows that this hangs."""
    last: dict[str, object] = {}
    loop = asyncio.get_running_loop()
    said = loop.time()
    while True:
        failure = context.supervisor.failure(name)
        if failure is not None:
            raise failure
        services = [
            {"service": s.name, "state": s.state.value, "restarts": s.restarts, "error": s.error, "remedy": s.remedy}
            for s in context.supervisor.status()
        ]
        floor = 0 if square is None or square.floor is None else await square.floor()
        state: dict[str, object] = {
            "wanted": 0 if square is None else square.wanted,
            "floor": floor,
            "services": services,
            "fees": opened.ledger.facts(),
        }
        if state != last or loop.time() - said >= BEAT_S:
            say({"state": state})
            last, said = state, loop.time()
        await asyncio.sleep(TELL_S)
