"""A chain that another process of this machine serves, shown at this server's path: requests go there and replies come back.

    relay = Relay("http://127.0.0.1:41234/alpha")
    server.relay("alpha", relay)                    # POST, GET and WebSockets (rpc/socket_relaying.py) at /alpha

The other process knows who asked from X-Forwarded-For, so its limits for each client hold; this server's hold before them. A
process that is away (it is being started again) is 503 to whoever asks, and nothing waits for it. One that hangs holds `PLACES`
of those who ask, and none of the requests that other chains may have under way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from dougong.net.codes import LIMIT_EXCEEDED, RESOURCE_UNAVAILABLE
from dougong.rpc.errors import RpcError

__all__ = ["Refused", "Relay"]

SECONDS = 120.0
PLACES = 256
IDLE_SECONDS = 2.0  # less than after what the process closes them (uvicorn: 5): else a request may meet the closing
OPEN_SECONDS, CLOSE_SECONDS = 10.0, 2.0
QUEUE = (2, 1)  # messages that wait here: those of a client that does not read wait in the process
_KEPT = ("content-type", "retry-after")


class Refused(Exception):
    """The process would not have this connection: its reply."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


class Relay:
    """`url` changes with every start of the process; None while there is none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url: str | None = None
        self._asked = 0
        limits = httpx.Limits(max_connections=PLACES, max_keepalive_connections=PLACES, keepalive_expiry=IDLE_SECONDS)
        self._http = httpx.AsyncClient(timeout=SECONDS, limits=limits, trust_env=False)

    async def ask(self, method: str, body: bytes, client: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the reply. Raises `RpcError` RESOURCE_UNAVAILABLE when there is none: a transaction in the
        request may have been taken; LIMIT_EXCEEDED when too many wait for one."""
        if self.url is None:
            raise RpcError(RESOURCE_UNAVAILABLE, f"{self.name} is being started: try again in a moment")
        if self._asked >= PLACES:
            raise RpcError(LIMIT_EXCEEDED, f"{self.name} has {PLACES} requests under way: try again")
        headers = {"content-type": "application/json", "x-forwarded-for": client, "accept-encoding": "identity"}
        self._asked += 1
        try:
            reply = await self._http.request(method, self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise RpcError(RESOURCE_UNAVAILABLE, f"{self.name} does not answer: what was sent may have been taken") from error
        finally:
            self._asked -= 1
        return reply.status_code, {name: reply.headers[name] for name in _KEPT if name in reply.headers}, reply.content

    @asynccontextmanager
    async def socket(self, client: str) -> AsyncIterator[ClientConnection]:
        """A connection for a client of this server. Raises `RpcError` RESOURCE_UNAVAILABLE when there is none to be had,
        `Refused` when the process refuses it."""
        if self.url is None:
            raise RpcError(RESOURCE_UNAVAILABLE, f"{self.name} is being started: try again in a moment")
        opening = connect(
            "ws" + self.url.removeprefix("http"),
            additional_headers={"x-forwarded-for": client},
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=None,  # it is on this machine, and its end shows
            max_size=None,  # the process bounds its replies
            max_queue=QUEUE,
        )
        try:
            there = await opening
        except InvalidStatus as error:
            reply = error.response
            kept = {name: reply.headers[name] for name in _KEPT if name in reply.headers}
            raise Refused(reply.status_code, kept, bytes(reply.body or b"")) from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise RpcError(RESOURCE_UNAVAILABLE, f"{self.name} does not answer") from error
        try:
            yield there
        finally:
            await there.close()

    async def close(self) -> None:
        await self._http.aclose()
