"""A chain that nobody makes blocks on, and a node that simulates on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from tests.rpc.simulate.world import ALLOC, Caller
from tests.rpc.world import World, running


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, ALLOC, run=False) as made:
        yield made


@pytest_asyncio.fixture
async def node(world: World) -> AsyncIterator[Caller]:
    api = EthereumApi(world.backend, EthereumOptions(simulate_seconds=3.0))
    yield Caller(api)
    api.close()
