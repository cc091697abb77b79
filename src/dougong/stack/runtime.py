"""A whole stack in one process.

    async with running(config, report, log) as stack:
        await stack.opened()                        # every chain is up, or has said why not
        await asyncio.Event().wait()                # until cancelled

Start: lock `data_dir`; settle keys and genesis documents; take the port; then the DA chains, the settlement chains with their
contracts, and the rollups, each once what it stands on is up. Stop, in the opposite order: no more requests, no more services,
stores closed. A kill -9 is a stop like any other: everything resumes from what is durable.

Each chain is a group of supervised services, and so is its opening: a settlement node that is away or a rollup's corrupt store is
reported, and the other chains go on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog

from dougong.errors import ConfigError, NotFound
from dougong.rpc.protocol import Methods
from dougong.rpc.server import RpcServer
from dougong.rpc.throttle import ClientLimits
from dougong.services.supervisor import ServiceState, ServiceStatus, Supervisor
from dougong.stack.blobs import Blobs, open_blobs
from dougong.stack.celestia import CelestiaNetwork, open_celestia
from dougong.stack.config import CelestiaAvailability, EthereumBlobsAvailability, StackConfig
from dougong.stack.context import Context
from dougong.stack.disk import Disk
from dougong.stack.events import Event, Report
from dougong.stack.genesis import settle_genesis
from dougong.stack.keys import Keyring
from dougong.stack.layers import Layer
from dougong.stack.metrics import Metrics
from dougong.stack.parts import SquareParts
from dougong.stack.processes import Processes, RollupProcess
from dougong.stack.rollups import OpenRollup, open_rollup
from dougong.stack.settlements import SettlementChain, open_settlement, start_settlement
from dougong.stack.squares import Square, open_square
from dougong.stack.trust import SettlementTrust, Trust

__all__ = ["Stack", "running"]

OPENING = "opening"
WATCH_S = 0.05
INFO = "stack"


class Stack:
    """The chains of a stack as they come up. `facts` has what the `chain` event of each one that is up said."""

    def __init__(self, context: Context, closing: AsyncExitStack) -> None:
        self._closing = closing
        self._report = context.report
        self.context = replace(context, report=self._note)
        self.facts: dict[str, dict[str, object]] = {}
        self._layers: dict[str, Layer] = {}
        self._urls: dict[str, str] = {}
        self._settlements: dict[str, SettlementChain] = {}
        self._rollups: dict[str, OpenRollup] = {}
        self._processes = Processes(self.context)
        self._begun: set[str] = set()
        self._said: dict[tuple[str, str], str] = {}

    @property
    def url(self) -> str:
        """Of the API as a whole: a chain's is behind a slash and its name."""
        return self.context.server.origin

    def square(self, name: str) -> Square:
        """A DA chain of this process that is up. Raises `NotFound`."""
        layer = self._layers.get(name)
        if not isinstance(layer, Square):
            raise NotFound(f"no DA chain {name} runs in this process")
        return layer

    def process(self, name: str) -> RollupProcess:
        """Of a rollup that has one of its own. Raises `NotFound`."""
        return self._processes.process(name)

    async def opened(self) -> None:
        """Returns once every chain that can be opened is up or has met an error (and may be trying again); `trust.json` is then
        written. Raises `ConfigError` if stack.toml is at fault, and the error if no chain at all came up."""
        while not all(_decided(service) for service in self._openings()):  # noqa: ASYNC110  states change in many places
            await asyncio.sleep(WATCH_S)
        self._tell_errors()
        disk = self.context.disk
        disk.write(disk.trust, self.trust().model_dump_json(indent=2).encode())
        failures = [self.context.supervisor.failure(service.group) for service in self._openings()]
        for failure in failures:
            if isinstance(failure, ConfigError) or (failure is not None and not self.facts):
                raise failure

    async def info(self) -> dict[str, object]:
        """What `GET /stack` answers: the chains with their genesis hashes, the rollups' documents, and how the services do."""
        services = [
            {
                "chain": s.group,
                "service": s.name,
                "state": s.state.value,
                "restarts": s.restarts,
                "error": s.error,
                "remedy": s.remedy,
            }
            for s in (*self.context.supervisor.status(), *self._processes.services())
        ]
        documents = {name: raw.decode() for name, raw in self.context.documents.rollup.items()}
        squares = {name: layer for name, layer in self._layers.items() if isinstance(layer, Square)}
        markets = {name: await square.market() for name, square in squares.items()}
        fees = {name: rollup.ledger.facts() for name, rollup in self._rollups.items()}
        return {"chains": self.facts, "documents": documents, "services": services, "markets": markets, "fees": fees}

    def trust(self) -> Trust:
        """What a node needs to know to check the chains that are up."""
        settlements = {
            name: SettlementTrust(
                chain_id=base.chain_id,
                genesis=None if base.genesis is None else base.genesis.hex(),
                url=None if base.genesis is not None else base.rpc.url,
                contract=base.contract.hex(),
                attestations={square: contract.hex() for square, contract in base.attestations.items()},
            )
            for name, base in self._settlements.items()
        }
        layers = self._layers.items()
        return Trust(
            availability={name: layer.da_id.hex() for name, layer in layers if isinstance(layer, Square)},
            settlement=settlements,
            rollup={name: rollup.trust for name, rollup in self._rollups.items()},
            celestia={name: layer.trust() for name, layer in layers if isinstance(layer, CelestiaNetwork)},
            blobs={name: layer.trust() for name, layer in layers if isinstance(layer, Blobs)},
        )

    # --- coming up --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Adds the opening of every chain whose ground is up."""
        config = self.context.config
        for name, layer in config.availability.items():
            if not isinstance(layer, EthereumBlobsAvailability) or layer.settlement in self._settlements:
                self._open(name, partial(self._open_layer, name))
        for name in config.settlement:
            self._open(name, partial(self._open_settlement, name))
        for name, rollup in config.rollup.items():
            if rollup.availability in self._layers and (rollup.settlement is None or rollup.settlement in self._settlements):
                self._open(name, partial(self._open_rollup, name))

    def _open(self, name: str, start: Callable[[], Awaitable[None]]) -> None:
        if name not in self._begun:
            self._begun.add(name)
            self.context.supervisor.add(name, OPENING, start)

    async def _open_layer(self, name: str) -> None:
        config = self.context.config.availability[name]
        if isinstance(config, CelestiaAvailability):
            self._layers[name] = await open_celestia(self.context, name, config, self._closing)
        elif isinstance(config, EthereumBlobsAvailability):
            base = self._settlements[config.settlement]
            self._layers[name] = await open_blobs(self.context, name, config, base, self._closing)
        else:
            self._layers[name] = await open_square(self.context, name, config, self._closing)
        self.begin()

    async def _open_settlement(self, name: str) -> None:
        if name not in self._urls:
            self._urls[name] = await start_settlement(self.context, name, self._closing)
        self._settlements[name] = await open_settlement(self.context, name, self._urls[name], self._closing)
        self.begin()

    async def _open_rollup(self, name: str) -> None:
        config = self.context.config.rollup[name]
        base = None if config.settlement is None else self._settlements[config.settlement]
        layer = self._layers[config.availability]
        if config.process:
            self._rollups[name] = await self._processes.open(name, layer, base, self._closing)
            return
        self._rollups[name] = await open_rollup(self.context, name, layer, base, self._closing)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _openings(self) -> list[ServiceStatus]:
        return [service for service in self.context.supervisor.status() if service.name == OPENING]

    def _note(self, event: Event) -> None:
        if event.kind in ("chain", "deployed"):
            self.facts.setdefault(event.name, {}).update(event.facts)
        self._report(event)

    async def watch(self) -> None:
        """Reports each service's new error once."""
        while True:
            self._tell_errors()
            await asyncio.sleep(WATCH_S)

    def _tell_errors(self) -> None:
        for service in self.context.supervisor.status():
            key, error = (service.group, service.name), service.error
            if error and self._said.get(key) != error:
                self._said[key] = error
                facts: dict[str, object] = {"service": service.name, "error": error, "remedy": service.remedy}
                self._report(Event("failed" if service.state is ServiceState.FAILED else "waiting", service.group, facts))


