"""Every tracer against contracts whose traces can be worked out by hand, in the words and shapes of geth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dougong._native import keccak256
from dougong.net.codes import INVALID_PARAMS, SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from tests.rpc.tracing import (
    ALICE,
    ALLOC,
    BOB,
    CODES,
    INNER,
    LOGGER,
    MAKER,
    OUTER,
    OVERFLOW,
    PROXY,
    REVERTER,
    block_of,
    hexed,
    to,
)
from tests.rpc.world import World, running

SLOT_0, SLOT_1 = (hexed(slot.to_bytes(32)) for slot in (0, 1))
CALLS = {"tracer": "callTracer"}


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, ALLOC, run=False) as made:
        yield made


@pytest_asyncio.fixture
async def node(world: World) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(world.url) as made:
        yield made


async def test_struct_logs_tell_each_opcode(world: World, node: JsonRpc) -> None:
    (tx_hash,) = await block_of(world, node, to(ALICE, PROXY, nonce=0))
    options = {"enableMemory": True, "enableReturnData": True}
    trace = await node.call("debug_traceTransaction", tx_hash, options)
    receipt = await node.call("eth_getTransactionReceipt", tx_hash)
    assert (trace["gas"], trace["failed"]) == (int(receipt["gasUsed"], 16), False)
    assert trace["returnValue"] == SLOT_0  # PROXY's own slot 1
    logs = trace["structLogs"]
    assert [log["op"] for log in logs][:4] == ["CALLDATASIZE", "PUSH0", "PUSH0", "CALLDATACOPY"]
    assert logs[0] == {"pc": 0, "op": "CALLDATASIZE", "gas": 1_000_000 - 21_000, "gasCost": 2, "depth": 1, "stack": []}
    assert logs[3]["stack"] == ["0x0", "0x0", "0x0"]
    delegate = next(log for log in logs if log["op"] == "DELEGATECALL")
    inner = [log for log in logs if log["depth"] == 2]
    assert [log["op"] for log in inner] == ["PUSH1", "SLOAD", "PUSH0", "MSTORE", "PUSH1", "PUSH0", "RETURN"]
    assert delegate["gasCost"] == 2_600 + inner[0]["gas"]
    assert (inner[1]["gasCost"], inner[1]["storage"]) == (2_100, {SLOT_1: SLOT_0})
    assert inner[4]["memory"] == [SLOT_0]
    assert all("memory" not in log for log in inner[:4])
    after = logs[logs.index(inner[-1]) + 1]
    assert (after["op"], after["returnData"], after["stack"]) == ("RETURNDATASIZE", SLOT_0, ["0x1"])
    assert all("error" not in log and "refund" not in log for log in logs)


async def test_struct_logs_leave_out_what_is_not_wanted(world: World, node: JsonRpc) -> None:
    (tx_hash,) = await block_of(world, node, to(ALICE, OUTER, nonce=0))
    whole = (await node.call("debug_traceTransaction", tx_hash, {"enableMemory": True, "enableReturnData": True}))["structLogs"]
    options = {"disableStack": True, "disableStorage": True}
    bare = (await node.call("debug_traceTransaction", tx_hash, options))["structLogs"]
    dropped = {"stack", "storage", "memory", "returnData"}
    assert bare == [{key: value for key, value in log.items() if key not in dropped} for log in whole]
    limited = (await node.call("debug_traceTransaction", tx_hash, {"limit": 300, **options}))["structLogs"]
    assert 0 < len(limited) < 10
    assert limited == bare[: len(limited)]


async def test_refunds_are_the_transactions(world: World, node: JsonRpc) -> None:
    (tx_hash,) = await block_of(world, node, to(ALICE, OUTER, nonce=0))
    logs = (await node.call("debug_traceTransaction", tx_hash))["structLogs"]
    stores = [log for log in logs if log["op"] == "SSTORE"]
    assert [(log["gasCost"], log.get("refund")) for log in stores] == [(22_100, None), (100, 19_900)]
    assert [log["storage"] for log in stores] == [{SLOT_0: hexed((7).to_bytes(32))}, {SLOT_0: SLOT_0}]
    assert logs[-1] | {"gas": 0} == {"pc": 123, "op": "STOP", "gas": 0, "gasCost": 0, "depth": 1, "stack": [], "refund": 19_900}


async def test_what_goes_wrong_in_an_opcode_is_said(world: World, node: JsonRpc) -> None:
    raws = [
        to(ALICE, OVERFLOW, nonce=0),
        to(ALICE, None, nonce=1, data=bytes.fromhex("50")),
        to(ALICE, None, nonce=2, data=bytes.fromhex("0c")),
        to(ALICE, None, nonce=3, data=bytes.fromhex("5f56")),
        to(ALICE, OUTER, nonce=4, gas=21_600),
        to(ALICE, REVERTER, nonce=5),
    ]
    hashes = await block_of(world, node, *raws)
    traces = [await node.call("debug_traceTransaction", tx_hash) for tx_hash in hashes]
    last = [trace["structLogs"][-1] for trace in traces]
    assert [(log["op"], log.get("error")) for log in last] == [
        ("PUSH0", "stack limit reached 1024 (1023)"),
        ("POP", "stack underflow (0 <=> 1)"),
        ("opcode 0xc not defined", None),
        ("JUMP", None),
        ("SSTORE", "out of gas: not enough gas for reentrancy sentry"),
        ("REVERT", None),
    ]
    assert [trace["failed"] for trace in traces] == [True] * 6
    assert [trace["returnValue"] for trace in traces] == ["0x"] * 5 + ["0xdeadbeef"]
    errors = [(await node.call("debug_traceTransaction", tx_hash, CALLS))["error"] for tx_hash in hashes]
    assert errors == [
        "stack limit reached 1024 (1023)",
        "stack underflow (0 <=> 1)",
        "invalid opcode: opcode 0xc not defined",
        "invalid jump destination",
        "out of gas: not enough gas for reentrancy sentry",
        "execution reverted",
    ]


async def test_a_creation_costs_what_it_does_not_give_on(world: World, node: JsonRpc) -> None:
    (tx_hash,) = await block_of(world, node, to(ALICE, MAKER, nonce=0))
    logs = (await node.call("debug_traceTransaction", tx_hash))["structLogs"]
    create = next(log for log in logs if log["op"] == "CREATE")
    create2 = next(log for log in logs if log["op"] == "CREATE2")
    assert create["gasCost"] == 32_000 + 2  # EIP-3860: a word of init code
    assert create2["gasCost"] == 32_000 + 2 + 6


async def test_the_call_tracer_tells_the_tree(world: World, node: JsonRpc) -> None:
    _, tx_hash = await block_of(world, node, to(BOB, LOGGER, nonce=0), to(ALICE, OUTER, nonce=0))
    receipt = await node.call("eth_getTransactionReceipt", tx_hash)
    trace = await node.call("debug_traceTransaction", tx_hash, {**CALLS, "tracerConfig": {"withLog": True}})
    assert (trace["type"], trace["from"], trace["to"]) == ("CALL", hexed(ALICE.address), hexed(OUTER))
    assert (trace["gas"], trace["gasUsed"], trace["value"]) == (hex(1_000_000), receipt["gasUsed"], "0x0")
    assert trace["input"] == "0x"
    assert "error" not in trace
    shown = [(call["type"], call["to"], call.get("value"), call.get("output"), call.get("error")) for call in trace["calls"]]
    assert shown == [
        ("CALL", hexed(INNER), "0x0", hexed((42).to_bytes(32)), None),
        ("STATICCALL", hexed(INNER), None, hexed((42).to_bytes(32)), None),
        ("DELEGATECALL", hexed(LOGGER), "0x0", None, None),
        ("CALL", hexed(REVERTER), "0x1", "0xdeadbeef", "execution reverted"),
    ]
    (log,) = trace["calls"][2]["logs"]
    assert log == {
        "address": hexed(OUTER),
        "topics": [SLOT_1, hexed((7).to_bytes(32))],
        "data": hexed((0xAA).to_bytes(32)),
        "index": "0x1",  # in the block: the other transaction's log is the first
        "position": "0x0",
    }
    top = await node.call("debug_traceTransaction", tx_hash, {**CALLS, "tracerConfig": {"onlyTopCall": True}})
    assert top == {key: value for key, value in trace.items() if key != "calls"}


async def test_creations_and_destructions_are_calls_too(world: World, node: JsonRpc) -> None:
    (tx_hash,) = await block_of(world, node, to(ALICE, MAKER, nonce=0))
    trace = await node.call("debug_traceTransaction", tx_hash, CALLS)
    first, second = trace["calls"]
    assert (first["type"], first["input"], first["output"], first["value"]) == ("CREATE", "0x60015ff3", "0x00", "0x3")
    assert await node.call("eth_getCode", first["to"], "latest") == "0x00"
    made = keccak256(b"\xff" + MAKER + bytes(32) + keccak256(bytes.fromhex("33ff")))[12:]
    assert (second["type"], second["to"]) == ("CREATE2", hexed(made))
    (gone,) = second["calls"]
    assert (gone["type"], gone["from"], gone["to"]) == ("SELFDESTRUCT", hexed(made), hexed(MAKER))


async def test_the_prestate_tracer_tells_what_was_touched(world: World, node: JsonRpc) -> None:
    first, tx_hash = await block_of(world, node, to(ALICE, OUTER, nonce=0, value=5), to(ALICE, OUTER, nonce=1, value=5))
    pre = await node.call("debug_traceTransaction", tx_hash, {"tracer": "prestateTracer"})
    fees = await node.call("eth_getTransactionReceipt", first)
    spent = int(fees["gasUsed"], 16) * int(fees["effectiveGasPrice"], 16)
    zero = hexed(bytes(20))  # the fee recipient, which the first transaction's tip made
    assert pre.keys() == {*map(hexed, (ALICE.address, OUTER, INNER, LOGGER, REVERTER)), zero}
    assert pre[hexed(ALICE.address)] == {"balance": hex(10**24 - 5 - spent), "nonce": 1}
    assert pre[hexed(INNER)] == {
        "balance": "0x0",
        "code": "0x" + CODES[INNER],
        "codeHash": hexed(keccak256(bytes.fromhex(CODES[INNER]))),
        "storage": {SLOT_1: hexed((42).to_bytes(32))},
    }
    assert (pre[hexed(OUTER)]["balance"], pre[hexed(OUTER)]["storage"]) == (hex(10**18 + 5), {SLOT_0: SLOT_0})
    config = {"disableCode": True, "disableStorage": True}
    bare = await node.call("debug_traceTransaction", tx_hash, {"tracer": "prestateTracer", "tracerConfig": config})
    assert bare[hexed(INNER)] == {"balance": "0x0", "codeHash": pre[hexed(INNER)]["codeHash"]}
    empty = {"tracer": "prestateTracer", "tracerConfig": {"includeEmpty": True}}
    assert zero in await node.call("debug_traceTransaction", first, empty)
    assert zero not in await node.call("debug_traceTransaction", first, {"tracer": "prestateTracer"})


async def test_the_difference_is_what_changed(world: World, node: JsonRpc) -> None:
    diff = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    code = bytes.fromhex("60075f5560015ff3")  # slot 0 := 7, and one byte of code, a zero
    creation, maker = await block_of(world, node, to(ALICE, None, nonce=0, data=code, value=9), to(ALICE, MAKER, nonce=1))
    trace = await node.call("debug_traceTransaction", creation, diff)
    made = (await node.call("eth_getTransactionReceipt", creation))["contractAddress"]
    sender, zero = hexed(ALICE.address), hexed(bytes(20))
    assert (trace["pre"].keys(), trace["post"].keys()) == ({sender}, {sender, made, zero})
    assert trace["pre"][sender] == {"balance": hex(10**24)}
    assert trace["post"][sender]["nonce"] == 1
    assert trace["post"][made] == {
        "balance": "0x9",
        "nonce": 1,
        "code": "0x00",
        "codeHash": hexed(keccak256(b"\0")),
        "storage": {SLOT_0: hexed((7).to_bytes(32))},
    }
    trace = await node.call("debug_traceTransaction", maker, diff)
    assert trace["post"][hexed(MAKER)] == {"balance": hex(10**18 - 3), "nonce": 2}
    made_and_gone = keccak256(b"\xff" + MAKER + bytes(32) + keccak256(bytes.fromhex("33ff")))[12:]
    assert hexed(made_and_gone) not in trace["pre"].keys() | trace["post"].keys()


async def test_selectors_are_counted(world: World, node: JsonRpc) -> None:
    data = bytes.fromhex("12345678aa")
    (tx_hash,) = await block_of(world, node, to(ALICE, PROXY, nonce=0, data=data))
    assert await node.call("debug_traceTransaction", tx_hash, {"tracer": "4byteTracer"}) == {"0x12345678-1": 2}


async def test_flat_calls_and_paritys_methods(world: World, node: JsonRpc) -> None:
    _, tx_hash = await block_of(world, node, to(BOB, LOGGER, nonce=0), to(ALICE, OUTER, nonce=0))
    receipt = await node.call("eth_getTransactionReceipt", tx_hash)
    flat = await node.call("debug_traceTransaction", tx_hash, {"tracer": "flatCallTracer"})
    assert [entry["traceAddress"] for entry in flat] == [[], [0], [1], [2], [3]]
    assert (flat[0]["subtraces"], flat[0]["type"], flat[0]["transactionPosition"]) == (4, "call", 1)
    assert (flat[0]["blockHash"], flat[0]["transactionHash"]) == (receipt["blockHash"], tx_hash)
    assert flat[4]["error"] == "execution reverted"
    parity = await node.call("trace_transaction", tx_hash)
    assert parity[4]["error"] == "Reverted"
    assert [entry["action"] for entry in parity] == [entry["action"] for entry in flat]
    whole = await node.call("trace_block", receipt["blockNumber"])
    assert whole[1:] == parity
    assert await node.call("trace_transaction", hexed(b"\x11" * 32)) is None


async def test_one_run_serves_many_tracers(world: World, node: JsonRpc) -> None:
    (tx_hash,) = await block_of(world, node, to(ALICE, OUTER, nonce=0))
    config = {"callTracer": {"withLog": True}, "4byteTracer": None, "prestateTracer": {"diffMode": True}, "flatCallTracer": {}}
    both = await node.call("debug_traceTransaction", tx_hash, {"tracer": "muxTracer", "tracerConfig": config})
    for name, options in config.items():
        alone = await node.call("debug_traceTransaction", tx_hash, {"tracer": name, "tracerConfig": options})
        assert both[name] == alone
    assert await node.call("debug_traceTransaction", tx_hash, {"tracer": "noopTracer"}) == {}


async def test_a_block_is_its_transactions(world: World, node: JsonRpc) -> None:
    hashes = await block_of(world, node, to(ALICE, OUTER, nonce=0), to(ALICE, MAKER, nonce=1), to(BOB, PROXY, nonce=0))
    number, block_hash = "0x1", (await node.call("eth_getBlockByNumber", "0x1", False))["hash"]
    for options in ({}, CALLS, {"tracer": "prestateTracer"}):
        alone = [{"txHash": tx, "result": await node.call("debug_traceTransaction", tx, options)} for tx in hashes]
        raw = await node.call("debug_getRawBlock", number)
        assert await node.call("debug_traceBlockByNumber", number, options) == alone
        assert await node.call("debug_traceBlockByHash", block_hash, options) == alone
        assert await node.call("debug_traceBlock", raw, options) == alone
    await block_of(world, node, to(ALICE, OUTER, nonce=2))
    assert await node.call("debug_traceBlockByNumber", number, CALLS) == [
        {"txHash": tx, "result": await node.call("debug_traceTransaction", tx, CALLS)} for tx in hashes
    ]


async def test_a_call_is_traced_where_it_stands(world: World, node: JsonRpc) -> None:
    hashes = await block_of(world, node, *[ALICE.transfer(BOB.address, 10**18, nonce=nonce) for nonce in range(3)])
    assert len(hashes) == 3
    request = {"to": hexed(OUTER), "from": hexed(BOB.address), "value": "0x1"}
    trace = await node.call("debug_traceCall", request, "latest", CALLS)
    assert [call["type"] for call in trace["calls"]] == ["CALL", "STATICCALL", "DELEGATECALL", "CALL"]
    assert (await node.call("debug_traceCall", request))["structLogs"]
    # BALANCE(BOB), returned: on the state before each of the block's transactions
    code = "0x73" + BOB.address.hex() + "315f5260205ff3"
    found = [
        int((await node.call("debug_traceCall", {"data": code}, "0x1", {"txIndex": hex(index)}))["returnValue"], 16)
        for index in range(3)
    ]
    assert found == [10**24 + index * 10**18 for index in range(3)]


async def test_a_call_is_traced_on_what_it_overrides(world: World, node: JsonRpc) -> None:
    other = "0x4360015460005260205260406000f3"  # NUMBER at 32, slot 1 at 0, both returned
    state = {hexed(INNER): {"code": other, "stateDiff": {SLOT_1: hexed((99).to_bytes(32))}}}
    options = {"stateOverrides": state, "blockOverrides": {"number": "0x4d"}}
    trace = await node.call("debug_traceCall", {"to": hexed(INNER)}, "latest", options)
    assert trace["returnValue"] == hexed((99).to_bytes(32) + (77).to_bytes(32))
    tree = await node.call("debug_traceCall", {"to": hexed(INNER)}, "latest", {**options, **CALLS})
    assert tree["output"] == trace["returnValue"]
    request = {"from": hexed(ALICE.address), "to": hexed(OUTER)}
    bare = {hexed(OUTER): {"code": "0x00"}}
    assert (await node.call("eth_createAccessList", request, "latest", bare))["accessList"] == []
    with pytest.raises(RpcError) as caught:
        await node.call("debug_traceCall", request, "latest", {"stateOverrides": {"0x12": {}}})
    assert caught.value.code == INVALID_PARAMS


async def test_what_cannot_be_traced_is_refused_in_geths_words(world: World, node: JsonRpc) -> None:
    (tx_hash,) = await block_of(world, node, to(ALICE, OUTER, nonce=0))
    nowhere = hexed(bytes(31) + b"\1")
    genesis = (await node.call("eth_getBlockByNumber", "0x0", False))["hash"]
    plain = {"to": hexed(OUTER)}
    cases: list[tuple[str, list[Any], int, str]] = [
        ("debug_traceTransaction", [nowhere], SERVER_ERROR, "transaction not found"),
        ("debug_traceBlockByNumber", ["0x0"], SERVER_ERROR, "genesis is not traceable"),
        ("debug_traceBlockByHash", [genesis], SERVER_ERROR, "genesis is not traceable"),
        ("debug_traceBlockByHash", [nowhere], SERVER_ERROR, f"block {nowhere} not found"),
        ("debug_traceBlockByNumber", ["0x99"], SERVER_ERROR, "block #153 not found"),
        ("debug_traceBlock", ["0x01"], SERVER_ERROR, "could not decode block: unexpected string"),
        ("debug_traceBlock", [await node.call("debug_getRawBlock", "0x0")], SERVER_ERROR, "genesis is not traceable"),
        ("debug_traceCall", [plain, "pending"], SERVER_ERROR, "tracing on top of pending is not supported"),
        ("debug_traceCall", [plain, "0x1", {"txIndex": "0x5"}], SERVER_ERROR, "transaction index 5 out of range for block"),
        ("debug_traceTransaction", [tx_hash, {"tracer": "{step: function() {}}"}], SERVER_ERROR, "JavaScript is not run here"),
        ("debug_traceTransaction", [tx_hash, {"timeout": "soon"}], SERVER_ERROR, "invalid duration"),
        ("debug_traceTransaction", [tx_hash, {"timeout": "-1s"}], SERVER_ERROR, "execution timeout"),
        ("debug_traceTransaction", [tx_hash, {"tracer": 5}], INVALID_PARAMS, "the options: "),
        ("debug_traceTransaction", [tx_hash, {"enableMemory": "yes"}], INVALID_PARAMS, "the options: "),
        (
            "debug_traceTransaction",
            [tx_hash, {**CALLS, "tracerConfig": {"withLog": 7}}],
            SERVER_ERROR,
            "tracerConfig of callTracer",
        ),
        ("debug_traceTransaction", [tx_hash, {"tracer": "muxTracer"}], SERVER_ERROR, "muxTracer wants an object"),
        (
            "debug_traceTransaction",
            [tx_hash, {"tracer": "muxTracer", "tracerConfig": {"muxTracer": {}}}],
            SERVER_ERROR,
            "a muxTracer does not run another one",
        ),
        (
            "debug_traceTransaction",
            [tx_hash, {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True, "includeEmpty": True}}],
            SERVER_ERROR,
            "cannot use diffMode with includeEmpty",
        ),
    ]
    for method, params, code, words in cases:
        with pytest.raises(RpcError) as caught:
            await node.call(method, *params)
        assert (caught.value.code, words in str(caught.value)) == (code, True), (method, params, str(caught.value))


async def test_blocks_as_they_are_hashed(world: World, node: JsonRpc) -> None:
    raw = to(ALICE, OUTER, nonce=0)
    (tx_hash,) = await block_of(world, node, raw)
    block = await node.call("eth_getBlockByNumber", "0x1", False)
    header = bytes.fromhex((await node.call("debug_getRawHeader", "0x1"))[2:])
    assert hexed(keccak256(header)) == block["hash"]
    raw_block = bytes.fromhex((await node.call("debug_getRawBlock", block["hash"]))[2:])
    assert (raw_block.find(header), len(raw_block)) == (3, int(block["size"], 16))
    assert await node.call("debug_getRawTransaction", tx_hash) == hexed(raw)
    assert await node.call("debug_getRawTransaction", hexed(b"\x11" * 32)) == "0x"
    (receipt,) = await node.call("debug_getRawReceipts", "0x1")
    assert receipt.startswith("0x02f9")
    assert await node.call("debug_getRawReceipts", "0x0") == []
    for method, nothing in (("debug_getRawBlock", "0x"), ("debug_getRawHeader", "0x"), ("debug_getRawReceipts", None)):
        assert await node.call(method, "0x99") == nothing
        with pytest.raises(RpcError, match="not found"):
            await node.call(method, hexed(b"\x11" * 32))


async def test_access_lists_are_complete_and_stay(world: World, node: JsonRpc) -> None:
    await block_of(world, node, to(BOB, LOGGER, nonce=0))
    request = {"from": hexed(ALICE.address), "to": hexed(OUTER), "gas": hex(200_000)}
    found = await node.call("eth_createAccessList", request)
    named = {item["address"]: item["storageKeys"] for item in found["accessList"]}
    assert named == {hexed(OUTER): [SLOT_0], hexed(INNER): [SLOT_1], hexed(LOGGER): [], hexed(REVERTER): []}
    assert list(named) == sorted(named)
    assert "error" not in found
    again = await node.call("eth_createAccessList", {**request, "accessList": found["accessList"]})
    assert again == found
    estimate = await node.call(
        "debug_traceCall", {**request, "accessList": found["accessList"]}, "latest", {"tracer": "callTracer"}
    )
    assert estimate["gasUsed"] == found["gasUsed"]
    failing = await node.call("eth_createAccessList", {**request, "to": hexed(REVERTER)})
    assert (failing["accessList"], failing["error"]) == ([], "execution reverted")
    plain = await node.call("eth_createAccessList", {"from": hexed(ALICE.address), "to": hexed(BOB.address), "value": "0x1"})
    assert plain == {"accessList": [], "gasUsed": "0x5208"}
    with pytest.raises(RpcError, match="failed to apply transaction") as caught:
        await node.call("eth_createAccessList", {**request, "gas": "0x1"})
    assert caught.value.code == SERVER_ERROR
    with pytest.raises(RpcError, match="header not found"):
        await node.call("eth_createAccessList", request, "0x99")


async def test_otterscan_sees_into_a_transaction(world: World, node: JsonRpc) -> None:
    outer, maker, reverted = await block_of(
        world, node, to(ALICE, OUTER, nonce=0), to(ALICE, MAKER, nonce=1), to(ALICE, REVERTER, nonce=2)
    )
    entries = await node.call("ots_traceTransaction", outer)
    assert [(entry["type"], entry["depth"], entry["to"], entry["value"]) for entry in entries] == [
        ("CALL", 0, hexed(OUTER), "0x0"),
        ("CALL", 1, hexed(INNER), "0x0"),
        ("STATICCALL", 1, hexed(INNER), None),
        ("DELEGATECALL", 1, hexed(LOGGER), None),
        ("CALL", 1, hexed(REVERTER), "0x1"),
    ]
    assert (entries[1]["from"], entries[3]["from"]) == (hexed(OUTER), hexed(OUTER))
    assert (entries[1]["input"], entries[1]["output"]) == ("0x", hexed((42).to_bytes(32)))
    tree = await node.call("ots_traceTransaction", maker)
    assert [(entry["type"], entry["depth"]) for entry in tree] == [
        ("CALL", 0),
        ("CREATE", 1),
        ("CREATE2", 1),
        ("SELFDESTRUCT", 2),
    ]
    operations = await node.call("ots_getInternalOperations", maker)
    assert [(op["type"], op["from"], op["value"]) for op in operations] == [
        (2, hexed(MAKER), "0x3"),
        (3, hexed(MAKER), "0x0"),
        (1, tree[2]["to"], "0x0"),
    ]
    assert [(op["type"], op["to"]) for op in await node.call("ots_getInternalOperations", outer)] == [(0, hexed(REVERTER))]
    assert await node.call("ots_getTransactionError", reverted) == "0xdeadbeef"
    assert await node.call("ots_getTransactionError", outer) == "0x"
    for method in ("ots_traceTransaction", "ots_getInternalOperations", "ots_getTransactionError"):
        assert await node.call(method, hexed(b"\x11" * 32)) is None
