"""JSON-RPC 2.0, exactly, over bytes: no sockets here.

    methods = Methods()
    methods.add("web3_sha3", sha3, Param("data", read_bytes))
    reply = await answer(methods, body, limits)          # None: nothing but notifications

Source: https://www.jsonrpc.org/specification. Deviation: `"params": null` counts as no params, as clients in use
send it. Limits of ours: a batch's length, the size of its reply, how many calls of one batch run at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import structlog

from dougong.errors import InvalidInput
from dougong.net.codes import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, LIMIT_EXCEEDED, METHOD_NOT_FOUND, PARSE_ERROR
from dougong.rpc.errors import RpcError, error_of
from dougong.rpc.throttle import Client

__all__ = ["Lane", "Limits", "Method", "Methods", "Notifier", "Observer", "Param", "answer", "failed"]

REQUIRED: Any = object()
Handler = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost: calls in a batch, bytes of a body and of a batch's reply, calls of a batch that run at a time;
    for the server also bytes and seconds of a request's head, and seconds for its body to arrive."""

    batch: int = 1_000
    request_bytes: int = 8 << 20
    reply_bytes: int = 24 << 20
    concurrent_calls: int = 256
    head_bytes: int = 64 << 10
    head_seconds: float = 10.0
    body_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: its name, how its JSON is read (raises `InvalidInput`), and what stands in when it is missing or null."""

    name: str
    read: Callable[[Any], object]
    default: object = REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    handler: Handler
    params: tuple[Param, ...]
    for_client: bool = False
    """Whether the handler takes the caller's `Client` (or None) before its arguments."""

    def bind(self, given: list[object] | dict[str, object]) -> list[object]:
        """The handler's arguments from `params` by position or by name. Raises `RpcError` INVALID_PARAMS."""
        values = self._by_name(given) if isinstance(given, dict) else given
        if len(values) > len(self.params):
            raise RpcError(INVALID_PARAMS, f"too many arguments, want at most {len(self.params)}")
        arguments: list[object] = []
        for index, param in enumerate(self.params):
            value = values[index] if index < len(values) else None
            if value is None:
                if param.default is REQUIRED:
                    raise RpcError(INVALID_PARAMS, f"missing value for required argument {index} ({param.name})")
                arguments.append(param.default)
                continue
            try:
                arguments.append(param.read(value))
            except InvalidInput as error:
                raise RpcError(INVALID_PARAMS, f"invalid argument {index} ({param.name}): {error}") from error
        return arguments

    def _by_name(self, given: dict[str, object]) -> list[object]:
        unknown = given.keys() - {param.name for param in self.params}
        if unknown:
            raise RpcError(INVALID_PARAMS, f"unknown argument {min(unknown)[:40]}")
        return [given.get(param.name) for param in self.params]


class Methods:
    """The methods of one chain, by name."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}
        self._on_socket: list[Callable[[Notifier], Methods]] = []
        self.lane: Lane | None = None

    def add(self, name: str, handler: Handler, *params: Param, for_client: bool = False) -> None:
        """Raises `ValueError` for a name that is taken."""
        if name in self._methods:
            raise ValueError(f"{name} is there already")
        self._methods[name] = Method(name, handler, params, for_client)

    def include(self, other: Methods) -> Methods:
        for method in other._methods.values():
            self.add(method.name, method.handler, *method.params, for_client=method.for_client)
        self._on_socket += other._on_socket
        self.lane = self.lane or other.lane
        return self

    def on_socket(self, own: Callable[[Notifier], Methods]) -> None:
        """`own` makes the methods of one WebSocket connection, which stand in for those of the same names."""
        self._on_socket.append(own)

    def connected(self, notifier: Notifier) -> Methods:
        """These methods as one connection has them."""
        methods = Methods()
        methods.lane = self.lane
        methods._methods = dict(self._methods)
        for own in self._on_socket:
            methods._methods |= own(notifier)._methods
        return methods

    def get(self, name: str) -> Method | None:
        return self._methods.get(name)

    def names(self) -> list[str]:
        return sorted(self._methods)


class Notifier(Protocol):
    """A connection, as what subscribes sees it."""

    @property
    def client(self) -> Client: ...

    def notify(self, head: bytes, body: bytes, tail: bytes) -> None:
        """Sends a message of three parts, of which many connections may share one, after every reply to a call that came before.
        Never waits: a connection that leaves too much unread is cut off."""
        ...

    def cut(self) -> None:
        """Ends the connection."""
        ...

    def at_end(self, call: Callable[[], None]) -> None:
        """`call` is called when the connection has ended."""
        ...


class Observer(Protocol):
    """Told of every answered call: the method ("unknown" for names that are not ours), "ok" or the error code, seconds. `count`
    calls with one outcome that were answered as one are told of once."""

    def __call__(self, method: str, outcome: str, seconds: float, count: int = 1) -> None: ...


class Lane(Protocol):
    """Answers whole requests that it knows how to answer faster; None for every other, of which it has done nothing."""

    async def __call__(self, body: bytes, limits: Limits, observe: Observer | None) -> bytes | None: ...


async def answer(
    methods: Methods,
    body: bytes,
    limits: Limits,
    observe: Observer | None = None,
    client: Client | None = None,
    take: Callable[[int], None] = lambda size: None,
) -> bytes | None:
    """The reply to a request's body, or None when nothing is to be answered. Never raises for any bytes. `client` pays, `take` is
    asked for room for each part of a batch's reply, and raises `RpcError` where there is none (`rpc/under_way.py`)."""
    if methods.lane is not None:
        reply = await methods.lane(body, limits, observe)
        if reply is not None:
            return reply
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return failed(None, RpcError(PARSE_ERROR, f"parse error: {error}"))
    if not isinstance(request, list):
        return await _answer_one(methods, request, observe, client)
    if not request:
        return failed(None, RpcError(INVALID_REQUEST, "empty batch"))
    if len(request) > limits.batch:
        return failed(None, RpcError(LIMIT_EXCEEDED, f"batch of {len(request)} calls: the limit is {limits.batch}"))
    return await _answer_batch(methods, request, limits, observe, client, take)


