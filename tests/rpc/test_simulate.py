"""eth_simulateV1, and overrides of eth_call and eth_estimateGas: what they do, and what they must not let anybody do.

Contracts are written in opcodes where a few suffice: what is called, stored or logged is then in plain sight.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from eth_utils.address import to_checksum_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dougong.execution.evm.genesis import GenesisAccount
from dougong.net.codes import INTERNAL_ERROR, INVALID_PARAMS, REVERTED, SERVER_ERROR
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from dougong.rpc.protocol import Limits, answer
from dougong.testing.wallet import Wallet
from tests.rpc.world import CHAIN_ID, World, running

ALICE = Wallet.of("alice", CHAIN_ID)
ALLOC = {ALICE.address: GenesisAccount(10**21)}
A, B, C, D = (f"0x{letter * 2:0>40}" for letter in "abcd")
RICH = {A: {"balance": hex(10**21)}}
ETHER = "0x" + "ee" * 20
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
LIMIT = -38026
ECRECOVER, SHA256, IDENTITY = (f"0x{number:040x}" for number in (1, 2, 4))

LOOP = "0x5b600056"
REVERTS = "0x60006000fd"
SELFBALANCE = "0x4760005260206000f3"


def returns(*opcode: int) -> str:
    """A contract that returns what these opcodes leave on the stack."""
    return "0x" + bytes(opcode).hex() + "60005260206000f3"


NUMBER, TIMESTAMP, BASEFEE, COINBASE, PREVRANDAO, GASLIMIT, BLOBBASEFEE = 0x43, 0x42, 0x48, 0x41, 0x44, 0x45, 0x4A
SLOAD_1 = returns(0x60, 1, 0x54)
ADD_1_TO_SLOT_1 = "0x6001546001016001556001545f5260205ff3"


class Caller:
    """Calls a chain's methods as a server does, without sockets."""

    def __init__(self, api: EthereumApi) -> None:
        self._methods = api.methods

    async def reply(self, method: str, *params: object) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        reply = await answer(self._methods, orjson.dumps(request), Limits())
        assert reply is not None
        return dict(orjson.loads(reply))

    async def result(self, method: str, *params: object) -> Any:
        reply = await self.reply(method, *params)
        assert "error" not in reply, reply
        return reply["result"]

    async def error(self, method: str, *params: object) -> tuple[int, str]:
        reply = await self.reply(method, *params)
        assert "error" in reply, reply
        return reply["error"]["code"], reply["error"]["message"]

    async def simulate(self, *blocks: dict[str, Any], **options: object) -> list[dict[str, Any]]:
        return list(await self.result("eth_simulateV1", {"blockStateCalls": list(blocks), **options}, "latest"))

    async def refused(self, *blocks: dict[str, Any], **options: object) -> tuple[int, str]:
        return await self.error("eth_simulateV1", {"blockStateCalls": list(blocks), **options}, "latest")


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, ALLOC, run=False) as made:
        yield made


@pytest_asyncio.fixture
async def node(world: World) -> AsyncIterator[Caller]:
    api = EthereumApi(world.backend, EthereumOptions(simulate_seconds=3.0))
    yield Caller(api)
    api.close()


def word(value: int) -> str:
    return f"0x{value:064x}"


# --- what it does


async def test_blocks_build_on_each_other_and_look_like_blocks(node: Caller, world: World) -> None:
    first, second = await node.simulate(
        {"stateOverrides": RICH, "calls": [{"from": A, "to": B, "value": "0x5"}, {"from": A, "to": B, "value": "0x1"}]},
        {"stateOverrides": {C: {"code": returns(0x73, *bytes.fromhex(B[2:]), 0x31)}}, "calls": [{"to": C}]},
    )
    head = world.backend.evm.head()
    assert first["parentHash"] == "0x" + head.hash.hex()
    assert (first["number"], second["number"]) == ("0x1", "0x2")
    assert int(first["timestamp"], 16) == head.timestamp + 12
    assert second["parentHash"] == first["hash"]
    assert [call["gasUsed"] for call in first["calls"]] == ["0x5208", "0x5208"]
    assert first["gasUsed"] == hex(42_000)
    assert first["baseFeePerGas"] == "0x0"
    assert len(set(first["transactions"])) == 2
    assert second["calls"][0]["returnData"] == word(6)
    stored = await node.result("eth_getBlockByNumber", "latest", False)
    assert first.keys() - {"calls"} == stored.keys()
    assert await node.result("eth_getBalance", B, "latest") == "0x0"


