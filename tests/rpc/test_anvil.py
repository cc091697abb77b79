"""The same signed transactions and the same questions to anvil and to the embedded chain: what differs is named here.

Where they may differ we follow go-ethereum:

- A refused transaction and an impossible call have code -32000 (anvil: several codes); words are geth's.
- A call runs in the latest block, with base fee 0 where it names no fee; anvil's runs in the next one.
- An estimate may lie 1.5 % above the least limit that suffices; anvil's is the least.
- EIP-7702: an authority that is not in the state yet pays 25,000 gas for its account. Anvil gives 12,500 of it back, as if
  the account had been there.
- The proof that an empty storage trie does not hold a slot is empty; anvil's has one node, the empty string.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import vyper
from eth_account import Account
from eth_account.signers.local import LocalAccount

from dougong._native import keccak256
from dougong.net.codes import METHOD_NOT_FOUND, SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.testing.wallet import GWEI
from tests.embedded import embedded
from tests.engines import ANVIL_KEY, anvil
from tests.rpc.test_ethereum import SOURCE
from tests.rpc.world import CHAIN_ID

FUNDED: LocalAccount = Account.from_key(ANVIL_KEY)
PLAIN = b"\x0a" * 20
PLACE = {"blockHash", "blockNumber", "blockTimestamp"}  # blocks are each chain's own
TOTAL, BOOM = (keccak256(name)[:4] for name in (b"total()", b"boom()"))
ESTIMATE_SLACK = 0.015

# Programs that run as init code: what they do shows in gas, logs, status and the storage of the new contract.
PROGRAMS = {
    "LOG0 to LOG4": "60aa5f5260205fa0600160205fa16002600160205fa260036002600160205fa3600460036002600160205fa400",
    "TLOAD, TSTORE": "60015f5d5f5c5f5500",
    "MCOPY, PUSH0": "60aa5f5260205f60405e6040515f5500",
    "a refund for cleared storage": "60015f555f5f5500",
    "SELFDESTRUCT in the creating transaction": "33ff",
    "CREATE2": "5f5f5f5ff55f5500",
    "warm and cold accounts": "5f5f5f5f5f73{0}5af15073{0}3b5073{0}315073{0}3f5000".replace("{0}", "ab" * 20),
    "value to a new account": "5f5f5f5f5f73" + "ac" * 20 + "5af15000",
    "BLOBBASEFEE, CHAINID, COINBASE": "4a5f55466001554160025500",
    "a new contract": "6005600c5f3960055ff3" + "0000" + "335f550000",
    "revert data": "63deadbeef5f526004601cfd",
    "INVALID": "fe",
    "an empty stack": "50",
    "code that starts with 0xEF": "60ef5f5360015ff3",
    "an opcode of the next fork (CLZ)": "5f1e5f5500",
    "0x01 ecrecover": "60205f60805f60015afa5f5500",
    "0x02 sha256": "60205f60805f60025afa5f515f5500",
    "0x03 ripemd160": "60205f60805f60035afa5f515f5500",
    "0x04 identity": "60aa60105260205f60805f60045afa5f515f5500",
    "0x05 modexp": "60015f5260016020526001604052610305606053602060806063" + "5f60055afa6080515f5500",
    "0x06 bn254 addition": "60405f60805f60065afa5f5500",
    "0x08 bn254 pairing of nothing": "60205f5f5f60085afa5f515f5500",
    "0x09 blake2f with bad input": "60405f60d45f60095afa5f5500",
    "0x0a point evaluation with bad input": "5f5f60c05f600a6201fffffa5f5500",
    "0x0b BLS12-381 addition": "60805f6101005f600b6201fffffa5f5500",
    "0x0f BLS12-381 pairing of zeros": "60205f6101805f600f6207fffffa5f515f5500",
    "0x100, no precompile yet": "60205f60a05f6101005afa5f553d60015500",
}


def add(amount: int) -> bytes:
    return keccak256(b"add(uint256)")[:4] + amount.to_bytes(32)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    options = ("--chain-id", str(CHAIN_ID), "--gas-limit", "60000000", "--base-fee", str(GWEI))
    with anvil(tmp_path_factory.mktemp("anvil"), *options) as theirs, embedded(bytes.fromhex(FUNDED.address[2:])) as ours:
        yield theirs, ours.url


@dataclass
class Pair:
    """Both chains: each answer is a pair, anvil's first."""

    theirs: JsonRpc
    ours: JsonRpc
    nonce: int = 0
    differences: dict[str, object] = field(default_factory=dict)

    async def ask(self, method: str, *params: object) -> tuple[Any, Any]:
        """An answer, or the `RpcError`."""

        async def one(node: JsonRpc) -> object:
            try:
                return await node.call(method, *params)
            except RpcError as error:
                return error

        theirs, ours = await asyncio.gather(one(self.theirs), one(self.ours))
        return theirs, ours

    def sign(self, **fields: Any) -> bytes:
        """Signed by a library that is neither side's."""
        transaction: dict[str, Any] = {
            "chainId": CHAIN_ID,
            "nonce": self.nonce,
            "gas": 3_000_000,
            "value": 0,
            "data": b"",
            **fields,
        }
        if "gasPrice" not in fields:
            transaction = {"maxFeePerGas": 20 * GWEI, "maxPriorityFeePerGas": GWEI} | transaction
        return bytes(FUNDED.sign_transaction(transaction).raw_transaction)

    async def send(self, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The receipts of one transaction of `FUNDED`, sent to both."""
        raw = self.sign(**fields)
        self.nonce += 1
        for sent in await self.ask("eth_sendRawTransaction", "0x" + raw.hex()):
            assert sent == "0x" + keccak256(raw).hex(), sent

        async def receipt(node: JsonRpc) -> dict[str, Any]:
            while True:
                found = await node.call("eth_getTransactionReceipt", "0x" + keccak256(raw).hex())
                if found is not None:
                    return dict(found)
                await asyncio.sleep(0.005)

        async with asyncio.timeout(20):
            theirs, ours = await asyncio.gather(receipt(self.theirs), receipt(self.ours))
        return theirs, ours

    async def deploy(self) -> bytes:
        code = vyper.compile_code(SOURCE, output_formats=["bytecode"])["bytecode"]
        _, receipt = await self.send(data=bytes.fromhex(code[2:]))
        return bytes.fromhex(receipt["contractAddress"][2:])

    def differ(self, name: str, theirs: Any, ours: Any) -> None:
        """Notes where two JSON objects differ."""
        keys = sorted(theirs.keys() | ours.keys())
        found = {key: (theirs.get(key, "none"), ours.get(key, "none")) for key in keys if theirs.get(key) != ours.get(key)}
        if found or theirs.keys() != ours.keys():
            self.differences[name] = found


@pytest.fixture
async def pair(urls: tuple[str, str]) -> AsyncIterator[Pair]:
    async with JsonRpc(urls[0]) as theirs, JsonRpc(urls[1]) as ours:
        made = Pair(theirs, ours)
        counts = await made.ask("eth_getTransactionCount", FUNDED.address, "latest")
        assert counts[0] == counts[1]
        made.nonce = int(counts[0], 16)
        yield made


def without_place(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """Anvil tells of blob gas where there is no blob."""
    left = {key: value for key, value in receipt.items() if key not in PLACE | {"effectiveGasPrice", "blobGasPrice"}}
    left["logs"] = [{key: value for key, value in log.items() if key not in PLACE} for log in receipt["logs"]]
    return left


async def check_price(node: JsonRpc, receipt: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """EIP-1559: the base fee of the chain's own block and the tip, capped."""
    base = int((await node.call("eth_getBlockByHash", receipt["blockHash"], False))["baseFeePerGas"], 16)
    cap, tip = fields.get("maxFeePerGas", 20 * GWEI), fields.get("maxPriorityFeePerGas", GWEI)
    assert int(receipt["effectiveGasPrice"], 16) == fields.get("gasPrice", min(cap, base + tip))


def authorize(account: LocalAccount, to: bytes, nonce: int, chain_id: int = CHAIN_ID) -> Any:
    return account.sign_authorization({"chainId": chain_id, "address": to, "nonce": nonce})


async def test_the_same_transactions_have_the_same_receipts(pair: Pair) -> None:
    contract = await pair.deploy()
    authority: LocalAccount = Account.from_key(keccak256(b"authority"))
    delegate = bytes.fromhex(authority.address[2:])
    access = [{"address": contract, "storageKeys": ["0x" + "00" * 32, "0x" + "01" * 32]}]
    nonce = pair.nonce
    cases: dict[str, dict[str, Any]] = {
        "legacy": {"to": PLAIN, "value": 5, "gasPrice": 3 * GWEI, "gas": 21_000},
        "legacy call": {"to": contract, "data": add(42), "gasPrice": 3 * GWEI},
        "2930": {"type": 1, "to": contract, "data": add(1), "gasPrice": 3 * GWEI, "accessList": access},
        "1559": {"to": contract, "data": add(1)},
        "1559 with an access list": {"to": contract, "data": add(1), "accessList": access},
        "1559 whose cap cuts the tip": {"to": PLAIN, "maxFeePerGas": 2 * GWEI, "maxPriorityFeePerGas": 2 * GWEI},
        "a new account": {"to": delegate, "value": 1, "gas": 21_000},
        "revert with a reason": {"to": contract, "data": add(0)},
        "revert without": {"to": contract, "data": BOOM, "value": 1},
        "out of gas": {"to": contract, "data": add(9), "gas": 23_000},
        "the floor of calldata, bytes": {"to": PLAIN, "data": b"\1" * 1_000},
        "the floor of calldata, zeros": {"to": PLAIN, "data": bytes(1_000)},
        **{f"program: {name}": {"data": bytes.fromhex(code), "gas": 1_000_000} for name, code in PROGRAMS.items()},
    }
    nonce += len(cases)
    cases |= {
        "7702": {"to": delegate, "data": add(3), "authorizationList": [authorize(authority, contract, 0)]},
        "a call of delegated code": {"to": delegate, "data": add(4)},
        "7702 with a spent nonce": {"to": PLAIN, "authorizationList": [authorize(authority, contract, 0)]},
        "7702 for another chain": {"to": PLAIN, "authorizationList": [authorize(authority, contract, 1, 99)]},
        "7702 for the sender": {"to": PLAIN, "authorizationList": [authorize(FUNDED, contract, nonce + 5, 0)]},
    }
    for name, fields in cases.items():
        theirs, ours = await pair.send(**fields)
        pair.differ(name, without_place(theirs), without_place(ours))
        await check_price(pair.theirs, theirs, fields)
        await check_price(pair.ours, ours, fields)
        by_hash = await pair.ask("eth_getTransactionByHash", ours["transactionHash"])
        left = [{key: value for key, value in tx.items() if key not in PLACE} for tx in by_hash]
        for tx, receipt in zip(left, (theirs, ours), strict=True):
            assert tx.pop("gasPrice") == receipt["effectiveGasPrice"]
        pair.differ(f"the transaction of {name}", *left)
        blocks = [
            await node.call("eth_getBlockByHash", receipt["blockHash"], False)
            for node, receipt in ((pair.theirs, theirs), (pair.ours, ours))
        ]
        same = (
            "gasUsed",
            "gasLimit",
            "logsBloom",
            "transactionsRoot",
            "transactions",
            "miner",
            "withdrawalsRoot",
            "requestsHash",
        )
        pair.differ(f"the block of {name}", *({key: block[key] for key in same} for block in blocks))
        if name.startswith("7702 for the sender"):
            pair.nonce += 1  # the authorization took one more
    assert pair.differences == {}


async def test_who_is_new_pays_for_its_account(pair: Pair) -> None:
    """EIP-7702: 12,500 comes back only "if the authority exists in the trie". Anvil gives it back in any case."""
    for known in (True, False):
        authority: LocalAccount = Account.from_key(keccak256(b"known" if known else b"new"))
        if known:
            await pair.send(to=bytes.fromhex(authority.address[2:]), value=1)
        theirs, ours = await pair.send(to=PLAIN, authorizationList=[authorize(authority, PLAIN, 0)])
        spent = 21_000 + 25_000
        refunded = spent - min(12_500, spent // 5)
        assert int(theirs["gasUsed"], 16) == refunded
        assert int(ours["gasUsed"], 16) == (refunded if known else spent)


async def test_calls_come_to_the_same(pair: Pair) -> None:
    contract = "0x" + (await pair.deploy()).hex()
    await pair.send(to=bytes.fromhex(contract[2:]), data=add(42))
    sender = FUNDED.address
    calls: dict[str, dict[str, str]] = {
        "a getter": {"to": contract, "data": "0x" + TOTAL.hex()},
        "its input by the newer name": {"to": contract, "input": "0x" + TOTAL.hex()},
        "a change": {"from": sender, "to": contract, "data": "0x" + add(1).hex()},
        "a reason": {"to": contract, "data": "0x" + add(0).hex()},
        "no reason": {"to": contract, "data": "0x" + BOOM.hex()},
        "no such method": {"to": contract, "data": "0x12345678"},
        "custom error": {"data": "0x" + PROGRAMS["revert data"]},
        "creation": {"data": "0x" + PROGRAMS["a new contract"]},
        "no code": {"to": "0x" + "77" * 20, "data": "0x01"},
        "value": {"from": sender, "to": "0x" + "77" * 20, "value": "0x1"},
        "more than it has": {"from": "0x" + "99" * 20, "to": contract, "value": "0x1"},
        "too little gas": {"from": sender, "to": contract, "data": "0x" + add(1).hex(), "gas": "0x5800"},
        "INVALID": {"data": "0xfe"},
        "an empty stack": {"data": "0x50"},
        "a jump to nowhere": {"data": "0x5f56"},
        "GASPRICE": {"data": "0x3a5f5260205ff3"},
        "CALLER, ORIGIN, CALLVALUE": {"from": sender, "data": "0x335f5232602052346040526060" + "5ff3", "value": "0x7"},
        "CHAINID, COINBASE, GASLIMIT": {"data": "0x465f52416020524560405260605ff3"},
    }
    for name, call in calls.items():
        for method, params in (("eth_call", [call, "latest"]), ("eth_estimateGas", [call])):
            theirs, ours = await pair.ask(method, *params)
            if isinstance(theirs, RpcError) and isinstance(ours, RpcError):
                if theirs.code == 3 or ours.code == 3:
                    pair.differ(f"{method}: {name}", vars(theirs), vars(ours))
                else:
                    assert (ours.code, ours.data) == (SERVER_ERROR, None)
            elif isinstance(theirs, str) and isinstance(ours, str) and method == "eth_estimateGas":
                least, found = int(theirs, 16), int(ours, 16)
                if not least <= found <= least / (1 - ESTIMATE_SLACK):
                    pair.differences[f"{method}: {name}"] = (least, found)
            elif theirs != ours:
                pair.differences[f"{method}: {name}"] = (theirs, ours)
    assert pair.differences == {}


async def test_storage_has_the_same_trie(pair: Pair) -> None:
    contract = "0x" + (await pair.deploy()).hex()
    await pair.send(to=bytes.fromhex(contract[2:]), data=add(7))
    slots = ["0x" + slot.to_bytes(32).hex() for slot in (0, 1)]
    for address in (contract, "0x" + "77" * 20):
        theirs, ours = await pair.ask("eth_getProof", address, slots, "latest")
        assert theirs.pop("accountProof")
        assert ours.pop("accountProof")
        if address != contract:
            for answer, proof in ((theirs, ["0x80"]), (ours, [])):
                assert [entry.pop("proof") for entry in answer["storageProof"]] == [proof] * 2
        pair.differ(address, theirs, ours)
    for method, params in (
        ("eth_getStorageAt", [contract, slots[0], "latest"]),
        ("eth_getCode", [contract, "latest"]),
        ("eth_getTransactionCount", [contract, "latest"]),
        ("eth_getBalance", [contract, "latest"]),
    ):
        theirs, ours = await pair.ask(method, *params)
        assert theirs == ours
    assert pair.differences == {}


async def test_the_node_says_the_same_of_itself(pair: Pair) -> None:
    for method in ("eth_chainId", "net_version", "net_listening", "eth_syncing", "eth_blobBaseFee"):
        theirs, ours = await pair.ask(method)
        assert theirs == ours
    theirs, ours = await pair.ask("eth_feeHistory", 2, "latest", [25, 75])
    assert theirs.keys() == ours.keys()
    assert all(len(theirs[key]) == len(ours[key]) for key in theirs if key != "oldestBlock")
    for block in await pair.ask("eth_getBlockByNumber", "0xffffff", False):
        assert block is None
    for error in await pair.ask("eth_noSuchMethod"):
        assert error.code == METHOD_NOT_FOUND


async def test_filters_find_the_same_logs(pair: Pair) -> None:
    contract = "0x" + (await pair.deploy()).hex()
    for amount in (1, 2, 3):
        await pair.send(to=bytes.fromhex(contract[2:]), data=add(amount))
    event = "0x" + keccak256(b"Added(address,uint256)").hex()
    who = "0x" + FUNDED.address[2:].lower().rjust(64, "0")
    for count, topics in ((3, []), (3, [event]), (3, [None, who]), (3, [[event, who]]), (0, [who]), (0, [event, event])):
        theirs, ours = await pair.ask(
            "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": contract, "topics": topics}
        )
        assert len(ours) == count
        left = [[{key: value for key, value in log.items() if key not in PLACE} for log in logs] for logs in (theirs, ours)]
        assert left[0] == left[1]
        assert all(log.keys() == ours[0].keys() for log in [*theirs, *ours])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nonce": 0}, "nonce too low"),
        ({"value": 10**30}, "insufficient funds for gas * price + value"),
        ({"gas": 20_999}, "intrinsic gas too low"),
        ({"gas": 60_000_001}, "gas limit"),
        ({"chainId": 5}, "invalid chain id for signer"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, "max fee per gas less than block base fee"),
        ({"maxFeePerGas": 2 * GWEI, "maxPriorityFeePerGas": 3 * GWEI}, "max priority fee per gas higher than max fee per gas"),
        ({"to": b"", "data": bytes(49_153)}, "max initcode size exceeded"),
    ],
)
async def test_both_refuse_the_same(pair: Pair, fields: dict[str, Any], words: str) -> None:
    await pair.send(to=PLAIN)
    raw = pair.sign(**{"to": PLAIN, "gas": 100_000, **fields})
    theirs, ours = await pair.ask("eth_sendRawTransaction", "0x" + raw.hex())
    assert isinstance(theirs, RpcError)
    assert isinstance(ours, RpcError)
    assert ours.code == SERVER_ERROR
    assert words in str(ours)
    counts = await pair.ask("eth_getTransactionCount", FUNDED.address, "pending")
    assert counts == (hex(pair.nonce), hex(pair.nonce)), "a refused transaction takes no nonce"
