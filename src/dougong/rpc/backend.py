"""What the Ethereum JSON-RPC needs of a chain. Whoever runs an EVM chain offers this: a rollup's sequencer, an ordered chain, a
node that only verifies.

    methods = ethereum_methods(backend)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from dougong._native import Evm
from dougong.execution.evm.pool import TransactionPool
from dougong.types import Heads

__all__ = ["EvmBackend", "Heads"]


@runtime_checkable
class EvmBackend(Protocol):
    """An EVM chain as its JSON-RPC sees it. Blocks and state are read from `evm` directly, never through here."""

    @property
    def evm(self) -> Evm: ...

    async def submit(self, raw: bytes) -> bytes:
        """Takes a signed transaction (EIP-2718 bytes) and returns its hash. When it returns, a kill -9 does not lose the
        transaction. Raises `InvalidTransaction` with geth's words when the chain will not take it, `Rejected` where nobody
        takes transactions (a verifying node), `Unavailable` when the outcome is unknown. Called concurrently."""
        ...

    def heads(self) -> Heads:
        """Never above what `evm` holds."""
        ...

    def pending_nonce(self, address: bytes) -> int:
        """The nonce after every pending transaction of `address` that can follow on the latest state."""
        ...

    def pending_transaction(self, tx_hash: bytes) -> bytes | None:
        """The EIP-2718 bytes of a transaction that is taken and in no block yet."""
        ...

    @property
    def pool(self) -> TransactionPool | None:
        """The transactions that wait, to be read; None where nobody takes any."""
        ...

    def watch(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called, on the event loop, after the head moved, forward or back. It must not raise or block."""
        ...
