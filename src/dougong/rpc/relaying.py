"""A chain that another process of this machine serves, shown at this server's path: requests go there and replies come back.

    relay = Relay("http://127.0.0.1:41234/alpha")
    server.relay("alpha", relay)                    # POST and GET /alpha; WebSockets are at the process's own address

The other process knows who asked from X-Forwarded-For, so its limits for each client hold; this server's hold before them. A
process that is away (it is being started again) is 503 to whoever asks, and nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from dougong.net.codes import RESOURCE_UNAVAILABLE
from dougong.rpc.errors import RpcError

__all__ = ["Relay"]

SECONDS = 120.0
CONNECTIONS = 256
_KEPT = ("content-type", "retry-after")


class Relay:
    """`url` changes with every start of the process; None while there is none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url: str | None = None
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = httpx.AsyncClient(timeout=SECONDS, limits=limits, trust_env=False)

    async def ask(self, method: str, body: bytes, client: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the reply. Raises `RpcError` RESOURCE_UNAVAILABLE when there is none: a transaction in the
        request may have been taken."""
        if self.url is None:
            raise RpcError(RESOURCE_UNAVAILABLE, f"{self.name} is being started: try again in a moment")
        headers = {"content-type": "application/json", "x-forwarded-for": client, "accept-encoding": "identity"}
        try:
            reply = await self._http.request(method, self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise RpcError(RESOURCE_UNAVAILABLE, f"{self.name} does not answer: what was sent may have been taken") from error
        return reply.status_code, {name: reply.headers[name] for name in _KEPT if name in reply.headers}, reply.content

    async def close(self) -> None:
        await self._http.aclose()
