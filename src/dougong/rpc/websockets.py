"""WebSocket connections whose other end cannot make this one keep what it does not read.

uvicorn gives a message to the socket whole and goes on, answers every ping whether or not the answers are read, and keeps each
fragment of a message apart until the last one came. So here a message counts as sent once it has left for the socket, and a
connection is cut that lets pongs pile up, or comes in ever so many little pieces.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from dougong.rpc.connection import UnreadLimit

__all__ = ["WebSocketConnection"]

MAX_UNREAD_PONGS = 256
MAX_SMALL_FRAGMENTS = 64
FRAGMENT_BYTES = 512
"""What the fragments of a message hold at least, on average, beyond the first few; Go's clients send 4 kB."""


class WebSocketConnection(UnreadLimit, WebSocketsSansIOProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread_pongs = 0
        self._fragments_bytes = 0

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(self.close_timeout, self.transport.abort)  # what is not read by then never is

    async def send(self, message: Any) -> None:
        await super().send(message)
        await self.writable.wait()

    def handle_ping(self) -> None:
        self._unread_pongs = 0 if self.writable.is_set() else self._unread_pongs + 1
        if self._unread_pongs > MAX_UNREAD_PONGS:
            self.transport.abort()
        super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        if not self.frames or len(self.frames) == 1:
            self._fragments_bytes = sum(map(len, self.frames))
        self._fragments_bytes += len(event.data)
        if len(self.frames) > MAX_SMALL_FRAGMENTS + self._fragments_bytes // FRAGMENT_BYTES:
            self.transport.abort()
            self.frames = []
        super().handle_cont(event)
