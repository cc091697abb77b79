"""eth_fillTransaction: what comes back can be signed and sent as it is, and what makes no sense is refused in geth's words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dougong._native import keccak256, sign_authorization, sign_transaction
from dougong.execution.evm.genesis import GenesisAccount
from dougong.net.codes import INVALID_PARAMS, REVERTED, SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.testing.wallet import Wallet
from tests.rpc.world import CHAIN_ID, World, running

ALICE = Wallet.of("alice", CHAIN_ID)
ME, BOB, REVERTER = "0x" + ALICE.address.hex(), "0x" + "bb" * 20, "0x" + "cc" * 20
ALLOC = {
    ALICE.address: GenesisAccount(balance=10**21),
    bytes.fromhex(REVERTER[2:]): GenesisAccount(code=bytes.fromhex("5f5ffd")),
}
UNSIGNED = {"v": "0x0", "r": "0x0", "s": "0x0"}


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, ALLOC) as made:
        yield made


@pytest_asyncio.fixture
async def node(world: World) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(world.url) as made:
        yield made


async def sent(node: JsonRpc, tx: dict[str, Any]) -> dict[str, Any]:
    """The filled transaction, signed as it is, in a block."""
    raw = sign_transaction(json.dumps({key: value for key, value in tx.items() if value is not None}), ALICE.secret)
    receipt = await node.call("eth_sendRawTransactionSync", "0x" + raw.hex(), 30_000)
    assert receipt["status"] == "0x1"
    return dict(await node.call("eth_getTransactionByHash", receipt["transactionHash"]))


async def test_what_is_missing_is_filled_in(node: JsonRpc) -> None:
    filled = await node.call("eth_fillTransaction", {"from": ME, "to": BOB, "value": "0x1"})
    tip = await node.call("eth_maxPriorityFeePerGas")
    newest = int(await node.call("eth_blockNumber"), 16)  # the chain's first block may come at any moment
    bases = [
        int((await node.call("eth_getBlockByNumber", hex(number), False))["baseFeePerGas"], 16) for number in range(newest + 1)
    ]
    cap = filled["tx"]["maxFeePerGas"]
    assert cap in {hex(int(tip, 16) + 2 * base) for base in bases}
    assert filled["tx"] == {
        "type": "0x2",
        "chainId": hex(CHAIN_ID),
        "nonce": "0x0",
        "to": BOB,
        "gas": "0x5208",
        "gasPrice": None,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": cap,
        "value": "0x1",
        "input": "0x",
        "accessList": [],
        "yParity": "0x0",
        **UNSIGNED,
        "hash": "0x" + keccak256(bytes.fromhex(filled["raw"][2:])).hex(),
    }
    mined = await sent(node, filled["tx"])
    assert (mined["from"], mined["value"]) == (ME, "0x1")
    assert (await node.call("eth_fillTransaction", {"from": ME, "to": BOB}))["tx"]["nonce"] == "0x1"


async def test_what_is_given_stays_and_decides_the_type(node: JsonRpc) -> None:
    keys = ["0x" + "01" * 32]
    access = [{"address": BOB, "storageKeys": keys}]
    authorization = sign_authorization(
        json.dumps({"chainId": hex(CHAIN_ID), "address": BOB, "nonce": "0x0"}), Wallet.of("carol", CHAIN_ID).secret
    )
    given: list[tuple[dict[str, Any], str]] = [
        ({"gasPrice": "0x77359400"}, "0x0"),
        ({"gasPrice": "0x77359400", "accessList": access}, "0x1"),
        ({"maxFeePerGas": "0x77359400", "accessList": access, "type": "0x0"}, "0x2"),
        ({"authorizationList": [json.loads(authorization)], "value": "0x7"}, "0x4"),
    ]
    for more, tx_type in given:
        filled = await node.call("eth_fillTransaction", {"from": ME, "to": BOB, "gas": "0x186a0", **more})
        tx = filled["tx"]
        expected = {key: value for key, value in more.items() if key != "type"}
        assert {name: tx[name] for name in expected} == expected
        assert (tx["type"], tx["gas"]) == (tx_type, "0x186a0")
        assert filled["raw"].startswith(f"0x{int(tx_type, 16):02x}") or tx_type == "0x0"
        assert (await sent(node, tx))["type"] == tx_type


async def test_a_creation_and_both_names_of_its_data(node: JsonRpc) -> None:
    filled = await node.call("eth_fillTransaction", {"from": ME, "data": "0x5f5ff3", "input": "0x5f5ff3"})
    assert (filled["tx"]["to"], filled["tx"]["input"]) == (None, "0x5f5ff3")
    assert (await sent(node, filled["tx"]))["to"] is None


async def test_without_a_sender_it_is_nobody_s(node: JsonRpc) -> None:
    """geth takes the address of zeros then."""
    fees = {"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x1", "gas": "0x5208"}
    assert (await node.call("eth_fillTransaction", {"to": BOB, **fees}))["tx"]["nonce"] == "0x0"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            {"to": BOB, "gasPrice": "0x1", "maxFeePerGas": "0x1"},
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
        ),
        ({"to": BOB, "gasPrice": "0x1", "authorizationList": []}, "both gasPrice and authorizationList specified"),
        ({"to": BOB, "gasPrice": "0x0"}, "gasPrice must be non-zero after london fork"),
        ({"to": BOB, "maxFeePerGas": "0x0", "maxPriorityFeePerGas": "0x0"}, "maxFeePerGas must be non-zero"),
        ({"to": BOB, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}, "maxFeePerGas (1) < maxPriorityFeePerGas (2)"),
        ({"to": BOB, "maxPriorityFeePerGas": "0x" + "f" * 64}, "maxFeePerGas is above 256 bits"),
        ({"to": BOB, "maxFeePerBlobGas": "0x0"}, "maxFeePerBlobGas, if specified, must be non-zero"),
        ({"to": BOB, "data": "0x01", "input": "0x02"}, 'both "data" and "input" are set and not equal.'),
        ({}, "contract creation without any data provided"),
        (
            {"data": "0x00", "authorizationList": []},
            'authorizationList provided for contract creation, but "to" field is missing',
        ),
        ({"from": ME, "to": BOB, "chainId": "0x1"}, f"chainId does not match node's (have=1, want={CHAIN_ID})"),
        ({"to": BOB, "blobVersionedHashes": ["0x" + "01" * 32]}, "transaction type not supported"),
        ({"to": BOB, "blobs": ["0x"]}, "transaction type not supported"),
        ({"from": "0x" + "99" * 20, "to": BOB, "value": "0x1"}, "insufficient funds"),
    ],
)
async def test_what_makes_no_transaction_is_refused_in_geth_s_words(node: JsonRpc, request_: dict[str, Any], words: str) -> None:
    with pytest.raises(RpcError) as refusal:
        await node.call("eth_fillTransaction", request_)
    assert (refusal.value.code, words in str(refusal.value)) == (SERVER_ERROR, True), str(refusal.value)


async def test_a_call_that_reverts_is_told_so(node: JsonRpc) -> None:
    with pytest.raises(RpcError) as refusal:
        await node.call("eth_fillTransaction", {"from": ME, "to": REVERTER})
    assert refusal.value.code == REVERTED


@pytest.mark.parametrize(
    "request_",
    [
        *(
            {"to": BOB, "nonce": "0x1" + "0" * 16},
            {"to": BOB, "gas": "0x1" + "0" * 16},
            {"to": "0x01"},
            {"to": BOB, "value": "1"},
        ),
        *({"to": BOB, "accessList": [{}]}, {"to": BOB, "accessList": {}}, {"to": BOB, "accessList": [{"address": BOB}]}),
        {"to": BOB, "accessList": [{"address": BOB, "storageKeys": ["0x1"]}]},
        {"to": BOB, "authorizationList": [{"chainId": "0x1"}]},
    ],
)
async def test_what_does_not_read_is_invalid(node: JsonRpc, request_: dict[str, Any]) -> None:
    with pytest.raises(RpcError) as refusal:
        await node.call("eth_fillTransaction", request_)
    assert refusal.value.code == INVALID_PARAMS
