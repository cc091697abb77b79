"""A JSON-RPC 2.0 client over HTTP.

    async with JsonRpc("http://127.0.0.1:8545") as node:
        head = quantity(await node.call("eth_blockNumber"))
        one, two = await node.batch([("eth_getBlockByNumber", ["0x1", False]), ("eth_getBlockByNumber", ["0x2", False])])

`Unavailable`: the node did not answer, or not in JSON-RPC (`NotJsonRpc`), or takes no more from us now (`LimitExceeded`); calls
that only read are tried again a few times first, after the pause that the node asked for. `RpcError` (a `Rejected`): the node
understood and refused; for a reverted call the contract's reason is in the message. The node is not trusted with memory: an
answer above `max_bytes` is cut off and refused, and so is a compressed one, which nobody asked for.
"""

from __future__ import annotations

import asyncio
import binascii
import itertools
import random
import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx
import orjson

from dougong.errors import InvalidInput, Rejected, Unavailable
from dougong.net.codes import LIMIT_EXCEEDED, NOT_READY, REVERTED, SYNC_TIMEOUT
from dougong.net.reverts import revert_reason

__all__ = ["AnswerTooLarge", "JsonRpc", "LimitExceeded", "NotJsonRpc", "RpcError", "data", "quantity"]

T = TypeVar("T")
QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
TOO_MANY_REQUESTS, ONE_HOUR = 429, 3_600
FORBIDDEN = frozenset({401, 403})
BUSY = frozenset({502, 503, 504})
LONGEST_PAUSE = 10.0  # seconds that a node may ask for before the next attempt
WITH_A_HASH = frozenset(
    {SYNC_TIMEOUT, NOT_READY}
)  # their data is a transaction's hash (EIP-7966), not what a contract reverted with


class RpcError(Rejected):
    """A JSON-RPC error object. `code` and `data` are the node's; `reason` is the contract's word if it reverted, or None."""

    def __init__(self, method: str, code: int, message: str, data: object) -> None:
        self.method, self.code, self.data = method, code, data
        reverted_with = None if code in WITH_A_HASH else _revert_data(data)
        self.reason = revert_reason(reverted_with) if reverted_with is not None or code == REVERTED else None
        super().__init__(f"{method}: {message}" if self.reason is None else f"{method}: reverted: {self.reason}")


class AnswerTooLarge(Unavailable):
    """The node's answer is above the client's limit: ask for less."""


class NotJsonRpc(Unavailable):
    """Something answered, and not in JSON-RPC 2.0: another program at this URL, or a node that plays with us."""


