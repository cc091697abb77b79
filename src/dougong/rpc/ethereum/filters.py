"""Filters: what happened since the last question, for callers who ask again and again.

Source: go-ethereum `eth/filters/api.go`, for codes and words. A filter is a place in the chain's way (`Following`), not a heap of
what happened since: one that nobody asks costs as much as one that is asked, and all of them end `EXPIRY_SECONDS` after the last
question. What came and went in between is left out; what was told and has gone comes first, `removed: true`, the last log first.

Its id is 128 random bits, so that nobody can guess another's. Deviations from geth: an answer holds at most as many logs as
one of eth_getLogs, and the rest comes with the next question; a filter that fell too far behind is gone.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dougong.errors import InvalidInput
from dougong.net.codes import LIMIT_EXCEEDED, SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.criteria import SPAN, Criteria
from dougong.rpc.ethereum.events import Events
from dougong.rpc.ethereum.following import LogItem, Lost, Step
from dougong.rpc.ethereum.logs import LogReader
from dougong.rpc.ethereum.subscriptions import bounds
from dougong.rpc.params import hex_data, read_hash, read_object
from dougong.rpc.protocol import Methods, Param
from dougong.rpc.throttle import Client

__all__ = ["EXPIRY_SECONDS", "Filters", "filter_methods"]

EXPIRY_SECONDS = 300.0
FILTERS_IN_ALL = 16_384


@dataclass(eq=False, slots=True)
class _Filter:
    """`place` counts steps of the chain, or transactions that waited; `span` is what the criteria said of blocks. Nothing else of
    what was sent is kept: it may have been long."""

    client: Client | None
    weight: int
    place: int
    asked: float
    span: dict[str, Any] | None = None
    criteria: Criteria | None = None
    first: int = 0
    last: int | None = None
    is_waiting: bool = False


class Filters:
    """One chain's."""

    def __init__(self, chain: Chain, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._events = events
        self._logs = LogReader(chain)
        self._most_logs = chain.options.logs
        self._clock = clock
        self._filters: OrderedDict[str, _Filter] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._filters)

    async def new_logs(self, client: Client | None, given: dict[str, Any]) -> str:
        criteria = Criteria.read(given)
        if given.get("blockHash") is not None:
            read_hash(given["blockHash"])
        first, last = (0, None) if given.get("blockHash") is not None else bounds(given)
        span = {key: given[key] for key in SPAN if given.get(key) is not None}
        made = _Filter(client, criteria.weight, 0, 0.0, span, criteria, first, last)
        return await self._install(made)

    async def new_blocks(self, client: Client | None) -> str:
        return await self._install(_Filter(client, 1, 0, 0.0))

    async def new_waiting(self, client: Client | None) -> str:
        return await self._install(_Filter(client, 1, 0, 0.0, is_waiting=True))

    async def uninstall(self, name: str) -> bool:
        self._expire()
        return self._drop(name)

    async def all_logs(self, name: str) -> object:
        found = self._find(name)
        if found.span is None or found.criteria is None:
            raise _not_found()
        return await self._logs.find(found.client, found.criteria, found.span)

    async def changes(self, name: str) -> object:
        found = self._find(name)
        try:
            if found.is_waiting:
                return self._new_waiting(found)
            await self._events.advance()
            if found.criteria is None:
                return self._new_blocks(found)
            return await self._new_logs(found, found.criteria)
        except Lost as error:
            self._drop(name)
            raise _not_found() from error

    # --- what changed -------------------------------------------------------------------------------------------------

    def _new_waiting(self, found: _Filter) -> list[str]:
        missed = self._events.waiting_total - found.place
        if missed > len(self._events.waiting):
            raise Lost("too many transactions came since")
        found.place = self._events.waiting_total
        hashes = self._events.waiting
        return [hex_data(hashes[at]) for at in range(len(hashes) - missed, len(hashes))]

    def _new_blocks(self, found: _Filter) -> list[str]:
        _, came = net(self._events.following.since(found.place))
        found.place = self._events.following.total
        return [hex_data(step.hash) for _, step in came]

    async def _new_logs(self, found: _Filter, criteria: Criteria) -> object:
        following = self._events.following
        place = following.total
        went, came = net(following.since(found.place))
        parts: list[bytes] = []
        for step in went:
            gone = _select(found, criteria, step, reversed(following.logs(step)))
            parts += [json.replace(b'"removed":false', b'"removed":true', 1) for json in gone]
        for offset, step in came:
            selected = _select(found, criteria, step, await self._logs_of(step))
            if parts and len(parts) + len(selected) > self._most_logs:
                place = found.place + offset
                break
            parts += selected
        found.place = place
        return orjson.Fragment(b"[" + b",".join(parts) + b"]")

    async def _logs_of(self, step: Step) -> Sequence[LogItem]:
        try:
            return self._events.following.logs(step)
        except Lost:
            stored = await self._chain.read(self._chain.evm.block_logs, step.number, step.hash)
            if stored is None:
                raise
            return stored

    # --- filters ------------------------------------------------------------------------------------------------------

    async def _install(self, made: _Filter) -> str:
        self._expire()
        if self._weight + made.weight > FILTERS_IN_ALL:
            raise RpcError(LIMIT_EXCEEDED, "too many filters are there: try again")
        if made.client is not None:
            made.client.install(made.weight)
        self._weight += made.weight
        events = self._events
        events.begin()
        events.users += 1
        events.log_users += made.criteria is not None
        name = f"0x{secrets.token_hex(16)}"
        made.asked = self._clock()
        made.place = events.waiting_total if made.is_waiting else events.following.total
        self._filters[name] = made
        return name

    def _find(self, name: str) -> _Filter:
        self._expire()
        found = self._filters.get(name)
        if found is None:
            raise _not_found()
        found.asked = self._clock()
        self._filters.move_to_end(name)
        return found

    def _expire(self) -> None:
        """They stand in the order of their last questions, so nobody pays for how many there are."""
        limit = self._clock() - EXPIRY_SECONDS
        while self._filters:
            name = next(iter(self._filters))
            if self._filters[name].asked > limit:
                return
            self._drop(name)

    def _drop(self, name: str) -> bool:
        found = self._filters.pop(name, None)
        if found is None:
            return False
        if found.client is not None:
            found.client.uninstall(found.weight)
        self._weight -= found.weight
        self._events.users -= 1
        self._events.log_users -= found.criteria is not None
        self._events.let_go_of_logs()
        return True


