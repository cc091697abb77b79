"""What the adapter needs in order to publish: someone who can sign and send a blob transaction."""

from __future__ import annotations

from typing import Protocol

from dougong.types import BlobSidecar

__all__ = ["BlobReceipt", "BlobSender"]


class BlobReceipt(Protocol):
    """A blob transaction that took effect in block `block_number`."""

    @property
    def tx_hash(self) -> bytes: ...
    @property
    def block_number(self) -> int: ...


class BlobSender(Protocol):
    """One account that sends blob transactions; `address` is its own (20 bytes)."""

    @property
    def address(self) -> bytes: ...

    async def send_blobs(self, to: bytes, calldata: bytes, sidecar: BlobSidecar, *, budget: int | None = None) -> BlobReceipt:
        """Sends and returns once the transaction is in a block. Gas and blob gas together cost at most `budget` wei (None: as
        configured), and the bid is raised within it while the transaction waits. Raises `Underpaid` with the total that would do
        when the budget does not reach, `Rejected` when it had no effect, `Unavailable` when the outcome is unknown."""
        ...
