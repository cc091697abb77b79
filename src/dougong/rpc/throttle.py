"""What one client may take of a node that serves many: so that who is greedy starves nobody but himself.

    throttle = Throttle(ClientLimits())
    client = throttle.client("203.0.113.7")
    with client.request():                              # TooMany: more requests under way than one client may have
        async with client.call("da_shares") as spent:   # waits for a place; RpcError LIMIT_EXCEEDED when the bucket is empty
            spent(len(reply))

Every client has a token bucket, whose tokens are bytes. A metered call takes what its work is worth, the bytes that it brings
(a transaction to judge), whatever becomes of them, and the bytes of its reply: cells, headers, namespaces and whole squares
cost what they are. A call is admitted while the bucket is not empty, and what it takes beyond becomes a debt that later calls
wait for; the error says how long (`data.retryAfter`, seconds). What wallets call is not metered, only its concurrency is:
execution has its own limits, and of each kind of work a client has so many calls under way, whose others wait. The threads that
do the work take it in the order in which it comes: so whoever asks for a thousand blocks waits for himself.

A client is an IPv4 address, or 64 bits of an IPv6 address, since a host has as many of those as it likes. Behind a proxy it is
what the proxy says, if the operator has named the proxy. Clients that are idle and have full buckets are forgotten.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice

from dougong.net.codes import LIMIT_EXCEEDED
from dougong.rpc.errors import RpcError

__all__ = ["Client", "ClientLimits", "Throttle", "TooMany", "address_of", "cost_of", "network_of"]

MOST_CLIENTS = 16_384
MOST_NETWORKS = 4_096  # addresses whose network is remembered
_KIB = 1 << 10

# Work in bytes, beside the reply's own: hashing and reading that a call makes the node do.
_COSTS = {
    "consensus_block": 64 * _KIB,
    "consensus_genesis": 64 * _KIB,
    "consensus_signedHeader": 2 * _KIB,
    "da_axisCells": 64 * _KIB,
    "da_fraudProofs": 4 * _KIB,
    "da_header": 8 * _KIB,
    "da_latest": 0,
    "da_namespace": 64 * _KIB,
    "da_prove": 64 * _KIB,
    "da_sample": 4 * _KIB,
    "da_shares": 256 * _KIB,
    "da_submitFraudProof": 256 * _KIB,
}
# What is not in the table, by its beginning; everything else is not metered.
_FAMILIES = {"da_": 4 * _KIB, "header.": 8 * _KIB, "share.": 64 * _KIB, "blob.": 64 * _KIB}


# Which of a client's places a call takes, by the method's beginning; the first that fits. None: as many as it likes, because what
# bounds them stands elsewhere (the sequencer's door, one search at a time), or because they wait for what others do.
_LANES: tuple[tuple[str, str | None], ...] = (
    ("eth_send", None),
    ("eth_getLogs", None),
    ("eth_getFilterLogs", None),
    ("ots_search", None),
    ("eth_call", "executions"),
    ("eth_estimateGas", "executions"),
    ("eth_fillTransaction", "executions"),
    ("eth_simulate", "executions"),
    ("eth_getProof", "executions"),
    ("eth_getStorageValues", "executions"),
    ("eth_feeHistory", "executions"),
    ("ots_getBlockTransactions", "executions"),
    ("ots_getTransactionBySenderAndNonce", "executions"),
    ("txpool_content", "executions"),
    ("txpool_inspect", "executions"),
    ("debug_trace", "traces"),
    ("trace_", "traces"),
    ("eth_createAccessList", "traces"),
    ("ots_trace", "traces"),
    ("ots_getInternalOperations", "traces"),
    ("ots_getTransactionError", "traces"),
    ("ots_getContractCreator", "traces"),
    ("eth_", "reads"),
    ("erigon_", "reads"),
    ("ots_", "reads"),
    ("debug_", "reads"),
)


@cache
def _lane_of(method: str) -> str | None:
    return next((lane for beginning, lane in _LANES if method.startswith(beginning)), None)


def cost_of(method: str) -> int:
    """What a call of the method takes before its reply, in bytes; 0 where nothing is metered."""
    if method in _COSTS:
        return _COSTS[method]
    return next((cost for family, cost in _FAMILIES.items() if method.startswith(family)), 0)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Of one client: `bytes_per_s` (0: as many as it likes) and `burst_bytes` of metered calls, how many `calls` of those run and
    how many HTTP `requests` are under way at a time; how many WebSocket `connections`, `subscriptions` and `filters` it has
    (those of many criteria count as several); how many of its `executions`, `traces` and `reads` are under way at a time."""

    bytes_per_s: int = 32 << 20
    burst_bytes: int = 256 << 20
    calls: int = 32
    requests: int = 256
    connections: int = 256
    subscriptions: int = 4_096
    filters: int = 1_024
    executions: int = 2
    traces: int = 1
    reads: int = 64