async def test_an_unchanged_state_keeps_its_root(node: Caller) -> None:
    """An empty block's system calls are all that it does, and here no system contract is there: so the root stays."""
    (block,) = await node.simulate({})
    stored = await node.result("eth_getBlockByNumber", "latest", False)
    code = await node.result("eth_getCode", "0x0000F90827F1C53a10cb7A02335B175320002935", "latest")
    assert (block["stateRoot"] == stored["stateRoot"]) == (code == "0x")


async def test_the_root_is_that_of_the_same_state_reached_otherwise(node: Caller) -> None:
    one = await node.simulate(
        {"stateOverrides": {A: {"balance": "0x64"}}, "calls": []},
        {"stateOverrides": {A: {"balance": "0x5a", "nonce": "0x1"}, B: {"balance": "0xa"}}},
    )
    other = await node.simulate({"stateOverrides": {A: {"balance": "0x64"}}}, {"calls": [{"from": A, "to": B, "value": "0xa"}]})
    assert one[0]["stateRoot"] == other[0]["stateRoot"] != one[1]["stateRoot"]
    assert one[1]["stateRoot"] == other[1]["stateRoot"]


async def test_numbers_that_are_left_out_become_empty_blocks(node: Caller) -> None:
    blocks = await node.simulate(
        {"blockOverrides": {"number": "0x4"}}, {"blockOverrides": {"number": "0x6"}, "calls": [{"to": A}]}
    )
    assert [int(block["number"], 16) for block in blocks] == [1, 2, 3, 4, 5, 6]
    times = [int(block["timestamp"], 16) for block in blocks]
    assert [later - earlier for earlier, later in pairwise(times)] == [12] * 5
    for parent, block in pairwise(blocks):
        assert block["parentHash"] == parent["hash"]


async def test_blockhash_sees_simulated_blocks(node: Caller, world: World) -> None:
    blockhash = {B: {"code": returns(0x5F, 0x35, 0x40)}}
    blocks = await node.simulate(
        {"stateOverrides": blockhash},
        {},
        {"calls": [{"to": B, "input": word(number)} for number in (0, 1, 2, 3, 9)]},
    )
    answers = [call["returnData"] for call in blocks[2]["calls"]]
    assert answers == ["0x" + world.backend.evm.genesis_hash.hex(), blocks[0]["hash"], blocks[1]["hash"], word(0), word(0)]


async def test_a_block_is_what_its_overrides_say(node: Caller, world: World) -> None:
    later = world.backend.evm.head().timestamp + 1_000
    wanted = {
        "number": "0x3",
        "time": hex(later),
        "gasLimit": "0xf4240",
        "feeRecipient": D,
        "prevRandao": word(0x1234),
        "baseFeePerGas": "0x7",
        "blobBaseFee": "0x9",
        "beaconRoot": word(0x77),
        "withdrawals": [{"index": "0x1", "validatorIndex": "0x2", "address": C, "amount": "0x3"}],
    }
    codes = {
        f"0x{0xF0 + place:040x}": {"code": returns(opcode)}
        for place, opcode in enumerate((NUMBER, TIMESTAMP, GASLIMIT, COINBASE, PREVRANDAO, BASEFEE, BLOBBASEFEE))
    }
    blocks = await node.simulate(
        {"blockOverrides": wanted, "stateOverrides": codes, "calls": [{"to": address, "gas": "0x7530"} for address in codes]},
        {"stateOverrides": {B: {"code": returns(0x73, *bytes.fromhex(C[2:]), 0x31)}}, "calls": [{"to": B}]},
    )
    block = blocks[2]
    assert [call["returnData"] for call in block["calls"]] == [
        *(word(3), word(later), word(1_000_000), word(int(D, 16)), word(0x1234), word(7), word(9))
    ]
    assert (block["miner"], block["mixHash"], block["gasLimit"]) == (D, word(0x1234), "0xf4240")
    assert (block["baseFeePerGas"], block["parentBeaconBlockRoot"]) == ("0x7", word(0x77))
    assert block["withdrawals"] == wanted["withdrawals"]
    assert blocks[3]["calls"][0]["returnData"] == word(3 * 10**9)
    assert blocks[3]["gasLimit"] == "0xf4240", "what is not overridden again is the parent's"


