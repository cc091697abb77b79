"""Blocks that never were. Sources: ethereum/execution-apis `src/eth/execute.yaml`; go-ethereum `internal/ethapi/simulate.go`.

The engine reads the payload, so that one place says what of it is wrong: `rust/evm/src/simulate/`, where deviations are named.
A simulation may take seconds, so one thread of the calls' lane is never given to one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from dougong._native import Cancellation
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import LATEST, BlockId, read_block, read_object
from dougong.rpc.protocol import Methods, Param

__all__ = ["simulate_methods"]


def simulate_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, options = chain.evm, chain.options
    places = asyncio.Semaphore(max(1, options.call_threads - 1))

    async def simulate(payload: dict[str, Any], block: BlockId) -> orjson.Fragment:
        cancellation = Cancellation()

        def run() -> tuple[int, bytes]:
            return evm.simulate_json(
                orjson.dumps(payload).decode(),
                chain.need(block),
                gas_cap=options.gas_cap,
                seconds=options.simulate_seconds,
                max_bytes=options.simulate_bytes,
                cancellation=cancellation,
            )

        async with places:
            try:
                code, body = await chain.call(run)
            except asyncio.CancelledError:
                cancellation.cancel()
                raise
        if code:
            raise RpcError(code, body.decode())
        return orjson.Fragment(body)

    methods.add("eth_simulateV1", simulate, Param("payload", read_object), Param("block", read_block, LATEST))
    return methods
