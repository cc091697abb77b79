"""One HTTP server for every chain of a stack, each at its own path.

    server = RpcServer.bind("127.0.0.1", 8545)               # ConfigError if the port is in use
    server.mount("alpha", ethereum_methods(backend), health)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run())                      # until cancelled; calls under way are answered first

`POST /alpha` is JSON-RPC, a WebSocket at /alpha the same with subscriptions, `GET /alpha` the chain's health, `GET /` the list of
chains, `GET /metrics` Prometheus.

What an attacker can do with a socket: send what it likes. A head or body over the limit is refused before it is read to its
end, one that trickles is cut off, more requests than the limit get 503, and nothing that arrives makes anything but a JSON-RPC
error. Nobody takes more than one client's part of it (`rpc/throttle.py`): 429 for his requests beyond, and his connections beyond
(`rpc/places.py`) are told 503 before they are listened to. Nor does anybody let many replies wait that he does not read
(`rpc/replies.py`), or many large requests (`rpc/under_way.py`): 503. What this cannot stop is a flood from many addresses: a
server that is open to the world wants a proxy in front, and then `proxies` names it.
Methods are reads or take signed transactions, so other sites' pages may call them (CORS): there is no session to ride on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from dougong.errors import ConfigError, DougongError, Unavailable
from dougong.net.codes import INVALID_REQUEST, LIMIT_EXCEEDED
from dougong.rpc.errors import RpcError
from dougong.rpc.front import Front
from dougong.rpc.listening import CLIENT_CONNECTIONS, MAX_CONNECTIONS, Listening, json_response, listen, read_body, refusal, serve
from dougong.rpc.protocol import Limits, Methods, Observer, answer
from dougong.rpc.relaying import Refused, Relay
from dougong.rpc.replies import Replies, Reply
from dougong.rpc.sessions import RpcSession, SocketLimits, Unread
from dougong.rpc.socket_relaying import between
from dougong.rpc.throttle import Client, ClientLimits, Throttle, TooMany, address_of
from dougong.rpc.under_way import Take, UnderWay, weight_of

__all__ = ["Health", "RpcServer"]

REPLY_SECONDS = 300.0  # to read a reply
ELSEWHERE = RpcError(INVALID_REQUEST, "pages of this origin may not call")

Health = Callable[[], Awaitable[Mapping[str, object]]]


class RpcServer(Listening):
    """Chains come and go while it runs: one rollup's failure takes only its own path away."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        limits: Limits | None = None,
        max_requests: int = 512,
        registry: CollectorRegistry | None = None,
        origins: tuple[str, ...] = ("*",),
        clients: ClientLimits | None = None,
        proxies: Collection[str] = (),
        replies_bytes: int = 512 << 20,
        sockets: SocketLimits | None = None,
        max_connections: int = MAX_CONNECTIONS,
        client_connections: int = CLIENT_CONNECTIONS,
        requests_bytes: int = 512 << 20,
    ) -> None:
        """`max_requests` is how many requests may be under way at a time, `origins` whose pages may call (CORS), `clients` what
        one client may take, `proxies` whose X-Forwarded-For is believed, `replies_bytes` how much may wait for slow readers,
        `sockets` what WebSocket connections may take, `max_connections` how many others there may be, `client_connections` of
        one client, `requests_bytes` what requests may hold while they are answered."""
        super().__init__(listener)
        self._limits = limits or Limits()
        self._max_requests = max_requests
        self._under_way = 0
        self._throttle = Throttle(clients)
        self._replies = Replies(replies_bytes)
        self._proxies = frozenset(proxies)
        self._origins = frozenset(origins)
        self._sockets = sockets or SocketLimits()
        self._max_connections = max_connections
        self._client_connections = client_connections
        self._connections = 0
        self._unread = Unread()
        self._held = UnderWay(requests_bytes)
        self._registry = registry or CollectorRegistry()
        self._chains: dict[str, tuple[Methods, Health]] = {}
        self._relays: dict[str, Relay] = {}
        self._calls = Counter(
            "dougong_rpc_calls", "JSON-RPC calls answered", ("chain", "method", "outcome"), registry=self._registry
        )
        self._seconds = Histogram(
            "dougong_rpc_seconds", "Seconds a JSON-RPC call took", ("chain", "method"), registry=self._registry
        )
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["content-type"],
            allow_private_network=True,  # an explorer's page on the web asks the node on this machine
        )
        rooms = Starlette(
            routes=[
                Route("/", self._index, methods=["GET"]),
                Route("/metrics", self._metrics, methods=["GET"]),
                Route("/{chain}", self._health, methods=["GET"]),
                Route("/{chain}", self._call, methods=["POST"]),
                Route("/{chain}/", self._call, methods=["POST"]),
                WebSocketRoute("/{chain}", self._connect),
                WebSocketRoute("/{chain}/", self._connect),
            ],
            middleware=[cors],
        )
        self.app = Front(rooms, self._answer)

    @classmethod
    def bind(
        cls,
        host: str,
        port: int,
        *,
        limits: Limits | None = None,
        max_requests: int = 512,
        registry: CollectorRegistry | None = None,
        origins: tuple[str, ...] = ("*",),
        clients: ClientLimits | None = None,
        proxies: Collection[str] = (),
        sockets: SocketLimits | None = None,
        max_connections: int = MAX_CONNECTIONS,
        client_connections: int = CLIENT_CONNECTIONS,
        requests_bytes: int = 512 << 20,
    ) -> RpcServer:
        """Takes the address at once (port 0: any free one). Raises `ConfigError` naming it when that is not possible."""
        return cls(
            listen(host, port),
            limits=limits,
            max_requests=max_requests,
            registry=registry,
            origins=origins,
            clients=clients,
            proxies=proxies,
            sockets=sockets,
            max_connections=max_connections,
            client_connections=client_connections,
            requests_bytes=requests_bytes,
        )

    def url(self, chain: str) -> str:
        return f"{self.origin}/{chain}"

    def mount(self, chain: str, methods: Methods, health: Health) -> None:
        """Serves `methods` at `/chain`. Raises `ConfigError` for a name that is taken or is no path segment."""
        if not chain or chain == "metrics" or not chain.replace("-", "").replace("_", "").isalnum() or not chain.isascii():
            raise ConfigError(f"the chain name {chain!r} cannot be a path", remedy="use letters, digits, - and _")
        if chain in self._chains:
            raise ConfigError(f"two chains are called {chain}", remedy="give one of them another name")
        self._chains[chain] = (methods, health)

    def relay(self, chain: str, relay: Relay) -> None:
        """Shows at `/chain` what another process serves. Raises as `mount` does."""

        async def away() -> Mapping[str, object]:
            raise Unavailable(f"{chain} is being started")

        self.mount(chain, Methods(), away)
        self._relays[chain] = relay

    def unmount(self, chain: str) -> None:
        self._chains.pop(chain, None)

    async def run(self) -> None:
        """Serves until cancelled, then answers what is under way, and closes the socket."""
        await serve(
            self.app,
            self._listener,
            self._limits,
            max_connections=self._max_connections,
            client_connections=self._client_connections,
            websockets=self._sockets.connections,
            message_bytes=self._sockets.message_bytes,
            proxies=self._proxies,
        )

    # --- routes -----------------------------------------------------------------------------------------------------

    async def _index(self, request: Request) -> Response:
        return json_response(200, {"dougong": {name: f"/{name}" for name in sorted(self._chains)}})

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _health(self, request: Request) -> Response:
        name = request.path_params["chain"]
        found = self._chains.get(name)
        if found is None:
            return self._no_chain(name)
        if name in self._relays:
            return await self._relayed(self._relays[name], request, b"", self._client(request))
        try:
            return json_response(200, {"chain": name, "healthy": True, **await found[1]()})
        except DougongError as error:
            return json_response(503, {"chain": name, "healthy": False, "error": str(error), "remedy": error.remedy})

    async def _call(self, request: Request) -> Response:
        return await self._answer(request, request.path_params["chain"])

    async def _answer(self, request: Request, name: str) -> Response:
        found = self._chains.get(name)
        if found is None:
            return self._no_chain(name)
        if not self._may_call(request):
            return refusal(403, ELSEWHERE)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refusal(415, RpcError(INVALID_REQUEST, "the content type must be application/json"))
        counts = name not in self._relays  # a relay has places of its own
        if counts and self._under_way >= self._max_requests:
            return refusal(503, RpcError(LIMIT_EXCEEDED, f"more than {self._max_requests} requests are under way: try again"))
        client = self._client(request)
        self._under_way += counts
        try:
            with client.request(), self._held.hold(client) as take:
                return await self._answered(request, name, found[0], client, take)
        except TooMany as error:
            return refusal(429, error, retry_after=error.retry_after)
        finally:
            self._under_way -= counts

    async def _answered(self, request: Request, name: str, methods: Methods, client: Client, take: Take) -> Response:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await read_body(request, self._limits.request_bytes, take)
            if body is not None:
                take(weight_of(body) - len(body))
        except RpcError as error:
            return refusal(503, error, retry_after=1)
        except TimeoutError:
            return refusal(408, RpcError(INVALID_REQUEST, f"the body did not arrive within {self._limits.body_seconds} s"))
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return refusal(413, RpcError(INVALID_REQUEST, f"the body is over {self._limits.request_bytes} bytes"))

        if name in self._relays:
            return await self._relayed(self._relays[name], request, body, client)
        reply = await answer(methods, body, self._limits, self._observer(name), client, take)
        return Response(status_code=204) if reply is None else Reply(reply, self._replies, client, REPLY_SECONDS)

    async def _relayed(self, relay: Relay, request: Request, body: bytes, client: Client) -> Response:
        try:
            status, headers, reply = await relay.ask(request.method, body, self._address(request))
        except RpcError as error:
            return refusal(503, error, retry_after=1)
        return Reply(reply, self._replies, client, REPLY_SECONDS, status=status, headers=headers)

    async def _connect(self, websocket: WebSocket) -> None:
        name = websocket.path_params["chain"]
        found = self._chains.get(name)
        if found is None:
            await websocket.send_denial_response(self._no_chain(name))
            return
        if not self._may_call(websocket):
            await websocket.send_denial_response(refusal(403, ELSEWHERE))
            return
        if self._connections >= self._sockets.connections:
            busy = RpcError(LIMIT_EXCEEDED, f"more than {self._sockets.connections} connections are open: try again")
            await websocket.send_denial_response(refusal(503, busy))
            return
        client = self._client(websocket)
        self._connections += 1
        try:
            with client.connection():
                if name in self._relays:
                    await self._connect_there(websocket, self._relays[name], client)
                    return
                await websocket.accept()
                session = RpcSession(
                    websocket,
                    found[0],
                    client,
                    self._replies,
                    self._limits,
                    self._sockets,
                    self._unread,
                    self._held,
                    observe=self._observer(name),
                )
                await session.run()
        except TooMany as error:
            await websocket.send_denial_response(refusal(429, error, retry_after=error.retry_after))
        finally:
            self._connections -= 1

    async def _connect_there(self, websocket: WebSocket, relay: Relay, client: Client) -> None:
        try:
            async with relay.socket(self._address(websocket)) as there:
                await websocket.accept()
                await between(websocket, there, self._replies, client)
        except Refused as no:
            await websocket.send_denial_response(Response(no.body, no.status, no.headers))
        except RpcError as error:
            await websocket.send_denial_response(refusal(503, error, retry_after=1))

    def _may_call(self, source: HTTPConnection) -> bool:
        """CORS leaves it to the browser, which asks nobody once a page's name has come to mean this address (DNS rebinding)."""
        origin = source.headers.get("origin")
        return origin is None or bool(self._origins & {"*", origin})

    def _client(self, source: HTTPConnection) -> Client:
        return self._throttle.client(self._address(source))

    def _address(self, source: HTTPConnection) -> str:
        peer = "" if source.client is None else source.client.host
        forwarded = ",".join(source.headers.getlist("x-forwarded-for"))  # some proxies add a header, others to the header
        return address_of(peer, forwarded, self._proxies)

    def _observer(self, name: str) -> Observer:
        def observe(method: str, outcome: str, seconds: float, count: int = 1) -> None:
            self._calls.labels(name, method, outcome).inc(count)
            self._seconds.labels(name, method).observe(seconds)

        return observe

    def _no_chain(self, name: str) -> Response:
        there = ", ".join(sorted(self._chains)) or "none"
        return refusal(404, RpcError(INVALID_REQUEST, f"no chain is at /{name[:80]}; there are: {there}"))
