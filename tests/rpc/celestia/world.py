"""A DA chain with celestia-node's API before it, as the tests of both ends need it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dougong.availability import SquareApplication, SquareClient, SquareLayer
from dougong.consensus.genesis import Genesis
from dougong.consensus.solo import Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.rpc.celestia import CelestiaApi, CelestiaLimits, CelestiaServer, make_token
from dougong.rpc.celestia.tokens import NO_TOKEN, Permissions
from dougong.types import Validator

CHAIN_ID = "square-1"
SECRET = bytes(range(32))
VALIDATOR = Ed25519Key(b"v" * 32)
ACCOUNT = Secp256k1Key(b"a" * 32)
WIDTH = 16


@dataclass(frozen=True, slots=True)
class World:
    layer: SquareLayer
    client: SquareClient
    chain: Solo
    genesis: Genesis
    server: CelestiaServer
    url: str

    def token(self, level: str) -> str:
        return make_token(SECRET, level)


class Caller:
    """A JSON-RPC client that shows everything."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(timeout=20)

    async def post(self, body: bytes | str) -> httpx.Response:
        return await self._http.post(self._url, content=body, headers=self._headers)

    async def answer(self, method: str, *params: object) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        response = await self._http.post(self._url, json=request, headers=self._headers)
        assert response.status_code == 200, response.status_code
        found: dict[str, Any] = response.json()
        return found

    async def call(self, method: str, *params: object) -> Any:
        found = await self.answer(method, *params)
        assert "error" not in found, found["error"]
        return found["result"]

    async def refused(self, method: str, *params: object) -> dict[str, Any]:
        found = await self.answer(method, *params)
        assert "result" not in found, found
        error: dict[str, Any] = found["error"]
        return error

    async def aclose(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def calling(world: World, level: str = "admin") -> AsyncIterator[Caller]:
    caller = Caller(world.url, world.token(level) if level else "")
    try:
        yield caller
    finally:
        await caller.aclose()


@asynccontextmanager
async def running(
    folder: Path,
    *,
    limits: CelestiaLimits | None = None,
    without_token: Permissions = NO_TOKEN,
    block_time: float = 0.05,
    market: dict[str, object] | None = None,
) -> AsyncIterator[World]:
    validators = [Validator(VALIDATOR.public_key, 1)]
    started = time.time_ns() - 10**9
    app_state = {"max_square_size": WIDTH, "max_tx_bytes": 1 << 20, **(market or {})}
    genesis = Genesis.create(CHAIN_ID, started, validators, app_state=app_state)
    app = await SquareApplication.open(folder / "app")
    chain = await Solo.open(folder / "chain", genesis, VALIDATOR, app, SoloOptions(block_time=block_time))
    layer = SquareLayer(chain, app)
    client = SquareClient(layer, ACCOUNT)
    api = CelestiaApi(layer, client, SECRET, limits=limits, without_token=without_token)
    server = CelestiaServer.bind("127.0.0.1", 0, api)
    tasks = [asyncio.create_task(server.run()), asyncio.create_task(chain.run())]
    try:
        await chain.wait_for_height(1)
        yield World(layer, client, chain, genesis, server, server.origin)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await chain.close()
        await app.close()
