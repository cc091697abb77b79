"""Checks a DA chain from its genesis hash alone, without downloading it.

    node = await LightNode.open(path, NodeClient(url), genesis_hash)
    await node.run()                                # until cancelled; or `await node.catch_up()` once
    print(node.report())

For every block, in order:

1. its header follows from the one before by the validators' signatures (consensus/light.py);
2. the data root is transaction 0 of the block, and the row and column roots hash to it;
3. random cells of the extended square, chosen here with the system's randomness, are there and proven. Who withholds enough of
   a square that it cannot be put together again is caught by 16 cells in 99 of 100 cases, and by many light nodes surely
   (availability/sampling.py);
4. the data root joins the node's own history of data roots (docs/spec/attestation.md), which is what settlement should know.

A cell that does not come, or comes without a proof, is asked for again; if it stays away the block does not count and
`Withheld` is raised: the node goes no further until it is there. What was checked is on disk before the next block is looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dougong.availability.history import History
from dougong.availability.sampling import DEFAULT_SAMPLES, choose_cells, confidence
from dougong.codec.timestamp import format_time
from dougong.errors import InvalidInput, InvalidProof, StoreCorrupt, Unavailable
from dougong.net.node import NodeClient
from dougong.services.records import pack, unpack
from dougong.services.remote import REMOTE_TABLES, RemoteSquare, check_cell
from dougong.services.threads import in_thread
from dougong.store import Store, height_key
from dougong.types import SquareHeader

__all__ = ["LightConfig", "LightNode", "LightReport", "Withheld"]

_SAMPLED = "sampled"


@dataclass(frozen=True, slots=True)
class LightConfig:
    """`samples` cells of each square; each that does not come is asked for `retries` more times, `retry_s` seconds apart."""

    samples: int = DEFAULT_SAMPLES
    retries: int = 3
    retry_s: float = 0.5
    poll_s: float = 1.0


class Withheld(Unavailable):
    """Cells of a block that its node does not show: the evidence that made this node stop."""

    def __init__(self, height: int, cells: tuple[tuple[int, int], ...], why: str) -> None:
        super().__init__(
            f"block {height} is not available: {len(cells)} sampled cells did not come, the first at {cells[0]}: {why}",
            remedy="ask another node of the DA chain; if none has them, the data was withheld",
        )
        self.height = height
        self.cells = cells


@dataclass(frozen=True, slots=True)
class LightReport:
    """What a light node has checked and what its word still rests on. `confidence` is the least over the blocks sampled: the
    chance that this node alone would have noticed that the block is not available."""

    chain_id: str
    genesis_hash: bytes
    height: int
    cells: int
    confidence: float
    history_root: bytes
    bytes_received: int
    seconds: float
    verified: tuple[str, ...]
    trusted: tuple[str, ...]


@dataclass(slots=True)
class _Sampled:
    """One block that was sampled."""

    data_root: bytes
    square_size: int
    cells: int
    time_ns: int


@dataclass(slots=True)
class _Spent:
    """What the checks cost over all starts."""

    seconds: float = 0.0
    bytes_received: int = 0
    blocks: list[_Sampled] = field(default_factory=list)


class LightNode:
    """One DA chain. Its folder is its memory: verified headers and sampled blocks."""

    def __init__(
        self,
        square: RemoteSquare,
        store: Store,
        config: LightConfig,
        spent: _Spent,
        *,
        clock: Callable[[], float] = time.perf_counter,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self.square = square
        self.history = History()
        self._store = store
        self._config = config
        self._spent = spent
        self._clock = clock
        self._log = log or structlog.get_logger()
        for block in spent.blocks:
            self.history.append(block.data_root)

    @classmethod
    async def open(
        cls,
        path: Path,
        node: NodeClient,
        genesis_hash: bytes,
        config: LightConfig | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> LightNode:
        """Starts from the genesis hash, or goes on where the folder says. Raises `InvalidHeader` if the node serves another
        chain."""
        store = await in_thread(Store, path, (*REMOTE_TABLES, _SAMPLED))
        try:
            square = await RemoteSquare.open(node, genesis_hash, store=store)
            spent = await in_thread(_read, store)
        except BaseException:
            await in_thread(store.close)  # so that it can be opened again
            raise
        return cls(square, store, config or LightConfig(), spent, clock=clock, log=log)

    @property
    def height(self) -> int:
        """The last block that was checked and sampled."""
        return len(self.history)

    async def run(self) -> None:
        """Follows until cancelled. Raises `Withheld`, and `InvalidHeader` when the node's chain does not verify."""
        while True:
            await self.catch_up()
            await asyncio.sleep(self._config.poll_s)

    async def catch_up(self, target: int | None = None) -> int:
        """Checks every block up to `target` (None: all there are); returns the last height checked."""
        last = await self.square.node.latest() if target is None else target
        while self.height < last:
            await self.check_next()
        return self.height

    async def check_next(self) -> SquareHeader:
        """Checks and samples the next block. Raises `Withheld`."""
        started, before = self._clock(), self.square.node.bytes_received
        header = await self.square.header(self.height + 1)
        places = choose_cells(header.square_size, self._config.samples)
        await self._sample(header, places)
        seconds, received = self._clock() - started, self.square.node.bytes_received - before
        block = _Sampled(header.data_root, header.square_size, len(places), header.time_ns)
        await in_thread(self._put, header.height, block, seconds, received)
        self.history.append(header.data_root)
        self._spent.blocks.append(block)
        self._spent.seconds += seconds
        self._spent.bytes_received += received
        return header

    def data_root(self, height: int) -> bytes:
        """Of a block that was checked and sampled. Raises `InvalidInput` beyond."""
        if not 1 <= height <= self.height:
            raise InvalidInput(f"block {height} has not been checked; the last one was {self.height}")
        return self._spent.blocks[height - 1].data_root

    def report(self) -> LightReport:
        genesis = self.square.genesis
        blocks = self._spent.blocks
        cells = sum(block.cells for block in blocks)
        return LightReport(
            chain_id=genesis.chain_id,
            genesis_hash=genesis.hash,
            height=self.height,
            cells=cells,
            confidence=min((confidence(block.cells, block.square_size) for block in blocks), default=0.0),
            history_root=self.history.root(self.height) if blocks else b"",
            bytes_received=self._spent.bytes_received,
            seconds=self._spent.seconds,
            verified=(
                f"{genesis.chain_id}: {self.height} headers from the genesis hash, by their validators' signatures",
                f"{genesis.chain_id}: {self.height} data roots under their headers, {cells} random cells under their roots",
            ),
            trusted=(
                f"{genesis.chain_id}: two thirds of its {len(genesis.validators)} validators' power do not sign two histories",
                f"{genesis.chain_id}: {self.square.node.url} hides no block newer than {self.height}{_made(blocks)}",
                f"{genesis.chain_id}: squares are extended rightly (a full node that extends them again would say so)",
            ),
        )

    async def close(self) -> None:
        await in_thread(self._store.close)

    async def _sample(self, header: SquareHeader, places: list[tuple[int, int]]) -> None:
        missing, why = list(places), ""
        for attempt in range(self._config.retries + 1):
            if attempt:
                await asyncio.sleep(self._config.retry_s)
            missing, why = await self._ask(header, missing)
            if not missing:
                return
        raise Withheld(header.height, tuple(missing), why)

    async def _ask(self, header: SquareHeader, places: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], str]:
        """The places whose cells did not come proven, and why the first did not."""
        try:
            cells = await self.square.node.samples(header.height, places)
            if len(cells) != len(places):
                raise InvalidProof(f"{len(places)} cells were asked for, {len(cells)} came")
            for cell, (row, column) in zip(cells, places, strict=True):
                check_cell(header, cell, row, column)
        except (Unavailable, InvalidInput):
            return await self._ask_singly(header, places)
        return [], ""

    async def _ask_singly(self, header: SquareHeader, places: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], str]:
        missing: list[tuple[int, int]] = []
        why = ""
        for row, column in places:
            try:
                await self.square.sample(header.height, row, column)
            except (Unavailable, InvalidInput) as error:
                missing.append((row, column))
                why = why or str(error)
        return missing, why

    def _put(self, height: int, block: _Sampled, seconds: float, received: int) -> None:
        record = {
            "data_root": block.data_root,
            "square_size": block.square_size,
            "cells": block.cells,
            "time_ns": block.time_ns,
            "seconds": seconds,
            "bytes": received,
        }
        with self._store.write() as txn:
            txn.put(_SAMPLED, height_key(height), pack(record))


def _made(blocks: list[_Sampled]) -> str:
    return f", made at {format_time(blocks[-1].time_ns)}" if blocks else ""


def _read(store: Store) -> _Spent:
    spent = _Spent()
    for key, raw in store.items(_SAMPLED):
        if int.from_bytes(key) != len(spent.blocks) + 1:
            raise StoreCorrupt("the light node's sampled blocks have a gap", remedy="remove its folder: it will sample again")
        record = unpack(raw)
        data_root = bytes.fromhex(record["data_root"])
        spent.blocks.append(_Sampled(data_root, record["square_size"], record["cells"], record["time_ns"]))
        spent.seconds += record["seconds"]
        spent.bytes_received += record["bytes"]
    return spent
