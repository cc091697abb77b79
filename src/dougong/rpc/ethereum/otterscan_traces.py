"""What the explorer Otterscan learns by executing a transaction again. Source: Otterscan's `docs/custom-jsonrpc.md`.

Of a transaction that is not there: null.
"""

from __future__ import annotations

import orjson

from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.transactions import HASH
from dougong.rpc.params import hex_data
from dougong.rpc.protocol import Methods

__all__ = ["otterscan_trace_methods"]


def otterscan_trace_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm = chain.evm
    bounds = (chain.options.trace_seconds, chain.options.trace_bytes)

    async def trace(tx_hash: bytes) -> orjson.Fragment | None:
        found = await chain.trace(evm.trace_entries_json, tx_hash, *bounds)
        return None if found is None else orjson.Fragment(found)

    async def internal_operations(tx_hash: bytes) -> orjson.Fragment | None:
        found = await chain.trace(evm.internal_operations_json, tx_hash, *bounds)
        return None if found is None else orjson.Fragment(found)

    async def transaction_error(tx_hash: bytes) -> str | None:
        found = await chain.trace(evm.revert_data, tx_hash, *bounds)
        return None if found is None else hex_data(found)

    methods.add("ots_traceTransaction", trace, HASH)
    methods.add("ots_getInternalOperations", internal_operations, HASH)
    methods.add("ots_getTransactionError", transaction_error, HASH)
    return methods
