"""What simulations must not let anybody do: gas, time, threads and bytes end."""

from __future__ import annotations

import asyncio

import pytest

from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from tests.rpc.simulate.world import (
    LIMIT,
    LOOP,
    B,
    C,
    Caller,
)
from tests.rpc.world import World


async def test_infinite_loops_use_up_the_gas_of_all_calls_once(node: Caller) -> None:
    loop = {"stateOverrides": {B: {"code": LOOP}}, "calls": [{"to": B}]}
    code, words = await node.refused(loop, {"calls": [{"to": C}]})
    assert code == -38013, "nothing is left for the next one"
    assert "supplied gas 0" in words
    (block,) = await node.simulate(loop)
    assert int(block["gasUsed"], 16) <= 50_000_000


async def test_many_calls_in_256_blocks_share_one_cap(node: Caller) -> None:
    blocks = [{"calls": [{"to": B}] * 39} for _ in range(256)]
    code, words = await node.refused(*blocks)
    assert code == -38013
    assert "intrinsic gas too low" in words
    assert (await node.refused({"calls": [{"to": B}] * 5_001}))[0] == LIMIT
    assert (await node.refused(*[{"calls": [{"to": B}] * 5_000}] * 3))[0] == LIMIT


async def test_a_simulation_ends_in_time_and_when_nobody_waits(world: World) -> None:
    loop = {"blockStateCalls": [{"stateOverrides": {B: {"code": LOOP}}, "calls": [{"to": B}]}]}
    endless = EthereumOptions(gas_cap=2**63, simulate_seconds=0.2)
    hasty = EthereumApi(world.backend, endless)
    huge = {"blockStateCalls": [{**loop["blockStateCalls"][0], "blockOverrides": {"gasLimit": hex(2**63)}}]}
    try:
        assert (await Caller(hasty).error("eth_simulateV1", huge))[0] == -32016
    finally:
        hasty.close()
    patient = EthereumApi(world.backend, EthereumOptions(gas_cap=2**63, simulate_seconds=3_600))
    try:
        task = asyncio.create_task(Caller(patient).reply("eth_simulateV1", huge))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        await asyncio.to_thread(patient.close)  # waits for the thread: it would for an hour


async def test_simulations_leave_a_thread_to_calls(world: World) -> None:
    api = EthereumApi(world.backend, EthereumOptions(gas_cap=2**63, simulate_seconds=3_600))
    caller = Caller(api)
    loop = {
        "blockStateCalls": [
            {"blockOverrides": {"gasLimit": hex(2**63)}, "stateOverrides": {B: {"code": LOOP}}, "calls": [{"to": B}]}
        ]
    }
    busy = [asyncio.create_task(caller.reply("eth_simulateV1", loop)) for _ in range(3)]
    try:
        await asyncio.sleep(0.1)
        assert await caller.result("eth_call", {"to": C}) == "0x"
        assert not any(task.done() for task in busy)
    finally:
        for task in busy:
            task.cancel()
        await asyncio.wait(busy)
        await asyncio.to_thread(api.close)


async def test_a_result_is_bounded(world: World) -> None:
    api = EthereumApi(world.backend, EthereumOptions(simulate_bytes=200_000))
    caller = Caller(api)
    logs = {B: {"code": "0x5b5f5fa05f56"}}
    returned = {C: {"code": "0x620186a05ff3"}}
    try:
        for state, to in ((logs, B), (returned, C)):
            code, words = await caller.refused({"stateOverrides": state, "calls": [{"to": to}]})
            assert (code, words) == (LIMIT, "the result would be too large")
        assert (await caller.refused(*[{}] * 256))[0] == LIMIT
        assert await caller.simulate({})
    finally:
        api.close()
