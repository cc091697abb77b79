"""The settlement inbox as a sequencer reads it: messages deep enough not to be taken back, in order.

    inbox = Inbox(settlement, rollup_id=1, confirmations=2)
    await inbox.run()                                # polls until cancelled; another task reads
    messages = inbox.after(position)                 # confirmed ones, from `position` on

A settlement node that does not answer only delays messages: the sequencer goes on making blocks of its own transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from dougong.errors import Rejected, Unavailable
from dougong.types import InboxMessage

__all__ = ["Inbox", "InboxReader"]


class InboxReader(Protocol):
    """The part of `Settlement` that the inbox needs, and the settlement chain's height."""

    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]: ...

    async def height(self) -> int:
        """The settlement chain's latest block number."""
        ...


class Inbox:
    """Keeps confirmed messages from the last position asked for on."""

    def __init__(
        self,
        settlement: InboxReader,
        *,
        rollup_id: int,
        confirmations: int = 0,
        poll_s: float = 0.25,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._settlement = settlement
        self._rollup_id = rollup_id
        self._confirmations = confirmations
        self._poll_s = poll_s
        self._log = log or structlog.get_logger()
        self._start = 0
        self._confirmed: list[InboxMessage] = []
        self._seen: list[tuple[int, InboxMessage]] = []  # (settlement height at which it was first seen, message)
        self._on_message: list[Callable[[], None]] = []

    def on_message(self, wake: Callable[[], None]) -> None:
        self._on_message.append(wake)

    def after(self, position: int) -> Sequence[InboxMessage]:
        """Confirmed messages with index `position` and above. Going back (a rollback) reads them anew."""
        if position < self._start or position > self._start + len(self._confirmed):
            self._start, self._confirmed, self._seen = position, [], []
        elif position > self._start:
            del self._confirmed[: position - self._start]
            self._start = position
        return tuple(self._confirmed)

    async def run(self) -> None:
        away = False
        while True:
            try:
                await self.poll()
                if away:
                    self._log.info("settlement answers again", rollup=self._rollup_id)
                away = False
            except (Unavailable, Rejected) as error:
                if not away:
                    self._log.warning("settlement does not answer: no inbox messages until it does", error=str(error))
                away = True
            await asyncio.sleep(self._poll_s * (8 if away else 1))

    async def poll(self) -> None:
        """Reads what is new. A message that changed since it was first seen counts as seen now."""
        start = self._start + len(self._confirmed)
        height = await self._settlement.height() if self._confirmations else 0
        found = await self._settlement.messages(self._rollup_id, start)
        if start != self._start + len(self._confirmed):
            return  # the position moved meanwhile: the next poll reads from there
        before = {message: seen for seen, message in self._seen}
        self._seen = [(before.get(message, height), message) for message in found]
        ready = 0
        while ready < len(self._seen) and height - self._seen[ready][0] >= self._confirmations:
            ready += 1
        if ready:
            self._confirmed += [message for _, message in self._seen[:ready]]
            del self._seen[:ready]
            for wake in self._on_message:
                wake()
