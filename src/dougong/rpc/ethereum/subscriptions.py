"""`eth_subscribe` and `eth_unsubscribe`, over WebSockets.

Source: go-ethereum `eth/filters/api.go`, `rpc/subscription.go` for codes and words. Topics: newHeads, logs,
newPendingTransactions (hashes, or whole transactions with `true`), syncing. Deviations: `syncing` is told at once that the node
is not, a log subscription may name numbers as its fromBlock and toBlock, and no past log is sent. A subscription belongs to its
connection: no other one can end it, and it ends with it.
"""

from __future__ import annotations

import secrets
from typing import Any

from dougong.errors import InvalidInput
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED, METHOD_NOT_FOUND, SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.criteria import Criteria
from dougong.rpc.ethereum.events import Events, Listener
from dougong.rpc.params import read_block, read_bool, read_object, read_quantity
from dougong.rpc.protocol import Methods, Notifier, Param

__all__ = ["SUBSCRIPTIONS_IN_ALL", "bounds", "subscription_methods"]

SUBSCRIPTIONS_IN_ALL = 65_536


def subscription_methods(events: Events) -> Methods:
    """By HTTP they are refused; a connection has its own."""
    methods = Methods()

    async def refuse(*arguments: object) -> object:
        raise RpcError(METHOD_NOT_FOUND, "notifications not supported")

    topic, options, name = Param("subscription", _text), Param("options", lambda value: value, None), Param("id", _text)
    methods.add("eth_subscribe", refuse, topic, options)
    methods.add("eth_unsubscribe", refuse, name)

    def connected(notifier: Notifier) -> Methods:
        own = _Subscriptions(events, notifier)
        notifier.at_end(own.end)
        methods = Methods()
        methods.add("eth_subscribe", own.subscribe, topic, options)
        methods.add("eth_unsubscribe", own.unsubscribe, name)
        return methods

    methods.on_socket(connected)
    return methods


class _Subscriptions:
    """Those of one connection."""

    def __init__(self, events: Events, notifier: Notifier) -> None:
        self._events = events
        self._notifier = notifier
        self._open: dict[str, Listener] = {}

    async def subscribe(self, topic: str, options: object) -> str:
        listener = self._listener(topic, options)
        weight = listener.weight
        if self._events.weight + weight > SUBSCRIPTIONS_IN_ALL:
            raise RpcError(LIMIT_EXCEEDED, "too many subscriptions are open: try again")
        self._notifier.client.subscribe(weight)
        self._open[listener.id] = listener
        self._events.listen(listener)
        if topic == "syncing":
            listener.tell(b"false")
        return listener.id

    async def unsubscribe(self, name: str) -> bool:
        listener = self._open.pop(name, None)
        if listener is None:
            raise RpcError(SERVER_ERROR, "subscription not found")
        self._close(listener)
        return True

    def end(self) -> None:
        for listener in self._open.values():
            self._close(listener)
        self._open.clear()

    def _close(self, listener: Listener) -> None:
        self._events.unlisten(listener)
        self._notifier.client.unsubscribe(listener.weight)

    def _listener(self, topic: str, options: object) -> Listener:
        name = f"0x{secrets.token_hex(16)}"
        if topic == "logs":
            given = {} if options is None else read_object(options)
            if given.get("blockHash") is not None:
                raise RpcError(INVALID_PARAMS, "cannot subscribe to the logs of one block")
            first, last = bounds(given)
            return Listener(name, self._notifier, "logs", Criteria.read(given), first, last)
        if topic == "newPendingTransactions":
            whole = options is not None and read_bool(options)
            return Listener(name, self._notifier, "transactions" if whole else "hashes")
        if topic in ("newHeads", "syncing"):
            return Listener(name, self._notifier, "heads" if topic == "newHeads" else topic)
        raise RpcError(METHOD_NOT_FOUND, f'no "{topic[:40]}" subscription in eth namespace')


def bounds(given: dict[str, Any]) -> tuple[int, int | None]:
    """First and last block that criteria for blocks to come name; tags bound nothing."""
    ends = []
    for key in ("fromBlock", "toBlock"):
        end = given.get(key)
        if end is not None and not isinstance(end, str):
            raise InvalidInput(f"{key} is no block number or tag")
        if end is not None and not end.startswith("0x"):
            read_block(end)  # a tag, and no other text
        ends.append(read_quantity(end) if isinstance(end, str) and end.startswith("0x") else None)
    first, last = ends
    if first is not None and last is not None and first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")
    return first or 0, last


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput("want a string")
    return value
