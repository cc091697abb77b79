"""The law suite of `Execution`.

    await check_execution(make, tmp_path, batches=[(data, context), ...])

`make(folder)` opens the execution that lives in a folder; opening it again is a restart. `batches` follow from its genesis, in
order; each makes a block at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from dougong.errors import NotFound
from dougong.interfaces import Execution
from dougong.types import BatchContext, StateCommitment

__all__ = ["MakeExecution", "check_execution"]

MakeExecution = Callable[[Path], AbstractAsyncContextManager[Execution]]
Batch = tuple[bytes | None, BatchContext]

# Bytes that no derivation may stumble over.
JUNK: tuple[bytes, ...] = (b"", b"\0", b"\0" * 100, b"\xff" * 1000, bytes(range(256)) * 16)


async def check_execution(make: MakeExecution, folder: Path, *, batches: Sequence[Batch]) -> None:
    """Raises `AssertionError` where an execution breaks `Execution`'s contract."""
    assert batches, "the suite needs a batch"
    async with make(folder / "one") as execution:
        assert isinstance(execution, Execution), "it has every method of Execution"
        genesis = await execution.head()
        assert genesis.height == 0, "a new execution stands at its genesis"
        assert await execution.state_at(0) == genesis
        states = await _check_batches(execution, batches)
    async with make(folder / "one") as execution:
        assert await execution.head() == states[-1], "what apply_batch returned for survives a restart"
        await _check_rollback(execution, genesis, states, batches)
    async with make(folder / "two") as execution:
        assert await execution.head() == genesis, "the same genesis gives the same state"
        for (data, context), expected in zip(batches, states, strict=True):
            assert await execution.apply_batch(data, context) == expected, "the same batches give the same states"
        await _check_totality(execution, states[-1], batches[-1][1])


async def _check_batches(execution: Execution, batches: Sequence[Batch]) -> list[StateCommitment]:
    states: list[StateCommitment] = []
    for data, context in batches:
        before = await execution.head()
        after = await execution.apply_batch(data, context)
        assert after.height > before.height, "a batch of the suite makes a block"
        assert after.inbox_end == context.inbox_end, "all of the inbox is consumed"
        assert await execution.head() == after, "the head is what apply_batch returned"
        assert await execution.state_at(after.height) == after
        assert await execution.state_at(before.height) == before, "earlier states stay readable"
        states.append(after)
    try:
        await execution.state_at(states[-1].height + 1)
    except NotFound:
        return states
    raise AssertionError("a state that is not there is NotFound")


async def _check_rollback(
    execution: Execution, genesis: StateCommitment, states: Sequence[StateCommitment], batches: Sequence[Batch]
) -> None:
    for back_to in range(len(states) - 1, -1, -1):
        target = states[back_to - 1] if back_to else genesis
        assert await execution.rollback(target.height) == target, "rollback goes back to the earlier state"
        assert await execution.head() == target
        try:
            await execution.state_at(target.height + 1)
        except NotFound:
            pass
        else:
            raise AssertionError("what was rolled back is gone")
    for (data, context), expected in zip(batches, states, strict=True):
        assert await execution.apply_batch(data, context) == expected, "batches applied again after a rollback give the same"


async def _check_totality(execution: Execution, last: StateCommitment, context: BatchContext) -> None:
    empty_handed = replace(context, inbox_end=last.inbox_end, messages=())
    for data in (None, *JUNK):
        assert await execution.apply_batch(data, empty_handed) == last, "bytes that do not decode count as an empty batch"
