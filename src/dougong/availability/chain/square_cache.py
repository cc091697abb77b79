"""Extended squares by the transactions that make them: each is computed once, however many ask, and the latest are kept.

cache = SquareCache(max_square_size=64)
laid_out = await cache.get(txs)                 # raises InvalidInput if they make no square
laid_out.served.header.data_root
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dougong.availability.square.layout import Square, construct_square
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.shares import SHARE_BYTES
from dougong.crypto.hashing import sha256

DEFAULT_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class LaidOut:
    """An original square and its extension (whose header has no height and time yet)."""

    square: Square
    served: ServedSquare

    def at(self, height: int, time_ns: int) -> ServedSquare:
        return replace(self.served, header=replace(self.served.header, height=height, time_ns=time_ns))

    @property
    def size_bytes(self) -> int:
        """The cells, and the shares that they were made of."""
        return 5 * self.square.size**2 * SHARE_BYTES


def lay_out(square: Square) -> LaidOut:
    """Extends and hashes: milliseconds to a second. Raises `InvalidInput`."""
    return LaidOut(square, ServedSquare.extend(square.data, height=0, time_ns=0))


class SquareCache:
    """The last squares, up to `cache_bytes` together but at least one. `lay_out` extends them: another than the honest one is for
    attack drills."""

    def __init__(
        self,
        max_square_size: int,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        *,
        lay_out: Callable[[Square], LaidOut] = lay_out,
    ) -> None:
        self._max_square_size = max_square_size
        self._lay_out = lay_out
        self._cache_bytes = cache_bytes
        self._kept: OrderedDict[bytes, LaidOut] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[LaidOut]] = {}

    async def get(self, txs: Sequence[bytes]) -> LaidOut:
        """The square of a block's transactions (without the data root). Raises `InvalidInput` if they make none."""
        key = _key(txs)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(asyncio.to_thread(self._make, tuple(txs)))
            task.add_done_callback(lambda done: self._finished(key, done))
        # One caller's cancellation is not the others'.
        return await asyncio.shield(task)

    def put(self, txs: Sequence[bytes], laid_out: LaidOut) -> None:
        self._keep(_key(txs), laid_out)

    def _keep(self, key: bytes, laid_out: LaidOut) -> None:
        self._kept[key] = laid_out
        while len(self._kept) > 1 and sum(kept.size_bytes for kept in self._kept.values()) > self._cache_bytes:
            self._kept.popitem(last=False)

    def _make(self, txs: tuple[bytes, ...]) -> LaidOut:
        return self._lay_out(construct_square(txs, self._max_square_size))

    def _finished(self, key: bytes, done: asyncio.Task[LaidOut]) -> None:
        del self._under_way[key]
        if not done.cancelled() and done.exception() is None:
            self._keep(key, done.result())


def _key(txs: Sequence[bytes]) -> bytes:
    return sha256(*(sha256(tx) for tx in txs))
