"""Contracts and calls that are made to hurt, beside users who only want to be served: blocks keep being made, everybody's small
calls keep being answered, and the node's memory stays what it is allowed to be.

The node runs in a process of its own and is measured there. Nothing here is timed: what counts is what came before what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.testing.wallet import GWEI, Wallet
from tests.clients.world import CHAIN_ID, Node, account, our_node

BLOCK_GAS = 60_000_000
MOST_MEMORY = 1 << 30  # more than the node has at rest
ATTACKER, BYSTANDER = (Wallet(account(name).secret, account(name).address, CHAIN_ID) for name in ("attacker", "bystander"))


def runtime(code: str) -> bytes:
    """Init code of a contract with this code."""
    return bytes.fromhex(f"60{len(code) // 2:02x}8060095f395ff3{code}")


UNTIL = "5a11"  # GAS > the number before it
BOMBS = {
    "burns a block's gas": bytes.fromhex("5b5f56"),
    "thousands of fresh slots": bytes.fromhex(f"5f5b6001018080556200c350{UNTIL}60015700"),
    "megabytes of logs": bytes.fromhex(f"5b6180005fa0620fffff{UNTIL}5f5700"),
    "thousands of topics": bytes.fromhex(f"5b5a5a5a5a5f5fa46200ffff{UNTIL}5f5700"),
    "as much memory as there is gas for": bytes.fromhex("5f5b6180000180515060015600"),
    "thousands of contracts": bytes.fromhex(f"5b5f5f5ff0506200ffff{UNTIL}5f5700"),
    "large code again and again": bytes.fromhex(f"5b6160005f5ff050620fffff{UNTIL}5f5700"),
}
DEEP = runtime("5f5f5f5f5f305af15f5f5f5f5f305af100")  # calls itself twice, as deep as it goes
CODE_OF = {"loop": "5b5f56", "deep": "5f5f5f5f5f305af15f5f5f5f5f305af100", "memory": "5f5b6180000180515060015600"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with our_node(tmp_path_factory.mktemp("ours")) as made:
        yield made


@pytest_asyncio.fixture
async def rpc(node: Node) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(node.url, max_bytes=1 << 30) as made:
        yield made


def bomb(nonce: int, code: bytes | None, to: bytes | None = None, gas: int = BLOCK_GAS) -> str:
    fields = ATTACKER.fields(to, nonce=nonce, data=code or b"", gas=gas, max_fee=10_000 * GWEI, tip=GWEI)
    return "0x" + ATTACKER.sign(fields).hex()


async def nonce_of(rpc: JsonRpc, wallet: Wallet) -> int:
    return int(await rpc.call("eth_getTransactionCount", "0x" + wallet.address.hex(), "pending"), 16)


class Bystander:
    """Somebody whose calls and payments go on, and who notes what was answered."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc
        self.answered = 0
        self.paid: list[int] = []
        self._nonce = -1
        self.under_way = asyncio.Event()

    async def look(self) -> None:
        me = "0x" + BYSTANDER.address.hex()
        while True:
            for method, params in (
                ("eth_blockNumber", []),
                ("eth_getBalance", [me, "latest"]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_call", [{"to": me}, "latest"]),
            ):
                assert await self._rpc.call(method, *params) is not None
                self.answered += 1

    async def pay(self) -> None:
        self._nonce = await nonce_of(self._rpc, BYSTANDER)
        while True:
            fields = BYSTANDER.fields(b"\x0b" * 20, nonce=self._nonce, value=1, max_fee=10_000 * GWEI, tip=50 * GWEI)
            raw = "0x" + BYSTANDER.sign(fields).hex()
            receipt = await self._rpc.call("eth_sendRawTransactionSync", raw, 60_000)
            self.paid.append(int(receipt["blockNumber"], 16))
            self._nonce += 1
            self.under_way.set()


async def all_receipts(rpc: JsonRpc, hashes: list[str]) -> list[Any]:
    found: list[Any] = []
    for tx_hash in hashes:
        receipt = None
        while receipt is None:
            receipt = await rpc.call("eth_getTransactionReceipt", tx_hash)
            await asyncio.sleep(0.01)
        found.append(receipt)
    return found


async def beside(rpc: JsonRpc, attack: Any) -> tuple[Any, Bystander]:
    """What came of the attack, and of somebody else meanwhile."""
    other = Bystander(rpc)
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        tasks = [group.create_task(other.look()), group.create_task(other.pay())]
        await other.under_way.wait()
        before = other.answered, len(other.paid)
        came = await attack
        assert other.answered > before[0]
        assert len(other.paid) > before[1]
        for task in tasks:
            task.cancel()
    return came, other


async def test_blocks_full_of_bombs_starve_nobody(node: Node, rpc: JsonRpc) -> None:
    nonce = await nonce_of(rpc, ATTACKER)
    deep = await rpc.call("eth_sendRawTransactionSync", bomb(nonce, DEEP, gas=1_000_000))
    at_rest = node.memory()
    raws = [bomb(nonce + 1 + place, code) for place, code in enumerate([*BOMBS.values()] * 2)]
    raws += [bomb(nonce + 1 + len(raws) + place, None, bytes.fromhex(deep["contractAddress"][2:])) for place in range(2)]

    async def attack() -> list[Any]:
        return await all_receipts(rpc, [await rpc.call("eth_sendRawTransaction", raw) for raw in raws])

    receipts, other = await beside(rpc, attack())
    assert len(receipts) == len(raws)
    used = dict(zip(BOMBS, receipts, strict=False))
    assert all(int(receipt["gasUsed"], 16) > BLOCK_GAS * 9 // 10 for receipt in receipts), "each of them filled its block"
    assert len({receipt["blockNumber"] for receipt in receipts}) == len(receipts)
    assert sum(len(log["data"]) for log in used["megabytes of logs"]["logs"]) > 2 * 7 << 20
    # Who pays more than they do is in a block among theirs, not behind them all.
    blocks = [int(receipt["blockNumber"], 16) for receipt in receipts]
    assert sum(min(blocks) < number < max(blocks) for number in other.paid) >= 2, (other.paid, blocks)
    assert node.memory() - at_rest < MOST_MEMORY


async def test_calls_that_never_end_hold_up_nobody(node: Node, rpc: JsonRpc) -> None:
    at_rest = node.memory()
    nonce = await nonce_of(rpc, ATTACKER)
    places = {}
    for name, code in CODE_OF.items():
        receipt = await rpc.call("eth_sendRawTransactionSync", bomb(nonce, runtime(code), gas=1_000_000))
        places[name], nonce = receipt["contractAddress"], nonce + 1

    async def attack() -> list[Any]:
        calls = [
            (method, [{"to": place, "gas": hex(2**64 - 1)}])
            for place in places.values()
            for method in ("eth_call", "eth_estimateGas")
        ]
        async with JsonRpc(node.url) as greedy:
            return await asyncio.gather(*(greedy.call(method, *params) for method, params in calls * 6), return_exceptions=True)

    came, _ = await beside(rpc, attack())
    assert all(isinstance(error, RpcError) or error == "0x" for error in came if not isinstance(error, str)), came
    assert node.memory() - at_rest < MOST_MEMORY


async def test_ranges_of_huge_logs_are_refused_by_their_size(node: Node, rpc: JsonRpc) -> None:
    """A block holds 15 MB of logs as JSON: few logs, and too much all the same."""
    nonce = await nonce_of(rpc, ATTACKER)
    hashes = [await rpc.call("eth_sendRawTransaction", bomb(nonce + place, BOMBS["megabytes of logs"])) for place in range(6)]
    receipts = await all_receipts(rpc, hashes)
    at_rest = node.memory()
    span = {"fromBlock": "0x0", "toBlock": "latest"}

    async def attack() -> list[Any]:
        async with JsonRpc(node.url, max_bytes=1 << 30) as greedy:
            return await asyncio.gather(*(greedy.call("eth_getLogs", span) for _ in range(16)), return_exceptions=True)

    came, _ = await beside(rpc, attack())
    for error in came:
        assert isinstance(error, RpcError), "over the limit"
        assert error.code == -32005
    one = await rpc.call("eth_getLogs", {"blockHash": receipts[0]["blockHash"]})
    assert one == receipts[0]["logs"], "a block's are never too much"
    assert node.memory() - at_rest < MOST_MEMORY
