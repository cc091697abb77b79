"""WebSockets of a chain that another process of this machine serves: each connection here has one there, and what either end
says goes to the other.

    async with relay.socket(address) as there:          # RpcError RESOURCE_UNAVAILABLE, or `Refused` as the process said it
        await websocket.accept()
        await between(websocket, there, replies, client)

Nothing piles up between the two. A message is read from one end once the one before has left for the other, so a client that
does not read stops the relay from reading, the process's socket fills, and what waits then waits there, where what a
subscription may leave unread is bounded and counted. The limits for each client hold at both ends, as for requests: here before
anything is opened, there by X-Forwarded-For. Who ends a connection ends it at both ends, with the same code; a process that dies
ends its connections with 1012, "service restart", and a client that subscribes again has lost nothing that it cannot ask for.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from dougong.errors import Rejected
from dougong.rpc.replies import Replies
from dougong.rpc.throttle import Client

__all__ = ["SERVICE_RESTART", "between"]

SERVICE_RESTART = 1012
NORMAL = 1000
# Codes that stand for a connection without a word of farewell: no close frame may carry them.
_UNSAID = frozenset({1005, 1006, 1015})


async def between(near: WebSocket, there: ClientConnection, replies: Replies, client: Client) -> None:
    """Until either end has enough."""
    outward, inward = asyncio.create_task(_out(near, there)), asyncio.create_task(_in(near, there, replies, client))
    try:
        await asyncio.wait([outward, inward], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (outward, inward):
            task.cancel()
        await asyncio.wait([outward, inward])
    for task in (outward, inward):
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _out(near: WebSocket, there: ClientConnection) -> None:
    """What the client says."""
    while True:
        message = await near.receive()
        if message["type"] != "websocket.receive":
            await there.close(_said(message.get("code")))
            return
        text: str | None = message.get("text")
        try:
            await there.send(message.get("bytes") or b"" if text is None else text)
        except ConnectionClosed:
            return  # the other task tells the client


async def _in(near: WebSocket, there: ClientConnection, replies: Replies, client: Client) -> None:
    """What the process says, and that it ends."""
    with suppress(WebSocketDisconnect, RuntimeError):  # the client has gone: `_out` sees that too
        while True:
            try:
                message = await there.recv()
            except ConnectionClosed as closed:
                code = NORMAL if closed.rcvd is None and closed.sent is not None else SERVICE_RESTART
                await near.close(code if closed.rcvd is None else _said(closed.rcvd.code))
                return
            text = message if isinstance(message, str) else message.decode()
            try:
                with replies.waiting(client, len(text)):
                    await near.send_text(text)
            except Rejected:
                return  # it leaves too much unread


def _said(code: int | None) -> int:
    return NORMAL if code is None or code in _UNSAID else code