async def test_storage_is_replaced_whole_or_by_slot(node: Caller) -> None:
    code = {"code": SLOAD_1}
    read = [{"to": B}]
    blocks = await node.simulate(
        {"stateOverrides": {B: {**code, "stateDiff": {word(1): word(5), word(2): word(6)}}}, "calls": read},
        {"stateOverrides": {B: {"stateDiff": {word(2): word(9)}}}, "calls": read},
        {"stateOverrides": {B: {"state": {word(2): word(9)}}}, "calls": read},
        {"stateOverrides": {B: {"state": {word(1): word(5), word(2): word(6)}}}, "calls": read},
        {"stateOverrides": {B: {"state": {}}}, "calls": read},
    )
    assert [int(block["calls"][0]["returnData"], 16) for block in blocks] == [5, 5, 0, 5, 0]
    fresh = await node.simulate({"stateOverrides": {B: code}, "calls": read})
    assert fresh[0]["calls"][0]["returnData"] == word(0)


async def test_a_storage_that_starts_anew_with_the_same_slots_has_the_same_root(node: Caller) -> None:
    slots = {word(number): word(number + 1) for number in range(1, 40)}
    first, second = await node.simulate(
        {"stateOverrides": {B: {"code": SLOAD_1, "state": slots}}}, {"stateOverrides": {B: {"state": slots}}}
    )
    plain = await node.simulate({"stateOverrides": {B: {"code": SLOAD_1, "stateDiff": slots}}}, {})
    assert [first["stateRoot"], second["stateRoot"]] == [block["stateRoot"] for block in plain]


async def test_transfers_are_logged_in_order_and_those_that_fail_are_not(node: Caller) -> None:
    to_c = bytes.fromhex(C[2:])
    forwards = "0x5f5f5f5f" + "6001" + "73" + to_c.hex() + "5af1" + "00"
    forwards_and_reverts = forwards[:-2] + "5f5ffd"
    destroys = "0x73" + to_c.hex() + "ff"
    calls = [
        {"from": A, "to": B, "value": "0x2"},
        {"from": A, "to": D, "value": "0x3"},
        {"from": A, "to": C, "value": "0x4"},
        {"from": A, "to": C},
        {"from": A, "to": ETHER, "value": "0x5"},
        {"from": A, "value": "0x6", "input": "0x"},
    ]
    codes = {B: {"code": forwards}, D: {"code": forwards_and_reverts}, ETHER: {"code": destroys}}
    (block,) = await node.simulate({"stateOverrides": RICH | codes, "calls": calls}, traceTransfers=True)
    shown = [
        [(log["topics"][1][-40:], log["topics"][2][-40:], int(log["data"], 16), int(log["logIndex"], 16)) for log in call["logs"]]
        for call in block["calls"]
    ]
    a, b, c, ether = (address[2:] for address in (A, B, C, ETHER))
    created = shown[5][0][1]
    assert shown == [
        [(a, b, 2, 0), (b, c, 1, 1)],
        [],
        [(a, c, 4, 4)],
        [],
        [(a, ether, 5, 5), (ether, c, 5, 6)],
        [(a, created, 6, 7)],
    ]
    for call in block["calls"]:
        for log in call["logs"]:
            assert (log["address"], log["topics"][0], log["blockHash"]) == (ETHER, TRANSFER, block["hash"])
    assert int(block["logsBloom"], 16) == 0, "such logs are in no bloom and in no receipt"
    (quiet,) = await node.simulate({"stateOverrides": RICH | codes, "calls": calls})
    assert [call["logs"] for call in quiet["calls"]] == [[]] * 6
    assert quiet["hash"] == block["hash"]


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


