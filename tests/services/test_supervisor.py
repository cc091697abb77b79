"""One rollup's failure stays its own; what a retry can mend is retried, what it cannot is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog
from prometheus_client import CollectorRegistry

from dougong.errors import ConfigError, Divergence, StoreCorrupt, Unavailable
from dougong.services.supervisor import Backoff, ServiceState, Supervisor, fatal_cause


class Sleeps:
    """Records what it was asked to sleep, and lets others run."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


def supervisor(sleeps: Sleeps, **options: float) -> tuple[Supervisor, CollectorRegistry]:
    registry = CollectorRegistry()
    made = Supervisor(
        log=structlog.get_logger(), registry=registry, backoff=Backoff(first=1.0, most=8.0, **options), sleep=sleeps
    )
    return made, registry


def failing(times: int, error: Callable[[], BaseException]) -> tuple[Callable[[], Awaitable[None]], list[int]]:
    starts: list[int] = []

    async def start() -> None:
        starts.append(1)
        if len(starts) <= times:
            raise error()

    return start, starts


async def test_a_crash_is_started_again_with_growing_pauses() -> None:
    sleeps = Sleeps()
    made, registry = supervisor(sleeps)
    start, starts = failing(6, lambda: Unavailable("away"))
    made.add("alpha", "batcher", start)
    await made.run()
    assert len(starts) == 7
    ceilings = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert all(ceiling / 2 <= slept <= ceiling for slept, ceiling in zip(sleeps.asked, ceilings, strict=True))
    (status,) = made.status()
    assert (status.state, status.restarts, status.error) == (ServiceState.FINISHED, 6, "away")
    labels = {"group": "alpha", "service": "batcher"}
    assert registry.get_sample_value("dougong_service_restarts_total", labels) == 6


@pytest.mark.parametrize("error", [Divergence("no"), StoreCorrupt("no"), ConfigError("no")])
async def test_what_no_retry_mends_stops_its_group_and_only_it(error: Exception) -> None:
    sleeps = Sleeps()
    made, registry = supervisor(sleeps)
    cancelled = asyncio.Event()
    beta_goes_on = asyncio.Event()

    async def sibling() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def culprit() -> None:
        async with asyncio.TaskGroup() as group:  # services nest tasks: the cause must be found inside the group of errors
            group.create_task(raising(error))

    async def beta() -> None:
        await cancelled.wait()
        beta_goes_on.set()

    made.add("alpha", "sequencer", sibling)
    made.add("alpha", "follower", culprit)
    made.add("beta", "sequencer", beta)
    await asyncio.wait_for(made.run(), 5)
    assert beta_goes_on.is_set()
    states = {(s.group, s.name): s.state for s in made.status()}
    assert states == {
        ("alpha", "sequencer"): ServiceState.STOPPED,
        ("alpha", "follower"): ServiceState.FAILED,
        ("beta", "sequencer"): ServiceState.FINISHED,
    }
    assert made.failure("alpha") is error
    assert made.failure("beta") is None
    assert sleeps.asked == []
    assert registry.get_sample_value("dougong_group_failed", {"group": "alpha"}) == 1
    assert registry.get_sample_value("dougong_group_failed", {"group": "beta"}) == 0


async def raising(error: Exception) -> None:
    raise error


class Panic(BaseException):
    """As a panic of the Rust core arrives in Python."""


@pytest.mark.parametrize("error", [Panic, asyncio.CancelledError, ValueError])
async def test_a_panic_or_a_stray_cancellation_is_one_service_s_crash(error: type[BaseException]) -> None:
    made, _ = supervisor(Sleeps())
    start, starts = failing(1, error)
    made.add("alpha", "sequencer", start)
    other, other_starts = failing(0, error)
    made.add("beta", "sequencer", other)
    await made.run()
    assert (len(starts), len(other_starts)) == (2, 1)


async def test_cancelling_it_stops_every_service_cleanly() -> None:
    made, _ = supervisor(Sleeps())
    running = asyncio.Semaphore(0)
    cleaned: list[str] = []

    async def service() -> None:
        running.release()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("cleaned")

    for name in ("sequencer", "batcher"):
        made.add("alpha", name, service)
    task = asyncio.create_task(made.run())
    for _ in range(2):
        await running.acquire()
    made.add("beta", "late", service)
    await running.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["cleaned"] * 3
    assert {status.state for status in made.status()} == {ServiceState.STOPPED}


async def test_a_long_calm_forgets_earlier_crashes() -> None:
    sleeps = Sleeps()
    made, _ = supervisor(sleeps, calm=0.0)
    start, _ = failing(5, lambda: Unavailable("away"))
    made.add("alpha", "batcher", start)
    await made.run()
    assert all(slept <= 1.0 for slept in sleeps.asked)


def test_the_cause_is_found_in_nested_groups() -> None:
    cause = Divergence("two roots")
    assert fatal_cause(ExceptionGroup("a", [ValueError(), ExceptionGroup("b", [Unavailable("x"), cause])])) is cause
    assert fatal_cause(ExceptionGroup("a", [ValueError()])) is None


async def test_two_services_of_one_name_are_refused() -> None:
    made, _ = supervisor(Sleeps())
    start, _ = failing(0, ValueError)
    made.add("alpha", "batcher", start)
    with pytest.raises(ConfigError):
        made.add("alpha", "batcher", start)
