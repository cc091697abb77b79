"""Overrides in simulations, and of eth_call, eth_estimateGas and debug_traceCall."""

from __future__ import annotations

from typing import Any

from eth_utils.address import to_checksum_address

from dougong.net.codes import INVALID_PARAMS, REVERTED, SERVER_ERROR
from tests.rpc.simulate.world import (
    ADD_1_TO_SLOT_1,
    COINBASE,
    ECRECOVER,
    GASLIMIT,
    IDENTITY,
    LIMIT,
    LOOP,
    NUMBER,
    REVERTS,
    RICH,
    SELFBALANCE,
    SHA256,
    SLOAD_1,
    TIMESTAMP,
    A,
    B,
    C,
    Caller,
    D,
    returns,
    word,
)


async def test_precompiles_move_and_give_way_to_code(node: Caller) -> None:
    data = "0x" + b"dougong".hex()
    moved = {SHA256: {"movePrecompileToAddress": B, "code": SELFBALANCE, "balance": "0x7"}}
    calls = [{"to": B, "input": data}, {"to": SHA256, "input": data}, {"to": IDENTITY, "input": data}]
    first, second = await node.simulate(
        {"stateOverrides": moved, "calls": calls}, {"calls": calls, "stateOverrides": {B: {"code": SELFBALANCE}}}
    )
    digest = await node.result("eth_call", {"to": SHA256, "input": data})
    assert [call["returnData"] for call in first["calls"]] == [digest, word(7), data]
    # As in geth, a move holds for its block, the code for good: a precompile comes before code.
    assert [call["returnData"] for call in second["calls"]] == [word(0), digest, data]


async def test_precompiles_cannot_be_moved_anyhow(node: Caller) -> None:
    async def refused(state: dict[str, Any]) -> tuple[int, str]:
        return await node.refused({"stateOverrides": state})

    assert (await refused({ECRECOVER: {"movePrecompileToAddress": ECRECOVER}}))[0] == -38022
    assert (await refused({ECRECOVER: {"movePrecompileToAddress": SHA256}, SHA256: {}}))[0] == SERVER_ERROR
    assert (await refused({A: {"movePrecompileToAddress": A}}))[0] == SERVER_ERROR
    swap = {ECRECOVER: {"movePrecompileToAddress": SHA256}, SHA256: {"movePrecompileToAddress": ECRECOVER}}
    assert (await refused(swap))[0] == SERVER_ERROR
    same = {ECRECOVER: {"movePrecompileToAddress": C}, IDENTITY: {"movePrecompileToAddress": C}}
    (block,) = await node.simulate({"stateOverrides": same, "calls": [{"to": C, "input": "0x1234"}]})
    assert block["calls"][0]["returnData"] == "0x1234", "the later address's, as in geth"
    onto = {IDENTITY: {"movePrecompileToAddress": SHA256}}
    (block,) = await node.simulate({"stateOverrides": onto, "calls": [{"to": SHA256, "input": "0x1234"}]})
    assert block["calls"][0]["returnData"] == "0x1234"


async def test_an_override_of_a_system_contract_stops_nothing(node: Caller) -> None:
    contracts = ("000F3df6D732807Ef1319fB7B8bB8522d0Beac02", "0000F90827F1C53a10cb7A02335B175320002935")
    requests = ("00000961Ef480Eb55e80D19ad83579A64c007002", "0000BBdDc7CE488642fb579F8B00f3a590007251")
    for code in (LOOP, REVERTS, "0xfe", "0x620f42405ff3"):
        state = {"0x" + address: {"code": code} for address in (*contracts, *requests)}
        (block,) = await node.simulate({"stateOverrides": state, "calls": [{"to": B}]})
        assert block["calls"][0]["status"] == "0x1"


async def test_overrides_are_bounded(node: Caller) -> None:
    code = {B: {"code": "0x" + "00" * (1 << 20) + "00"}}
    slots = {B: {"stateDiff": {word(number): word(1) for number in range(32_769)}}}
    accounts = {f"0x{number:040x}": {"balance": "0x1"} for number in range(1, 4_098)}
    for much in (code, slots, accounts):
        refused, words = await node.refused({"stateOverrides": much})
        assert (refused, words.partition(":")[0]) == (LIMIT, "too many overrides")
        assert (await node.error("eth_call", {"to": B}, "latest", much))[0] == INVALID_PARAMS
    half = {B: {"code": "0x" + "00" * 700_000}}
    assert (await node.refused({"stateOverrides": half}, {"stateOverrides": half}))[0] == LIMIT, "over all blocks"
    assert await node.simulate({"stateOverrides": half, "calls": [{"to": B}]})
    withdrawals = [{"index": "0x0", "validatorIndex": "0x0", "address": A, "amount": "0x1"}] * 1_025
    assert (await node.refused({"blockOverrides": {"withdrawals": withdrawals}}))[0] == LIMIT


