"""The door of a sequencer: transactions come in together, are decoded together, and wait for one decision together.

    admission = Admission(max_waiting=20_000, tx_bytes=128 << 10, admit=admit)
    [outcome, ...] = await admission.submit_many(raws)      # a hash, or why not

`admit` decides on a group of decoded transactions: it gives each its `outcome`. One group is under way at a time; what comes
meanwhile is the next one, so that a disk write serves many. A large request is decoded beside the group before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from dougong._native import TxInfo, decode_transactions
from dougong.errors import DougongError, InvalidTransaction, Rejected, Unavailable
from dougong.services.threads import in_thread

__all__ = ["Admission", "Submission"]

_GROUP = 2_048  # transactions that are admitted, and written, together
_DECODED_FIRST = 32  # in one request: worth a thread's turn of their own


@dataclass(slots=True, eq=False)
class Submission:
    """A transaction on its way in. `outcome`: its hash once it is durable, or why it was refused."""

    raw: bytes
    info: TxInfo | None = None
    outcome: bytes | DougongError | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """What came together."""

    submissions: Sequence[Submission]
    decided: asyncio.Future[None]


class Admission:
    """At most `max_waiting` transactions wait for a decision; the others are refused before anything is computed of them."""

    def __init__(self, *, max_waiting: int, tx_bytes: int, admit: Callable[[Sequence[Submission]], Awaitable[None]]) -> None:
        self._max_waiting = max_waiting
        self._tx_bytes = tx_bytes
        self._admit = admit
        self._requests: deque[_Request] = deque()
        self._waiting = 0  # submissions that are not being admitted yet
        self._admitting: asyncio.Task[None] | None = None

    async def submit_many(self, raws: Sequence[bytes]) -> list[bytes | DougongError]:
        """Each one's hash once it is durable, or the error that refuses it."""
        submissions = [Submission(bytes(raw)) for raw in raws]
        queued: list[Submission] = []
        for submission in submissions:
            size = len(submission.raw)
            if self._waiting + len(queued) >= self._max_waiting:
                submission.outcome = Rejected("the sequencer is busy", remedy="send again in a moment")
            elif size > self._tx_bytes:
                submission.outcome = InvalidTransaction(f"oversized data: transaction size {size}, limit {self._tx_bytes}")
            else:
                queued.append(submission)
        if queued:
            await self._queue(queued)
        return [submission.outcome or _unknown() for submission in submissions]

    async def _queue(self, submissions: Sequence[Submission]) -> None:
        """Returns once each has its outcome."""
        loop = asyncio.get_running_loop()
        self._waiting += len(submissions)
        if len(submissions) >= _DECODED_FIRST:
            try:
                await _decode(submissions)
            except BaseException:
                self._waiting -= len(submissions)
                raise
        request = _Request(submissions, loop.create_future())
        self._requests.append(request)
        if self._admitting is None:
            self._admitting = loop.create_task(self._admit_groups())
        await request.decided

    async def _admit_groups(self) -> None:
        try:
            while self._requests:
                requests = [self._requests.popleft()]
                group = list(requests[0].submissions)
                while self._requests and len(group) + len(self._requests[0].submissions) <= _GROUP:
                    requests.append(self._requests.popleft())
                    group += requests[-1].submissions
                self._waiting -= len(group)
                try:
                    await self._decide(group)
                except BaseException as error:
                    for submission in group:
                        submission.outcome = submission.outcome or Unavailable(f"the transaction was not taken: {error!r}")
                    if not isinstance(error, Exception):
                        raise
                finally:
                    for request in requests:
                        if not request.decided.done():
                            request.decided.set_result(None)
        finally:
            self._admitting = None

    async def _decide(self, group: Sequence[Submission]) -> None:
        fresh = [submission for submission in group if submission.info is None and submission.outcome is None]
        if fresh:
            await _decode(fresh)
        await self._admit([submission for submission in group if submission.outcome is None])


async def _decode(submissions: Sequence[Submission]) -> None:
    """On all cores. What is no transaction has its outcome."""
    infos = await in_thread(decode_transactions, [submission.raw for submission in submissions])
    for submission, info in zip(submissions, infos, strict=True):
        if isinstance(info, str):
            submission.outcome = InvalidTransaction(info)
        else:
            submission.info = info


def _unknown() -> DougongError:
    return Unavailable("the transaction was not taken: its outcome is unknown")
