"""The short way to a chain's JSON-RPC: past the web framework's rooms, which a call has no business in.

    app = Front(starlette, call)                     # an ASGI application
    response = await call(request, "alpha")          # for POST /alpha, from no page of another site

Middleware and routing were a sixth of what a small call took. Everything else, and whatever CORS has a say in, goes through them
as before; the reply to a call is the same on both ways.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Front"]

VARY = (b"vary", b"Origin")  # as the middleware for CORS says it


class Front:
    def __init__(self, app: ASGIApp, call: Callable[[Request, str], Awaitable[Response]]) -> None:
        self._app = app
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            name = scope["path"][1:].removesuffix("/")
            if name and "/" not in name and all(key != b"origin" for key, _ in scope["headers"]):
                response = await self._call(Request(scope, receive), name)
                response.raw_headers.append(VARY)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
