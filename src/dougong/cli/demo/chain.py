"""One EVM chain as a wallet sees it: through JSON-RPC over HTTP, and nothing else.

chain = await Chain.connect("http://127.0.0.1:8545/alpha")
hashes = await chain.send_all(orders)
receipts = await chain.included(hashes)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from dougong.cli.demo.workload import Order, signed
from dougong.crypto.hashing import keccak256
from dougong.errors import Divergence, Unavailable
from dougong.net.jsonrpc import JsonRpc, RpcError, data, quantity

__all__ = ["Chain", "until"]

T = TypeVar("T")

# An account's transactions may arrive out of order; a pool keeps so many that wait for an earlier one.
BATCH, IN_FLIGHT = 50, 2
ALREADY_KNOWN = "already known"  # what Ethereum nodes say of a transaction that they hold
POLL_S = 0.1
ALREADY_KNOWN = "already known"


class Chain:
    """A chain and the height up to which its receipts have been read."""

    def __init__(self, rpc: JsonRpc, chain_id: int, height: int) -> None:
        self.rpc = rpc
        self.chain_id = chain_id
        self._read = height
        self._receipts: dict[bytes, dict[str, Any]] = {}
        self.sent = 0
        self.sent_bytes = 0

    @classmethod
    async def connect(cls, url: str) -> Chain:
        rpc = JsonRpc(url)
        chain_id, height = await rpc.batch([("eth_chainId", []), ("eth_blockNumber", [])])
        return cls(rpc, quantity(chain_id), quantity(height))

    async def aclose(self) -> None:
        await self.rpc.aclose()

    async def height(self, tag: str = "latest") -> int:
        return quantity((await self.rpc.call("eth_getBlockByNumber", tag, False))["number"])

    async def block_hash(self, height: int) -> bytes:
        return data((await self.rpc.call("eth_getBlockByNumber", hex(height), False))["hash"], 32)

    async def balance(self, address: bytes) -> int:
        return quantity(await self.rpc.call("eth_getBalance", "0x" + address.hex(), "latest"))

    async def nonce(self, address: bytes) -> int:
        return quantity(await self.rpc.call("eth_getTransactionCount", "0x" + address.hex(), "pending"))

    async def send_all(self, orders: Sequence[Order]) -> list[bytes]:
        """Signs and sends, in batches as wallets' libraries do; returns the hashes in the orders' order once each one was
        acknowledged."""
        raws = await asyncio.to_thread(signed, orders, self.chain_id)
        hashes = [keccak256(raw) for raw in raws]
        free = asyncio.Semaphore(IN_FLIGHT)

        async def send(start: int) -> None:
            calls = [("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in raws[start : start + BATCH]]
            async with free:
                answers = await self.rpc.outcomes(calls)
            for answer, tx_hash in zip(answers, hashes[start:], strict=False):
                if isinstance(answer, RpcError):
                    if ALREADY_KNOWN in str(answer):
                        continue  # its answer was lost on the way, and it was sent again
                    raise answer
                if data(answer) != tx_hash:
                    raise Divergence(f"the node calls the transaction {tx_hash.hex()} {answer}")

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(raws), BATCH):
                group.create_task(send(start))
        self.sent += len(raws)
        self.sent_bytes += sum(map(len, raws))
        return hashes

    async def included(self, hashes: Sequence[bytes], *, seconds: float = 60) -> list[dict[str, Any]]:
        """The receipts, once all of them are in blocks. Raises `Divergence` for one that failed."""

        async def all_there() -> bool:
            await self._read_receipts()
            return all(tx_hash in self._receipts for tx_hash in hashes)

        await until(all_there, f"{len(hashes)} transactions in blocks", seconds)
        receipts = [self._receipts[tx_hash] for tx_hash in hashes]
        failed = [receipt["transactionHash"] for receipt in receipts if receipt["status"] != "0x1"]
        if failed:
            raise Divergence(f"{len(failed)} transactions failed, the first is {failed[0]}")
        return receipts

    async def send(self, orders: Sequence[Order]) -> list[dict[str, Any]]:
        """Sends, and returns the receipts."""
        return await self.included(await self.send_all(orders))

    def reread(self) -> None:
        """From the first block on, as for one who comes later."""
        self._read = 0

    async def has(self, tx_hash: bytes) -> bool:
        await self._read_receipts()
        return tx_hash in self._receipts

    async def _read_receipts(self) -> None:
        head = await self.height()
        for number in range(self._read + 1, head + 1):
            for receipt in await self.rpc.call("eth_getBlockReceipts", hex(number)):
                self._receipts[data(receipt["transactionHash"], 32)] = receipt
            self._read = number


async def until(done: Callable[[], Awaitable[T]], what: str, seconds: float = 60) -> T:
    """Asks until the answer is truthy. Raises `Unavailable` when it takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not (answer := await done()):  # noqa: ASYNC110  the other side of a socket sets no event
                await asyncio.sleep(POLL_S)
            return answer
    except TimeoutError as error:
        raise Unavailable(
            f"waited {seconds:.0f} s for {what}", remedy="run again with --keep and look at the stack's log"
        ) from error
