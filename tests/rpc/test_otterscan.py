"""Every call that the explorer Otterscan makes, answered in the shape in which it reads the answer.

Recorded from otterscan/otterscan at 9dfd87fb (2025-07-24): `src/useProvider.ts` (the probe at its start),
`src/useErigonHooks.ts`, `src/search/search.ts`, `src/execution/**`, and `src/utils/formatter.ts` for what each field has to be.
ethers makes the calls behind `provider.getBlock` and its like; those are in the clients' programs too. What Otterscan shows of a
failed transaction by `vmTrace` is not there, and it is told so in the way that it understands.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dougong.net.codes import METHOD_NOT_FOUND
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.ethereum.replaying import state_diff
from tests.rpc.rollup import ALICE, BOB, FORWARDER, LOGGERS, Rollup, rolling

CAROL = b"\xca" * 20
INIT_CODE = bytes.fromhex("6001600c60003960016000f300")

Check = Callable[[Any], bool]
HEX = re.compile(r"0x[0-9a-f]*\Z")


# --- src/utils/formatter.ts -------------------------------------------------------------------------------------------------


def is_hex(value: Any) -> bool:
    return isinstance(value, str) and HEX.match(value) is not None


def is_data(value: Any) -> bool:
    return is_hex(value) and len(value) % 2 == 0


def is_hash(value: Any) -> bool:
    return is_data(value) and len(value) == 66


def is_address(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{40}", value) is not None


def is_number(value: Any) -> bool:
    """What BigInt() and Number() both take: a JSON number, or a hex quantity."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (is_hex(value) and len(value) > 2)


def or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def array_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(one) for one in value)


def has(**fields: Check) -> Check:
    def check(value: Any) -> bool:
        wrong = [name for name, field in fields.items() if not isinstance(value, dict) or not field(value.get(name))]
        assert not wrong, f"{wrong} of {value}"
        return True

    return check


LOG = has(
    transactionIndex=is_number,
    blockNumber=is_number,
    transactionHash=is_hash,
    address=is_address,
    topics=array_of(is_hash),
    data=is_data,
    logIndex=is_number,
    blockHash=is_hash,
)
RECEIPT_FIELDS: dict[str, Check] = {
    **{"to": or_null(is_address), "from": is_address, "contractAddress": or_null(is_address), "transactionIndex": is_number},
    **{"gasUsed": is_number, "blockHash": is_hash, "transactionHash": is_hash, "blockNumber": is_number, "type": is_number},
    **{"cumulativeGasUsed": is_number, "effectiveGasPrice": is_number, "status": is_number},
}
TRANSACTION = has(
    **{"hash": is_hash, "type": is_number, "blockHash": is_hash, "blockNumber": is_number, "transactionIndex": is_number},
    **{"from": is_address, "to": or_null(is_address), "gasPrice": is_number, "gas": is_number, "value": is_number},
    **{"nonce": is_number, "input": is_data, "r": is_number, "s": is_number, "v": is_number},
)
BLOCK_FIELDS: dict[str, Check] = {
    **{"hash": is_hash, "parentHash": is_hash, "number": is_number, "timestamp": is_number, "nonce": is_hex, "miner": is_address},
    **{"difficulty": is_number, "gasLimit": is_number, "gasUsed": is_number, "extraData": is_data, "receiptsRoot": is_hash},
    **{"stateRoot": is_hash, "baseFeePerGas": is_number, "parentBeaconBlockRoot": is_hash},
}
DETAILS = has(
    block=has(**BLOCK_FIELDS, size=is_number, sha3Uncles=is_hash, transactionCount=is_number),
    issuance=lambda value: isinstance(value, dict),
    totalFees=is_number,
)
PAGE = has(
    txs=array_of(TRANSACTION),
    receipts=array_of(has(**RECEIPT_FIELDS, timestamp=is_number)),
    firstPage=lambda value: isinstance(value, bool),
    lastPage=lambda value: isinstance(value, bool),
)
CALL = has(
    **{"type": lambda value: isinstance(value, str), "depth": lambda value: isinstance(value, int), "from": is_address},
    **{"to": is_address, "value": or_null(is_number), "input": is_data},
)
OPERATION = has(**{"type": lambda value: value in (0, 1, 2, 3), "from": is_address, "to": is_address, "value": is_number})


