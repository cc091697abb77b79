"""Orders transactions for an `Application`.

chain = await Solo.open(path, genesis, key, app)
async with asyncio.TaskGroup() as group:
    group.create_task(chain.run())
    await chain.broadcast(tx)
    await chain.wait_for_height(2)
    block = await chain.block(2)
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dougong.types import Block, ChainStatus, CheckTxResult, SignedHeader


@runtime_checkable
class Consensus(Protocol):
    """A running chain as a client of it sees it."""

    async def run(self) -> None:
        """Produces or follows blocks until cancelled. Must resume after a kill -9 where the last decided block was."""
        ...

    async def broadcast(self, tx: bytes) -> CheckTxResult:
        """Offers a transaction. Once accepted it must survive a restart until it is in a block or no longer valid."""
        ...

    async def status(self) -> ChainStatus:
        """The last decided and executed block."""
        ...

    async def block(self, height: int) -> Block:
        """Raises `NotFound` for a height that is not decided yet, `Pruned` for one that is not kept any more."""
        ...

    async def signed_header(self, height: int) -> SignedHeader:
        """The header with the commit that decided it; enough for a light client. Raises `NotFound`."""
        ...

    async def wait_for_height(self, height: int) -> None:
        """Returns once the block at `height` is decided and executed."""
        ...