async def test_full_transactions_are_those_that_the_hashes_name(node: Caller) -> None:
    calls = [
        {"from": A, "to": B, "maxFeePerGas": "0x10", "value": "0x5"},
        {"from": A, "to": B, "gasPrice": "0x10"},
        {"from": A, "input": "0x00", "maxFeePerGas": "0x10"},
    ]
    block = {"blockOverrides": {"baseFeePerGas": "0x3"}, "stateOverrides": RICH, "calls": calls}
    (full,) = await node.simulate(block, returnFullTransactions=True)
    (hashes,) = await node.simulate(block)
    assert [tx["hash"] for tx in full["transactions"]] == hashes["transactions"]
    assert [tx["nonce"] for tx in full["transactions"]] == ["0x0", "0x1", "0x2"]
    assert [tx["type"] for tx in full["transactions"]] == ["0x2", "0x0", "0x2"]
    assert [tx["gasPrice"] for tx in full["transactions"]] == ["0x3", "0x10", "0x3"]
    for place, tx in enumerate(full["transactions"]):
        assert (tx["from"], tx["transactionIndex"], tx["blockHash"]) == (A, hex(place), full["hash"])
        assert (tx["v"], tx["r"], tx["s"]) == ("0x0", "0x0", "0x0")
    assert full["transactions"][2]["to"] is None


async def test_failing_calls_say_why_and_the_block_goes_on(node: Caller) -> None:
    codes = {B: {"code": REVERTS}, C: {"code": LOOP}, D: {"code": "0xfe"}}
    calls = [{"to": B}, {"to": C, "gas": "0x9c40"}, {"to": D, "gas": "0x9c40"}, {"to": A}]
    (block,) = await node.simulate({"stateOverrides": codes, "calls": calls})
    reverted, looped, invalid, fine = block["calls"]
    assert reverted["error"] == {"code": REVERTED, "message": "execution reverted", "data": "0x"}
    assert looped["error"] == {"code": -32015, "message": "out of gas"}
    assert (looped["gasUsed"], looped["status"]) == ("0x9c40", "0x0")
    assert invalid["error"]["code"] == -32015
    assert (fine["status"], fine["logs"], "error" in fine) == ("0x1", [], False)


async def test_refunds_are_in_the_gas_used_and_not_in_the_peak(node: Caller) -> None:
    code = {B: {"code": "0x5f60015500", "stateDiff": {word(1): word(1)}}}
    (block,) = await node.simulate({"stateOverrides": code, "calls": [{"to": B}]})
    (call,) = block["calls"]
    assert int(call["maxUsedGas"], 16) - int(call["gasUsed"], 16) == 4_800


