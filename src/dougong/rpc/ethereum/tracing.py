"""Executions of the past, watched: `debug_trace*` with geth's tracers, and the two Parity methods that come with them.

    await node.call("debug_traceTransaction", tx_hash, {"tracer": "callTracer"})

Sources: go-ethereum `eth/tracers/api.go`; ethereum/execution-apis `src/debug/`; OpenEthereum's trace module for `trace_block` and
`trace_transaction`. The tracers: `rust/evm/src/trace/`. Who asks for a trace can make the node compute for seconds and answer
with gigabytes, so `EthereumOptions` bounds both, geth's `timeout` (default 5 s) bounds each transaction within that, and
traces have a lane of threads of their own: they never hold up an eth_call.
"""

from __future__ import annotations

from typing import Any

import orjson

from dougong.errors import NotFound
from dougong.net.codes import SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import LATEST, BlockId, hex_data, read_block, read_data, read_hash, read_object
from dougong.rpc.protocol import Methods, Param

__all__ = ["missing_block", "tracing_methods"]

PARITY = orjson.dumps({"tracer": "flatCallTracer", "tracerConfig": {"convertParityErrors": True}}).decode()

BLOCK = Param("block", read_block)
HASH = Param("transactionHash", read_hash)
OPTIONS: Any = Param("options", read_object, {})


def tracing_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, options = chain.evm, chain.options
    bounds = (options.trace_seconds, options.trace_bytes)

    def find(block: BlockId) -> int:
        number = chain.find(block)
        if number is None:
            raise missing_block(block)
        return number

    async def trace_transaction(tx_hash: bytes, asked: dict[str, Any]) -> orjson.Fragment:
        found = await chain.trace(evm.trace_transaction, tx_hash, orjson.dumps(asked).decode(), *bounds)
        if found is None:
            raise RpcError(SERVER_ERROR, "transaction not found")
        return orjson.Fragment(found)

    async def block_trace(block: BlockId, asked: str) -> bytes:
        number = find(block)
        try:
            return await chain.trace(evm.trace_block, number, asked, *bounds)
        except NotFound as error:  # rolled back while it waited for a thread
            raise missing_block(block) from error

    async def trace_block(block: BlockId, asked: dict[str, Any]) -> orjson.Fragment:
        return orjson.Fragment(await block_trace(block, orjson.dumps(asked).decode()))

    async def trace_block_rlp(block_rlp: bytes, asked: dict[str, Any]) -> orjson.Fragment:
        return orjson.Fragment(await chain.trace(evm.trace_block_rlp, block_rlp, orjson.dumps(asked).decode(), *bounds))

    async def trace_call(request: dict[str, Any], block: BlockId, asked: dict[str, Any]) -> orjson.Fragment:
        if block.tag == "pending":
            raise RpcError(SERVER_ERROR, "tracing on top of pending is not supported")
        number = find(block)
        texts = (orjson.dumps(request).decode(), orjson.dumps(asked).decode())
        return orjson.Fragment(await chain.trace(evm.trace_call, texts[0], number, options.gas_cap, texts[1], *bounds))

    async def parity_transaction(tx_hash: bytes) -> orjson.Fragment | None:
        found = await chain.trace(evm.trace_transaction, tx_hash, PARITY, *bounds)
        return None if found is None else orjson.Fragment(found)

    async def parity_block(block: BlockId) -> list[object]:
        traces = orjson.loads(await block_trace(block, PARITY))
        return [entry for trace in traces for entry in trace["result"]]

    methods.add("debug_traceTransaction", trace_transaction, HASH, OPTIONS)
    methods.add("debug_traceBlockByNumber", trace_block, BLOCK, OPTIONS)
    methods.add("debug_traceBlockByHash", trace_block, Param("blockHash", lambda value: BlockId(hash=read_hash(value))), OPTIONS)
    methods.add("debug_traceBlock", trace_block_rlp, Param("block", read_data), OPTIONS)
    methods.add(
        "debug_traceCall",
        trace_call,
        Param("transaction", read_object),
        Param("block", read_block, LATEST),
        OPTIONS,
    )
    methods.add("trace_transaction", parity_transaction, HASH)
    methods.add("trace_block", parity_block, BLOCK)
    return methods


def missing_block(block: BlockId) -> RpcError:
    """As geth's tracers say it."""
    name = hex_data(block.hash) if block.hash is not None else f"#{block.tag if block.number is None else block.number}"
    return RpcError(SERVER_ERROR, f"block {name} not found")
