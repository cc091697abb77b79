"""How many connections there may be, in all and of one address, before anything is read from them.

    places = Places(4_096, 1_024)
    if places.take("203.0.113.7"):
        ...                                         # until it ends
        places.give("203.0.113.7")

An idle connection costs a file descriptor and a few kilobytes, and a head that does not come is waited for: so one client could
take every place by opening connections alone. An address is what `rpc/throttle.py` calls one; the proxies that the operator has
named share all places. `room_for` sees to it that the process has descriptors enough for them.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Collection

from dougong.rpc.throttle import network_of

__all__ = ["Places", "room_for"]

OTHER_DESCRIPTORS = 1_024  # stores, pipes, what this process asks of others
LEAST_CONNECTIONS = 64


class Places:
    """Those of one server. A connection that became a WebSocket has given its place back: those are counted apart."""

    def __init__(self, most: int, most_of_one: int, unbounded: Collection[str] = ()) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._unbounded = frozenset(unbounded)
        self._taken: Counter[str] = Counter()
        self._total = 0

    def take(self, address: str) -> bool:
        key = network_of(address)
        if self._total >= self._most or (address not in self._unbounded and self._taken[key] >= self._most_of_one):
            return False
        self._taken[key] += 1
        self._total += 1
        return True

    def give(self, address: str) -> None:
        key = network_of(address)
        self._total -= 1
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]


def room_for(connections: int, sockets: int = 0) -> int:
    """How many connections this process can hold beside so many WebSockets, up to `connections`. Asks the system for as many
    descriptors as that takes: the limit that a shell gives is often 1,024, and past it nothing can be opened, no store either."""
    wanted = connections + sockets + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return min(connections, max(LEAST_CONNECTIONS, allowed - sockets - OTHER_DESCRIPTORS))
