"""How a command ends: a signal, or an error of the family in two lines and without a traceback."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from dougong.errors import ConfigError, Divergence, DougongError, Unavailable

__all__ = ["exit_code_of", "family_error", "run"]

T = TypeVar("T")

INTERRUPTED = 130


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs to the end, or until SIGINT or SIGTERM cancels it: services then stop in order and the exit code is 130."""
    import uvloop

    async def supervised() -> T:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await coroutine

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(supervised())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def family_error(error: BaseException) -> DougongError | None:
    """The error of the family in it, also inside the groups that task groups raise."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := family_error(inner)) is not None), None)
    return error if isinstance(error, DougongError) else None


def exit_code_of(error: BaseException) -> int | None:
    """Prints what the user can act on and returns the exit code; None for an error of ours that deserves its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # the reader of our output has left: `dougong up --json | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    cause = family_error(error)
    if cause is None:
        return None
    print(f"dougong: {cause}", file=sys.stderr)
    if cause.remedy:
        print(f"  → {cause.remedy}", file=sys.stderr)
    return _code(cause)


def _code(cause: DougongError) -> int:
    """2 for the caller's mistake, 3 for withheld data, 4 for a chain that is rejected for ever, else 1."""
    if isinstance(cause, (Unavailable, Divergence)):
        from dougong.availability.square.fraud import BadBlock
        from dougong.services.nodes.full_node import SquareWithheld
        from dougong.services.nodes.light_node import Withheld
        from dougong.services.nodes.rejections import ChainRejected

        return 3 if isinstance(cause, (Withheld, SquareWithheld)) else 4 if isinstance(cause, (ChainRejected, BadBlock)) else 1
    return 2 if isinstance(cause, ConfigError) else 1
