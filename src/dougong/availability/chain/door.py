"""A node of the chain, as whoever has it take transactions needs it: in this process, or behind a socket.

`SquareLayer` is one, and so is `RemoteDoor` (services/nodes/remote_account.py).
"""

from __future__ import annotations

from typing import Protocol

from dougong.availability.chain.params import SquareParams
from dougong.types import CheckTxResult, FeeAccount

__all__ = ["Door"]


class Door(Protocol):
    """What blobs and payments both need. Who publishes or pays says what more (`BlobDoor`, `Cashier`)."""

    @property
    def chain_id(self) -> str: ...

    @property
    def params(self) -> SquareParams: ...

    async def latest(self) -> int: ...

    async def wait_for_height(self, height: int) -> None: ...

    async def account(self, address: bytes) -> FeeAccount:
        """As blocks that `latest`, asked afterwards, covers have it."""
        ...

    async def broadcast(self, raw: bytes) -> CheckTxResult: ...