async def test_calls_take_overrides_and_forget_them(node: Caller) -> None:
    state = {B: {"code": ADD_1_TO_SLOT_1, "stateDiff": {word(1): word(41)}}}
    assert await node.result("eth_call", {"to": B}, "latest", state) == word(42)
    assert await node.result("eth_call", {"to": B}, "latest") == "0x"
    block = {"number": "0x7b", "time": hex(2**40), "feeRecipient": D, "gasLimit": "0x99"}
    for opcode, value in ((NUMBER, 0x7B), (TIMESTAMP, 2**40), (COINBASE, int(D, 16)), (GASLIMIT, 0x99)):
        assert await node.result("eth_call", {"to": B}, "latest", {B: {"code": returns(opcode)}}, block) == word(value)
    huge = {"number": hex(2**200)}
    assert await node.result("eth_call", {"to": B}, "latest", {B: {"code": returns(NUMBER)}}, huge) == word(2**200)
    cheap = int(await node.result("eth_estimateGas", {"to": B}, "latest"), 16)
    dear = int(await node.result("eth_estimateGas", {"to": B}, "latest", state), 16)
    assert cheap == 21_000 < dear
    assert (await node.error("eth_estimateGas", {"to": B}, "latest", {B: {"code": REVERTS}}))[0] == REVERTED
    poor = {"from": A, "to": B, "value": "0x5"}
    assert (await node.error("eth_call", poor, "latest"))[0] == SERVER_ERROR
    assert await node.result("eth_call", poor, "latest", RICH) == "0x"


async def test_traced_calls_take_overrides_too(node: Caller) -> None:
    async def traced(**overrides: object) -> Any:
        return await node.result("debug_traceCall", {"to": B}, "latest", {"tracer": "callTracer", **overrides})

    assert (await traced(stateOverrides={B: {"code": returns(NUMBER)}}, blockOverrides={"number": "0x7b"}))["output"] == word(
        0x7B
    )
    stored = {B: {"code": SLOAD_1, "state": {word(1): word(9)}}}
    assert (await traced(stateOverrides=stored))["output"] == word(9)
    assert "output" not in await traced()
    moved = {"stateOverrides": {IDENTITY: {"movePrecompileToAddress": C}}}
    code, words = await node.error("debug_traceCall", {"to": B}, "latest", moved)
    assert (code, words) == (SERVER_ERROR, "an override of a precompile is not supported for this RPC method")


async def test_calls_refuse_overrides_in_geths_words(node: Caller) -> None:
    async def refused(state: object, block: object = None) -> tuple[int, str]:
        return await node.error("eth_call", {"to": B}, "latest", state, block)

    code, words = await refused({A: {"movePrecompileToAddress": B}})
    assert (code, words) == (SERVER_ERROR, f"account {to_checksum_address(A)} is not a precompile")
    assert (await refused({A: {"state": {}, "stateDiff": {}}}))[0] == SERVER_ERROR
    assert (await refused({}, {"beaconRoot": word(0)}))[1].startswith('block override "beaconRoot" is not supported')
    assert (await refused({}, {"withdrawals": []}))[0] == SERVER_ERROR
    wrong: object
    for wrong in (
        *({"0x12": {}}, {A: 5}, {A: {"balance": 5}}, {A: {"balance": "0x"}}, {A: {"nonce": hex(2**64)}}, {A: {"code": "0x1"}}),
        *({A: {"state": {"0x1": word(1)}}}, {A: {"stateDiff": {word(1): "0x1"}}}, {A: {}, A.upper().replace("X", "x"): {}}),
    ):
        assert (await refused(wrong))[0] == INVALID_PARAMS, wrong
    assert (await refused([]))[0] == INVALID_PARAMS
    assert await node.result("eth_call", {"to": B}, "latest", {A: {"unheard": 1}}, {"of": None}) == "0x"
