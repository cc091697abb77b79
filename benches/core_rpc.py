"""Transactions a second through JSON-RPC, end to end: from signed bytes to the last receipt.

One process holds the chain (one validator; durable before it is acknowledged), its HTTP server and the client,
which sends batches over several connections and then asks for receipts until it has every one. The clock runs from the first
byte sent to the last receipt; signing is done before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eth_abi.abi import encode
from tests.rpc.world import CHAIN_ID, World, running

from dougong.contracts import artifact
from dougong.crypto.hashing import keccak256
from dougong.execution.evm.genesis import GenesisAccount
from dougong.net.jsonrpc import JsonRpc
from dougong.testing.wallet import Wallet

TRANSACTIONS = 10_000
SENDERS = 200
BATCH = 200
CONNECTIONS = 8
ETHER = 10**18
FOREVER = 2**255


def run() -> Iterator[dict[str, Any]]:
    yield {"bench": "rpc-transfers", "unit": "tx/s", "ours": asyncio.run(_transfers()), "transactions": TRANSACTIONS}
    yield {"bench": "rpc-swaps", "unit": "tx/s", "ours": asyncio.run(_swaps()), "transactions": TRANSACTIONS}


async def _transfers() -> float:
    wallets = _wallets()
    raws = _interleaved(
        {
            wallet: [wallet.fields(b"\x7e" * 20, nonce=nonce, value=1) for nonce in range(TRANSACTIONS // SENDERS)]
            for wallet in wallets
        }
    )
    with TemporaryDirectory() as folder:
        async with running(Path(folder), _alloc(wallets)) as world:
            return await _measure(world, raws)


async def _swaps() -> float:
    wallets = _wallets()
    maker = Wallet.of("maker", CHAIN_ID)
    swap = _call("swap_ether(uint256,uint256)", ["uint256", "uint256"], [0, FOREVER])
    with TemporaryDirectory() as folder:
        async with running(Path(folder), _alloc([*wallets, maker])) as world:
            exchange = await _market(world, maker)
            fields = {
                wallet: [
                    wallet.fields(exchange, nonce=nonce, value=10**12 + nonce, data=swap, gas=200_000)
                    for nonce in range(TRANSACTIONS // SENDERS)
                ]
                for wallet in wallets
            }
            return await _measure(world, _interleaved(fields))


async def _market(world: World, maker: Wallet) -> bytes:
    """A token and an exchange with liquidity; returns the exchange's address."""
    token = await _deploy(world, maker, 0, "Token", ["string", "string", "uint256"], ["Bench", "BEN", 10**9 * ETHER])
    exchange = await _deploy(world, maker, 1, "Exchange", ["address"], ["0x" + token.hex()])
    approve = _call("approve(address,uint256)", ["address", "uint256"], ["0x" + exchange.hex(), 2**256 - 1])
    add = _call("add_liquidity(uint256,uint256,uint256)", ["uint256"] * 3, [10**6 * ETHER, 0, FOREVER])
    raws = [
        maker.sign(maker.fields(token, nonce=2, data=approve, gas=200_000)),
        maker.sign(maker.fields(exchange, nonce=3, value=1_000 * ETHER, data=add, gas=500_000)),
    ]
    async with JsonRpc(world.url) as node:
        for raw in raws:
            await _receipt(world, node, raw)
    return exchange


async def _deploy(world: World, maker: Wallet, nonce: int, name: str, types: Sequence[str], values: Sequence[Any]) -> bytes:
    data = artifact(name).bytecode + encode(types, values)
    async with JsonRpc(world.url) as node:
        receipt = await _receipt(world, node, maker.sign(maker.fields(None, nonce=nonce, data=data, gas=5_000_000)))
    return bytes.fromhex(receipt["contractAddress"][2:])


async def _receipt(world: World, node: JsonRpc, raw: bytes) -> dict[str, Any]:
    tx_hash = await node.call("eth_sendRawTransaction", "0x" + raw.hex())
    while (receipt := await node.call("eth_getTransactionReceipt", tx_hash)) is None:
        await world.chain.wait_for_height(world.backend.heads().latest + 1)
    assert receipt["status"] == "0x1", receipt
    return dict(receipt)


async def _measure(world: World, raws: Sequence[bytes]) -> float:
    """Sends and waits for all receipts; every one must be a success."""
    groups = [["0x" + raw.hex() for raw in raws[at : at + BATCH]] for at in range(0, len(raws), BATCH)]
    waiting = iter(groups)
    hashes: list[str] = []

    async def send(node: JsonRpc) -> None:
        for group in waiting:
            hashes.extend(await node.batch([("eth_sendRawTransaction", [raw]) for raw in group]))

    async with JsonRpc(world.url, timeout=120) as node:
        started = time.perf_counter()
        await asyncio.gather(*(send(node) for _ in range(CONNECTIONS)))
        for at in range(0, len(hashes), BATCH):
            calls = [("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes[at : at + BATCH]]
            while not all(receipts := await node.batch(calls)):
                await world.chain.wait_for_height(world.backend.heads().latest + 1)
            assert all(receipt["status"] == "0x1" for receipt in receipts)
        seconds = time.perf_counter() - started
    return round(len(raws) / seconds, 1)


def _wallets() -> list[Wallet]:
    return [Wallet.of(f"bench {number}", CHAIN_ID) for number in range(SENDERS)]


def _alloc(wallets: Sequence[Wallet]) -> Mapping[bytes, GenesisAccount]:
    return {wallet.address: GenesisAccount(10_000 * ETHER) for wallet in wallets}


def _interleaved(fields: Mapping[Wallet, Sequence[str]]) -> list[bytes]:
    """Signed, everyone's first transaction before anyone's second."""
    signed = [wallet.sign_all(wanted) for wallet, wanted in fields.items()]
    return [raw for turn in zip(*signed, strict=True) for raw in turn]


def _call(signature: str, types: Sequence[str], values: Sequence[Any]) -> bytes:
    return keccak256(signature.encode())[:4] + encode(types, values)