def net(steps: Sequence[Step]) -> tuple[list[Step], list[tuple[int, Step]]]:
    """A way without what came and went on it: the blocks that went, and those that came, with their places."""
    went: list[Step] = []
    came: list[tuple[int, Step]] = []
    for place, step in enumerate(steps):
        if not step.removed:
            came.append((place, step))
        elif came:
            came.pop()
        else:
            went.append(step)
    return went, came


def _select(found: _Filter, criteria: Criteria, step: Step, items: Iterable[LogItem]) -> list[bytes]:
    if step.number < found.first or (found.last is not None and step.number > found.last):
        return []
    return [json for address, topics, json in items if criteria.matches(address, topics)]


def _not_found() -> RpcError:
    return RpcError(SERVER_ERROR, "filter not found")


def filter_methods(filters: Filters) -> Methods:
    methods = Methods()
    name = Param("id", _read_id)
    methods.add("eth_newFilter", filters.new_logs, Param("filter", read_object), for_client=True)
    methods.add("eth_newBlockFilter", filters.new_blocks, for_client=True)
    methods.add("eth_newPendingTransactionFilter", filters.new_waiting, for_client=True)
    methods.add("eth_getFilterChanges", filters.changes, name)
    methods.add("eth_getFilterLogs", filters.all_logs, name)
    methods.add("eth_uninstallFilter", filters.uninstall, name)
    return methods


def _read_id(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput("want a filter's id")
    return value
