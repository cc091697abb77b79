"""An ordered EVM chain as its JSON-RPC sees it: what is sent goes to the consensus engine, what is decided is final.

backend = OrderedEvm(app, chain)                # an EvmBackend (rpc/backend.py)
tx_hash = await backend.submit(raw)
"""

from __future__ import annotations

from collections.abc import Callable

from dougong._native import Evm, keccak256
from dougong.errors import InvalidTransaction
from dougong.execution.evm.app import EvmApplication
from dougong.execution.evm.pool import TransactionPool
from dougong.interfaces import Consensus
from dougong.types import Heads

__all__ = ["OrderedEvm"]


class OrderedEvm:
    """One `EvmApplication` and the `Consensus` that orders it."""

    def __init__(self, app: EvmApplication, chain: Consensus) -> None:
        self._app = app
        self._chain = chain

    @property
    def evm(self) -> Evm:
        return self._app.evm

    async def submit(self, raw: bytes) -> bytes:
        """The hash, once the engine's mempool has made the transaction durable. Sending it again is no error while it waits.
        Raises `InvalidTransaction` with geth's words, `Rejected` when the mempool is full."""
        verdict = await self._chain.broadcast(raw)
        if not verdict.accepted:
            raise InvalidTransaction(verdict.log)
        return keccak256(raw)

    def heads(self) -> Heads:
        head = self._app.head.number
        return Heads(head, head, head)

    def pending_nonce(self, address: bytes) -> int:
        return self._app.pool.pending_nonce(address, self._app.evm.account(address)[0])

    def pending_transaction(self, tx_hash: bytes) -> bytes | None:
        return self._app.pool.get(tx_hash)

    @property
    def pool(self) -> TransactionPool:
        return self._app.pool

    def watch(self, on_change: Callable[[], None]) -> None:
        self._app.watch(on_change)
