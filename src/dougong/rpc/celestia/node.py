"""What celestia-node's methods share here: the DA chain behind them, who may call what, and the words of errors.

Source: celestia-node `nodebuilder/header/service.go` for the heights; go-jsonrpc `auth/` for the permissions. Errors of methods
have code 1, as go-jsonrpc gives to Go errors; clients tell them apart by their text, so those texts are celestia-node's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import orjson

from dougong.availability.celestia.values import read_base64, read_integer, read_namespace
from dougong.availability.square.served import ServedSquare
from dougong.errors import DougongError, NotFound
from dougong.interfaces import Consensus
from dougong.net.codes import INTERNAL_ERROR
from dougong.rpc.celestia.tokens import Permissions
from dougong.rpc.errors import RpcError, error_of
from dougong.rpc.protocol import Handler, Methods, Param
from dougong.rpc.throttle import ClientLimits
from dougong.types import Blob, MerkleProof, Namespace, Placement, SquareHeader

__all__ = ["COMMITMENT", "HEIGHT", "NAMESPACE", "Account", "CelestiaLayer", "CelestiaLimits", "Node", "Published", "Rooms"]

T = TypeVar("T")

METHOD_FAILED = 1
MAX_HEIGHT = (1 << 64) - 1

BLOB_NOT_FOUND = "blob: not found"
HEADER_NOT_FOUND = "header: not found"
HEIGHT_ZERO = "height is equal to 0"


class CelestiaLayer(Protocol):
    """A DA chain that is served: `SquareLayer` is one."""

    @property
    def chain(self) -> Consensus: ...

    async def latest(self) -> int: ...

    async def header(self, height: int) -> SquareHeader: ...

    async def data_root_proof(self, height: int) -> MerkleProof: ...

    async def square(self, height: int) -> ServedSquare: ...


class Published(Protocol):
    """Blobs of one transaction, in a final block."""

    @property
    def placements(self) -> tuple[Placement, ...]: ...

    @property
    def tx_hash(self) -> bytes: ...


class Account(Protocol):
    """The account that the node signs and pays with."""

    @property
    def address(self) -> bytes: ...

    async def publish(self, blobs: Sequence[Blob], *, budget: int | None = None) -> Published:
        """All of them in one transaction, paying at most `budget` in utia (None: what it costs). Raises as
        `DataAvailability.submit` does."""
        ...

    async def balance(self, address: bytes) -> int:
        """In utia."""
        ...


@dataclass(frozen=True, slots=True)
class CelestiaLimits:
    """`request_bytes` of one body or message; `squares` that are encoded whole at a time; `waiting` calls for blocks to come, and
    `wait_seconds` for each; `subscriptions` a connection and `connections` by WebSocket; `calls` of one connection at a time;
    `samples`, `namespaces`, `blobs` and headers (`range`) in one call; `requests` over HTTP at a time, `replies_bytes` that wait
    for slow readers all in all, and `reply_seconds` for each to be read; of all that, what one `client` may have."""

    request_bytes: int = 16 << 20
    squares: int = 2
    waiting: int = 256
    wait_seconds: float = 300.0
    connections: int = 256
    subscriptions: int = 32
    calls: int = 16
    samples: int = 4_096
    namespaces: int = 64
    range: int = 64
    blobs: int = 1_024
    requests: int = 128
    replies_bytes: int = 512 << 20
    reply_seconds: float = 300.0
    client: ClientLimits = field(default_factory=lambda: ClientLimits(requests=64))


class Node:
    """One DA chain as celestia-node's JSON-RPC shows it."""

    def __init__(self, layer: CelestiaLayer, account: Account, secret: bytes, limits: CelestiaLimits) -> None:
        self.layer = layer
        self.account = account
        self.secret = secret
        self.limits = limits
        self._squares = asyncio.Semaphore(limits.squares)
        self._waiting = 0

    async def reach(self, height: int) -> None:
        """Returns once the block at `height` is final. As in celestia-node the next one is waited for, and later ones refused."""
        if height == 0:
            raise failure(HEIGHT_ZERO)
        head = await self.layer.latest()
        if height > head + 1:
            raise failure(f"header: given height is from the future: networkHeight: {head}, requestedHeight: {height}")
        if height == head + 1:
            await self.wait(height)

    async def wait(self, height: int) -> None:
        if height <= await self.layer.latest():
            return
        if self._waiting >= self.limits.waiting:
            raise failure(f"more than {self.limits.waiting} calls wait for blocks: try again")
        self._waiting += 1
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                await self.layer.chain.wait_for_height(min(height, (1 << 63) - 1))
        except TimeoutError:
            raise failure("context deadline exceeded") from None
        finally:
            self._waiting -= 1

    async def header(self, height: int) -> SquareHeader:
        await self.reach(height)
        try:
            return await self.layer.header(height)
        except NotFound as error:
            raise failure(HEADER_NOT_FOUND) from error

    async def square(self, height: int) -> ServedSquare:
        await self.reach(height)
        try:
            return await self.layer.square(height)
        except NotFound as error:
            raise failure(HEADER_NOT_FOUND) from error

    async def encode_square(self, make: Callable[[], object]) -> orjson.Fragment:
        """JSON of a whole square: tens of megabytes, so few at a time, and not on the event loop."""
        async with self._squares:
            return await encoded(make)


class Rooms:
    """The methods of all modules, each with the permission that it needs.

    `add` names a method `module.Name` and the level; `methods(permissions)` is what a caller with these permissions gets: the
    methods beyond them are there, and refuse.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, Handler, tuple[Param, ...]]] = []
        self._made: dict[Permissions, Methods] = {}

    def add(self, name: str, level: str, handler: Handler, *params: Param) -> None:
        self._entries.append((name, level, _translated(handler), params))

    def methods(self, permissions: Permissions) -> Methods:
        """At most one set for each of the sixteen sets of levels."""
        made = self._made.get(permissions)
        if made is None:
            made = Methods()
            for name, level, handler, params in self._entries:
                made.add(name, handler if level in permissions else refusal(name, level), *params)
            self._made[permissions] = made
        return made


def refusal(name: str, level: str) -> Handler:
    """A method that its caller may not use; go-jsonrpc's words."""

    async def refuse(*arguments: object) -> object:
        raise failure(f"missing permission to invoke '{name.partition('.')[2]}' (need '{level}')")

    return refuse


def failure(message: str) -> RpcError:
    return RpcError(METHOD_FAILED, message)


def _translated(handler: Handler) -> Handler:
    """With go-jsonrpc's code for the errors that are the caller's business."""

    async def call(*arguments: object) -> object:
        try:
            return await handler(*arguments)
        except DougongError as error:
            told = error_of(error)
            if isinstance(error, RpcError) or told.code == INTERNAL_ERROR:  # the node's own trouble is not told
                raise
            raise failure(str(told)) from error

    return call


async def encoded(make: Callable[[], object]) -> orjson.Fragment:
    """JSON of what `make` makes, both off the event loop."""
    return orjson.Fragment(await asyncio.to_thread(lambda: orjson.dumps(make())))


def required(read: Callable[[Any], T], name: str) -> Param:
    return Param(name, read)


def _read_height(value: object) -> int:
    return read_integer(value, "a height", 0, MAX_HEIGHT)


def _read_namespace(value: object) -> Namespace:
    return read_namespace(value)


def _read_commitment(value: object) -> bytes:
    return read_base64(value, "a commitment")


HEIGHT = required(_read_height, "height")
NAMESPACE = required(_read_namespace, "namespace")
COMMITMENT = required(_read_commitment, "commitment")