async def test_validation_asks_for_what_a_block_asks_for(node: Caller) -> None:
    async def code(call: dict[str, Any], **overrides: str) -> int:
        block = {"blockOverrides": {"baseFeePerGas": "0xa", **overrides}, "stateOverrides": RICH, "calls": [{"from": A, **call}]}
        return (await node.refused(block, validation=True))[0]

    paid = {"maxFeePerGas": "0xa"}
    assert await code({"to": B}) == -38012
    assert await code({"to": B, "maxFeePerGas": "0x9"}) == -38012
    assert await code({"to": B, "nonce": "0x1", **paid}) == -38011
    assert await code({"to": B, "gas": "0x5207", **paid}) == -38013
    assert await code({"to": B, "value": hex(10**21), **paid}) == -38014
    assert await code({"to": B, "gas": "0x5208", **paid}, gasLimit="0x5207") == -38015
    assert await code({"to": B, "maxPriorityFeePerGas": "0xb", **paid}) == INVALID_PARAMS
    assert await code({"input": "0x" + "00" * 49_153, **paid}) == -38025
    assert await code({"to": B, "gasPrice": "0xa", **paid}) == SERVER_ERROR
    assert await code({"to": B, "chainId": "0x1", **paid}) == SERVER_ERROR
    low = {"stateOverrides": {A: {"nonce": "0x5"}}, "calls": [{"from": A, "to": B, "nonce": "0x4"}]}
    assert (await node.refused(low, validation=True))[0] == -38010
    fine = {"blockOverrides": {"baseFeePerGas": "0xa"}, "stateOverrides": RICH, "calls": [{"from": A, "to": B, **paid}]}
    (block,) = await node.simulate(fine, validation=True)
    assert block["calls"][0]["status"] == "0x1"
    contract = {**RICH, A: {"balance": "0xffffffffff", "code": SELFBALANCE}}
    (block,) = await node.simulate({**fine, "stateOverrides": contract}, validation=True)
    assert block["calls"][0]["status"] == "0x1", "a contract may send, even then"


async def test_without_validation_nonces_are_free_and_wrap_as_in_geth(node: Caller) -> None:
    calls = [{"from": A, "to": B, "nonce": "0x64"}, {"from": A, "to": B}, {"from": A, "to": B}]
    (block,) = await node.simulate(
        {"stateOverrides": {A: {"nonce": hex(2**64 - 1)}}, "calls": calls[1:]}, returnFullTransactions=True
    )
    assert [tx["nonce"] for tx in block["transactions"]] == [hex(2**64 - 1), "0x0"]
    (block,) = await node.simulate({"calls": calls}, returnFullTransactions=True)
    assert [tx["nonce"] for tx in block["transactions"]] == ["0x64", "0x1", "0x2"]


# --- overrides of eth_call and eth_estimateGas


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


# --- attacks