# --- the world that is explored -----------------------------------------------------------------------------------------------


@dataclass
class World:
    rollup: Rollup
    node: JsonRpc
    transfer: str
    forwarded: str
    creation: str
    contract: str
    logged: str
    failed: str
    block_hash: str


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rolling(tmp_path) as rollup, JsonRpc(rollup.url) as node:
        forwarded = ALICE.sign(ALICE.fields(FORWARDER, nonce=1, value=1, data=CAROL.rjust(32, b"\0"), gas=90_000))
        creation = ALICE.sign(ALICE.fields(None, nonce=2, data=INIT_CODE, gas=100_000))
        logged = ALICE.sign(ALICE.fields(LOGGERS[0], nonce=3, data=(7).to_bytes(32), gas=60_000))
        # Not enough gas for its log.
        failed = ALICE.sign(ALICE.fields(LOGGERS[0], nonce=4, data=(7).to_bytes(32), gas=22_000))
        await rollup.block([ALICE.transfer(CAROL, 5, nonce=0), forwarded, creation])
        block_hash = await rollup.block([logged, failed, BOB.transfer(CAROL, 1, nonce=0)])
        receipts = [one for number in ("0x1", "0x2") for one in await node.call("eth_getBlockReceipts", number)]
        hashes = [receipt["transactionHash"] for receipt in receipts]
        contract = receipts[2]["contractAddress"]
        yield World(rollup, node, hashes[0], hashes[1], hashes[2], contract, hashes[3], hashes[4], "0x" + block_hash.hex())


async def test_its_probe_finds_a_node_that_it_takes(world: World) -> None:
    ask = world.node.call
    assert is_number(await ask("eth_blockNumber"))
    assert is_number(await ask("eth_chainId"))
    assert await ask("ots_getApiLevel") >= 8  # src/params.ts, MIN_API_LEVEL
    assert has(number=is_number)(await ask("erigon_getHeaderByNumber", "latest"))


async def test_blocks_are_shown(world: World) -> None:
    ask = world.node.call
    for details in (await ask("ots_getBlockDetails", 2), await ask("ots_getBlockDetailsByHash", world.block_hash)):
        assert DETAILS(details)
        assert details["block"]["transactionCount"] in (3, "0x3")
    assert await ask("ots_getBlockDetails", 99) is None
    for number, page in ((1, 0), (2, 0), (2, 7)):
        found = await ask("ots_getBlockTransactions", number, page, 25)
        assert has(**BLOCK_FIELDS, transactions=array_of(TRANSACTION), transactionCount=is_number)(found["fullblock"])
        assert array_of(has(**{**RECEIPT_FIELDS, "logs": or_null(array_of(LOG))}))(found["receipts"])
        assert len(found["receipts"]) == len(found["fullblock"]["transactions"]) == (0 if page else 3)
    for tag in ("latest", "finalized", "safe"):  # its home page and its status bar
        assert has(**BLOCK_FIELDS)(await ask("eth_getBlockByNumber", tag, False))


async def test_transactions_are_shown(world: World) -> None:
    ask = world.node.call
    for tx_hash in (world.transfer, world.forwarded, world.creation, world.logged, world.failed):
        assert TRANSACTION(await ask("eth_getTransactionByHash", tx_hash))
        assert has(**RECEIPT_FIELDS, logs=array_of(LOG), logsBloom=is_data)(await ask("eth_getTransactionReceipt", tx_hash))
        operations = await ask("ots_getInternalOperations", tx_hash)
        assert array_of(OPERATION)(operations)
        assert [one["type"] for one in operations] == ([0] if tx_hash == world.forwarded else [])
        calls = await ask("ots_traceTransaction", tx_hash)
        assert array_of(CALL)(calls)
        assert [one["depth"] for one in calls] == ([0, 1] if tx_hash == world.forwarded else [0])
        assert is_data(await ask("ots_getTransactionError", tx_hash))
    missing = "0x" + "12" * 32
    assert await ask("eth_getTransactionByHash", missing) is None
    assert await ask("eth_getTransactionReceipt", missing) is None


