"""What waits for slow readers: replies are large (a square of k = 128 is 45 MB), so nobody may let many of them wait.

with replies.waiting(client, len(reply)):           # Rejected: too much waits, for this client or for all
    ...                                             # it is on its way
return Reply(reply, replies, client, 300.0)         # as an HTTP response
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dougong.errors import Rejected
from dougong.net.codes import LIMIT_EXCEEDED
from dougong.rpc.errors import RpcError
from dougong.rpc.throttle import Client

__all__ = ["Replies", "Reply"]

PIECE_BYTES = 256 << 10
SMALL_BYTES = 16 << 10


class Replies:
    """Bytes on their way: `limit` in all, and half of it for each client. A reply alone always may."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: Counter[Client] = Counter()

    @contextmanager
    def waiting(self, client: Client, size: int) -> Iterator[None]:
        own, all_of_them = self._waiting[client], self._waiting.total()
        if (own and own + size > self._limit // 2) or (all_of_them and all_of_them + size > self._limit):
            if not own:
                del self._waiting[client]
            raise Rejected("too much waits for slow readers: try again")
        self._waiting[client] += size
        try:
            yield
        finally:
            self._waiting[client] -= size
            if not self._waiting[client]:
                del self._waiting[client]


class Reply(Response):
    """Counted while it is on its way, and cut off when that takes longer than `seconds`. It goes in pieces: uvicorn takes a whole
    one at once, and keeps it for whoever never reads it."""

    def __init__(
        self,
        body: bytes,
        replies: Replies,
        client: Client,
        seconds: float,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(body, status, headers, media_type="application/json")
        self._replies = replies
        self._client = client
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(self.body)
        try:
            with self._replies.waiting(self._client, len(body)):
                async with asyncio.timeout(self._seconds):
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    if len(body) <= SMALL_BYTES:  # the transport would take it without a wait, and so with nothing to count
                        await send({"type": "http.response.body", "body": body})
                        return
                    for at in range(0, len(body), PIECE_BYTES):
                        await send({"type": "http.response.body", "body": body[at : at + PIECE_BYTES], "more_body": True})
                    await send({"type": "http.response.body", "body": b""})
        except Rejected as error:
            busy = {"jsonrpc": "2.0", "id": None, "error": RpcError(LIMIT_EXCEEDED, str(error)).to_json()}
            await Response(orjson.dumps(busy), status_code=503, media_type="application/json")(scope, receive, send)
        except TimeoutError:
            return  # a reply that is not whole: the server closes the connection
