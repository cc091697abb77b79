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
from starlette.websockets import WebSocket

from dougong.availability.celestia.values import read_namespace
from dougong.errors import DougongError, InvalidInput
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED
from dougong.rpc import sessions
from dougong.rpc.celestia.blob import blobs_of
from dougong.rpc.celestia.header import HeaderShapes
from dougong.rpc.celestia.node import Node, encoded, failure
from dougong.rpc.celestia.tokens import Permissions
from dougong.rpc.errors import RpcError, error_of
from dougong.rpc.protocol import Limits, Methods, answer
from dougong.rpc.replies import Replies
from dougong.rpc.throttle import Client

__all__ = ["SUBSCRIPTIONS", "Caller", "Feeds", "Session"]

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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who speaks: what the token reaches, whose bucket it empties, and how long a message may be."""

    methods: Methods
    permissions: Permissions
    client: Client
    message_bytes: int


class Session(sessions.Session):
    """A connection whose token was read. `run` returns when it ends."""

    def __init__(self, socket: WebSocket, caller: Caller, feeds: Feeds, replies: Replies, limits: Limits) -> None:
        super().__init__(socket, caller.client, replies, calls=feeds.node.limits.calls, message_bytes=caller.message_bytes)
        self._caller = caller
        self._feeds = feeds
        self._limits = limits
        self._channels = itertools.count(1)
        self._open: dict[bytes, _Open] = {}

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [one.task for one in self._open.values()]

    async def _handle(self, body: bytes) -> None:
        request = _control(body)
        if request is None:
            reply = await answer(self._caller.methods, body, self._limits, client=self._caller.client)
            if reply is not None:
                await self._send(reply)
        elif request["method"] == "xrpc.cancel":
            self._cancel(request.get("params"))
        else:
            await self._subscribe(request)

    async def _subscribe(self, request: dict[str, object]) -> None:
        """Until the subscription is noted nothing is awaited, so that its end cannot overtake it."""
        method, request_id = str(request["method"]), request.get("id")
        limit = self._feeds.node.limits.subscriptions
        try:
            feed = self._feeds.open(method, request.get("params"), self._caller.permissions)
            if len(self._open) >= limit:
                raise RpcError(LIMIT_EXCEEDED, f"a connection has at most {limit} subscriptions")
            key = _key(request_id)
            if key is None or key in self._open:
                raise RpcError(INVALID_PARAMS, "a subscription needs an id of its own")
        except RpcError as error:
            known = request_id if _key(request_id) is not None else None
            await self._send(orjson.dumps({"jsonrpc": "2.0", "id": known, "error": error.to_json()}))
            return
        channel = next(self._channels)
        task = asyncio.create_task(self._feed(method, channel, feed, request_id))
        opened = self._open[key] = _Open(channel, task)
        # Not in `_feed`: one that is cancelled before it ran never comes to its end.
        task.add_done_callback(lambda _: self._open.pop(key, None) if self._open.get(key) is opened else None)

    async def _feed(self, method: str, channel: int, feed: Feed, request_id: object) -> None:
        try:
            height = await self._feeds.node.layer.latest()
            await self._send(orjson.dumps({"jsonrpc": "2.0", "id": request_id, "result": channel}))
            while True:
                height += 1
                await self._feeds.node.layer.chain.wait_for_height(height)
                await self._send(await self._value(method, channel, feed, height))
        except DougongError as error:  # the client sees its channel close, as celestia-node does it
            structlog.get_logger().warning("celestia api: a subscription ends", error=str(error_of(error)))
        finally:
            if not self._ended:
                await self._send(_notification("xrpc.ch.close", [channel]))

    async def _value(self, method: str, channel: int, feed: Feed, height: int) -> bytes:
        """What a block is to a subscriber, paid for like a call; who has had his share waits for it."""
        while True:
            try:
                async with self._caller.client.call(method) as spent:
                    value = _notification("xrpc.ch.val", [channel, await feed(height)])
                    spent(len(value))
                    return value
            except RpcError as error:
                pause = error.data.get("retryAfter") if isinstance(error.data, dict) else None
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    def _cancel(self, params: object) -> None:
        opened = self._open.get(_key(params[0] if isinstance(params, list) and params else None) or b"")
        if opened is not None:
            opened.task.cancel()


def _notification(method: str, params: list[object]) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})


def _key(request_id: object) -> bytes | None:
    """An id by which a subscription is found; None for what is none."""
    return orjson.dumps(request_id) if isinstance(request_id, (int, float, str)) else None


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
