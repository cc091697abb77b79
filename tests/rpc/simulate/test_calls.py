"""eth_simulateV1: what the calls of a block come to, with and without validation."""

from __future__ import annotations

from typing import Any

from dougong.net.codes import INVALID_PARAMS, REVERTED, SERVER_ERROR
from tests.rpc.simulate.world import (
    ETHER,
    LOOP,
    REVERTS,
    RICH,
    SELFBALANCE,
    TRANSFER,
    A,
    B,
    C,
    Caller,
    D,
    word,
)


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
