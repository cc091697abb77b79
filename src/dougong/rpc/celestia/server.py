"""celestia-node's listener: JSON-RPC 2.0 by POST and by WebSocket, at any path, with a bearer token.

    server = CelestiaServer.bind("127.0.0.1", 26658, api)       # ConfigError if the port is in use
    await server.run()                                          # until cancelled

Source: celestia-node `api/rpc/server.go`, go-jsonrpc `server.go`, `auth/handler.go`. A token that does not verify is HTTP status
401 with nothing in it; without one, every method is refused that needs more than `without_token`. Deviations: tokens come in
the header only (a URL ends up in logs, and other sites' pages may call URLs), and errors in requests have status 200, where
go-jsonrpc has 500.

What an attacker can do: see rpc/server.py. Besides: replies are large (a square of k = 128 is 45 MB), so there is a limit to what
may wait for slow readers, and a time in which a reply must be read.
"""

from __future__ import annotations

import asyncio
import socket

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from dougong.errors import Rejected
from dougong.net.codes import INVALID_REQUEST, LIMIT_EXCEEDED, METHOD_NOT_FOUND
from dougong.rpc.celestia.account import add_account_methods, add_admin_methods
from dougong.rpc.celestia.blob import add_blob_methods
from dougong.rpc.celestia.header import HeaderShapes, add_header_methods
from dougong.rpc.celestia.node import Account, CelestiaLayer, CelestiaLimits, Node, Rooms
from dougong.rpc.celestia.share import add_share_methods
from dougong.rpc.celestia.subscriptions import SUBSCRIPTIONS, Feeds, Session
from dougong.rpc.celestia.tokens import NO_TOKEN, Permissions, permissions_of
from dougong.rpc.errors import RpcError
from dougong.rpc.listening import listen, read_body, serve
from dougong.rpc.protocol import Handler, Limits, Param, answer

__all__ = ["CelestiaApi", "CelestiaServer"]

MAX_BATCH = 100


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
    ) -> None:
        self.limits = limits or CelestiaLimits()
        self.without_token = without_token
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


class CelestiaServer:
    """The listener of one `CelestiaApi`."""

    def __init__(self, listener: socket.socket, api: CelestiaApi) -> None:
        self._listener = listener
        self._api = api
        self._limits = Limits(
            batch=MAX_BATCH, request_bytes=api.limits.request_bytes, reply_bytes=64 << 20, concurrent_calls=api.limits.calls
        )
        self._requests = 0
        self._replies_bytes = 0
        self._connections = 0
        self.app = Starlette(
            routes=[Route("/{path:path}", self._call, methods=["POST"]), WebSocketRoute("/{path:path}", self._connect)]
        )

    @classmethod
    def bind(cls, host: str, port: int, api: CelestiaApi) -> CelestiaServer:
        """Takes the address at once (port 0: any free one). Raises `ConfigError`."""
        return cls(listen(host, port), api)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Gives the address back. `run` does it too; this is for a server that never ran."""
        self._listener.close()

    async def run(self) -> None:
        """Serves until cancelled, then answers what is under way, and closes the socket."""
        await serve(self.app, self._listener, self._limits, websockets="websockets-sansio")

    # --- HTTP -------------------------------------------------------------------------------------------------------

    async def _call(self, request: Request) -> Response:
        limits = self._api.limits
        try:
            permissions = self._api.permissions(request.headers.get("authorization"))
        except Rejected:
            return Response(status_code=401, headers={"connection": "close"})
        if self._requests >= limits.requests:
            return _refusal(503, LIMIT_EXCEEDED, f"more than {limits.requests} requests are under way: try again")
        self._requests += 1
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await read_body(request, limits.request_bytes)
            if body is None:
                return _refusal(413, INVALID_REQUEST, f"request bigger than maximum {limits.request_bytes} allowed")
            reply = await answer(self._api.rooms.methods(permissions), body, self._limits)
        except TimeoutError:
            return _refusal(408, INVALID_REQUEST, f"the body did not arrive within {self._limits.body_seconds} s")
        except ClientDisconnect:
            return Response(status_code=400)
        finally:
            self._requests -= 1
        if reply is None:
            return Response(status_code=200)
        if self._replies_bytes + len(reply) > max(limits.replies_bytes, len(reply)):
            return _refusal(503, LIMIT_EXCEEDED, "too much waits for slow readers: try again")
        return _Reply(self, reply, limits.reply_seconds)

    async def send(self, response: Response, size: int, seconds: float, scope: Scope, receive: Receive, send: Send) -> None:
        """A reply, counted while it is on its way."""
        self._replies_bytes += size
        try:
            async with asyncio.timeout(seconds):
                await Response.__call__(response, scope, receive, send)
        except TimeoutError:
            return  # a reply that is not whole: the server closes the connection
        finally:
            self._replies_bytes -= size

    # --- WebSocket --------------------------------------------------------------------------------------------------

    async def _connect(self, websocket: WebSocket) -> None:
        try:
            permissions = self._api.permissions(websocket.headers.get("authorization"))
        except Rejected:
            await websocket.send_denial_response(Response(status_code=401))
            return
        if self._connections >= self._api.limits.connections:
            await websocket.send_denial_response(Response(status_code=503))
            return
        self._connections += 1
        try:
            await websocket.accept()
            methods = self._api.rooms.methods(permissions)
            await Session(websocket, methods, permissions, self._api.feeds, self._limits).run()
        finally:
            self._connections -= 1


class _Reply(Response):
    def __init__(self, server: CelestiaServer, body: bytes, seconds: float) -> None:
        super().__init__(body, media_type="application/json")
        self._server = server
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.send(self, len(self.body), self._seconds, scope, receive, send)


def _no_channels(name: str) -> Handler:
    async def refuse(*arguments: object) -> object:
        raise RpcError(METHOD_NOT_FOUND, f"method '{name}' not supported in this mode (no out channel support)")

    return refuse


def _refusal(status: int, code: int, message: str) -> Response:
    body = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": RpcError(code, message).to_json()})
    response = Response(body, status_code=status, media_type="application/json")
    if status in (408, 413):  # the rest of the body may never end
        response.headers["connection"] = "close"
    return response
