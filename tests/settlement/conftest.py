"""The settlement chains that the same tests run against: anvil, and the embedded one. Both speak Ethereum's JSON-RPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from dougong.crypto.keys import Secp256k1Key
from dougong.net.jsonrpc import JsonRpc
from tests.embedded import EmbeddedChain, embedded
from tests.engines import ANVIL_KEY, anvil
from tests.settlement.world import World

FUNDED = Secp256k1Key(ANVIL_KEY)


@dataclass(frozen=True, slots=True)
class SettlementNode:
    """A node of a settlement chain: its URL, a key with funds, and a way to let its clock run ahead by some seconds."""

    url: str
    key: Secp256k1Key
    advance: Callable[[int], Awaitable[None]]


@pytest.fixture(scope="session")
def anvil_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with anvil(tmp_path_factory.mktemp("anvil")) as url:
        yield url


@pytest.fixture(scope="package")
def embedded_chain() -> Iterator[EmbeddedChain]:
    with embedded(FUNDED.address) as chain:
        yield chain


@asynccontextmanager
async def settlement_chain(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[SettlementNode]:
    """One more kind of node is one more branch here."""
    if kind == "embedded":
        chain: EmbeddedChain = request.getfixturevalue("embedded_chain")
        yield SettlementNode(chain.url, FUNDED, chain.advance)
        return
    url = request.getfixturevalue("anvil_url")
    async with JsonRpc(url) as rpc:

        async def advance(seconds: int) -> None:
            await rpc.batch([("evm_increaseTime", [seconds]), ("evm_mine", [])])

        yield SettlementNode(url, FUNDED, advance)


@pytest.fixture(params=["anvil", "embedded"])
async def settlement_node(request: pytest.FixtureRequest) -> AsyncIterator[SettlementNode]:
    async with settlement_chain(request.param, request) as node:
        yield node


@pytest.fixture
async def world(settlement_node: SettlementNode) -> AsyncIterator[World]:
    """All contracts deployed, one rollup registered, every role with a key and funds."""
    async with JsonRpc(settlement_node.url) as rpc:
        yield await World.create(rpc, settlement_node.key, settlement_node.advance)
