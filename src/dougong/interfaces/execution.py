"""A deterministic state transition over batches.

before = await execution.head()
after = await execution.apply_batch(data, context)     # every input has one result
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dougong.types import BatchContext, StateCommitment


@runtime_checkable
class Execution(Protocol):
    """What a verifying node, a proposer and a prover need of an execution layer."""

    async def head(self) -> StateCommitment:
        """The last durable state."""
        ...

    async def apply_batch(self, data: bytes | None, context: BatchContext) -> StateCommitment:
        """Applies one batch on the head and makes it durable. Must be total: bytes that do not decode (or None) count as
        an empty batch, an invalid transaction is skipped, and all of the inbox up to `context.inbox_end` is consumed."""
        ...

    async def state_at(self, height: int) -> StateCommitment:
        """The commitment after an earlier block. Raises `NotFound`."""
        ...

    async def rollback(self, height: int) -> StateCommitment:
        """Forgets everything after `height`. Must be atomic."""
        ...
