"""eth_simulateV1: simulated blocks build on each other, and are what their overrides say."""

from __future__ import annotations

from itertools import pairwise

from dougong.net.codes import INVALID_PARAMS
from tests.rpc.simulate.world import (
    BASEFEE,
    BLOBBASEFEE,
    COINBASE,
    GASLIMIT,
    LIMIT,
    NUMBER,
    PREVRANDAO,
    RICH,
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
from tests.rpc.world import World


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
