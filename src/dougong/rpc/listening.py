"""What every server has: a socket, its run on it until it is cancelled, and replies that refuse a request.

listener = listen("127.0.0.1", 26658)                       # ConfigError if the port is in use
await serve(app, listener, limits)                          # calls under way are answered first
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Collection, Iterator

import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from dougong.errors import ConfigError
from dougong.rpc.connection import connection_class
from dougong.rpc.errors import RpcError
from dougong.rpc.places import Places, room_for
from dougong.rpc.protocol import Limits
from dougong.rpc.websockets import WebSocketConnection

__all__ = ["Listening", "json_response", "listen", "read_body", "refusal", "serve"]

SHUTDOWN_SECONDS = 5  # for calls under way when the server stops
BACKLOG = 2_048
MAX_CONNECTIONS = 4_096
CLIENT_CONNECTIONS = 1_024


class Listening:
    """A server with its socket, which it took when it was made."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()[:2]
        return host, port

    @property
    def origin(self) -> str:
        """`http://host:port`."""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Gives the address back. Running it does too; this is for a server that never ran."""
        self._listener.close()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command line's business: it cancels `serve`."""
        yield


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    limits: Limits,
    *,
    max_connections: int = MAX_CONNECTIONS,
    client_connections: int = CLIENT_CONNECTIONS,
    websockets: int = 0,
    message_bytes: int | None = None,
    proxies: Collection[str] = (),
) -> None:
    """Serves until cancelled, then answers what is under way, and closes the socket. `max_connections` without the `websockets`,
    of which so many are expected (0: they are not served), `client_connections` those of one address that is no proxy;
    `message_bytes` of a WebSocket's message (None: as of a body)."""
    places = Places(room_for(max_connections, websockets), client_connections, proxies)
    config = uvicorn.Config(
        app,
        http=connection_class(limits.head_bytes, limits.head_seconds, places),
        ws=WebSocketConnection if websockets else "none",
        ws_max_size=message_bytes or limits.request_bytes,
        ws_per_message_deflate=False,  # a small message must not become a large one
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()


async def read_body(request: Request, limit: int, take: Callable[[int], None] = lambda size: None) -> bytes | None:
    """The body, or None once it is over the limit. Raises starlette's `ClientDisconnect`, and what `take` raises, which is asked
    for room for each part."""
    declared = request.headers.get("content-length", "0")
    if len(declared) > 19 or int(declared) > limit:  # the HTTP parser lets nothing but digits pass
        return None
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        take(len(part))
        parts.append(part)
    return b"".join(parts)


def json_response(status: int, body: object) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


def refusal(status: int, error: RpcError, *, retry_after: int | None = None) -> Response:
    """Of a whole request, by its HTTP status and as a JSON-RPC error."""
    response = json_response(status, {"jsonrpc": "2.0", "id": None, "error": error.to_json()})
    if retry_after is not None:
        response.headers["retry-after"] = str(retry_after)
    if status in (408, 413):  # the rest of the body may never end
        response.headers["connection"] = "close"
    return response


def listen(host: str, port: int) -> socket.socket:
    """Takes the address at once (port 0: any free one). Raises `ConfigError` naming it when that is not possible."""
    where = f"{host}:{port}"
    if not 0 <= port <= 65_535:  # getaddrinfo would take it modulo 2^16
        raise ConfigError(f"cannot listen on {where}: a port is between 0 and 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {where}: {error}", remedy="check the host and port of the rpc line") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{where} is in use by another program", remedy="stop it, or give the rpc another port (0 takes a free one)"
            ) from error
        remedy = "choose a port of 1024 or above" if error.errno == errno.EACCES else "choose an address of this machine"
        raise ConfigError(f"cannot listen on {where}: {error.strerror}", remedy=remedy) from error
    return listener
