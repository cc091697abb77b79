"""One WebSocket connection: JSON-RPC calls at a time, and what is sent without being asked for.

    session = RpcSession(websocket, methods, client, replies, limits, SocketLimits(), Unread(), UnderWay(1 << 30))
    await session.run()                                 # until either end has enough

`Session` is what every API's connections share: messages are answered concurrently, so many and no more, and a reader that leaves
too much of what it asked for unread is cut off. `RpcSession` serves a chain's `Methods`, those among them that subscribe
(`Methods.on_socket`): what a subscription sends waits in a bounded queue, and the connection ends when that is full, because a
reader that misses an event must know that it did.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from dougong.errors import Rejected
from dougong.rpc.errors import RpcError
from dougong.rpc.protocol import Limits, Methods, Observer, answer, failed
from dougong.rpc.replies import Replies
from dougong.rpc.throttle import Client
from dougong.rpc.under_way import UnderWay, weight_of

__all__ = ["RpcSession", "Session", "SocketLimits", "Unread"]

TOO_BIG = 1009
EVENT_BYTES = 256  # what an event costs that waits, beside its bytes
SMALL_BYTES = 64 << 10
"""When too much waits for all of the connections, those end that leave more than this unread."""


class Session(ABC):
    """`_handle` answers one message; `_tasks` names what else runs as long as the connection."""

    def __init__(self, socket: WebSocket, client: Client, replies: Replies, *, calls: int, message_bytes: int) -> None:
        self._socket = socket
        self._client = client
        self._replies = replies
        self._message_bytes = message_bytes
        self._room = asyncio.Semaphore(calls)
        self._writing = asyncio.Lock()
        self._calls: set[asyncio.Task[None]] = set()
        self._unread = asyncio.Event()
        self._ended = False

    @abstractmethod
    async def _handle(self, body: bytes) -> None: ...

    def _tasks(self) -> list[asyncio.Task[None]]:
        return []

    async def run(self) -> None:
        """Until either end has enough: the other one closes, or leaves unread what he asked for."""
        listening, unread = asyncio.create_task(self._listen()), asyncio.create_task(self._unread.wait())
        try:
            await asyncio.wait([listening, unread], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended = True
            tasks = [listening, unread, *self._calls, *self._tasks()]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _listen(self) -> None:
        while True:
            await self._room.acquire()  # nothing more is read while too many calls are under way
            body = await self._receive()
            if body is None:
                return
            if len(body) > self._message_bytes:
                await self._socket.close(TOO_BIG)
                return
            call = asyncio.create_task(self._handle(body))
            self._calls.add(call)
            call.add_done_callback(self._done)

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
            structlog.get_logger().error("websocket: a message was not answered", exc_info=call.exception())

    async def _send(self, reply: bytes) -> None:
        try:
            with self._replies.waiting(self._client, len(reply)):
                async with self._writing:
                    await self._socket.send_text(reply.decode())
        except Rejected:
            self._unread.set()
        except (WebSocketDisconnect, RuntimeError):  # it went away meanwhile: `run` sees that too
            return


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """How many connections there may be in all, how many calls of one run at a time, how many bytes of a message it may send,
    of events may wait for it (a full block's logs come at once), and of events for all of them."""

    connections: int = 2_048
    calls: int = 64
    message_bytes: int = 1 << 20
    unread_bytes: int = 32 << 20
    unread_bytes_in_all: int = 256 << 20


@dataclass(slots=True)
class Unread:
    """Bytes of events that wait for the connections of one server."""

    total: int = 0


class RpcSession(Session):
    """A `Notifier` (rpc/protocol.py) to the methods that subscribe."""

    def __init__(
        self,
        socket: WebSocket,
        methods: Methods,
        client: Client,
        replies: Replies,
        limits: Limits,
        sockets: SocketLimits,
        unread: Unread,
        under_way: UnderWay,
        *,
        observe: Observer | None = None,
    ) -> None:
        super().__init__(socket, client, replies, calls=sockets.calls, message_bytes=sockets.message_bytes)
        self.client = client
        self._limits = limits
        self._observe = observe
        self._sockets = sockets
        self._unread_of_all = unread
        self._under_way = under_way
        self._events: deque[tuple[bytes, bytes, bytes]] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._held = 0
        self._at_end: list[Callable[[], None]] = []
        self._methods = methods.connected(self)

    async def run(self) -> None:
        self._telling = asyncio.create_task(self._tell())
        try:
            await super().run()
        finally:
            for end in self._at_end:
                end()
            self._forget()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [self._telling]

    async def _handle(self, body: bytes) -> None:
        # No event of a subscription goes out before the reply that names it: none at all while one is being opened.
        opening = b"subscribe" in body
        self._held += opening
        try:
            with self._under_way.hold(self._client) as take:
                try:
                    take(weight_of(body))
                except RpcError as error:
                    reply: bytes | None = failed(None, error)
                else:
                    reply = await answer(self._methods, body, self._limits, self._observe, self._client, take)
            if reply is not None:
                await self._send(reply)
        finally:
            self._held -= opening
            if not self._held and self._events:
                self._news.set()

    # --- Notifier -----------------------------------------------------------------------------------------------------

    def at_end(self, call: Callable[[], None]) -> None:
        self._at_end.append(call)

    def notify(self, head: bytes, body: bytes, tail: bytes) -> None:
        if self._ended or self._unread.is_set():
            return
        self._count(len(head) + len(body) + len(tail) + EVENT_BYTES)
        all_of_them = self._unread_of_all.total > self._sockets.unread_bytes_in_all
        if self._waiting_bytes > (SMALL_BYTES if all_of_them else self._sockets.unread_bytes):
            self._forget()
            self._unread.set()
            return
        self._events.append((head, body, tail))
        if not self._held:
            self._news.set()

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._unread_of_all.total += size

    def _forget(self) -> None:
        self._events.clear()
        self._count(-self._waiting_bytes)

    def cut(self) -> None:
        self._unread.set()

    async def _tell(self) -> None:
        """What is shared between many readers is put together for one of them when its turn comes, not before."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._events and not self._held:
                event = b"".join(self._events.popleft())
                try:
                    async with self._writing:
                        await self._socket.send_text(event.decode())
                except (WebSocketDisconnect, RuntimeError):
                    return
                if not self._unread.is_set():
                    self._count(-len(event) - EVENT_BYTES)
