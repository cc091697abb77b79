"""One celestia-node behind its JSON-RPC: calls, and its errors as ours.

    async with CelestiaNode("http://127.0.0.1:26658", token) as node:
        head = await node.call("header.LocalHead")
        address = await node.address()

Nothing that it answers is verified here. celestia-node gives all errors of methods one code and tells them apart by their text,
so the texts are read: what says that a thing is not there (yet) is `NotFound`, what leaves the outcome open `Unavailable`, a
price that is too low `Underpaid`, and everything else `Rejected`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import TracebackType
from typing import Any, TypeVar

import httpx

from dougong.availability.chain.cosmos_tx import parse_address
from dougong.errors import InvalidInput, NotFound, Rejected, Unavailable, Underpaid
from dougong.net.codes import METHOD_NOT_FOUND
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.net.node import Meter

__all__ = ["CelestiaNode"]

T = TypeVar("T")

SUBMIT_SECONDS = 180.0  # a submission returns when its block is there
_ABSENT = ("not found", "from the future", "is below tail", "height is equal to 0", "syncing in progress", "out of bounds")
_OPEN = ("deadline exceeded", "timed out", "timeout", "context canceled", "connection", "evicted", "try again")
_TOO_CHEAP = ("exceeds max gas price", "insufficient fee", "insufficient gas price", "insufficient funds")


class CelestiaNode:
    """`timeout` in seconds for a call that reads, `max_bytes` of an answer: a square of k = 128 is 45 MB in JSON."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout: float = 30.0,
        attempts: int = 4,
        max_bytes: int = 64 << 20,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._meter = Meter(transport or httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=64)))
        self._reading = JsonRpc(url, timeout=timeout, attempts=attempts, max_bytes=max_bytes, transport=self._meter, token=token)
        self._writing = JsonRpc(url, timeout=SUBMIT_SECONDS, max_bytes=max_bytes, transport=self._meter, token=token)

    @property
    def url(self) -> str:
        return self._reading.url

    @property
    def bytes_received(self) -> int:
        """Bytes of all answers so far, as they came over the wire, headers included."""
        return self._meter.received

    async def __aenter__(self) -> CelestiaNode:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._reading.aclose()
        await self._writing.aclose()

    async def call(self, method: str, *params: object, max_bytes: int | None = None) -> Any:
        """A call that changes nothing: tried again where that can help. `max_bytes` where its answer is known to be shorter."""
        return await _translated(self._reading.call(method, *params, max_bytes=max_bytes))

    async def submit(self, method: str, *params: object) -> Any:
        """A call that pays: made once. After `Unavailable` the outcome is unknown."""
        return await _translated(self._writing.call(method, *params, idempotent=False), reading=False)

    async def wait_for_height(self, height: int) -> None:
        """Returns once the node has the header at `height`."""
        await _translated(self._writing.call("header.WaitForHeight", height))

    async def address(self) -> bytes:
        """The account that the node signs and pays with. Raises `InvalidInput` for what is not an address."""
        found = await self.call("state.AccountAddress")
        if not isinstance(found, str):
            raise InvalidInput("the node's account is not an address")
        return parse_address(found)


async def _translated(answer: Awaitable[T], *, reading: bool = True) -> T:
    try:
        return await answer
    except RpcError as error:
        text = str(error).lower()
        if any(part in text for part in _TOO_CHEAP):
            raise Underpaid(str(error), 0, remedy="raise the budget") from error
        if reading and error.code != METHOD_NOT_FOUND and any(part in text for part in _ABSENT):
            raise NotFound(str(error)) from error
        if any(part in text for part in _OPEN):
            raise Unavailable(str(error)) from error
        if "missing permission" in text:
            raise Rejected(str(error), remedy="use a token of a higher level: celestia light auth write") from error
        raise Rejected(str(error)) from error
