"""Runs services as tasks, and keeps one rollup's failure from being another's.

    supervisor = Supervisor(log=structlog.get_logger(), registry=CollectorRegistry())
    supervisor.add("alpha", "sequencer", sequencer.run)
    supervisor.add("beta", "sequencer", other.run)
    await supervisor.run()                          # until cancelled

A service that raises is started again after an exponential backoff with jitter. An error that trying again cannot mend
(`Divergence`, `StoreCorrupt`, `ConfigError`) stops every service of its group, and the group is reported as failed; the other
groups go on. A service that returns has finished.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from dougong.errors import ConfigError, Divergence, DougongError, StoreCorrupt

__all__ = ["FATAL", "Backoff", "ServiceState", "ServiceStatus", "Supervisor", "fatal_cause"]

FATAL = (Divergence, StoreCorrupt, ConfigError)


class ServiceState(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before the next start: `first`, doubled up to `most`, less up to half of it by chance. A service that ran
    for `calm` seconds has recovered and starts over with `first`."""

    first: float = 0.2
    most: float = 30.0
    calm: float = 60.0

    def delay(self, failures: int) -> float:
        whole = min(self.most, self.first * 2.0 ** min(failures - 1, 32))
        return whole * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    group: str
    name: str
    state: ServiceState
    restarts: int
    error: str
    remedy: str


@dataclass(slots=True, eq=False)
class _Service:
    group: str
    name: str
    start: Callable[[], Awaitable[None]]
    trouble: Callable[[], DougongError | None]
    state: ServiceState = ServiceState.WAITING
    restarts: int = 0
    error: BaseException | None = None
    task: asyncio.Task[None] | None = None


def fatal_cause(error: BaseException) -> DougongError | None:
    """The error, or the one in a group of errors, that no retry mends."""
    if isinstance(error, BaseExceptionGroup):
        return next((cause for inner in error.exceptions if (cause := fatal_cause(inner)) is not None), None)
    return error if isinstance(error, FATAL) else None


def _status(service: _Service) -> ServiceStatus:
    trouble = service.trouble() if service.state is ServiceState.RUNNING else None
    error = trouble or service.error
    text = "" if error is None else str(_leaf(error))
    return ServiceStatus(service.group, service.name, service.state, service.restarts, text, getattr(error, "remedy", ""))


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Supervisor:
    """Owns the tasks of every service that was added. `backoff` and `sleep` are injected so that tests need not wait."""

    def __init__(
        self,
        *,
        log: structlog.typing.FilteringBoundLogger,
        registry: CollectorRegistry,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log = log
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._services: list[_Service] = []
        self._tasks: asyncio.TaskGroup | None = None
        labels = ("group", "service")
        self._restarts = Counter("dougong_service_restarts", "Starts after a crash", labels, registry=registry)
        self._up = Gauge("dougong_service_up", "1 while the service runs", labels, registry=registry)
        self._failed = Gauge("dougong_group_failed", "1 once a group was stopped for good", ("group",), registry=registry)

    def add(
        self,
        group: str,
        name: str,
        start: Callable[[], Awaitable[None]],
        *,
        trouble: Callable[[], DougongError | None] = lambda: None,
    ) -> None:
        """`start` is called anew for every start. While the supervisor runs, the service starts at once. `trouble` says what
        keeps a service that runs from getting on, if anything does."""
        if any((service.group, service.name) == (group, name) for service in self._services):
            raise ConfigError(f"{group} has two services called {name}")
        service = _Service(group, name, start, trouble)
        self._services.append(service)
        self._up.labels(group, name).set(0)
        self._failed.labels(group).set(0)
        if self._tasks is not None:
            service.task = self._tasks.create_task(self._keep(service))

    async def run(self) -> None:
        """Runs every service until each has finished or failed, or until cancelled; then stops them all."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for service in self._services:
                    service.task = tasks.create_task(self._keep(service))
        finally:
            self._tasks = None

    def status(self) -> tuple[ServiceStatus, ...]:
        return tuple(_status(service) for service in self._services)

    def failure(self, group: str) -> BaseException | None:
        """Why a group was stopped for good, or None."""
        failed = (s.error for s in self._services if s.group == group and s.state is ServiceState.FAILED)
        return next(failed, None)

    async def _keep(self, service: _Service) -> None:
        log = self._log.bind(group=service.group, service=service.name)
        up = self._up.labels(service.group, service.name)
        loop = asyncio.get_running_loop()
        failures = 0
        try:
            while True:
                service.state = ServiceState.RUNNING
                up.set(1)
                started = loop.time()
                error = await self._attempt(service)
                up.set(0)
                if error is None:
                    service.state = ServiceState.FINISHED
                    log.info("service finished")
                    return
                cause = fatal_cause(error)
                if cause is not None:
                    self._fail_group(service, cause)
                    return
                service.error = error
                failures = 1 if loop.time() - started >= self._backoff.calm else failures + 1
                service.restarts += 1
                self._restarts.labels(service.group, service.name).inc()
                delay = self._backoff.delay(failures)
                leaf = _leaf(error)
                log.warning(
                    "service crashed",
                    error=str(leaf),
                    kind=type(leaf).__name__,
                    failures=failures,
                    again_in_s=round(delay, 2),
                    exc_info=None if isinstance(leaf, DougongError) else error,
                )
                service.state = ServiceState.BACKING_OFF
                await self._sleep(delay)
        finally:
            up.set(0)
            if service.state in (ServiceState.RUNNING, ServiceState.BACKING_OFF):
                service.state = ServiceState.STOPPED

    async def _attempt(self, service: _Service) -> BaseException | None:
        try:
            await service.start()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return error  # something inside cancelled itself: a crash like any other
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in the Rust core is not an Exception, and must not take the others down
            return error
        return None

    def _fail_group(self, culprit: _Service, cause: DougongError) -> None:
        culprit.state = ServiceState.FAILED
        culprit.error = cause
        self._failed.labels(culprit.group).set(1)
        self._log.error(
            "group stopped for good",
            group=culprit.group,
            service=culprit.name,
            error=str(cause),
            kind=type(cause).__name__,
            remedy=cause.remedy,
        )
        for service in self._services:
            if service.group == culprit.group and service is not culprit and service.task is not None:
                service.task.cancel()
