"""What requests hold while they are answered: their bytes, what those become as Python's objects, and the parts of a batch's
reply that wait for its other parts.

    with under_way.hold(client) as take:
        take(len(part))                             # RpcError LIMIT_EXCEEDED: too much is held, for this client or for all
        take(weight_of(body) - len(body))

How many requests there are says little: one of `[[],[],…` is forty times as large once it is read, and a call may wait long for
its turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dougong.net.codes import LIMIT_EXCEEDED
from dougong.rpc.errors import RpcError
from dougong.rpc.throttle import Client

__all__ = ["Take", "UnderWay", "weight_of"]

ITEM_BYTES = 128  # an element of an array or an object, whatever it is

Take = Callable[[int], None]


class UnderWay:
    """Of one server: `limit` bytes in all, and half of it for each client."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._of: Counter[Client] = Counter()

    @contextmanager
    def hold(self, client: Client) -> Iterator[Take]:
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if self._of[client] + size > self._limit // 2 or self._total + size > self._limit:
                raise RpcError(LIMIT_EXCEEDED, "too much is under way: try again")
            held += size
            self._total += size
            self._of[client] += size

        try:
            yield take
        finally:
            self._total -= held
            self._of[client] -= held
            if not self._of[client]:
                del self._of[client]


def weight_of(body: bytes) -> int:
    """About what a body of JSON takes while it is answered."""
    return 2 * len(body) + ITEM_BYTES * (body.count(b",") + body.count(b"[") + body.count(b"{"))
