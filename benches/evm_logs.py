"""How long eth_getLogs and an address's history take over a long range: 100,000 blocks, every second of which has a
log, and one in 100 the one that is asked for.

Ours inside the engine and over JSON-RPC. The peer is anvil, asked by the same client for `PEER_BLOCKS` of which only those with
the wanted log are not empty; of more it does not mine enough in minutes. Answers are compared in number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from tests.engines import anvil

from dougong._native import Evm, encode_batch
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.net.jsonrpc import JsonRpc
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.server import RpcServer
from dougong.services.nodes.verifying_node import VerifyingNode
from dougong.services.rollup.chain import RollupChain
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.testing.wallet import Wallet

BLOCKS = 100_000
EVERY = 100
PEER_BLOCKS = 5_000
BATCH = 4_000
TRIES = 5
LOGGER = b"\xcc" * 20
CODE = bytes.fromhex("5f355f5fa100")  # log1(0, 0, calldataload(0))
WANTED, OTHER = (7).to_bytes(32), (8).to_bytes(32)
FILTER = {"address": "0x" + LOGGER.hex(), "topics": ["0x" + WANTED.hex()]}


def run() -> Iterator[dict[str, Any]]:
    wallet = Wallet.of("logs", 31_337)
    with TemporaryDirectory() as folder:
        evm = _chain(Path(folder), wallet)
        inside = _best(lambda: evm.logs_json(orjson.dumps(FILTER).decode(), 0, BLOCKS, 10_000))
        every = _best(lambda: evm.logs_json("{}", 0, 9_999, 10_000))
        history = _best(lambda: evm.search_transactions_json(LOGGER[:19] + b"\0", 0, BLOCKS, forward=True, size=25))
        ours, count, part, part_count = asyncio.run(_served(evm))
        evm.close()
    yield {"bench": "logs-100k-blocks-engine", "unit": "ms", "ours": inside}
    yield {"bench": "logs-5000-of-10k-blocks-engine", "unit": "ms", "ours": every}
    yield {"bench": "history-100k-blocks-nothing-there-engine", "unit": "ms", "ours": history}
    with TemporaryDirectory() as folder, anvil(Path(folder)) as url:
        peers, peer_count = asyncio.run(_peer(url))
    assert count == BLOCKS // EVERY
    assert part_count == peer_count == PEER_BLOCKS // EVERY
    yield {"bench": "logs-100k-blocks-rpc", "unit": "ms", "ours": ours}
    yield {"bench": "logs-5k-blocks-rpc", "unit": "ms", "ours": part, "anvil": peers, "ratio": round(peers / part, 2)}


def _chain(folder: Path, wallet: Wallet) -> Evm:
    genesis = make_genesis(31_337, {wallet.address: GenesisAccount(10**24), LOGGER: GenesisAccount(code=CODE)})
    evm = Evm(str(folder / "evm"), genesis)
    nonce = 0
    for start in range(1, BLOCKS + 1, BATCH):
        blocks: list[tuple[int, int, list[bytes]]] = []
        for number in range(start, start + BATCH):
            topics = [WANTED] * (number % EVERY == 0) + [OTHER] * (number % 2)
            fields = [wallet.fields(LOGGER, nonce=nonce + n, data=topic, gas=50_000) for n, topic in enumerate(topics)]
            blocks.append((number, 0, wallet.sign_all(fields)))
            nonce += len(fields)
        head = evm.head()
        evm.apply_batch(encode_batch(head.hash, blocks, 1), start + BATCH, 0, [])
    assert evm.head().number == BLOCKS
    return evm


def _best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return round(1_000 * min(times), 2)


class _Reading(VerifyingNode):
    """A node that only reads: no batches come."""

    def __init__(self, chain: RollupChain) -> None:
        self.chain = chain


async def _served(evm: Evm) -> tuple[float, int, float, int]:
    api = EthereumApi(_Reading(await RollupChain.open(evm)))
    server = RpcServer.bind("127.0.0.1", 0)
    server.mount("logs", api.methods, api.health)
    serving = asyncio.create_task(server.run())
    try:
        url = server.url("logs")
        return *await _ask(url, BLOCKS), *await _ask(url, PEER_BLOCKS)
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        api.close()


async def _ask(url: str, last: int) -> tuple[float, int]:
    times, count = [], 0
    async with JsonRpc(url) as node:
        for _ in range(TRIES):
            started = time.perf_counter()
            found = await node.call("eth_getLogs", {**FILTER, "fromBlock": "0x0", "toBlock": hex(last)})
            times.append(time.perf_counter() - started)
            count = len(found)
    return round(1_000 * min(times), 2), count


async def _peer(url: str) -> tuple[float, int]:
    giver = Wallet(DEV_ACCOUNTS[0].secret, DEV_ACCOUNTS[0].address, 31_337)
    async with JsonRpc(url) as node:
        await node.call("anvil_setCode", "0x" + LOGGER.hex(), "0x" + CODE.hex())
        nonce = int(await node.call("eth_getTransactionCount", "0x" + giver.address.hex(), "latest"), 16)
        for turn in range(PEER_BLOCKS // EVERY):
            await node.call("anvil_mine", hex(EVERY - 1))
            raw = giver.sign(giver.fields(LOGGER, nonce=nonce + turn, data=WANTED, gas=50_000))
            await node.call("eth_sendRawTransaction", "0x" + raw.hex())
    return await _ask(url, PEER_BLOCKS)
