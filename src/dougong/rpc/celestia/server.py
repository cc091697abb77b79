"""celestia-node's listener: JSON-RPC 2.0 by POST and by WebSocket, at any path, with a bearer token.

    server = CelestiaServer.bind("127.0.0.1", 26658, api)       # ConfigError if the port is in use
    await server.run()                                          # until cancelled

Source: celestia-node `api/rpc/server.go`, go-jsonrpc `server.go`, `auth/handler.go`. A token that does not verify is HTTP status
401 with nothing in it; without one, every method is refused that needs more than `without_token`. Deviations: tokens come in
the header only (a URL ends up in logs, and other sites' pages may call URLs), errors in requests have status 200, where
go-jsonrpc has 500, and web pages are refused: what a browser sends says so (`Origin`), and no page has business with an API that
signs and pays, whichever name it gave to this address.

What an attacker can do: see rpc/server.py; each client has its part here too. Besides: replies are large, so there is a limit to
what may wait for slow readers (`replies`), and a time in which a reply must be read. Who may not write has nothing large to say.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from dougong.errors import Rejected
from dougong.net.codes import INVALID_REQUEST, LIMIT_EXCEEDED, METHOD_NOT_FOUND
from dougong.rpc.celestia.account import add_account_methods, add_admin_methods
from dougong.rpc.celestia.blob import add_blob_methods
from dougong.rpc.celestia.header import HeaderShapes, add_header_methods
from dougong.rpc.celestia.node import Account, CelestiaLayer, CelestiaLimits, Node, Rooms
from dougong.rpc.celestia.share import add_share_methods
from dougong.rpc.celestia.subscriptions import SUBSCRIPTIONS, Caller, Feeds, Session
from dougong.rpc.celestia.tokens import NO_TOKEN, Permissions, permissions_of
from dougong.rpc.errors import RpcError
from dougong.rpc.listening import Listening, listen, read_body, refusal, serve
from dougong.rpc.protocol import Handler, Limits, Param, answer
from dougong.rpc.replies import Replies, Reply
from dougong.rpc.throttle import Client, Throttle, TooMany, address_of

__all__ = ["CelestiaApi", "CelestiaServer"]

MAX_BATCH = 100
UNTRUSTED_BYTES = 64 << 10
READING_BYTES = 1 << 20


class CelestiaApi:
    """The methods over one DA chain. `secret` signs tokens; `without_token` is what callers may do that bring none."""

    def __init__(
        self,
        layer: CelestiaLayer,
        account: Account,
        secret: bytes,
        *,
        limits: CelestiaLimits | None = None,
        without_token: Permissions = NO_TOKEN,
        proxies: Collection[str] = (),
    ) -> None:
        """`proxies` are those whose X-Forwarded-For is believed."""
        self.limits = limits or CelestiaLimits()
        self.without_token = without_token
        self.proxies = frozenset(proxies)
        node = Node(layer, account, secret, self.limits)
        self._node = node
        shapes = HeaderShapes(node)
        self.rooms = Rooms()
        add_blob_methods(self.rooms, node)
        add_header_methods(self.rooms, node, shapes)
        add_share_methods(self.rooms, node)
        add_account_methods(self.rooms, node)
        add_admin_methods(self.rooms, node)
        for name in SUBSCRIPTIONS:
            self.rooms.add(name, "public", _no_channels(name), Param("namespace", lambda value: value, None))
        self.feeds = Feeds(node, shapes)

    def permissions(self, authorization: str | None) -> Permissions:
        """What the header `Authorization` allows. Raises `Rejected`."""
        if not authorization:
            return self.without_token
        if not authorization.startswith("Bearer "):
            raise Rejected("the authorization is no bearer token")
        return permissions_of(self._node.secret, authorization.removeprefix("Bearer "))

    def request_bytes(self, permissions: Permissions) -> int:
        """How long a body or message may be of a caller with these permissions: only what is to be published is long."""
        most = UNTRUSTED_BYTES if permissions <= NO_TOKEN else READING_BYTES
        return self.limits.request_bytes if "write" in permissions else min(most, self.limits.request_bytes)


class CelestiaServer(Listening):
    """The listener of one `CelestiaApi`."""

    def __init__(self, listener: socket.socket, api: CelestiaApi) -> None:
        super().__init__(listener)
        self._api = api
        self._limits = Limits(
            batch=MAX_BATCH, request_bytes=api.limits.request_bytes, reply_bytes=64 << 20, concurrent_calls=api.limits.calls
        )
        self._requests = 0
        self._connections = 0
        self._throttle = Throttle(api.limits.client)
        self._replies = Replies(api.limits.replies_bytes)
        self.app = Starlette(
            routes=[Route("/{path:path}", self._call, methods=["POST"]), WebSocketRoute("/{path:path}", self._connect)]
        )

    @classmethod
    def bind(cls, host: str, port: int, api: CelestiaApi) -> CelestiaServer:
        """Takes the address at once (port 0: any free one). Raises `ConfigError`."""
        return cls(listen(host, port), api)

    async def run(self) -> None:
        """Serves until cancelled, then answers what is under way, and closes the socket."""
        await serve(self.app, self._listener, self._limits, websockets=self._api.limits.connections, proxies=self._api.proxies)

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def _client(self, source: HTTPConnection) -> Client:
        peer = "" if source.client is None else source.client.host
        forwarded = ",".join(source.headers.getlist("x-forwarded-for"))
        return self._throttle.client(address_of(peer, forwarded, self._api.proxies))

    async def _call(self, request: Request) -> Response:
        limits = self._api.limits
        if "origin" in request.headers:
            return Response(status_code=403, headers={"connection": "close"})
        try:
            permissions = self._api.permissions(request.headers.get("authorization"))
        except Rejected:
            return Response(status_code=401, headers={"connection": "close"})
        if self._requests >= limits.requests:
            return refusal(503, RpcError(LIMIT_EXCEEDED, f"more than {limits.requests} requests are under way: try again"))
        client = self._client(request)
        self._requests += 1
        try:
            with client.request():
                return await self._answered(request, permissions, client)
        except TooMany as error:
            return refusal(429, error, retry_after=error.retry_after)
        finally:
            self._requests -= 1

    async def _answered(self, request: Request, permissions: Permissions, client: Client) -> Response:
        limit = self._api.request_bytes(permissions)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await read_body(request, limit)
        except TimeoutError:
            return refusal(408, RpcError(INVALID_REQUEST, f"the body did not arrive within {self._limits.body_seconds} s"))
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return refusal(413, RpcError(INVALID_REQUEST, f"request bigger than maximum {limit} allowed"))
        reply = await answer(self._api.rooms.methods(permissions), body, self._limits, client=client)
        return Response(status_code=200) if reply is None else Reply(reply, self._replies, client, self._api.limits.reply_seconds)

    # --- WebSocket --------------------------------------------------------------------------------------------------

    async def _connect(self, websocket: WebSocket) -> None:
        refused = 403 if "origin" in websocket.headers else 503 if self._connections >= self._api.limits.connections else 0
        permissions = NO_TOKEN
        try:
            permissions = self._api.permissions(websocket.headers.get("authorization"))
        except Rejected:
            refused = refused or 401
        if refused:
            await websocket.send_denial_response(Response(status_code=refused))
            return
        client = self._client(websocket)
        self._connections += 1
        try:
            with client.request():
                await websocket.accept()
                methods = self._api.rooms.methods(permissions)
                caller = Caller(methods, permissions, client, self._api.request_bytes(permissions))
                await Session(websocket, caller, self._api.feeds, self._replies, self._limits).run()
        except TooMany:
            await websocket.send_denial_response(Response(status_code=429))
        finally:
            self._connections -= 1


def _no_channels(name: str) -> Handler:
    async def refuse(*arguments: object) -> object:
        raise RpcError(METHOD_NOT_FOUND, f"method '{name}' not supported in this mode (no out channel support)")

    return refuse