async def test_addresses_are_shown(world: World) -> None:
    ask, alice = world.node.call, "0x" + ALICE.address.hex()
    for address, made in ((alice, False), (world.contract, True)):
        assert await ask("ots_hasCode", address, "latest") is made
        assert is_data(await ask("eth_getCode", address, "latest"))
        assert is_number(await ask("eth_getBalance", address, "latest"))
        assert is_number(await ask("eth_getTransactionCount", address, "latest"))
    assert has(hash=is_hash, creator=is_address)(await ask("ots_getContractCreator", world.contract))
    assert await ask("ots_getContractCreator", alice) is None
    assert await ask("ots_getTransactionBySenderAndNonce", alice, 2) == world.creation
    assert await ask("ots_getTransactionBySenderAndNonce", alice, 99) is None
    for method, block in (
        ("ots_searchTransactionsBefore", 0),
        ("ots_searchTransactionsAfter", 0),
        ("ots_searchTransactionsBefore", 2),
    ):
        page = await ask(method, alice, block, 25)
        assert PAGE(page)
        assert len(page["txs"]) == (3 if block else 5)
    # Withdrawals, tokens and names: it asks and goes on where there are none.
    call = {"to": world.contract, "data": "0x06fdde03"}  # name()
    assert await ask("eth_call", call, "latest") == "0x"


async def test_what_a_transaction_changed_is_shown(world: World) -> None:
    """src/execution/transaction/StateDiff.tsx: one sign for each changed field."""
    ask, alice = world.node.call, "0x" + ALICE.address.hex()
    for tx_hash in (world.transfer, world.forwarded, world.creation, world.logged, world.failed):
        replayed = await ask("trace_replayTransaction", tx_hash, ["stateDiff"])
        for address, changes in replayed["stateDiff"].items():
            assert is_address(address)
            assert set(changes) == {"balance", "code", "nonce", "storage"}
            for kind, change in changes.items():
                for one in change.values() if kind == "storage" else [change]:
                    assert one == "=" or (len(one) == 1 and next(iter(one)) in "+-*")
        assert set(replayed["stateDiff"][alice]["nonce"]["*"]) == {"from", "to"}
    created = (await ask("trace_replayTransaction", world.creation, ["stateDiff"]))["stateDiff"][world.contract]
    assert created == {"balance": {"+": "0x0"}, "code": {"+": "0x00"}, "nonce": {"+": "0x1"}, "storage": {}}
    assert await ask("trace_replayTransaction", "0x" + "12" * 32, ["stateDiff"]) is None
    for kinds in (["vmTrace"], ["stateDiff", "trace"]):
        with pytest.raises(RpcError) as unsupported:  # ethers makes UNSUPPORTED_OPERATION of it, which Otterscan looks for
            await ask("trace_replayTransaction", world.failed, kinds)
        assert unsupported.value.code == METHOD_NOT_FOUND
        assert re.search(r"the method .* does not exist", str(unsupported.value))


def test_a_difference_has_a_sign_for_each_change() -> None:
    slot, seven = "0x" + "00" * 31 + "01", "0x" + "00" * 31 + "07"
    zero = "0x" + "00" * 32
    pre: dict[str, dict[str, Any]] = {
        "0xaa": {"balance": "0x5", "nonce": 1, "storage": {slot: seven}},
        "0xbb": {"balance": "0x1", "nonce": 3, "code": "0xfe"},
        "0xcc": {"balance": "0x9"},
    }
    post: dict[str, dict[str, Any]] = {
        "0xaa": {"balance": "0x4"},
        "0xcc": {"nonce": 1, "storage": {slot: seven}},
        "0xdd": {"balance": "0x2"},
    }
    assert state_diff(pre, post) == {
        "0xaa": {
            "balance": {"*": {"from": "0x5", "to": "0x4"}},
            "code": "=",
            "nonce": "=",
            "storage": {slot: {"*": {"from": seven, "to": zero}}},
        },
        "0xbb": {"balance": {"-": "0x1"}, "code": {"-": "0xfe"}, "nonce": {"-": "0x3"}, "storage": {}},
        "0xcc": {
            "balance": "=",
            "code": "=",
            "nonce": {"*": {"from": "0x0", "to": "0x1"}},
            "storage": {slot: {"*": {"from": zero, "to": seven}}},
        },
        "0xdd": {"balance": {"+": "0x2"}, "code": {"+": "0x"}, "nonce": {"+": "0x0"}, "storage": {}},
    }
