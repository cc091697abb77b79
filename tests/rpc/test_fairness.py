"""Whoever asks for the dearest calls by the thousand waits for himself: another one's single call is answered in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from dougong.rpc.ethereum import EthereumOptions
from dougong.rpc.throttle import ClientLimits
from tests.rpc.rollup import LOGGERS, rolling

ELSEWHERE = "127.0.0.2"
BURN = {"data": "0x5b600056", "gas": hex(1_000_000)}  # an endless loop
MANY = 150


def call(method: str, params: list[object], request_id: int = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


@pytest.mark.parametrize(
    ("dear", "asked"),
    [
        (("eth_call", [BURN, "latest"]), ("eth_call", [{"to": "0x" + "11" * 20}, "latest"])),
        (("eth_estimateGas", [BURN]), ("eth_estimateGas", [{"to": "0x" + "11" * 20}])),
        (("debug_traceCall", [BURN, "latest", {"tracer": "callTracer"}]), ("debug_traceTransaction", ["0x" + "22" * 32])),
        (("eth_getBlockByNumber", ["latest", True]), ("eth_getTransactionReceipt", ["0x" + "22" * 32])),
    ],
)
async def test_a_flood_of_dear_calls_leaves_room_for_anothers_call(
    tmp_path: Path, dear: tuple[str, list[object]], asked: tuple[str, list[object]]
) -> None:
    options = EthereumOptions(read_threads=1, call_threads=1, trace_threads=1)
    async with (
        rolling(tmp_path, options=options, clients=ClientLimits(reads=4)) as rollup,
        httpx.AsyncClient(timeout=120) as greedy,
        httpx.AsyncClient(timeout=120, transport=httpx.AsyncHTTPTransport(local_address=ELSEWHERE)) as other,
    ):
        await rollup.logs(*range(200), logger=LOGGERS[0])

        async def answered() -> float:
            lines = (await other.get(rollup.server.origin + "/metrics")).text.splitlines()
            return sum(float(line.split()[-1]) for line in lines if f'method="{dear[0]}"' in line and "calls_total{" in line)

        batch = [call(*dear, number) for number in range(MANY)]
        floods = [asyncio.create_task(greedy.post(rollup.url, json=batch)) for _ in range(2)]
        before = 0.0
        while not before:
            before = await answered()
        reply = (await other.post(rollup.url, json=call(*asked))).json()
        assert await answered() - before < MANY, reply
        for flood in floods:
            assert len((await flood).json()) == MANY  # and he is served all that he asked for