class LimitExceeded(Unavailable):
    """The node takes no more from this client now. `retry_after` is the pause in seconds that it asks for."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, remedy="ask less often, or ask another node too")
        self.retry_after = retry_after


class JsonRpc:
    """One node. `timeout` in seconds for each attempt as a whole; `attempts` for calls that may be repeated without harm."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 20.0,
        attempts: int = 4,
        max_bytes: int = 64 << 20,
        transport: httpx.AsyncBaseTransport | None = None,
        token: str = "",
    ) -> None:
        """With a `token`, each request bears it."""
        self.url = url
        self._attempts = attempts
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._ids = itertools.count(1)
        self._http = httpx.AsyncClient(
            timeout=timeout,
            transport=transport,
            headers={"accept-encoding": "identity"} | ({"authorization": f"Bearer {token}"} if token else {}),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
            verify=url.startswith("https"),  # reading the certificates costs 20 ms, for nothing without TLS
        )

    async def __aenter__(self) -> JsonRpc:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, *params: object, idempotent: bool = True, max_bytes: int | None = None) -> Any:
        """The result of one call. With `idempotent` False it is sent once: after `Unavailable` the outcome is unknown."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}

        def read(answer: object) -> Any:
            return _result(answer, request["id"], method, self.url)

        return await self._post(orjson.dumps(request), idempotent, method, read, max_bytes)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]], *, max_bytes: int | None = None) -> list[Any]:
        """The results of reading calls, in their order, in one round trip. The first refused one raises."""
        return await self._batch(calls, max_bytes, _raised)

    async def outcomes(self, calls: Sequence[tuple[str, Sequence[object]]], *, max_bytes: int | None = None) -> list[Any]:
        """As `batch`, with an `RpcError` in the place of each refused call."""
        return await self._batch(calls, max_bytes, _kept)

    async def _batch(
        self, calls: Sequence[tuple[str, Sequence[object]]], max_bytes: int | None, refused: Callable[[RpcError], RpcError]
    ) -> list[Any]:
        if not calls:
            return []
        requests = [{"jsonrpc": "2.0", "id": next(self._ids), "method": m, "params": p} for m, p in calls]

        def read(answers: object) -> list[Any]:
            if isinstance(answers, dict):  # one error for all of it: the node refuses batches, or this one
                _result(answers, None, "batch", self.url)
            if not isinstance(answers, list):
                raise _nonsense(self.url, "batch")
            by_id = {_id(answer): answer for answer in answers}
            results: list[Any] = []
            for request, (method, _) in zip(requests, calls, strict=True):
                try:
                    results.append(_result(by_id.get(request["id"]), request["id"], method, self.url))
                except RpcError as error:
                    results.append(refused(error))
            return results

        return await self._post(orjson.dumps(requests), True, calls[0][0], read, max_bytes)

    async def _post(self, body: bytes, idempotent: bool, what: str, read: Callable[[object], T], max_bytes: int | None) -> T:
        for attempt in range(1, self._attempts + 1):
            pause = 0.05 * 2**attempt * random.uniform(0.5, 1.5)
            try:
                return read(await self._post_once(body, what, max_bytes or self._max_bytes))
            except LimitExceeded as error:  # refused before anything was done
                if attempt == self._attempts or error.retry_after > LONGEST_PAUSE:
                    raise
                pause = max(pause, error.retry_after)
            except Unavailable as error:
                if attempt == self._attempts or not idempotent or isinstance(error, AnswerTooLarge):
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("not reached")

    async def _post_once(self, body: bytes, what: str, max_bytes: int) -> Any:
        received = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream("POST", self.url, content=body, headers={"content-type": "application/json"}) as response,
            ):
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise NotJsonRpc(f"{self.url} compressed its answer to {what}, which nobody asked for")
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > max_bytes:
                        raise AnswerTooLarge(f"{self.url} answered {what} with more than {max_bytes} bytes")
                status = response.status_code
                pause = response.headers.get("retry-after", "")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unavailable(
                f"{self.url} did not answer {what}: {str(error) or type(error).__name__}",
                remedy="check the url and that the node is running",
            ) from error
        if status == TOO_MANY_REQUESTS:
            seconds = min(int(pause), ONE_HOUR) if pause.isascii() and pause.isdecimal() and len(pause) < 10 else 1
            raise LimitExceeded(f"{self.url} takes no more requests from here now", float(seconds))
        if status in FORBIDDEN:
            raise Rejected(f"{self.url} refuses {what}: HTTP status {status}", remedy="check the token")
        if status in BUSY:
            raise Unavailable(f"{self.url} is not serving {what} now: HTTP status {status}")
        try:
            return orjson.loads(received)
        except orjson.JSONDecodeError as error:
            raise NotJsonRpc(f"{self.url} answered {what} with HTTP status {status} and no JSON") from error


def quantity(value: object) -> int:
    """A JSON-RPC number ("0x1f") of at most 256 bits. Raises `InvalidInput`."""
    if not isinstance(value, str) or QUANTITY.fullmatch(value) is None:
        raise InvalidInput(f"not a JSON-RPC number: {value!r:.80}")
    return int(value, 16)


def data(value: object, size: int | None = None) -> bytes:
    """JSON-RPC bytes ("0xabcd"), of `size` bytes if given. Raises `InvalidInput`."""
    try:
        if not isinstance(value, str) or not value.startswith("0x"):
            raise ValueError
        raw = binascii.unhexlify(value[2:])  # unlike bytes.fromhex it takes no blanks
    except ValueError:
        raise InvalidInput(f"not JSON-RPC bytes: {value!r:.80}") from None
    if size is not None and len(raw) != size:
        raise InvalidInput(f"{size} bytes were expected, not {len(raw)}")
    return raw


def _id(answer: object) -> object:
    """The id by which an answer is found; what has none that could be one of ours is found by nobody."""
    found = answer.get("id") if isinstance(answer, dict) else None
    return found if isinstance(found, int) else None


def _raised(error: RpcError) -> RpcError:
    raise error


def _kept(error: RpcError) -> RpcError:
    return error


def _result(answer: object, request_id: object, method: str, url: str) -> Any:
    if not isinstance(answer, dict):
        raise _nonsense(url, method)
    error = answer.get("error")
    if error is not None:
        if not isinstance(error, dict) or not isinstance(error.get("code"), int):
            raise _nonsense(url, method)
        message, details = str(error.get("message", ""))[:500], error.get("data")
        if error["code"] == LIMIT_EXCEEDED and isinstance(details, dict) and isinstance(details.get("retryAfter"), (int, float)):
            raise LimitExceeded(f"{method}: {message}", min(max(float(details["retryAfter"]), 0.0), ONE_HOUR))
        raise RpcError(method, error["code"], message, details)
    if "result" not in answer or answer.get("id") != request_id:
        raise _nonsense(url, method)
    return answer["result"]


def _nonsense(url: str, method: str) -> NotJsonRpc:
    return NotJsonRpc(
        f"{url} did not answer {method} in JSON-RPC 2.0", remedy="check that the url is an Ethereum JSON-RPC endpoint"
    )


def _revert_data(value: object) -> bytes | None:
    """The revert data in an error's `data`: a hex string (geth), or one inside an object (some other nodes)."""
    if isinstance(value, dict):
        value = value.get("data")
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            return None
    return None
