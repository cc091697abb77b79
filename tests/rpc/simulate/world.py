"""Who asks for simulations, and whom they are asked about.

Contracts are written in opcodes where a few suffice: what is called, stored or logged is then in plain sight.
"""

from __future__ import annotations

from typing import Any

import orjson

from dougong.execution.evm.genesis import GenesisAccount
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.protocol import Limits, answer
from dougong.testing.wallet import Wallet
from tests.rpc.world import CHAIN_ID

ALICE = Wallet.of("alice", CHAIN_ID)
ALLOC = {ALICE.address: GenesisAccount(10**21)}
A, B, C, D = (f"0x{letter * 2:0>40}" for letter in "abcd")
RICH = {A: {"balance": hex(10**21)}}
ETHER = "0x" + "ee" * 20
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
LIMIT = -38026
ECRECOVER, SHA256, IDENTITY = (f"0x{number:040x}" for number in (1, 2, 4))

LOOP = "0x5b600056"
REVERTS = "0x60006000fd"
SELFBALANCE = "0x4760005260206000f3"


def returns(*opcode: int) -> str:
    """A contract that returns what these opcodes leave on the stack."""
    return "0x" + bytes(opcode).hex() + "60005260206000f3"


NUMBER, TIMESTAMP, BASEFEE, COINBASE, PREVRANDAO, GASLIMIT, BLOBBASEFEE = 0x43, 0x42, 0x48, 0x41, 0x44, 0x45, 0x4A
SLOAD_1 = returns(0x60, 1, 0x54)
ADD_1_TO_SLOT_1 = "0x6001546001016001556001545f5260205ff3"


def word(value: int) -> str:
    return f"0x{value:064x}"


class Caller:
    """Calls a chain's methods as a server does, without sockets."""

    def __init__(self, api: EthereumApi) -> None:
        self._methods = api.methods

    async def reply(self, method: str, *params: object) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        reply = await answer(self._methods, orjson.dumps(request), Limits())
        assert reply is not None
        return dict(orjson.loads(reply))

    async def result(self, method: str, *params: object) -> Any:
        reply = await self.reply(method, *params)
        assert "error" not in reply, reply
        return reply["result"]

    async def error(self, method: str, *params: object) -> tuple[int, str]:
        reply = await self.reply(method, *params)
        assert "error" in reply, reply
        return reply["error"]["code"], reply["error"]["message"]

    async def simulate(self, *blocks: dict[str, Any], **options: object) -> list[dict[str, Any]]:
        return list(await self.result("eth_simulateV1", {"blockStateCalls": list(blocks), **options}, "latest"))

    async def refused(self, *blocks: dict[str, Any], **options: object) -> tuple[int, str]:
        return await self.error("eth_simulateV1", {"blockStateCalls": list(blocks), **options}, "latest")
