"""What waits for slow readers: replies are large (a square of k = 128 is 45 MB), so nobody may let many of them wait.

with replies.waiting(client, len(reply)):           # Rejected: too much waits, for this client or for all
    ...                                             # it is on its way
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dougong.errors import Rejected
from dougong.rpc.throttle import Client

__all__ = ["Replies"]


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
