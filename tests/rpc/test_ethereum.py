"""Ethereum's JSON-RPC as web3.py uses it, against a running chain: deploy, send, call, read receipts, logs and proofs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import vyper
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ContractLogicError, TransactionNotFound

from dougong._native import verify_account_proof, verify_storage_proof
from dougong.execution.evm.genesis import GenesisAccount
from dougong.net.codes import INTERNAL_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.ethereum import EthereumApi
from dougong.testing.wallet import GWEI, Wallet
from tests.rpc.world import CHAIN_ID, World, running

SOURCE = """
#pragma version 0.4.3

event Added:
    who: indexed(address)
    amount: uint256

total: public(uint256)

@external
def add(amount: uint256):
    assert amount != 0, "nothing to add"
    self.total += amount
    log Added(who=msg.sender, amount=amount)

@external
@view
def boom() -> uint256:
    return 1 // (self.total - self.total)
"""
ALICE, BOB, CAROL = (Wallet.of(name, CHAIN_ID) for name in ("alice", "bob", "carol"))
ALLOC = {wallet.address: GenesisAccount(10**21) for wallet in (ALICE, BOB)}


@pytest.fixture(scope="session")
def compiled() -> dict[str, Any]:
    return dict(vyper.compile_code(SOURCE, output_formats=["bytecode", "abi"]))


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, ALLOC) as made:
        yield made


@pytest_asyncio.fixture
async def still(tmp_path: Path) -> AsyncIterator[World]:
    """A chain that makes no blocks: what is sent keeps waiting."""
    async with running(tmp_path, ALLOC, run=False) as made:
        yield made


@pytest_asyncio.fixture
async def web3(world: World) -> AsyncIterator[AsyncWeb3[Any]]:
    made = AsyncWeb3(AsyncHTTPProvider(world.url))
    yield made
    await made.provider.disconnect()


@pytest_asyncio.fixture
async def node(world: World) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(world.url) as made:
        yield made


async def send(web3: AsyncWeb3[Any], wallet: Wallet, transaction: Any) -> Any:
    """As a wallet does it: what the caller leaves open is asked of the node."""
    account = Account.from_key(wallet.secret)
    transaction = {"from": account.address, "chainId": await web3.eth.chain_id, **transaction}
    transaction["nonce"] = await web3.eth.get_transaction_count(account.address, "pending")
    if "gasPrice" not in transaction:
        tip = await web3.eth.max_priority_fee
        base = (await web3.eth.get_block("latest"))["baseFeePerGas"]
        transaction |= {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * base + tip}
    transaction.setdefault("gas", await web3.eth.estimate_gas(transaction))
    return await web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)


async def deploy(web3: AsyncWeb3[Any], compiled: dict[str, Any]) -> Any:
    factory = web3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
    sent = await send(web3, ALICE, {"data": factory.bytecode, "value": 0})
    receipt = await web3.eth.wait_for_transaction_receipt(sent, timeout=10, poll_latency=0.02)
    assert receipt["status"] == 1
    return web3.eth.contract(address=receipt["contractAddress"], abi=compiled["abi"])


async def test_web3_deploys_sends_calls_and_reads_back(web3: AsyncWeb3[Any], compiled: dict[str, Any]) -> None:
    assert await web3.is_connected()
    assert await web3.eth.chain_id == CHAIN_ID
    assert (await web3.client_version).startswith("dougong/")
    contract = await deploy(web3, compiled)
    assert len(await web3.eth.get_code(contract.address)) > 10
    call = contract.functions.add(42)
    data = call._encode_transaction_data()
    sent = await send(web3, BOB, {"to": contract.address, "data": data, "value": 0})
    receipt = await web3.eth.wait_for_transaction_receipt(sent, timeout=10, poll_latency=0.02)
    assert await contract.functions.total().call() == 42
    (event,) = contract.events.Added().process_receipt(receipt)
    assert event["args"] == {"who": Account.from_key(BOB.secret).address, "amount": 42}
    (found,) = await contract.events.Added().get_logs(from_block=0)
    assert found["transactionHash"] == sent
    assert found["args"]["amount"] == 42
    block = await web3.eth.get_block(receipt["blockNumber"], full_transactions=True)
    assert block["hash"] == receipt["blockHash"]
    (included,) = block["transactions"]
    assert await web3.eth.get_transaction(sent) == included
    assert await web3.eth.get_block_receipts(receipt["blockNumber"]) == [receipt]
    assert await web3.eth.get_block_transaction_count(block["hash"]) == 1
    assert (await web3.eth.get_transaction_by_block(block["number"], 0))["hash"] == sent
    assert await web3.eth.get_raw_transaction(sent)
    spent = receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert await web3.eth.get_balance(Account.from_key(BOB.secret).address) == 10**21 - spent


async def test_legacy_and_access_list_transactions_work(web3: AsyncWeb3[Any]) -> None:
    price = await web3.eth.gas_price
    to = Account.from_key(CAROL.secret).address
    for extra in ({}, {"accessList": [], "type": 1}):
        sent = await send(web3, ALICE, {"to": to, "value": 5, "gasPrice": price, **extra})
        receipt = await web3.eth.wait_for_transaction_receipt(sent, timeout=10, poll_latency=0.02)
        assert receipt["status"] == 1
    assert await web3.eth.get_balance(to) == 10


async def test_a_revert_comes_with_its_reason_and_data(web3: AsyncWeb3[Any], compiled: dict[str, Any]) -> None:
    contract = await deploy(web3, compiled)
    with pytest.raises(ContractLogicError, match="execution reverted: nothing to add") as caught:
        await contract.functions.add(0).call()
    assert str(caught.value.data).startswith("0x08c379a0")
    with pytest.raises(ContractLogicError, match="nothing to add"):
        await contract.functions.add(0).estimate_gas()
    with pytest.raises(ContractLogicError):
        await contract.functions.boom().call()


async def test_proofs_verify_under_the_state_root(
    web3: AsyncWeb3[Any], world: World, node: JsonRpc, compiled: dict[str, Any]
) -> None:
    contract = await deploy(web3, compiled)
    address = bytes.fromhex(contract.address[2:])
    await web3.eth.wait_for_transaction_receipt(
        await send(web3, BOB, {"to": contract.address, "data": contract.functions.add(7)._encode_transaction_data()}),
        timeout=10,
        poll_latency=0.02,
    )
    latest = await node.call("eth_blockNumber")
    proof = await node.call("eth_getProof", contract.address, ["0x0"], latest)
    header = world.backend.evm.header(int(latest, 16))
    account = verify_account_proof(header.state_root, address, [bytes.fromhex(part[2:]) for part in proof["accountProof"]])
    assert account is not None
    (slot,) = proof["storageProof"]
    value = verify_storage_proof(account[2], bytes(32), [bytes.fromhex(part[2:]) for part in slot["proof"]])
    assert int.from_bytes(value) == int(slot["value"], 16) == 7
    assert await node.call("eth_getStorageAt", contract.address, "0x0", "latest") == "0x" + value.hex()


async def test_tags_numbers_and_hashes_name_blocks(web3: AsyncWeb3[Any], node: JsonRpc, world: World) -> None:
    to = Account.from_key(CAROL.secret).address
    await web3.eth.wait_for_transaction_receipt(await send(web3, ALICE, {"to": to, "value": 3}), timeout=10, poll_latency=0.02)
    for tag in ("latest", "safe", "finalized", "pending"):
        assert await node.call("eth_getBalance", to, tag) == "0x3"
    assert await node.call("eth_getBalance", to, "earliest") == "0x0"
    genesis = await node.call("eth_getBlockByNumber", "0x0", False)
    assert genesis["hash"] == "0x" + world.backend.evm.genesis_hash.hex()
    assert await node.call("eth_getBalance", to, {"blockHash": genesis["hash"], "requireCanonical": True}) == "0x0"
    assert await node.call("eth_getBalance", to, {"blockNumber": "0x0"}) == "0x0"
    assert await node.call("eth_getBlockByHash", genesis["hash"], False) == genesis
    assert await node.call("eth_getBlockByNumber", "0xffffff", False) is None
    for method in ("eth_getBlockReceipts", "eth_getBlockTransactionCountByNumber", "eth_getUncleCountByBlockNumber"):
        assert await node.call(method, "0xffffff") is None
    with pytest.raises(RpcError, match="header not found"):
        await node.call("eth_getBalance", to, "0xffffff")
    with pytest.raises(TransactionNotFound):
        await web3.eth.get_transaction("0x" + "11" * 32)  # type: ignore[arg-type]


async def test_fees_are_suggested_and_their_history_told(web3: AsyncWeb3[Any], node: JsonRpc) -> None:
    to = Account.from_key(CAROL.secret).address
    sent = await send(web3, ALICE, {"to": to, "value": 3})
    receipt = await web3.eth.wait_for_transaction_receipt(sent, timeout=10, poll_latency=0.02)
    number = receipt["blockNumber"]
    history = await web3.eth.fee_history(2, number, [0, 50, 100])
    assert history["oldestBlock"] == number - 1
    assert len(history["baseFeePerGas"]) == 3
    assert history["reward"][1] == [receipt["effectiveGasPrice"] - history["baseFeePerGas"][1]] * 3
    assert 0 < history["gasUsedRatio"][1] < 1
    assert int(await node.call("eth_gasPrice"), 16) >= history["baseFeePerGas"][2]
    bads: list[list[Any]] = [
        [1, "latest", [50, 20]],
        [1, "latest", [101]],
        [1, "latest", ["a"]],
        [1, "0xfffff", []],
        [-1, "latest"],
    ]
    for bad in bads:
        with pytest.raises(RpcError):
            await node.call("eth_feeHistory", *bad)


async def test_what_waits_shows_in_nonces_and_by_hash(still: World) -> None:
    async with JsonRpc(still.url) as node:
        address = "0x" + ALICE.address.hex()
        raws = [ALICE.transfer(BOB.address, 1, nonce=nonce) for nonce in (0, 1, 3)]
        hashes = [await node.call("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]
        assert await node.call("eth_getTransactionCount", address, "latest") == "0x0"
        assert await node.call("eth_getTransactionCount", address, "pending") == "0x2"
        shown = await node.call("eth_getTransactionByHash", hashes[0])
        assert shown["from"] == address
        assert (shown["blockHash"], shown["nonce"], shown["value"], shown["type"]) == (None, "0x0", "0x1", "0x2")
        assert (shown["maxFeePerGas"], shown["to"]) == (hex(10 * GWEI), "0x" + BOB.address.hex())
        assert await node.call("eth_getRawTransactionByHash", hashes[2]) == "0x" + raws[2].hex()
        assert await node.call("eth_getTransactionReceipt", hashes[0]) is None


async def test_what_waits_is_shown_as_it_will_be_once_it_is_in_a_block(still: World) -> None:
    async with JsonRpc(still.url) as node:
        signed = Account.sign_transaction(
            {
                "chainId": CHAIN_ID,
                "nonce": 0,
                "to": BOB.address,
                "value": 300,
                "data": b"\1\2",
                "gas": 50_000,
                "maxFeePerGas": 5 * GWEI,
                "maxPriorityFeePerGas": GWEI,
                "accessList": [{"address": CAROL.address, "storageKeys": ["0x" + "07" * 32]}],
            },
            ALICE.secret,
        )
        legacy = {"chainId": CHAIN_ID, "nonce": 1, "to": b"", "value": 0, "data": b"", "gas": 60_000, "gasPrice": 5 * GWEI}
        raws = [signed.raw_transaction, Account.sign_transaction(legacy, ALICE.secret).raw_transaction]
        hashes = [await node.call("eth_sendRawTransaction", "0x" + bytes(raw).hex()) for raw in raws]
        before = [await node.call("eth_getTransactionByHash", tx_hash) for tx_hash in hashes]
        await still.chain._advance()
        after = [await node.call("eth_getTransactionByHash", tx_hash) for tx_hash in hashes]
        place = ("blockHash", "blockNumber", "transactionIndex", "blockTimestamp", "gasPrice")
        for shown, mined in zip(before, after, strict=True):
            assert {name: value for name, value in shown.items() if name not in place} == {
                name: value for name, value in mined.items() if name not in place
            }
            assert mined["blockNumber"] == "0x1"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (lambda: ALICE.transfer(BOB.address, 10**30, nonce=0), "insufficient funds for gas * price + value"),
        (lambda: ALICE.sign(ALICE.fields(BOB.address, nonce=0, gas=20_000)), "intrinsic gas too low"),
        (lambda: ALICE.sign(ALICE.fields(BOB.address, nonce=0, gas=10**9)), "exceeds block gas limit"),
        (lambda: Wallet(ALICE.secret, ALICE.address, 1).transfer(BOB.address, 1, nonce=0), "invalid chain id"),
        (lambda: b"", "a transaction is 1 to"),
        (lambda: b"\x02\xc0", "rlp: too few elements for types.DynamicFeeTx"),
    ],
)
async def test_a_refused_transaction_is_told_why(world: World, node: JsonRpc, raw: Any, words: str) -> None:
    with pytest.raises(RpcError, match=words.replace("*", r"\*").replace("+", r"\+")) as caught:
        await node.call("eth_sendRawTransaction", "0x" + raw().hex())
    assert caught.value.code == -32000


async def test_logs_have_limits_and_a_strict_filter(node: JsonRpc) -> None:
    assert await node.call("eth_getLogs", {}) == []
    assert await node.call("eth_getLogs", {"fromBlock": "earliest", "toBlock": "latest"}) == []
    zero = "0x" + "00" * 32
    bads: list[dict[str, Any]] = [
        {"fromBlock": "0x9", "toBlock": "0x5"},
        {"fromBlock": "0x0", "toBlock": "0x9"},  # beyond the head
        {"blockHash": zero},
        {"blockHash": zero, "fromBlock": "0x0"},
        {"topics": [zero] * 5},
        {"topics": "0x"},
        {"topics": [[zero] * 1_001]},
        {"topics": ["0x12"]},
        {"address": "0x12"},
        {"address": {}},
        {"unknown": 1},
    ]
    for bad in bads:
        with pytest.raises(RpcError):
            await node.call("eth_getLogs", bad)


async def test_a_batch_of_everything_answers_in_order(world: World, node: JsonRpc) -> None:
    raws = [ALICE.transfer(BOB.address, 1, nonce=nonce) for nonce in range(50)]
    hashes = await node.batch([("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in raws])
    assert len(set(hashes)) == 50
    while not all(receipts := await node.batch([("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes])):
        await world.chain.wait_for_height(world.backend.heads().latest + 1)
    assert [receipt["transactionHash"] for receipt in receipts] == hashes
    assert {receipt["status"] for receipt in receipts} == {"0x1"}


async def test_sending_the_same_twice_or_another_at_its_nonce(still: World) -> None:
    async with JsonRpc(still.url) as node:
        first = "0x" + ALICE.transfer(BOB.address, 1, nonce=0).hex()
        assert await node.call("eth_sendRawTransaction", first) == await node.call("eth_sendRawTransaction", first)
        with pytest.raises(RpcError, match="replacement transaction underpriced"):
            await node.call("eth_sendRawTransaction", "0x" + ALICE.transfer(BOB.address, 2, nonce=0).hex())


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = scalars | st.sampled_from(["latest", "0x", "0x0", "0x1", "0xffffffffffff", "0x" + "00" * 20, "0x" + "00" * 32])
objects = st.dictionaries(st.sampled_from(["to", "data", "gas", "from", "blockHash", "topics", "fromBlock", "toBlock"]), values)
params = st.lists(values | st.lists(values, max_size=3) | objects, max_size=4)


async def test_no_params_make_a_method_stumble(world: World, node: JsonRpc) -> None:
    api_methods = sorted(await _method_names(world))
    assert len(api_methods) > 30

    requests: list[tuple[str, list[Any]]] = []

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(api_methods), params)
    def gather(method: str, given_params: list[Any]) -> None:
        requests.append((method, given_params))

    gather()
    faults = [request for request in requests if await _code(node, *request) == INTERNAL_ERROR]
    assert faults == []


async def _code(node: JsonRpc, method: str, given_params: list[Any]) -> int | None:
    try:
        await node.call(method, *given_params)
    except RpcError as error:
        return error.code
    return None


async def _method_names(world: World) -> list[str]:
    api = EthereumApi(world.backend)
    api.close()
    return api.methods.names()
