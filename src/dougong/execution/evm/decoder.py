"""Decodes transactions and recovers their senders on all cores, for many callers at once.

    decoder = Decoder()
    info = await decoder.decode(raw)         # calls that come together share one trip to the Rust core

Recovering a sender takes tens of microseconds, a trip to a thread as much again: what arrives while a trip is under way waits for
the next one. Answers come in the order of the calls, so transactions keep the order in which they were sent.
"""

from __future__ import annotations

import asyncio

from dougong._native import TxInfo, decode_transactions
from dougong.errors import InvalidTransaction

__all__ = ["Decoder"]

MOST_AT_ONCE = 4_096


class Decoder:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[bytes, asyncio.Future[TxInfo | str]]] = []
        self._working: asyncio.Task[None] | None = None

    async def decode(self, raw: bytes) -> TxInfo:
        """Raises `InvalidTransaction`, which says why these bytes are none."""
        answer: asyncio.Future[TxInfo | str] = asyncio.get_running_loop().create_future()
        self._waiting.append((raw, answer))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        info = await answer
        if isinstance(info, str):
            raise InvalidTransaction(info)
        return info

    async def _work(self) -> None:
        group: list[tuple[bytes, asyncio.Future[TxInfo | str]]] = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                decoded = await asyncio.to_thread(decode_transactions, [raw for raw, _ in group])
                for (_, answer), info in zip(group, decoded, strict=True):
                    if not answer.done():
                        answer.set_result(info)
        except BaseException as error:
            for _, answer in group + self._waiting:
                if not answer.done():
                    answer.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            self._waiting = []
            raise
        finally:
            self._working = None
