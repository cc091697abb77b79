"""HTTP connections that cannot be held open, or filled, by saying little, by never ending, or by not reading.

uvicorn bounds neither the size of a request's head nor the time that it may take: one connection could grow without end, and many
could sit there for ever. The same goes for the trailers of a body in chunks, which it keeps even after the reply. The body itself
is the server's to bound. Nor is there a bound on how long a reply waits for its reader, even
when the connection is closed as far as this end goes: `UnreadLimit` cuts it off.

And a reply's head goes out with its body (`HeadWithBody`): uvicorn writes one after the other, and uvloop sends each at once. For
a short reply that was two system calls, two packets, and half of what sending it took.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dougong.rpc.places import Places

__all__ = ["Connection", "HeadWithBody", "UnreadLimit", "connection_class"]

CHUNK_OVERHEAD = 8
"""Bytes of a body in chunks that may stand around each byte of it: a chunk of one byte has five."""
INTERIM = b"HTTP/1.1 100 "
FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"


class UnreadLimit(asyncio.Protocol):
    """Cuts a connection off whose reader leaves more than the socket's buffers hold for `unread_seconds`."""

    unread_seconds: ClassVar[float] = 300.0
    transport: asyncio.Transport
    _unread: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = asyncio.get_running_loop().call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_unread()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_unread()
        super().connection_lost(exc)

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class HeadWithBody:
    """Stands for the transport where a request's cycle writes: keeps the head back until the next write, or the end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data) if data else (head,))
        elif self._begun or data.startswith(INTERIM):
            self._transport.write(data)
        else:
            self._head, self._begun = data, True

    def close(self) -> None:
        if self._head is not None:
            self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(UnreadLimit, HttpToolsProtocol):
    """`head_bytes` is the most that may come before a request's head is complete, and beside its body, `head_seconds` the time
    that the head may take, counted from the connection's start or the head's first byte. One that finds no place is told 503."""

    head_bytes: ClassVar[int] = 64 << 10
    head_seconds: ClassVar[float] = 10.0
    places: ClassVar[Places | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_size = 0
        self._in_head = True
        self._heads = 0
        self._body_size = 0
        self._beside_body = 0
        self._place: str | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.places is not None:
            address = self.client[0] if self.client is not None else ""
            if not self.places.take(address):
                transport.write(FULL)
                transport.close()
                return
            self._place = address
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self._give_place()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._give_place()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        was_in_head, heads, body = self._in_head, self._heads, self._body_size
        super().data_received(data)
        if not (was_in_head or self._in_head) and self._heads == heads:  # nothing but one body, and what stands around it
            self._beside_body += len(data) - (self._body_size - body)
            if self._beside_body > self.head_bytes + CHUNK_OVERHEAD * self._body_size:
                self.transport.abort()
        if was_in_head and self._heads == heads:  # nothing but head so far
            self._head_size += len(data)
            if self._head_size > self.head_bytes:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._start_deadline()

    def on_headers_complete(self) -> None:
        self._stop_deadline()
        self._in_head, self._head_size = False, 0
        self._body_size = self._beside_body = 0
        self._heads += 1
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not None and self.cycle is not before and self.scope["method"] != "HEAD":  # its task has not begun
            self.cycle.transport = HeadWithBody(self.transport)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head and self._deadline is None:  # the rest of a body that nobody waits for any more
            self._start_deadline()

    def _give_place(self) -> None:
        if self.places is not None and self._place is not None:
            self.places.give(self._place)
            self._place = None

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def connection_class(head_bytes: int, head_seconds: float, places: Places | None = None) -> type[Connection]:
    """A `Connection` with other limits."""
    return type("Connection", (Connection,), {"head_bytes": head_bytes, "head_seconds": head_seconds, "places": places})