async def test_blocks_must_be_in_order_and_few(node: Caller, world: World) -> None:
    async def code(*blocks: dict[str, str]) -> int:
        return (await node.refused(*({"blockOverrides": block} for block in blocks)))[0]

    now = world.backend.evm.head().timestamp
    assert await code({"number": "0x0"}) == -38020
    assert await code({"number": "0x5"}, {"number": "0x5"}) == -38020
    for number in (257, 2**63, 2**64 - 1, 2**64, 2**256 - 1):
        assert await code({"number": hex(number)}) == LIMIT, number
    assert await code({"number": hex(2**256)}) == INVALID_PARAMS
    assert await code({"time": hex(now)}) == -38021
    assert await code({"time": hex(now + 20)}, {"time": hex(now + 19)}) == -38021
    assert await code({"time": hex(2**64 - 1)}, {}) == -38021, "the time after the last one"
    assert await code({"time": hex(2**64)}) == INVALID_PARAMS
    assert await code({"number": "0x9", "time": hex(now + 90)}) == -38021, "the empty blocks before it take their time"
    assert (await node.refused(*[{}] * 257)) == (LIMIT, "too many blocks")
    assert len(await node.simulate({"blockOverrides": {"number": hex(256), "time": hex(2**64 - 1)}})) == 256


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
    api = EthereumApi(world.backend, EthereumOptions(gas_cap=2**63, simulate_seconds=1.0))
    caller = Caller(api)
    loop = {
        "blockStateCalls": [
            {"blockOverrides": {"gasLimit": hex(2**63)}, "stateOverrides": {B: {"code": LOOP}}, "calls": [{"to": B}]}
        ]
    }
    try:
        async with asyncio.TaskGroup() as group:
            busy = [group.create_task(caller.error("eth_simulateV1", loop)) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert await caller.result("eth_call", {"to": C}) == "0x"
            assert not any(task.done() for task in busy)
        assert [task.result()[0] for task in busy] == [-32016] * 3
    finally:
        api.close()


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


async def test_extreme_amounts_are_refused_or_exact(node: Caller) -> None:
    most = hex(2**256 - 1)
    everything = {A: {"balance": most, "nonce": hex(2**64 - 1)}, B: {"balance": most}}
    calls = [{"from": A, "to": B, "value": "0x1"}]
    (block,) = await node.simulate({"stateOverrides": everything, "calls": calls})
    assert block["calls"][0]["status"] in ("0x0", "0x1")
    assert (
        await node.refused({"stateOverrides": everything, "calls": [{"from": A, "to": B, "value": most, "gasPrice": "0x1"}]})
    )[0] == -38014
    assert (await node.refused({"calls": [{"to": B, "gasPrice": hex(2**96)}]}))[0] == INVALID_PARAMS
    assert (await node.error("eth_call", {"from": A, "to": B, "gasPrice": hex(2**96)}, "latest", everything))[0] == INVALID_PARAMS
    rich = {"from": A, "to": C, "gasPrice": hex(2**96 - 1)}
    (block,) = await node.simulate({"stateOverrides": everything, "calls": [rich]})
    assert block["calls"][0]["status"] == "0x1"
    assert (await node.refused({"calls": [{"to": B, "gas": hex(2**64)}]}))[0] == INVALID_PARAMS
    limitless = {"blockOverrides": {"gasLimit": hex(2**64 - 1), "baseFeePerGas": hex(2**64 - 1)}}
    fee = {"maxFeePerGas": hex(2**64), "gas": hex(2**64 - 1)}
    (block,) = await node.simulate({**limitless, "stateOverrides": everything, "calls": [{"from": A, "to": C, **fee}]})
    assert block["calls"][0]["status"] == "0x1"
    assert await node.simulate(limitless, {"calls": [{"to": B}]}, {})
    (code, _) = await node.refused({"blockOverrides": {"baseFeePerGas": hex(2**64)}})
    assert code == INVALID_PARAMS


async def test_blob_and_set_code_calls_are_checked(node: Caller) -> None:
    async def code(**call: object) -> int:
        return (await node.refused({"stateOverrides": RICH, "calls": [{"from": A, **call}]}))[0]

    good = "0x01" + "00" * 31
    for hashes in ([], ["0x02" + "00" * 31], ["0x01"], 5, [good] * 100):
        assert await code(to=B, blobVersionedHashes=hashes) == INVALID_PARAMS, hashes
    assert await code(blobVersionedHashes=[good]) == INVALID_PARAMS
    authorizations: object
    for authorizations in ([], [{}], 5):
        assert await code(to=B, authorizationList=authorizations) == INVALID_PARAMS, authorizations
    (block,) = await node.simulate(
        {"stateOverrides": RICH, "calls": [{"from": A, "to": B, "blobVersionedHashes": [good], "maxFeePerBlobGas": "0xa"}]},
        returnFullTransactions=True,
    )
    assert (block["blobGasUsed"], block["transactions"][0]["type"]) == ("0x20000", "0x3")


async def test_an_override_of_a_system_contract_stops_nothing(node: Caller) -> None:
    contracts = ("000F3df6D732807Ef1319fB7B8bB8522d0Beac02", "0000F90827F1C53a10cb7A02335B175320002935")
    requests = ("00000961Ef480Eb55e80D19ad83579A64c007002", "0000BBdDc7CE488642fb579F8B00f3a590007251")
    for code in (LOOP, REVERTS, "0xfe", "0x620f42405ff3"):
        state = {"0x" + address: {"code": code} for address in (*contracts, *requests)}
        (block,) = await node.simulate({"stateOverrides": state, "calls": [{"to": B}]})
        assert block["calls"][0]["status"] == "0x1"


# --- any JSON

SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-1, 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=8)),
    st.sampled_from(["0x", "0x0", "0x1", "0x00", "0xff", hex(2**64 - 1), hex(2**256 - 1), A, B, SHA256, word(1), LOOP, "latest"]),
)


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    odd = {name: st.one_of(value, SCALARS) for name, value in fields.items()}
    return st.one_of(st.fixed_dictionaries({}, optional=fields), st.fixed_dictionaries({}, optional=odd))


