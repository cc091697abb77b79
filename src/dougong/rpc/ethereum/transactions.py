"""Methods about transactions. Source: ethereum/execution-apis `src/eth/transaction.yaml`, `submit.yaml`."""

from __future__ import annotations

import orjson

from dougong.rpc.ethereum.blocks import BLOCK, INDEX, MAX_INDEX
from dougong.rpc.ethereum.blocks import HASH as BLOCK_HASH
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.pending import pending_json
from dougong.rpc.params import BlockId, hex_data, read_data, read_hash
from dougong.rpc.protocol import Methods, Param

__all__ = ["raw_transaction", "transaction_methods"]

HASH = Param("transactionHash", read_hash)


def transaction_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, backend = chain.evm, chain.backend

    async def send_raw(raw: bytes) -> str:
        return hex_data(await backend.submit(raw))

    async def by_hash(tx_hash: bytes) -> object:
        found = await chain.read(evm.transaction_json, tx_hash)
        if found is None:
            raw = backend.pending_transaction(tx_hash)
            if raw is not None:
                return pending_json(raw)
            found = await chain.read(evm.transaction_json, tx_hash)  # it may have left the pool for a block in between
        return None if found is None else orjson.Fragment(found)

    async def receipt(tx_hash: bytes) -> orjson.Fragment | None:
        found = await chain.read(evm.receipt_json, tx_hash)
        return None if found is None else orjson.Fragment(found)

    async def by_index(block: BlockId, index: int) -> orjson.Fragment | None:
        number = chain.find(block)
        if number is None:
            return None
        found = await chain.read(evm.transaction_at_json, number, min(index, MAX_INDEX))
        return None if found is None else orjson.Fragment(found)

    async def raw_by_hash(tx_hash: bytes) -> str | None:
        return await raw_transaction(chain, tx_hash)

    methods.add("eth_sendRawTransaction", send_raw, Param("transaction", read_data))
    methods.add("eth_getTransactionByHash", by_hash, HASH)
    methods.add("eth_getTransactionReceipt", receipt, HASH)
    methods.add("eth_getTransactionByBlockNumberAndIndex", by_index, BLOCK, INDEX)
    methods.add("eth_getTransactionByBlockHashAndIndex", by_index, BLOCK_HASH, INDEX)
    methods.add("eth_getRawTransactionByHash", raw_by_hash, HASH)
    return methods


async def raw_transaction(chain: Chain, tx_hash: bytes) -> str | None:
    """The EIP-2718 bytes of a transaction that waits or is in a block."""
    raw = chain.backend.pending_transaction(tx_hash) or await chain.read(chain.evm.raw_transaction, tx_hash)
    return None if raw is None else hex_data(raw)
