"""What explorers read: the pool by sender, and an address's history by pages, through reorgs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.ethereum import EthereumOptions
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.txpool import MOST_BYTES, checksummed
from dougong.rpc.throttle import Throttle
from tests.rpc.rollup import ALICE, BOB, FORWARDER, LOGGERS, Rollup, rolling

CAROL = b"\xca" * 20
WALLETS = ("eth_chainId", "erigon_getHeaderByNumber", "eth_getBlockByNumber")
INIT_CODE = bytes.fromhex("6001600c60003960016000f300")  # a contract of one zero byte


@pytest_asyncio.fixture
async def rollup(tmp_path: Path) -> AsyncIterator[Rollup]:
    async with rolling(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def node(rollup: Rollup) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(rollup.url) as made:
        yield made


def pay(nonce: int, to: bytes = CAROL) -> bytes:
    return ALICE.transfer(to, 1, nonce=nonce)


def forward(nonce: int, to: bytes = CAROL) -> bytes:
    return ALICE.sign(ALICE.fields(FORWARDER, nonce=nonce, value=1, data=to.rjust(32, b"\0"), gas=90_000))


def create(nonce: int) -> bytes:
    return ALICE.sign(ALICE.fields(None, nonce=nonce, data=INIT_CODE, gas=100_000))


async def test_the_pool_is_shown_by_sender_and_nonce(rollup: Rollup, node: JsonRpc) -> None:
    for raw in (pay(0), pay(1), pay(5), BOB.transfer(CAROL, 7, nonce=0), create(2)):
        await node.call("eth_sendRawTransaction", "0x" + raw.hex())
    assert await node.call("txpool_status") == {"pending": "0x4", "queued": "0x1"}
    content = await node.call("txpool_content")
    alice, bob = checksummed(ALICE.address), checksummed(BOB.address)
    assert {name: sorted(txs) for name, txs in content["pending"].items()} == {alice: ["0", "1", "2"], bob: ["0"]}
    assert {name: sorted(txs) for name, txs in content["queued"].items()} == {alice: ["5"]}
    shown = content["pending"][bob]["0"]
    assert shown == {"blockTimestamp": None} | await node.call("eth_getTransactionByHash", shown["hash"])
    assert await node.call("txpool_contentFrom", "0x" + ALICE.address.hex()) == {
        "pending": content["pending"][alice],
        "queued": content["queued"][alice],
    }
    assert await node.call("txpool_contentFrom", "0x" + CAROL.hex()) == {"pending": {}, "queued": {}}
    inspected = await node.call("txpool_inspect")
    assert inspected["pending"][bob]["0"] == f"{checksummed(CAROL)}: 7 wei + 21000 gas \u00d7 10000000000 wei"
    assert inspected["pending"][alice]["2"].startswith("contract creation: 0 wei + 100000 gas")


async def test_a_pool_too_large_to_be_shown_is_shown_by_sender(rollup: Rollup, node: JsonRpc) -> None:
    await node.call("eth_sendRawTransaction", "0x" + pay(0).hex())
    rollup.sequencer.pool.total_bytes += MOST_BYTES
    with pytest.raises(RpcError) as refused:
        await node.call("txpool_content")
    assert refused.value.code == LIMIT_EXCEEDED
    assert len((await node.call("txpool_contentFrom", "0x" + ALICE.address.hex()))["pending"]) == 1
    rollup.sequencer.pool.total_bytes -= MOST_BYTES


def test_addresses_have_the_checksum_of_eip_55() -> None:
    for address in ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"):
        assert checksummed(bytes.fromhex(address[2:])) == address


async def history(node: JsonRpc, address: bytes, size: int, *, forward: bool) -> list[str]:
    """All pages one after the other, the newest transaction first."""
    method = f"ots_searchTransactions{'After' if forward else 'Before'}"
    hashes: list[str] = []
    block, pages = 0, 0
    while True:
        page = await node.call(method, "0x" + address.hex(), block, size)
        assert page["lastPage" if forward else "firstPage"] is (block == 0)
        assert len(page["txs"]) == len(page["receipts"])
        for tx, receipt in zip(page["txs"], page["receipts"], strict=True):
            assert tx["hash"] == receipt["transactionHash"]
            assert isinstance(receipt["timestamp"], int)
        found = [tx["hash"] for tx in page["txs"]]
        hashes = found + hashes if forward else hashes + found
        pages += 1
        if page["firstPage" if forward else "lastPage"]:
            return hashes
        block = int(page["txs"][0 if forward else -1]["blockNumber"], 16)


async def test_an_addresss_history_is_found_by_pages_through_reorgs(rollup: Rollup, node: JsonRpc) -> None:
    await rollup.block([pay(0), forward(1), pay(2, BOB.address)])
    await rollup.block([])
    await rollup.block([forward(3), forward(4, BOB.address)])
    for nonce in range(5, 9):
        await rollup.block([pay(nonce)])
    await rollup.back(5)
    await rollup.block([pay(7, BOB.address)])
    raws = [tx for number in range(1, 7) for tx in rollup.sequencer.evm.transactions(number)]
    assert len(raws) == 8
    expected = {CAROL: (0, 1, 3, 5, 6), BOB.address: (2, 4, 7), FORWARDER: (1, 3, 4), ALICE.address: range(8), LOGGERS[0]: ()}
    receipts = [receipt["transactionHash"] for n in range(1, 7) for receipt in await node.call("eth_getBlockReceipts", hex(n))]
    for address, nonces in expected.items():
        for size in (1, 2, 25):
            for ahead in (False, True):
                found = await history(node, address, size, forward=ahead)
                assert sorted(found, key=receipts.index) == [receipts[nonce] for nonce in nonces]
                blocks = [(await node.call("eth_getTransactionByHash", one))["blockNumber"] for one in found]
                assert blocks == sorted(blocks, reverse=True)


async def test_otterscans_views_of_blocks_and_accounts(rollup: Rollup, node: JsonRpc) -> None:
    await rollup.block([pay(0), create(1)])
    assert await node.call("ots_getApiLevel") == 8
    block = await node.call("eth_getBlockByNumber", "0x1", True)
    details = await node.call("ots_getBlockDetails", 1)
    assert details == await node.call("ots_getBlockDetailsByHash", block["hash"])
    assert details["block"]["transactionCount"] == 2
    assert "transactions" not in details["block"]
    receipts = await node.call("eth_getBlockReceipts", "0x1")
    fees = sum(int(one["gasUsed"], 16) * int(one["effectiveGasPrice"], 16) for one in receipts)
    assert details["totalFees"] == hex(fees)
    page = await node.call("ots_getBlockTransactions", 1, 0, 25)
    assert [tx["hash"] for tx in page["fullblock"]["transactions"]] == [tx["hash"] for tx in block["transactions"]]
    assert [tx["input"] for tx in page["fullblock"]["transactions"]] == ["0x", "0x" + INIT_CODE[:4].hex()]
    assert {(one["logs"], one["logsBloom"]) for one in page["receipts"]} == {(None, None)}
    header = await node.call("erigon_getHeaderByNumber", "latest")
    assert header["hash"] == block["hash"]
    assert header["number"] == "0x1"
    contract = receipts[1]["contractAddress"]
    assert await node.call("ots_hasCode", contract, "latest") is True
    assert await node.call("ots_hasCode", contract, 0) is False
    assert await node.call("ots_hasCode", "0x" + ALICE.address.hex(), "latest") is False
    made = {"hash": receipts[1]["transactionHash"], "creator": "0x" + ALICE.address.hex()}
    assert await node.call("ots_getContractCreator", contract) == made
    for none in (LOGGERS[0], ALICE.address):
        assert await node.call("ots_getContractCreator", "0x" + none.hex()) is None
    sender = "0x" + ALICE.address.hex()
    assert await node.call("ots_getTransactionBySenderAndNonce", sender, 1) == receipts[1]["transactionHash"]
    assert await node.call("ots_getTransactionBySenderAndNonce", sender, 2) is None
    assert await node.call("ots_getBlockDetails", 9) is None


async def test_a_contract_that_a_contract_created_is_its_creators(tmp_path: Path) -> None:
    # mstore(0, init code of one zero byte); create(0, 20, 12)
    factory = bytes.fromhex("6b6001600c60003960016000f35f52600c60145ff000")
    init = bytes.fromhex("61") + len(factory).to_bytes(2) + bytes.fromhex("80600c6000396000f3") + factory
    async with rolling(tmp_path) as rollup, JsonRpc(rollup.url) as node:
        await rollup.block([ALICE.sign(ALICE.fields(None, nonce=0, data=init, gas=200_000))])
        (receipt,) = await node.call("eth_getBlockReceipts", "0x1")
        made = bytes.fromhex(receipt["contractAddress"][2:])
        assert await node.call("eth_getCode", "0x" + made.hex(), "latest") == "0x" + factory.hex()
        await rollup.block([ALICE.sign(ALICE.fields(made, nonce=1, gas=200_000)), pay(2)])
        receipt, _ = await node.call("eth_getBlockReceipts", "0x2")
        operations = await node.call("ots_getInternalOperations", receipt["transactionHash"])
        child = operations[0]["to"]
        assert await node.call("ots_hasCode", child, "latest") is True
        expected = {"hash": receipt["transactionHash"], "creator": "0x" + made.hex()}
        assert await node.call("ots_getContractCreator", child) == expected
        assert await history(node, bytes.fromhex(child[2:]), 5, forward=False) == [receipt["transactionHash"]]


async def test_pages_of_any_origin_may_ask_first_and_then_call(rollup: Rollup) -> None:
    page = {"origin": "https://otterscan.example"}
    async with httpx.AsyncClient() as client:
        asked = await client.options(
            rollup.url,
            headers=page
            | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
            | {"access-control-request-private-network": "true"},
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "*"
        assert asked.headers["access-control-allow-private-network"] == "true"
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "content-type" in asked.headers["access-control-allow-headers"].lower()
        body = [{"jsonrpc": "2.0", "id": n, "method": method, "params": ["safe", False][:n]} for n, method in enumerate(WALLETS)]
        answered = await client.post(rollup.url, json=body, headers=page)
        assert answered.headers["access-control-allow-origin"] == "*"
        results = {reply["id"]: reply["result"] for reply in answered.json()}
        assert results[0] == hex(4_301)
        refused = await client.post(rollup.url, content="{}", headers=page | {"content-type": "text/plain"})
        assert refused.status_code == 415
        assert refused.headers["access-control-allow-origin"] == "*"  # or the page could not read why


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ots_searchTransactionsBefore", ["0x" + "11" * 20, 0, 0]),
        ("ots_searchTransactionsBefore", ["0x" + "11" * 20, 0, 501]),
        ("ots_searchTransactionsAfter", ["0x" + "11" * 20, 2**63, 5]),
        ("ots_searchTransactionsAfter", ["0x" + "11" * 19, 0, 5]),
        ("ots_getBlockTransactions", ["0x1", 0, 10**6]),
        ("ots_getBlockTransactions", [True, 0, 5]),
        ("ots_getTransactionBySenderAndNonce", ["0x" + "11" * 20, -1]),
        ("ots_getContractCreator", []),
        ("txpool_contentFrom", ["0x12"]),
    ],
)
async def test_bad_parameters_are_told_so(node: JsonRpc, method: str, params: list[object]) -> None:
    with pytest.raises(RpcError) as refused:
        await node.call(method, *params)
    assert refused.value.code == INVALID_PARAMS


async def test_who_searches_a_lot_waits_for_himself(rollup: Rollup) -> None:
    chain = Chain(rollup.sequencer, EthereumOptions(search_threads=1))
    throttle = Throttle()
    ended: list[str] = []

    async def search(name: str) -> None:
        await chain.search(throttle.client(name), time.sleep, 0.01)
        ended.append(name)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(search("203.0.113.1"))
            await asyncio.sleep(0)
            group.create_task(search("203.0.113.2"))
        assert ended.index("203.0.113.2") <= 2
        assert len(ended) == 21
    finally:
        chain.close()


async def test_a_search_ends_in_time(tmp_path: Path) -> None:
    async with rolling(tmp_path, options=EthereumOptions(log_seconds=0.0)) as rollup, JsonRpc(rollup.url) as node:
        await rollup.logs(1)
        for method, params in (
            ("eth_getLogs", [{"fromBlock": "0x0"}]),
            ("ots_searchTransactionsBefore", ["0x" + ALICE.address.hex(), 0, 5]),
        ):
            with pytest.raises(RpcError, match="query timeout exceeded"):
                await node.call(method, *params)