AMOUNTS = st.one_of(st.integers(0, 2**24).map(hex), st.sampled_from([hex(2**64 - 1), hex(2**96), hex(2**256 - 1)]))
ADDRESSES = st.sampled_from([A, B, C, ECRECOVER, SHA256, IDENTITY, ETHER])
CODES = st.sampled_from(["0x", LOOP, REVERTS, SELFBALANCE, SLOAD_1, ADD_1_TO_SLOT_1, "0xef0100" + A[2:], "0x5f5f5f5f6001335af1"])
SLOTS = st.dictionaries(st.integers(0, 3).map(word), st.integers(0, 3).map(word), max_size=3)
BLOCK_OVERRIDES = objects(
    dict.fromkeys(("number", "time", "gasLimit", "difficulty", "baseFeePerGas", "blobBaseFee"), AMOUNTS)
    | {"feeRecipient": ADDRESSES, "prevRandao": st.just(word(7)), "beaconRoot": st.just(word(7))}
    | {"withdrawals": st.lists(objects({"address": ADDRESSES, "amount": AMOUNTS, "index": AMOUNTS}), max_size=2)}
)
ACCOUNT = objects(
    {
        **{"balance": AMOUNTS, "nonce": AMOUNTS, "code": CODES, "state": SLOTS, "stateDiff": SLOTS},
        "movePrecompileToAddress": ADDRESSES,
    }
)
STATE_OVERRIDES = st.dictionaries(ADDRESSES, ACCOUNT, max_size=3)
CALL = objects(
    {"from": ADDRESSES, "to": st.one_of(ADDRESSES, st.none()), "input": CODES}
    | dict.fromkeys(("gas", "value", "nonce", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "maxFeePerBlobGas"), AMOUNTS)
    | {"accessList": st.lists(objects({"address": ADDRESSES, "storageKeys": st.lists(st.just(word(1)))}), max_size=2)}
    | {"blobVersionedHashes": st.lists(st.just("0x01" + "00" * 31), max_size=2), "chainId": st.just(hex(CHAIN_ID))}
)
BLOCK = objects({"blockOverrides": BLOCK_OVERRIDES, "stateOverrides": STATE_OVERRIDES, "calls": st.lists(CALL, max_size=3)})
PAYLOAD = objects(
    {
        "blockStateCalls": st.lists(BLOCK, min_size=1, max_size=3),
        **dict.fromkeys(("traceTransfers", "validation", "returnFullTransactions"), st.booleans()),
    }
)
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3))


def test_any_json_is_answered_or_refused(tmp_path: Path) -> None:
    """Nothing that a caller writes is our fault: never an internal error, never a panic."""
    with asyncio.Runner() as runner:
        context = running(tmp_path, ALLOC, run=False)
        world = runner.run(context.__aenter__())
        api = EthereumApi(world.backend, EthereumOptions(gas_cap=300_000, simulate_seconds=5.0))
        caller = Caller(api)
        answered = 0

        @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.one_of(PAYLOAD, PAYLOAD, ANY), STATE_OVERRIDES, BLOCK_OVERRIDES, CALL)
        def ask(payload: object, state: object, block: object, call: object) -> None:
            nonlocal answered
            for method, params in (
                ("eth_simulateV1", [payload]),
                ("eth_call", [call, "latest", state, block]),
                ("eth_estimateGas", [call, "latest", state, block]),
            ):
                reply = runner.run(caller.reply(method, *params))
                answered += "result" in reply
                if "error" in reply:
                    known = "nonce has max value" in reply["error"]["message"]  # geth's code for it
                    assert reply["error"]["code"] != INTERNAL_ERROR or known, (method, params, reply)

        try:
            ask()
            assert answered > 50
        finally:
            api.close()
            runner.run(context.__aexit__(None, None, None))
