"""The bad-encoding proofs that a node has seen: checked, on disk, and handed on.

    book = FraudProofs(store, square.header)
    await book.submit(proof)                        # raises InvalidProof; True the first time
    await book.proofs(1)                            # for da_fraudProofs

A block that is proven bad ends its chain for whoever knows: nothing above it counts. So one proof is kept for a height, no new
one above the lowest, and a few in all: whatever validators sign, and in whatever order it is told, this book stays small.

Who might cheat: a peer with a false proof (refused, after the work of one axis), with many of them (few are checked at a time,
the others are told to come back), with one against a block that this node cannot know (`NotFound`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from dougong.availability.square.fraud import BadBlock, decode_bad_encoding, encode_bad_encoding, verify_bad_encoding
from dougong.errors import InvalidInput, StoreCorrupt, Unavailable
from dougong.services.threads import in_thread
from dougong.store import Store, height_key
from dougong.types import BadEncodingProof, SquareHeader

__all__ = ["FRAUD_TABLES", "FraudProofs"]

_PROOFS = "fraud_proofs"
FRAUD_TABLES = (_PROOFS,)

MOST_AT_ONCE = 4  # proofs from others that are being checked
MOST_KEPT = 4


class FraudProofs:
    """`store` holds the tables in `FRAUD_TABLES`; `header` gives the checked header of a height, and raises `NotFound`."""

    def __init__(
        self,
        store: Store,
        header: Callable[[int], Awaitable[SquareHeader]],
        *,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """Raises `StoreCorrupt`."""
        self._store = store
        self._header = header
        self._log = log or structlog.get_logger()
        self._checking = 0
        self._keeping = asyncio.Lock()
        self._kept: dict[int, BadEncodingProof] = {}
        for key, raw in store.items(_PROOFS):
            try:
                self._kept[int.from_bytes(key)] = decode_bad_encoding(raw)
            except InvalidInput as error:
                raise StoreCorrupt(f"a kept fraud proof does not read: {error}", remedy="remove the service's folder") from error

    @property
    def lowest(self) -> BadEncodingProof | None:
        """The proof against the lowest bad block, if any is known."""
        return self._kept[min(self._kept)] if self._kept else None

    def check(self, height: int) -> None:
        """Raises `BadBlock` if the block, or one below it, is proven bad."""
        lowest = self.lowest
        if lowest is not None and lowest.height <= height:
            raise BadBlock(lowest)

    async def proofs(self, height: int) -> tuple[BadEncodingProof, ...]:
        """Those kept against blocks from `height` on, lowest first."""
        return tuple(self._kept[known] for known in sorted(self._kept) if known >= height)

    async def submit(self, proof: BadEncodingProof) -> bool:
        """Keeps a proof, durably; whether it is new and lower than those known. Raises `InvalidProof`; `NotFound` for a block
        that this node does not know; `Unavailable` while it checks too many others."""
        if self._known(proof):
            return False
        if self._checking >= MOST_AT_ONCE:
            raise Unavailable(f"{self._checking} fraud proofs are being checked", remedy="offer it again in a moment")
        self._checking += 1
        try:
            header = await self._header(proof.height)
            await in_thread(verify_bad_encoding, header, proof)
            async with self._keeping:
                if self._known(proof):  # another one was faster
                    return False
                beyond = sorted(self._kept)[MOST_KEPT - 1 :]  # the others say enough
                await in_thread(self._put, proof, beyond)
                self._kept[proof.height] = proof
                for height in beyond:
                    del self._kept[height]
        finally:
            self._checking -= 1
        self._log.error(
            "a block is proven to be badly encoded",
            height=proof.height,
            axis=proof.axis,
            index=proof.index,
            cells=len(proof.cells),
        )
        return True

    def _known(self, proof: BadEncodingProof) -> bool:
        return bool(self._kept) and min(self._kept) <= proof.height

    def _put(self, proof: BadEncodingProof, beyond: list[int]) -> None:
        with self._store.write() as txn:
            txn.put(_PROOFS, height_key(proof.height), encode_bad_encoding(proof))
            for height in beyond:
                txn.delete(_PROOFS, height_key(height))
