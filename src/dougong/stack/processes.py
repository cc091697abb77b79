"""A rollup in a process of its own (`process = true`), as the stack's own process sees it.

    processes = Processes(context)
    opened = await processes.open("alpha", layer, base, closing)
    processes.process("alpha").pid

The two speak over the child's pipes, a JSON object a line (`stack/hosted.py` is the other end). The child's standard input is
also its life line: when this process ends, however it ends, the pipe ends, and the child stops in order by itself; so a kill -9
leaves no orphan. A child that ends, says what is no message, or says nothing at all for `SILENCE_S` (it hangs, or was stopped) is
an error of its service, which the supervisor starts again; what it had acknowledged is in its stores, as after any kill -9. An
error that no restart mends is told and raised here as what it was.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import structlog

from dougong._native import Evm
from dougong.errors import ConfigError, Divergence, DougongError, NotFound, StoreCorrupt, Unavailable
from dougong.net.child import see_off
from dougong.rpc.relaying import Relay
from dougong.services.supervisor import ServiceState, ServiceStatus
from dougong.services.threads import in_thread
from dougong.stack.context import Context
from dougong.stack.events import Event
from dougong.stack.layers import Layer
from dougong.stack.rollups import OpenRollup, evm_genesis, register
from dougong.stack.settlements import SettlementChain
from dougong.stack.squares import Square
from dougong.stack.trust import RollupTrust

__all__ = ["Processes", "RollupProcess"]

PROGRAM = (sys.executable, "-m", "dougong.cli.rollup_process")
LINE_BYTES = 4 << 20
STOP_S = 20.0  # for a child to end its services; then it is killed, which loses nothing
UP_S = 60.0
SILENCE_S = 60.0  # a child that is up says something every `hosted.BEAT_S`
DURABLE = (ConfigError, StoreCorrupt, Divergence)


@dataclass(frozen=True, slots=True)
class Up:
    """What a child says once it serves."""

    url: str
    trust: RollupTrust
    chain_id: int


class RollupProcess:
    """`waiting_for` and `floor` are the child's word of what its batcher and its services need of the DA chain."""

    def __init__(
        self,
        context: Context,
        name: str,
        relay: Relay,
        *,
        program: Sequence[str] = PROGRAM,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._program = program
        self._silence_s = silence_s
        self._context = context
        self._name = name
        self._relay = relay
        self._log: structlog.typing.FilteringBoundLogger = context.log.bind(rollup=name)
        self._child: asyncio.subprocess.Process | None = None
        self._is_up = asyncio.Event()
        self._said: Up | None = None
        self.waiting_for = 0
        self._floor = 0  # unknown: everything is kept
        self._facts: dict[str, object] = {}
        self._services: list[dict[str, Any]] = []

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    async def up(self) -> Up:
        """Once it serves. Raises `Unavailable` when that takes too long."""
        try:
            async with asyncio.timeout(UP_S):
                await self._is_up.wait()
        except TimeoutError as error:
            raise Unavailable(f"the process of {self._name} is not up after {UP_S:.0f} s") from error
        assert self._said is not None
        return self._said

    async def floor(self) -> int:
        return self._floor

    def facts(self) -> dict[str, object]:
        """As `Ledger.facts`."""
        return self._facts

    def services(self) -> list[ServiceStatus]:
        return [
            ServiceStatus(self._name, s["service"], ServiceState(s["state"]), s["restarts"], s["error"], s["remedy"])
            for s in self._services
        ]

    def bear(self, wei: int) -> None:
        """Tells the child of its share of what was spent for all rollups; nobody where none runs."""
        if self._child is not None and self._child.stdin is not None and not self._child.stdin.is_closing():
            self._child.stdin.write(orjson.dumps({"bear": str(wei)}) + b"\n")

    async def run(self) -> None:
        """One life of the child. Returns never: it is cancelled, or raises when the child ends."""
        log = self._context.disk.home("rollup", self._name) / "process.log"
        with log.open("ab") as output:
            child = await asyncio.create_subprocess_exec(
                *self._program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                limit=LINE_BYTES,
                start_new_session=True,  # Ctrl-C is for the stack, which stops its children
            )
        self._child = child
        try:
            await self._speak(child)
        finally:
            self._relay.url = None
            self.waiting_for = 0
            self._services = []
            ending = asyncio.create_task(self._end(child))
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:  # the stack stops while a child that ended by itself is seen off
                await asyncio.wait([ending])
                raise
            finally:
                self._child = None

    async def _speak(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        config = self._context.config.model_dump_json()
        start = {"config": config, "rollup": self._name, "api": self._context.server.origin}
        child.stdin.write(orjson.dumps(start) + b"\n")
        with suppress(ConnectionError):
            await child.stdin.drain()
        remedy = f"see rollup/{self._name}/process.log in data_dir"
        while True:
            try:
                async with asyncio.timeout(None if self._relay.url is None else self._silence_s):
                    line = await child.stdout.readline()
            except TimeoutError as error:
                with suppress(ProcessLookupError):
                    child.kill()  # it hears nothing either
                raise Unavailable(f"the process of {self._name} has said nothing for {self._silence_s:g} s") from error
            except ValueError as error:  # longer than any message
                raise Unavailable(f"the process of {self._name} says what is no message", remedy=remedy) from error
            if not line:
                raise Unavailable(f"the process of {self._name} ended", remedy=remedy)
            try:
                self._hear(orjson.loads(line))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise Unavailable(f"the process of {self._name} says what is no message", remedy=remedy) from error

    def _hear(self, said: dict[str, Any]) -> None:
        if not isinstance(said, dict):
            raise TypeError("a message is an object")
        if "failed" in said:
            raise _error(said["failed"])
        if "up" in said:
            up = said["up"]
            self._said = Up(up["url"], RollupTrust.model_validate(up["trust"]), up["chain_id"])
            self._relay.url = self._said.url
            self._is_up.set()
            self._log.info("a rollup's process is up", pid=self.pid, url=self._said.url)
        if "state" in said:
            state = said["state"]
            self.waiting_for = state["wanted"]
            self._floor = state["floor"]
            self._facts = state["fees"]
            self._services = state["services"]

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdin is not None
        child.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await see_off(child)
        except TimeoutError:
            with suppress(ProcessLookupError):
                child.kill()
            await see_off(child)
        with suppress(ConnectionError):
            await child.stdin.wait_closed()


class Processes:
    """The rollups of a stack that have processes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._all: dict[str, RollupProcess] = {}

    def services(self) -> list[ServiceStatus]:
        """What runs in them."""
        return [service for process in self._all.values() for service in process.services()]

    def process(self, name: str) -> RollupProcess:
        """Raises `NotFound`."""
        if name not in self._all:
            raise NotFound(f"{name} has no process of its own")
        return self._all[name]

    async def open(self, name: str, layer: Layer, base: SettlementChain | None, closing: AsyncExitStack) -> OpenRollup:
        """Does what only this process can do for a rollup, and starts its own. May be tried again."""
        context = self._context
        if isinstance(layer, Square):
            await layer.fund(f"sequencer.{name}")
        if base is not None:
            await layer.attestations_on(base, closing)
            if not base.deployment.knows_rollup(name):
                await register(context, name, layer, base, await _genesis_state(context, name), closing)
        if name not in self._all:
            relay = Relay(name)
            closing.push_async_callback(relay.close)
            process = self._all[name] = RollupProcess(context, name, relay)
            layer.set_floor(name, process.floor)
            if base is not None and isinstance(layer, Square):
                attested = await layer.attested_on(base, closing)
                attested.wanted.append(process)
                attested.bearers.append(process.bear)
            context.server.relay(name, relay)
            context.supervisor.add(name, "process", process.run)
        process = self._all[name]
        up = await process.up()
        facts: dict[str, object] = {"layer": "rollup", "url": context.server.url(name), "chain_id": up.chain_id}
        context.report(Event("chain", name, facts | up.trust.model_dump() | {"process": up.url}))
        return OpenRollup(up.trust, process)


async def _genesis_state(context: Context, name: str) -> bytes:
    def read() -> bytes:
        with TemporaryDirectory() as folder:
            evm = Evm(folder, evm_genesis(context, name))
            try:
                return evm.genesis_hash
            finally:
                evm.close()

    return await in_thread(read)


def _error(said: dict[str, str]) -> DougongError:
    """What the child raised, as far as a restart would not mend it; else that it ended."""
    kind = next((kind for kind in DURABLE if kind.__name__ == said["kind"]), Unavailable)
    return kind(said["message"], remedy=said["remedy"])
