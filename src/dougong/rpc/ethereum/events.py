"""What happens on a chain, told to all who listen: new heads, logs, transactions that wait.

    events = Events(chain)
    events.listen(Listener("0x1", notifier, "heads"))
    events.unlisten(listener)

Source: go-ethereum `eth/filters/filter_system.go`. One task follows the chain while anybody listens or has a filter, and encodes
what happened once for all of them. A block that goes is told by its logs alone (`removed: true`), the last first; then come the
heads and logs of the blocks that stand in its place.

Nobody waits for anybody: a listener who does not read is cut off by his connection, and where more happens than can be told
(`Lost`) the listeners that would miss it are cut off, and filters are gone. Transactions that wait are told of as far as there
is time: they come faster than blocks, and a listener who missed one sees it in a block.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
import structlog

from dougong.errors import NotFound
from dougong.execution.evm.pool import PooledTransaction
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.criteria import Criteria, LogTable
from dougong.rpc.ethereum.following import KEPT_BYTES, WINDOW, Following, Lost, Step
from dougong.rpc.ethereum.pending import pending_json
from dougong.rpc.params import hex_data
from dougong.rpc.protocol import Notifier

__all__ = ["Events", "Listener"]

AT_A_TIME = 256
"""Listeners who are told something before anyone else has a turn."""
WAITING_TOLD = 8_192
RETRY_SECONDS = 0.5
TAIL = b"}}"


@dataclass(eq=False, slots=True)
class Listener:
    """One subscription: its id, its connection, its topic (heads, logs, hashes, transactions or syncing)."""

    id: str
    notifier: Notifier
    topic: str
    criteria: Criteria | None = None
    first: int = 0
    last: int | None = None
    head: bytes = field(init=False)
    is_open: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        name = orjson.dumps(self.id)
        self.head = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":' + name + b',"result":'

    @property
    def weight(self) -> int:
        return 1 if self.criteria is None else self.criteria.weight

    def tell(self, body: bytes) -> None:
        if self.is_open:
            self.notifier.notify(self.head, body, TAIL)

    def wants(self, number: int) -> bool:
        return self.first <= number and (self.last is None or number <= self.last)


class Events:
    """One chain's. `users` counts the filters that want `following` to go on, `log_users` those of them that want logs;
    `weight` is that of all listeners."""

    def __init__(self, chain: Chain, *, window: int = WINDOW, kept_bytes: int = KEPT_BYTES) -> None:
        """`window` bounds how many blocks may go at a time, `kept_bytes` the logs that can be told as removed."""
        self._chain = chain
        self._topics: dict[str, dict[Listener, None]] = {name: {} for name in ("heads", "hashes", "transactions", "syncing")}
        self._logs: LogTable[Listener] = LogTable()
        self.following = Following(chain, self._wants_logs, window=window, kept_bytes=kept_bytes)
        self.users = 0
        self.log_users = 0
        self.weight = 0
        self.advancing = asyncio.Lock()
        self.waiting: deque[bytes] = deque(maxlen=2 * WAITING_TOLD)
        self.waiting_total = 0
        self._to_tell: deque[PooledTransaction] = deque(maxlen=WAITING_TOLD)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_watching = False

    def listen(self, listener: Listener) -> None:
        self.begin()
        self.weight += listener.weight
        if listener.topic == "logs":
            assert listener.criteria is not None
            self._logs.add(listener.criteria, listener)
        else:
            self._topics[listener.topic][listener] = None

    def unlisten(self, listener: Listener) -> None:
        listener.is_open = False
        self.weight -= listener.weight
        if listener.criteria is not None:
            self._logs.remove(listener.criteria, listener)
            self.let_go_of_logs()
        else:
            self._topics[listener.topic].pop(listener, None)

    def begin(self) -> None:
        """Follows the chain from its present head on, if nobody did."""
        if not self._is_watching:
            self._is_watching = True
            self._chain.backend.watch(self._news.set)
            if self._chain.backend.pool is not None:
                self._chain.backend.pool.watch(self._on_taken)
        if self._task is None or self._task.done():
            self.following.start()
            self._task = asyncio.get_running_loop().create_task(self._run())

    def let_go_of_logs(self) -> None:
        if not self._wants_logs():
            self.following.forget_logs()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def advance(self) -> None:
        """Tells all that happened until now."""
        async with self.advancing:
            try:
                async for step in self.following.advance():
                    await self._tell_step(step)
            except Lost as error:
                structlog.get_logger().warning("eth_subscribe: listeners are cut off", reason=str(error))
                for listener in [*self._logs, *(one for topic in self._topics.values() for one in topic)]:
                    listener.notifier.cut()
                self.following.start()
                self.following.total += 1 << 32  # every filter's place is lost

    def _wants_logs(self) -> bool:
        return bool(self._logs) or self.log_users > 0

    def _is_wanted(self) -> bool:
        return self.users > 0 or bool(self._logs) or any(self._topics.values())

    def _on_taken(self, tx: PooledTransaction) -> None:
        if self._task is None or self._task.done():
            return
        if self.users:
            self.waiting.append(tx.hash)
            self.waiting_total += 1
        if self._topics["hashes"] or self._topics["transactions"]:
            self._to_tell.append(tx)
            self._news.set()

    async def _run(self) -> None:
        """Until nobody wants anything."""
        while self._is_wanted():
            try:
                async with asyncio.timeout(60):
                    await self._news.wait()
            except TimeoutError:
                continue
            self._news.clear()
            try:
                await self.advance()
                await self._tell_waiting()
            except Exception as error:  # the store may be closing, or full: what is there now is told once it can be read
                structlog.get_logger().error("eth_subscribe: events are late", exc_info=error)
                await asyncio.sleep(RETRY_SECONDS)
                self._news.set()

    async def _tell_step(self, step: Step) -> None:
        if not step.removed and self._topics["heads"]:
            body = await self._head(step)
            if body is not None:
                await self._tell(self._topics["heads"], body)
        if self._logs:
            try:
                items = self.following.logs(step)
            except Lost:
                for listener in self._logs:
                    listener.notifier.cut()
                return
            told = 0
            for address, topics, json in reversed(items) if step.removed else items:
                body = json.replace(b'"removed":false', b'"removed":true', 1) if step.removed else json
                for listener in self._logs.find(address, topics):
                    if listener.wants(step.number):
                        listener.tell(body)
                    told += 1
                    if told % AT_A_TIME == 0:
                        await asyncio.sleep(0)

    async def _head(self, step: Step) -> bytes | None:
        """None if it has gone meanwhile: then nobody needs to know of it."""
        try:
            body = await self._chain.read(self._chain.evm.header_json, step.number)
        except NotFound:
            return None
        return body if f'"hash":"{hex_data(step.hash)}"'.encode() in body else None

    async def _tell_waiting(self) -> None:
        while self._to_tell:
            tx = self._to_tell.popleft()
            await self._tell(self._topics["hashes"], b'"' + hex_data(tx.hash).encode() + b'"')
            if self._topics["transactions"]:
                shown = await self._chain.read(pending_json, tx.raw)
                await self._tell(self._topics["transactions"], orjson.dumps(shown))

    async def _tell(self, listeners: Iterable[Listener], body: bytes) -> None:
        for told, listener in enumerate(list(listeners), 1):
            listener.tell(body)
            if told % AT_A_TIME == 0:
                await asyncio.sleep(0)
