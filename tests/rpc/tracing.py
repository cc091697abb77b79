"""Contracts whose traces one can work out by hand, at fixed addresses."""

from __future__ import annotations

from typing import Any

from dougong.execution.evm.genesis import GenesisAccount
from dougong.net.jsonrpc import JsonRpc
from dougong.testing.wallet import Wallet
from tests.rpc.world import CHAIN_ID, World

ALICE, BOB = (Wallet.of(name, CHAIN_ID) for name in ("alice", "bob"))


def at(number: int) -> bytes:
    return bytes([0xAA] * 18) + number.to_bytes(2)


INNER, REVERTER, LOGGER, OUTER, MAKER, SPINNER, DEEP, HOARDER, ECHO, PROXY, OVERFLOW = (at(i) for i in range(11))


def call(op: str, to: bytes, *, value: str = "5f", gives: str = "", back: str = "5f") -> str:
    """Code that calls with no input, and drops the outcome."""
    return f"{back}5f5f5f{value if op in ('f1', 'f2') else ''}73{to.hex()}5a{op}50{gives}"


CODES = {
    INNER: "6001545f5260205ff3",  # returns slot 1
    REVERTER: "63deadbeef5f526004601cfd",
    LOGGER: "60aa5f526007600160205fa200",  # LOG2(0, 32, 1, 7), and 0xaa in memory
    OUTER: "60075f55"  # slot 0 := 7
    + call("f1", INNER, back="6020")
    + call("fa", INNER)
    + call("f4", LOGGER)
    + call("f1", REVERTER, value="6001")
    + "5f5f5500",  # slot 0 := 0, for a refund
    # Creates a contract whose code is one byte, with 3 wei; then one by CREATE2 that destroys itself for the caller.
    MAKER: "6360015ff35f526004601c6003f0506133ff5f525f6002601e5ff55000",
    SPINNER: "5b5f56",
    DEEP: "5f5f5f5f5f305af15000",  # calls itself
    HOARDER: "5b63000200005f20505f56",  # hashes 128 KiB of memory, again and again
    ECHO: "5b620100005f620100005f60045afa505f56",  # 64 KiB through the identity precompile, again and again
    PROXY: "365f5f375f5f365f73" + INNER.hex() + "5af43d5f5f3e3d5ff3",
    OVERFLOW: "5b5f5f56",  # JUMPDEST PUSH0 PUSH0 JUMP: the stack grows until it is full
}
ALLOC = {
    **{wallet.address: GenesisAccount(10**24) for wallet in (ALICE, BOB)},
    **{address: GenesisAccount(code=bytes.fromhex(code)) for address, code in CODES.items()},
    INNER: GenesisAccount(code=bytes.fromhex(CODES[INNER]), storage={(1).to_bytes(32): (42).to_bytes(32)}),
    OUTER: GenesisAccount(balance=10**18, code=bytes.fromhex(CODES[OUTER])),
    MAKER: GenesisAccount(balance=10**18, code=bytes.fromhex(CODES[MAKER])),
}


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


async def block_of(world: World, node: JsonRpc, *raws: bytes) -> list[str]:
    """One block of these transactions, in this order; their hashes."""
    hashes = [str(await node.call("eth_sendRawTransaction", hexed(raw))) for raw in raws]
    await world.chain._advance()
    for tx_hash in hashes:
        assert await node.call("eth_getTransactionReceipt", tx_hash) is not None
    return hashes


def to(wallet: Wallet, address: bytes | None, *, nonce: int, gas: int = 1_000_000, **fields: Any) -> bytes:
    return wallet.sign(wallet.fields(address, nonce=nonce, gas=gas, **fields))
