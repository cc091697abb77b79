"""An EVM rollup as an `Execution`: blocks derived from batches alone, as docs/spec/derivation.md says.

rollup = await EvmRollup.open(path, genesis_json)
after = await rollup.apply_batch(data, BatchContext(timestamp, inbox_end, messages))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from dougong._native import Evm, HeaderInfo
from dougong.types import BatchContext, StateCommitment

__all__ = ["EvmRollup"]

P = ParamSpec("P")
T = TypeVar("T")


class EvmRollup:
    """`Execution` over one `Evm`, whose only writer it is. The state of a commitment is the hash of the block at its height."""

    def __init__(self, evm: Evm) -> None:
        self._evm = evm
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, genesis: str) -> EvmRollup:
        """Opens or creates the store. Raises `StoreCorrupt` if it was made from another genesis."""
        return cls(await asyncio.to_thread(Evm, str(path), genesis))

    async def close(self) -> None:
        await self._write(self._evm.close)

    @property
    def evm(self) -> Evm:
        return self._evm

    async def head(self) -> StateCommitment:
        return _commitment(await asyncio.to_thread(self._evm.head))

    async def apply_batch(self, data: bytes | None, context: BatchContext) -> StateCommitment:
        messages = [(int(message.kind), message.payload) for message in context.messages]
        headers = await self._write(self._evm.apply_batch, data, context.timestamp, context.inbox_end, messages)
        return _commitment(headers[-1]) if headers else await self.head()

    async def state_at(self, height: int) -> StateCommitment:
        return _commitment(await asyncio.to_thread(self._evm.header, height))

    async def rollback(self, height: int) -> StateCommitment:
        await self._write(self._evm.rollback, height)
        return await self.head()

    async def _write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One write at a time, each to its end: a caller that is cancelled leaves no thread writing behind the lock."""
        async with self._one_at_a_time:
            task = asyncio.create_task(asyncio.to_thread(function, *args, **kwargs))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait({task})
                raise


def _commitment(header: HeaderInfo) -> StateCommitment:
    return StateCommitment(header.number, header.hash, header.outbox_root, header.inbox_end)
