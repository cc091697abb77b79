"""The two calls that carry a chain's load, answered a request at a time instead of a call at a time.

    methods.lane = Express(chain).answer

A request that is nothing but well-formed eth_sendRawTransaction, or nothing but eth_getTransactionReceipt, is read, decoded,
looked up and written in the Rust core, on all cores and without the GIL. Everything else, and whatever is not beyond doubt, is
the general path's (rpc/protocol.py): the lane then says None, having done nothing. Its replies are byte for byte that path's, but
for the order of a receipt's fields. The same limits hold: a batch's length and its reply's size here, the sequencer's in its
`submit_many`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import orjson
import structlog

from dougong._native import Calls
from dougong.errors import DougongError
from dougong.net.codes import INTERNAL_ERROR
from dougong.rpc.errors import error_of
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.protocol import Limits, Observer

__all__ = ["Express", "TakesMany"]

SEND, RECEIPT = "eth_sendRawTransaction", "eth_getTransactionReceipt"
_NAMES = (f'"{SEND}"'.encode(), f'"{RECEIPT}"'.encode())
_HEAD_BYTES = 256  # a first call that names its method later than this is no common client's
_TX_BYTES = 128 << 10  # of a longer one the general path says what is wrong
_INLINE_BYTES = 4 << 10


@runtime_checkable
class TakesMany(Protocol):
    """A backend that takes transactions together."""

    async def submit_many(self, raws: Sequence[bytes]) -> list[bytes | DougongError]:
        """Each one's hash, durable, or what `EvmBackend.submit` would raise."""
        ...


class Express:
    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._takes_many = chain.backend if isinstance(chain.backend, TakesMany) else None

    async def answer(self, body: bytes, limits: Limits, observe: Observer | None) -> bytes | None:
        """None: this is for the general path."""
        head = body[:_HEAD_BYTES]
        if not any(name in head for name in _NAMES):
            return None
        if len(body) <= _INLINE_BYTES:
            calls = Calls.parse(body, limits.batch, _TX_BYTES)
        else:
            calls = await self._chain.read(Calls.parse, body, limits.batch, _TX_BYTES)
        if calls is None:
            return None
        started = time.perf_counter()
        outcomes: Counter[str] = Counter()
        if calls.method == RECEIPT:
            reply = await self._receipts(calls, limits, outcomes)
        else:
            reply = await self._send(calls, outcomes)
        if observe is not None and reply is not None:
            seconds = time.perf_counter() - started
            for outcome, count in outcomes.items():
                observe(calls.method, outcome, seconds, count)
        return reply

    async def _receipts(self, calls: Calls, limits: Limits, outcomes: Counter[str]) -> bytes | None:
        outcomes["ok"] = len(calls)
        try:
            return await self._chain.read(self._chain.evm.answer_receipts, calls, limits.reply_bytes)
        except DougongError:
            return None  # the general path finds out which of them it is

    async def _send(self, calls: Calls, outcomes: Counter[str]) -> bytes | None:
        if self._takes_many is None:
            return None
        decided: Sequence[bytes | Exception]
        try:
            decided = await self._takes_many.submit_many(calls.transactions())
        except Exception as error:
            decided = [error] * len(calls)
        replies: list[bytes | str] = []
        for outcome in decided:
            if isinstance(outcome, bytes):
                replies.append(outcome)
                continue
            failure = error_of(outcome)
            outcomes[str(failure.code)] += 1
            if failure.code == INTERNAL_ERROR:
                structlog.get_logger().error("rpc call failed", method=SEND, exc_info=outcome)
            replies.append(orjson.dumps(failure.to_json()).decode())
        outcomes["ok"] = len(calls) - outcomes.total()
        return calls.reply(replies)
