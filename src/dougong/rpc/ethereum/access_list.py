"""`eth_createAccessList`. Sources: ethereum/execution-apis `src/eth/execute.yaml`; go-ethereum `internal/ethapi/api.go`.

A call that fails is answered too: with what it touched, and `error`.
"""

from __future__ import annotations

from typing import Any

import orjson

from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import LATEST, BlockId, read_block, read_object
from dougong.rpc.protocol import Methods, Param

__all__ = ["access_list_methods"]


def access_list_methods(chain: Chain) -> Methods:
    methods = Methods()
    options = chain.options

    async def create(request: dict[str, Any], block: BlockId, state: dict[str, Any] | None) -> orjson.Fragment:
        number = chain.need(block)
        body, overrides = orjson.dumps(request).decode(), orjson.dumps(state).decode()
        bounds = (options.trace_seconds, options.trace_bytes)
        found = await chain.trace(chain.evm.access_list_json, body, number, options.gas_cap, *bounds, overrides)
        return orjson.Fragment(found)

    methods.add(
        "eth_createAccessList",
        create,
        Param("transaction", read_object),
        Param("block", read_block, LATEST),
        Param("stateOverrides", read_object, None),
    )
    return methods