async def _answer_batch(
    methods: Methods,
    batch: list[object],
    limits: Limits,
    observe: Observer | None,
    client: Client | None,
    take: Callable[[int], None],
) -> bytes | None:
    """Calls run concurrently, in the order in which they came as far as they start; replies keep that order."""
    replies: list[bytes | None] = [None] * len(batch)
    waiting = iter(range(len(batch)))
    room = limits.reply_bytes
    full = RpcError(LIMIT_EXCEEDED, f"the batch's reply is over {limits.reply_bytes} bytes: this call was left out")

    async def work() -> None:
        nonlocal room
        for index in waiting:
            reply = await _answer_one(methods, batch[index], observe, client, refusal=full if room < 0 else None)
            if reply is not None:
                if room < 0:  # many large ones may have been made before the first was counted
                    reply = min(reply, failed(batch[index].get("id"), full), key=len)  # type: ignore[attr-defined]
                try:
                    take(len(reply))
                except RpcError as error:
                    reply = min(reply, failed(batch[index].get("id"), error), key=len)  # type: ignore[attr-defined]
                replies[index] = reply
                room -= len(reply)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(limits.concurrent_calls, len(batch))):
            group.create_task(work())
    present = [reply for reply in replies if reply is not None]
    return b"[" + b",".join(present) + b"]" if present else None


async def _answer_one(
    methods: Methods, request: object, observe: Observer | None, client: Client | None, *, refusal: RpcError | None = None
) -> bytes | None:
    if not isinstance(request, dict):
        return failed(None, RpcError(INVALID_REQUEST, "invalid request: not an object"))
    wants_reply = "id" in request
    request_id = request.get("id")
    if not _is_id(request_id):
        return failed(None, RpcError(INVALID_REQUEST, "invalid request: id must be a string, a number or null"))
    name = request.get("method")
    given = request.get("params") or []
    if request.get("jsonrpc") != "2.0" or not isinstance(name, str) or not isinstance(given, (list, dict)):
        return failed(request_id, RpcError(INVALID_REQUEST, 'invalid request: want jsonrpc "2.0", method and params'))
    method = methods.get(name)
    started = time.perf_counter()
    outcome = "ok"
    try:
        if refusal is not None:
            raise refusal
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {name[:80]} does not exist/is not available")
        arguments = method.bind(given)
        async with _metered(client, name) as spent:
            spent(sum(len(argument) for argument in arguments if isinstance(argument, (bytes, str))))
            if method.for_client:
                arguments.insert(0, client)
            result = await method.handler(*arguments)
            reply = orjson.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}) if wants_reply else None
            spent(len(reply or b""))
    except Exception as error:
        failure = error_of(error)
        outcome = str(failure.code)
        if failure.code == INTERNAL_ERROR and failure is not error:  # geth has this code for a caller's mistake too
            structlog.get_logger().error("rpc call failed", method=name[:80], exc_info=error)
        reply = failed(request_id, failure) if wants_reply else None
    if observe is not None:
        observe(name if method is not None else "unknown", outcome, time.perf_counter() - started)
    return reply


def _metered(client: Client | None, name: str) -> AbstractAsyncContextManager[Callable[[int], None]]:
    return nullcontext(lambda size: None) if client is None else client.call(name)


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool))


def failed(request_id: object, error: RpcError) -> bytes:
    """A reply that says why there is none."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "error": error.to_json()})