def _decided(service: ServiceStatus) -> bool:
    return service.restarts > 0 or service.state in (ServiceState.FINISHED, ServiceState.FAILED, ServiceState.STOPPED)


@asynccontextmanager
async def running(
    config: StackConfig,
    report: Report,
    log: structlog.typing.FilteringBoundLogger,
    *,
    squares: Mapping[str, SquareParts] | None = None,
) -> AsyncIterator[Stack]:
    """Starts the stack, and stops it in order when the block ends.
    `squares`: DA chains of other parts (attack drills). Raises `Rejected` if another process runs on `data_dir`,
    `ConfigError` if the port is taken or stack.toml describes other chains than the folder holds."""
    disk = Disk(config.data_dir)
    with disk.locked():
        metrics = Metrics()
        keys = Keyring.open(disk.keys, dev=config.dev)
        documents = settle_genesis(config, disk, keys)
        api = config.api
        clients = ClientLimits(
            bytes_per_s=api.client_mib_per_s << 20,
            burst_bytes=api.client_burst_mib << 20,
            calls=api.client_calls,
            requests=api.client_requests,
            connections=api.client_connections,
            subscriptions=api.client_subscriptions,
            filters=api.client_filters,
        )
        server = RpcServer.bind(api.host, api.port, registry=metrics.registry, clients=clients, proxies=api.proxies)
        supervisor = Supervisor(log=log, registry=metrics.registry)
        context = Context(config, disk, keys, documents, server, supervisor, metrics, report, log, squares or {})
        async with AsyncExitStack() as closing:  # the stores, which close last
            stack = Stack(context, closing)
            server.mount(INFO, Methods(), stack.info)
            stack.begin()
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.run())
                supervising = group.create_task(supervisor.run())
                watching = group.create_task(stack.watch())
                try:
                    disk.write(disk.running, json.dumps({"url": stack.url}).encode())
                    yield stack
                finally:
                    for task in (serving, watching, supervising):
                        task.cancel()
                        await asyncio.wait([task])
                    disk.running.unlink(missing_ok=True)
