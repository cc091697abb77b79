"""What every Ethereum method needs: the backend, threads for the engine's reads, and the block that a caller means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from dougong.errors import Rejected
from dougong.net.codes import LIMIT_EXCEEDED, SERVER_ERROR
from dougong.rpc.backend import EvmBackend
from dougong.rpc.errors import RpcError
from dougong.rpc.params import BlockId
from dougong.rpc.throttle import Client

__all__ = ["Chain", "EthereumOptions"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EthereumOptions:
    """What a caller may cost. `gas_cap`: of one eth_call, or of all calls of one eth_simulateV1, which may also take
    `simulate_seconds` and have a result of about `simulate_bytes`; `log_blocks`, `logs`, `log_bytes` and `log_seconds`: of one
    eth_getLogs (the seconds also of one ots_searchTransactions); `fee_history_blocks`; `proof_slots` of one eth_getProof;
    `trace_seconds` and `trace_bytes` (of its answer) of one trace. `sync_seconds` is how long eth_sendRawTransactionSync waits
    where the caller does not say, `most_sync_seconds` at most, `sync_places` how many callers at a time. `tip` (wei) is
    suggested while blocks are less than half full; `least_tip` tells the one without which the chain takes no transaction
    (docs/spec/fees.md)."""

    gas_cap: int = 50_000_000
    simulate_seconds: float = 5.0
    simulate_bytes: int = 16 << 20
    log_blocks: int = 10_000_000
    logs: int = 10_000
    log_bytes: int = 32 << 20
    log_seconds: float = 5.0
    fee_history_blocks: int = 1_024
    reward_blocks: int = 128
    proof_slots: int = 1_024
    trace_seconds: float = 30.0
    trace_bytes: int = 64 << 20
    sync_seconds: float = 2.0
    most_sync_seconds: float = 60.0
    sync_places: int = 128
    tip: int = 1_000_000
    least_tip: Callable[[], int] = lambda: 0
    read_threads: int = 4
    call_threads: int = 2
    search_threads: int = 2
    trace_threads: int = 2


class Chain:
    """One chain's backend with four lanes of threads: reads of known size, calls that may compute for long, searches of many
    blocks, and traces, which take longer still. So nobody's eth_call holds up another one's receipt, and none of them the event
    loop or the threads that make blocks."""

    def __init__(self, backend: EvmBackend, options: EthereumOptions) -> None:
        self.backend = backend
        self.evm = backend.evm
        self.options = options
        self._reads = ThreadPoolExecutor(options.read_threads, thread_name_prefix="rpc-read")
        self._calls = ThreadPoolExecutor(options.call_threads, thread_name_prefix="rpc-call")
        self._searches = ThreadPoolExecutor(options.search_threads, thread_name_prefix="rpc-search")
        self._traces = ThreadPoolExecutor(options.trace_threads, thread_name_prefix="rpc-trace")

    def close(self) -> None:
        self._reads.shutdown(wait=True, cancel_futures=True)
        self._calls.shutdown(wait=True, cancel_futures=True)
        self._searches.shutdown(wait=True, cancel_futures=True)
        self._traces.shutdown(wait=True, cancel_futures=True)

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reads, lambda: function(*args, **kwargs))

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._calls, lambda: function(*args, **kwargs))

    async def search(self, client: Client | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One at a time for each client: who asks for a thousand waits for himself."""
        async with nullcontext() if client is None else client.searching:
            return await asyncio.get_running_loop().run_in_executor(self._searches, lambda: function(*args, **kwargs))

    async def trace(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._traces, lambda: function(*args, **kwargs))
        except Rejected as error:
            raise RpcError(LIMIT_EXCEEDED, str(error)) from error

    def find(self, block: BlockId) -> int | None:
        """The number of a block that is there, or None. The pending block is the latest one: transactions that wait show in
        nonces and by their hashes only."""
        heads = self.backend.heads()
        if block.hash is not None:
            number = self.evm.number_of(block.hash)
            return number if number is not None and number <= heads.latest else None
        if block.number is not None:
            return block.number if block.number <= heads.latest else None
        named = {"latest": heads.latest, "pending": heads.latest, "safe": heads.safe, "finalized": heads.finalized, "earliest": 0}
        return named[block.tag]

    def need(self, block: BlockId) -> int:
        """As `find`; raises geth's error where it is None."""
        number = self.find(block)
        if number is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return number
