"""One anvil with one block that has everything in it: plain transactions of each type, our blobs, signed ones, their copies, and
blobs of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from eth_account import Account

from dougong.availability.ethereum import Beacon, BlobReader, EthereumBlock, read_block
from dougong.availability.kzg import frame, sidecar_of
from dougong.crypto.keys import Secp256k1Key
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.transactor import Transactor
from dougong.types import Blob
from tests.availability.kzg.world import FOREIGN, LARGE, SIGNED
from tests.engines import ANVIL_KEY, anvil

# Accounts that anvil funds.
OWNER = Secp256k1Key(ANVIL_KEY)
STRANGER = Secp256k1Key(bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"))
PLAIN = Account.from_key("0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a")
MINE = Blob(SIGNED, b"signed by the owner", 1, OWNER.address)
CARRIED = {OWNER: [frame(LARGE), frame(MINE)], STRANGER: [(FOREIGN,), frame(MINE)]}
TO = b"\x0a" * 20
GWEI = 10**9


@dataclass(frozen=True)
class World:
    url: str
    answer: dict[str, Any]

    @property
    def block(self) -> EthereumBlock:
        return read_block(self.answer)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with anvil(tmp_path_factory.mktemp("anvil"), "--no-mining") as url:
        yield World(url, asyncio.run(make_block(url)))


async def make_block(url: str) -> dict[str, Any]:
    """The block as the node tells it."""
    async with JsonRpc(url) as rpc:
        fees = {"maxFeePerGas": 20 * GWEI, "maxPriorityFeePerGas": GWEI}
        access = [{"address": TO, "storageKeys": ["0x" + "00" * 31 + "01"]}]
        authorization = PLAIN.sign_authorization({"chainId": 31337, "address": TO, "nonce": 99})
        plain: list[dict[str, Any]] = [
            {"gasPrice": 20 * GWEI, "to": TO, "value": 5},
            {"gasPrice": 20 * GWEI, "data": "0x00"},
            {"type": 1, "gasPrice": 20 * GWEI, "to": TO, "accessList": access},
            {**fees, "to": TO, "data": "0x" + "ab" * 300, "accessList": access},
            {**fees, "to": TO, "authorizationList": [authorization]},
        ]
        for nonce, fields in enumerate(plain):
            tx = {"chainId": 31337, "nonce": nonce, "gas": 200_000, "value": 0, "data": "0x", **fields}
            await rpc.call("eth_sendRawTransaction", "0x" + bytes(PLAIN.sign_transaction(tx).raw_transaction).hex())
        async with asyncio.TaskGroup() as tasks:
            sent = []
            for key, carried in CARRIED.items():
                account = await Transactor.connect(rpc, key)
                for blobs in carried:
                    sent.append(tasks.create_task(account.send_blobs(key.address, b"", sidecar_of(blobs))))
            await pooled(rpc, len(plain) + 4)
            await rpc.call("evm_mine")
        assert len({task.result().block_number for task in sent}) == 1
        answer = await rpc.call("eth_getBlockByNumber", "latest", True)
        assert len(answer["transactions"]) == len(plain) + 4
        return dict(answer)


async def pooled(rpc: JsonRpc, count: int) -> None:
    """Returns once so many transactions wait to be mined."""
    async with asyncio.timeout(60):
        while True:
            if int((await rpc.call("txpool_status"))["pending"], 16) >= count:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
async def reader(world: World) -> AsyncIterator[BlobReader]:
    async with JsonRpc(world.url) as rpc, Beacon(world.url) as beacon:
        yield BlobReader(rpc, beacon, finality=0)
