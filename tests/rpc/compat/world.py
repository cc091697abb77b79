"""The chain of ethereum/execution-apis behind our methods: their genesis document, their blocks, imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from dougong._native import Evm, decode_transactions
from dougong.errors import InvalidTransaction
from dougong.execution.evm.fees import next_base_fee
from dougong.execution.evm.pool import TransactionPool
from dougong.types import Heads

__all__ = ["ImportedEvm", "import_chain"]


def import_chain(vectors: Path, folder: Path) -> Evm:
    """The engine after all blocks of `chain.rlp`."""
    evm = Evm(str(folder / "chain"), (vectors / "genesis.json").read_text(), map_bytes=1 << 30, imported=True)
    evm.import_blocks((vectors / "chain.rlp").read_bytes())
    return evm


class ImportedEvm:
    """An `EvmBackend` over an imported chain: heads as the forkchoice says, and the pool that our own chains have."""

    def __init__(self, evm: Evm, forkchoice: Path) -> None:
        self._evm = evm
        state = json.loads(forkchoice.read_text())["params"][0]
        numbers = [evm.number_of(bytes.fromhex(state[f"{name}BlockHash"][2:])) for name in ("head", "safe", "finalized")]
        latest, safe, finalized = (number for number in numbers if number is not None)
        self._heads = Heads(latest, safe, finalized)
        header = evm.header(latest)
        base_fee = next_base_fee(base_fee=header.base_fee, gas_used=header.gas_used, gas_limit=header.gas_limit)
        self.pool = TransactionPool(evm.chain_id, gas_limit=header.gas_limit, base_fee=base_fee)

    @property
    def evm(self) -> Evm:
        return self._evm

    async def submit(self, raw: bytes) -> bytes:
        info = decode_transactions([raw])[0]
        if isinstance(info, str):
            raise InvalidTransaction(info)
        self.pool.add(raw, info, self._evm.account(info.sender))
        return info.hash

    def heads(self) -> Heads:
        return self._heads

    def pending_nonce(self, address: bytes) -> int:
        return self.pool.pending_nonce(address, self._evm.account(address)[0])

    def pending_transaction(self, tx_hash: bytes) -> bytes | None:
        return self.pool.get(tx_hash)

    def watch(self, on_change: Callable[[], None]) -> None:
        """The head never moves."""