class TooMany(RpcError):
    """More requests under way than one client may have: HTTP status 429. `retry_after` in seconds."""

    def __init__(self, most: int, what: str = "requests of yours are under way") -> None:
        super().__init__(LIMIT_EXCEEDED, f"more than {most} {what}", {"retryAfter": 1})
        self.retry_after = 1


class Client:
    """One client's bucket and what it has under way."""

    def __init__(self, limits: ClientLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._tokens = float(limits.burst_bytes)
        self._filled_at = clock()
        self._places = asyncio.Semaphore(limits.calls)
        self._lanes = {lane: asyncio.Semaphore(getattr(limits, lane)) for lane in ("executions", "traces", "reads")}
        self.searching = asyncio.Lock()
        """Held while it searches many blocks: one search at a time, so that each client's comes in its turn."""
        self._requests = 0
        self._held: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        return self._requests == 0 and not self._held and self._level() >= self._limits.burst_bytes

    @contextmanager
    def request(self) -> Iterator[None]:
        """Raises `TooMany`."""
        if self._requests >= self._limits.requests:
            raise TooMany(self._limits.requests)
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Raises `TooMany`."""
        most = self._limits.connections
        if self._held["connections"] >= most:
            raise TooMany(most, "connections of yours are open")
        self._held["connections"] += 1
        try:
            yield
        finally:
            self._give("connections", 1)

    def subscribe(self, weight: int) -> None:
        """Raises `RpcError`. What it takes `unsubscribe` gives back; likewise for filters."""
        self._take_some("subscriptions", weight, self._limits.subscriptions)

    def unsubscribe(self, weight: int) -> None:
        self._give("subscriptions", weight)

    def install(self, weight: int) -> None:
        self._take_some("filters", weight, self._limits.filters)

    def uninstall(self, weight: int) -> None:
        self._give("filters", weight)

    def _take_some(self, kind: str, weight: int, most: int) -> None:
        if self._held[kind] + weight > most:
            raise RpcError(LIMIT_EXCEEDED, f"you may have at most {most} {kind}")
        self._held[kind] += weight

    def _give(self, kind: str, weight: int) -> None:
        self._held[kind] -= weight
        if not self._held[kind]:
            del self._held[kind]

    @asynccontextmanager
    async def call(self, method: str) -> AsyncIterator[Callable[[int], None]]:
        """Raises `RpcError` with the seconds to wait when the bucket is empty. What it yields takes the reply's size."""
        cost = cost_of(method)
        if not cost or not self._limits.bytes_per_s:
            lane = _lane_of(method)
            async with nullcontext() if lane is None else self._lanes[lane]:
                yield _free
            return
        async with self._places:
            level = self._level()
            if level <= 0:
                wait = round((cost - level) / self._limits.bytes_per_s + 0.05, 2)
                raise RpcError(
                    LIMIT_EXCEEDED, f"you have had your share of this node: come back in {wait} s", {"retryAfter": wait}
                )
            self._tokens = level - cost
            yield self._take

    def _take(self, size: int) -> None:
        self._tokens -= size

    def _level(self) -> float:
        now = self._clock()
        self._tokens = min(float(self._limits.burst_bytes), self._tokens + (now - self._filled_at) * self._limits.bytes_per_s)
        self._filled_at = now
        return self._tokens


def _free(size: int) -> None:
    pass


class Throttle:
    """The clients of one server."""

    def __init__(self, limits: ClientLimits | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or ClientLimits()
        self._clock = clock
        self._clients: OrderedDict[str, Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def client(self, address: str) -> Client:
        key = network_of(address)
        found = self._clients.get(key)
        if found is None:
            self._forget()
            found = self._clients[key] = Client(self._limits, self._clock)
        self._clients.move_to_end(key)
        return found

    def _forget(self) -> None:
        """Looks at the two that were away longest: so the table shrinks faster than it grows. Nobody in debt is forgotten while
        there is room."""
        for key in list(islice(self._clients, 2)):
            if self._clients[key].idle or len(self._clients) >= MOST_CLIENTS:
                del self._clients[key]


def address_of(peer: str, forwarded: str, proxies: Collection[str]) -> str:
    """Who asks: the socket's address, or where that is a named proxy, the last one in X-Forwarded-For that is not."""
    if peer not in proxies:
        return peer
    for hop in reversed(forwarded.split(",")):
        if hop.strip() and hop.strip() not in proxies:
            return hop.strip()[:64]
    return peer


@lru_cache(MOST_NETWORKS)
def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, 64 bits of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
