"""How long a user waits: from the call of eth_sendRawTransaction until the receipt can be had, at a steady rate; and from the
start of a whole stack to its first receipt.

The stack is the default one, `dougong up` in a process of its own with an empty folder (a DA chain, a settlement chain, three
rollups, everything durable); the rollup is its sovereign one. Open loop: transactions leave at their times, whether or not
earlier ones have been answered. One watcher asks for the next block every `POLL_S`; a block's transactions count as confirmed
once the receipt of its last one was read. So the figures are too high by half of that. The peer is anvil, which mines each
transaction as it comes and keeps nothing on disk; same client, and the lower rate only.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from tests.engines import anvil

from dougong.cli.demo.stage import Process
from dougong.crypto.hashing import keccak256
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.testing.wallet import Wallet

RATES = (100, 500)
SECONDS = 5.0
SENDERS = 50
CONNECTIONS = 16
POLL_S = 0.004
SETTLED_S = 3.0
WAIT_S = 60.0
ETHER = 10**18
DEFAULT = Path(__file__).parents[1] / "examples/stack.toml"


def run() -> Iterator[dict[str, Any]]:
    with TemporaryDirectory() as folder:
        ours = asyncio.run(_ours(Path(folder)))
    yield {"bench": "up-to-first-transaction", "unit": "s", "ours": ours.pop("first"), "goal": 3.0}
    with TemporaryDirectory() as folder, anvil(Path(folder)) as url:
        peers = asyncio.run(_soft(url, RATES[:1]))
    for rate in RATES:
        line = {"bench": f"soft-{rate}", "unit": "ms", "ours": ours[rate], "goal": {"p99": 100.0}}
        if rate in peers:
            line |= {"anvil": peers[rate], "ratio": round(ours[rate]["p99"] / peers[rate]["p99"], 2)}
        yield line


async def _ours(folder: Path) -> dict[Any, Any]:
    path = folder / "stack.toml"
    shutil.copy(DEFAULT, path)
    path.write_text(path.read_text().replace("127.0.0.1:8545", "127.0.0.1:0"))
    started = time.perf_counter()
    process = await Process.start("stack", folder, "up", str(path), "--json")
    try:
        url = ""
        async with asyncio.timeout(WAIT_S):
            while not url:
                event = await process.event()
                url = event["url"] if (event["event"], event["name"]) == ("chain", "free") else ""
        async with _Node(url) as node:
            await _transact(node, 0, [(DEV_ACCOUNTS[1].address, 1)])
        first = round(time.perf_counter() - started, 2)
        async with asyncio.timeout(WAIT_S):
            while (await process.event())["event"] != "ready":
                pass
        await asyncio.sleep(SETTLED_S)  # attestors and batchers have begun
        return {"first": first, **await _soft(url)}
    finally:
        await process.stop()


async def _soft(url: str, rates: Sequence[int] = RATES) -> dict[int, dict[str, float]]:
    """p50 and p99 in milliseconds, and the blocks that were made, at each rate."""
    async with _Node(url) as node:
        chain_id = int(await node.call("eth_chainId"), 16)
        wallets = [Wallet.of(f"soft {number}", chain_id) for number in range(SENDERS)]
        nonce = int(await node.call("eth_getTransactionCount", _hex(DEV_ACCOUNTS[0].address), "latest"), 16)
        await _transact(node, nonce, [(wallet.address, 100 * ETHER) for wallet in wallets])
        found = {}
        sent = 0
        for rate in rates:
            count = int(rate * SECONDS)
            turns = range(sent // SENDERS, (sent + count) // SENDERS)
            raws = [wallet.transfer(b"\x7e" * 20, 1, nonce=turn) for turn in turns for wallet in wallets]
            sent += len(raws)
            found[rate] = await _measure(url, node, raws, rate)
        return found


async def _measure(url: str, watcher: _Node, raws: Sequence[bytes], rate: int) -> dict[str, float]:
    hashes = [_hex(keccak256(raw)) for raw in raws]
    called: dict[str, float] = {}
    seen: dict[str, float] = {}
    first = int(await watcher.call("eth_blockNumber"), 16) + 1
    idle: asyncio.Queue[_Node] = asyncio.Queue()
    clock = time.perf_counter

    async def send(tx_hash: str, raw: bytes) -> None:
        called[tx_hash] = clock()
        node = await idle.get()
        assert await node.call("eth_sendRawTransaction", _hex(raw)) == tx_hash
        idle.put_nowait(node)

    async def watch() -> None:
        number = first
        while len(seen) < len(hashes):
            block = await watcher.call("eth_getBlockByNumber", hex(number), False)
            if block is None:
                await asyncio.sleep(POLL_S)
                continue
            number += 1
            if block["transactions"]:
                assert (await watcher.call("eth_getTransactionReceipt", block["transactions"][-1]))["status"] == "0x1"
                seen.update(dict.fromkeys(block["transactions"], clock()))

    nodes = [_Node(url) for _ in range(CONNECTIONS)]
    for node in nodes:
        idle.put_nowait(await node.__aenter__())
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(watch())
        started = clock()
        for place, (tx_hash, raw) in enumerate(zip(hashes, raws, strict=True)):
            await asyncio.sleep(max(0.0, started + place / rate - clock()))
            group.create_task(send(tx_hash, raw))
    blocks = int(await watcher.call("eth_blockNumber"), 16) + 1 - first
    for node in nodes:
        await node.__aexit__()
    cuts = quantiles([1_000 * (seen[tx_hash] - called[tx_hash]) for tx_hash in hashes], n=100)
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1), "blocks": blocks}


async def _transact(node: _Node, nonce: int, payments: Sequence[tuple[bytes, int]]) -> None:
    """Pays from the first dev account, and waits for the receipts."""
    chain_id = int(await node.call("eth_chainId"), 16)
    giver = Wallet(DEV_ACCOUNTS[0].secret, DEV_ACCOUNTS[0].address, chain_id)
    for place, (to, value) in enumerate(payments):
        tx_hash = await node.call("eth_sendRawTransaction", _hex(giver.transfer(to, value, nonce=nonce + place)))
    while await node.call("eth_getTransactionReceipt", tx_hash) is None:  # noqa: ASYNC110  over a socket
        await asyncio.sleep(POLL_S)


class _Node:
    """One keep-alive connection: a client that costs as little as can be, beside what it measures."""

    def __init__(self, url: str) -> None:
        self._host, _, self._path = url.removeprefix("http://").partition("/")

    async def __aenter__(self) -> _Node:
        host, port = self._host.split(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *why: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def call(self, method: str, *params: object) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        head = (
            f"POST /{self._path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        reply = orjson.loads(await self._reader.readexactly(length))
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
