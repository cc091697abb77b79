"""A node between the client and the real one, which answers eth_getLogs with lies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.client import SettlementClient
from tests.settlement.world import World

Lie = Callable[[list[Any]], list[Any]]


class LyingTransport(httpx.AsyncHTTPTransport):
    """Passes everything on, and changes the entries of eth_getLogs on the way back."""

    def __init__(self, lie: Lie) -> None:
        super().__init__()
        self._lie = lie

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        body = await response.aread()
        asked = json.loads(request.content)
        if isinstance(asked, dict) and asked["method"] == "eth_getLogs":
            answer = json.loads(body)
            answer["result"] = self._lie(answer["result"])
            body = json.dumps(answer).encode()
        return httpx.Response(response.status_code, content=body)


@asynccontextmanager
async def tampered(world: World, lie: Lie) -> AsyncIterator[SettlementClient]:
    async with JsonRpc(world.rpc.url, transport=LyingTransport(lie)) as rpc:
        yield SettlementClient(rpc, world.settlement)
