"""One WebSocket connection: calls, and subscriptions to blocks to come.

Source: go-jsonrpc `websocket.go`. `X.Subscribe` is answered with a channel's number; values come as requests
`xrpc.ch.val [channel, value]` without an id, `xrpc.ch.close [channel]` ends them, and the client ends them with
`xrpc.cancel [id]`, the id of its own request.

A block is never left out: a reader that is slow gets its values late, one that does not read at all is cut off by the pings.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from dougong.availability.celestia.values import read_namespace
from dougong.errors import DougongError, InvalidInput
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED
from dougong.rpc.celestia.blob import blobs_of
from dougong.rpc.celestia.header import HeaderShapes
from dougong.rpc.celestia.node import Node, encoded, failure
from dougong.rpc.celestia.tokens import Permissions
from dougong.rpc.errors import RpcError, error_of
from dougong.rpc.protocol import Limits, Methods, answer

__all__ = ["SUBSCRIPTIONS", "Feeds", "Session"]

SUBSCRIPTIONS = ("header.Subscribe", "blob.Subscribe")
LEVEL = "read"

Feed = Callable[[int], Awaitable[object]]
"""What a subscriber gets of the block at a height."""


class Feeds:
    """What can be subscribed to."""

    def __init__(self, node: Node, shapes: HeaderShapes) -> None:
        self.node = node
        self._shapes = shapes

    def open(self, method: str, params: object, permissions: Permissions) -> Feed:
        """Raises `RpcError` for who may not, or for wrong params."""
        if LEVEL not in permissions:
            raise failure(f"missing permission to invoke 'Subscribe' (need '{LEVEL}')")
        given = params if isinstance(params, list) else []
        expected = 0 if method == SUBSCRIPTIONS[0] else 1
        if len(given) != expected:
            raise RpcError(INVALID_PARAMS, f"wrong param count (method '{method}'): {len(given)} != {expected}")
        return self._shapes.extended if not expected else self._blobs(given[0])

    def _blobs(self, param: object) -> Feed:
        try:
            namespace = read_namespace(param)
        except InvalidInput as error:
            raise RpcError(INVALID_PARAMS, str(error)) from error

        async def feed(height: int) -> object:
            square = await self.node.square(height)
            header = await self._shapes.raw(height)
            return await encoded(lambda: {"Blobs": blobs_of(square, namespace) or None, "Height": height, "Header": header})

        return feed


@dataclass(slots=True)
class _Open:
    channel: int
    task: asyncio.Task[None]


class Session:
    """A connection whose token was read. `run` returns when it ends."""

    def __init__(self, socket: WebSocket, methods: Methods, permissions: Permissions, feeds: Feeds, limits: Limits) -> None:
        self._socket = socket
        self._methods = methods
        self._permissions = permissions
        self._feeds = feeds
        self._limits = limits
        self._room = asyncio.Semaphore(feeds.node.limits.calls)
        self._writing = asyncio.Lock()
        self._channels = itertools.count(1)
        self._open: dict[bytes, _Open] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._ended = False

    async def run(self) -> None:
        try:
            while True:
                await self._room.acquire()  # nothing more is read while too many calls are under way
                body = await self._receive()
                if body is None:
                    return
                call = asyncio.create_task(self._handle(body))
                self._calls.add(call)
                call.add_done_callback(self._done)
        finally:
            self._ended = True
            tasks = [*self._calls, *(one.task for one in self._open.values())]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _receive(self) -> bytes | None:
        """The next message, None at the end."""
        message = await self._socket.receive()
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        return text.encode() if text is not None else message.get("bytes") or b""

    def _done(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._room.release()
        if not call.cancelled() and call.exception() is not None:
            structlog.get_logger().error("celestia api: a message was not answered", exc_info=call.exception())

    async def _handle(self, body: bytes) -> None:
        request = _control(body)
        if request is None:
            reply = await answer(self._methods, body, self._limits)
            if reply is not None:
                await self._send(reply)
        elif request["method"] == "xrpc.cancel":
            await self._cancel(request.get("params"))
        else:
            await self._subscribe(request)

    async def _subscribe(self, request: dict[str, object]) -> None:
        request_id = request.get("id")
        key = orjson.dumps(request_id)
        limit = self._feeds.node.limits.subscriptions
        try:
            feed = self._feeds.open(str(request["method"]), request.get("params"), self._permissions)
            if len(self._open) >= limit:
                raise RpcError(LIMIT_EXCEEDED, f"a connection has at most {limit} subscriptions")
            if key in self._open or not isinstance(request_id, (int, float, str)):
                raise RpcError(INVALID_PARAMS, "a subscription needs an id of its own")
        except RpcError as error:
            await self._send(orjson.dumps({"jsonrpc": "2.0", "id": request_id, "error": error.to_json()}))
            return
        channel = next(self._channels)
        after = await self._feeds.node.layer.latest()
        opened = _Open(channel, asyncio.create_task(self._feed(key, channel, feed, after, request_id)))
        self._open[key] = opened

    async def _feed(self, key: bytes, channel: int, feed: Feed, height: int, request_id: object) -> None:
        try:
            await self._send(orjson.dumps({"jsonrpc": "2.0", "id": request_id, "result": channel}))
            while True:
                height += 1
                await self._feeds.node.layer.chain.wait_for_height(height)
                await self._notify("xrpc.ch.val", [channel, await feed(height)])
        except DougongError as error:  # the client sees its channel close, as celestia-node does it
            structlog.get_logger().warning("celestia api: a subscription ends", error=str(error_of(error)))
        finally:
            self._open.pop(key, None)
            if not self._ended:
                await self._notify("xrpc.ch.close", [channel])

    async def _cancel(self, params: object) -> None:
        wanted = params[0] if isinstance(params, list) and params else None
        opened = self._open.get(orjson.dumps(wanted))
        if opened is not None:
            opened.task.cancel()

    async def _notify(self, method: str, params: list[object]) -> None:
        await self._send(orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    async def _send(self, reply: bytes) -> None:
        try:
            async with self._writing:
                await self._socket.send_text(reply.decode())
        except (WebSocketDisconnect, RuntimeError):  # it went away meanwhile: `run` sees that too
            return


def _control(body: bytes) -> dict[str, object] | None:
    """A message that is about subscriptions; None for every other."""
    if b"Subscribe" not in body and b"xrpc.cancel" not in body:
        return None
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(request, dict) and request.get("method") in (*SUBSCRIPTIONS, "xrpc.cancel"):
        return request
    return None
