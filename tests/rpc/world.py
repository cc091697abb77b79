"""A running chain with its JSON-RPC, as the tests of this room and the benchmark need it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dougong.consensus.genesis import Genesis
from dougong.consensus.solo import Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key
from dougong.execution.evm.app import EvmApplication
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.execution.evm.ordered import OrderedEvm
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.server import RpcServer
from dougong.types import Validator

CHAIN_ID = 4_203
GENESIS_TIME = 1_800_000_000 * 10**9
KEY = Ed25519Key(bytes(32))


@dataclass(frozen=True, slots=True)
class World:
    backend: OrderedEvm
    chain: Solo
    app: EvmApplication
    url: str


@asynccontextmanager
async def running(
    folder: Path,
    alloc: Mapping[bytes, GenesisAccount],
    *,
    block_time: float = 0.02,
    run: bool = True,
    clock: Callable[[], int] = time.time_ns,
) -> AsyncIterator[World]:
    """An EVM chain ordered by one validator, served at `url`; with `run` False no block is made."""
    document = make_genesis(CHAIN_ID, alloc)
    genesis = Genesis.create("base", GENESIS_TIME, [Validator(KEY.public_key, 1)], app_state=json.loads(document))
    app = await EvmApplication.open(folder / "evm", document)
    options = SoloOptions(block_time=block_time, create_empty_blocks=False, clock=clock)
    chain = await Solo.open(folder / "chain", genesis, KEY, app, options)
    backend = OrderedEvm(app, chain)
    api = EthereumApi(backend)
    server = RpcServer.bind("127.0.0.1", 0)
    server.mount("base", api.methods, api.health)
    tasks = [asyncio.create_task(server.run())]
    if run:
        tasks.append(asyncio.create_task(chain.run()))
    try:
        yield World(backend, chain, app, server.url("base"))
    finally:
        for task in reversed(tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await chain.close()
        api.close()
        await app.close()
