"""Checks a DA chain from its genesis hash alone, without downloading it.

    node = await LightNode.open(path, [NodeClient(url), NodeClient(other)], genesis_hash)
    await node.run()                                # until cancelled; or `await node.catch_up()` once
    print(node.report())

For every block, in order:

1. its header follows from the one before, up to one that the validators' signatures prove (consensus/light.py);
2. the data root is transaction 0 of the block, and the row and column roots hash to it;
3. random cells of the extended square, drawn here with the system's randomness, are there and proven. Who withholds enough of a
   square that it cannot be put together again is caught by 16 cells in 99 of 100 cases, and by many light nodes surely
   (availability/square/sampling.py). Blocks older than the sampling window are not sampled: nodes need not hold them any more;
4. the data root joins the node's own history of data roots (docs/spec/attestation.md), which is what settlement should know.

Before all that it asks its peers for proofs that a block is badly encoded; one that holds ends the chain there for ever.

A cell that no peer shows is asked for again; if it stays away an alarm is recorded and `Withheld` is raised. Headers may be
verified beyond, but the node's head stays below the block: nothing above counts while it lasts. Every later try asks for the same
cells; when they come the alarm is cleared, and stays in the record. Spec: docs/spec/light-node.md.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Gauge

from dougong.availability.chain.history import History
from dougong.availability.square.sampling import DEFAULT_SAMPLES, confidence, samples_needed
from dougong.codec.timestamp import NANOSECONDS, format_time
from dougong.errors import InvalidInput, Unavailable
from dougong.net.node import NodeClient
from dougong.services.nodes.peers import PeerConfig, PeerReport
from dougong.services.nodes.rejections import ChainRejected, Rejection
from dougong.services.nodes.remote import REMOTE_TABLES, RemoteSquare
from dougong.services.nodes.sampler import Place, Sampler
from dougong.services.nodes.sampling_record import SAMPLING_TABLES, Alarm, SampledBlock, SamplingRecord
from dougong.services.threads import in_thread
from dougong.store import Store
from dougong.types import SquareHeader

__all__ = ["WEEK_S", "LightConfig", "LightNode", "LightReport", "Withheld"]

WEEK_S = 7 * 86_400.0
_BLOCKS_AT_A_TIME = 64
_SQUARES_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class LightConfig:
    """`samples` cells of each square, as many as celestia-node takes; or, with `confidence` (below 1), as many as find an
    unavailable square out with that chance. Cells that no peer shows are asked for `retries` more times, `retry_s` seconds apart.
    `window_s`: how old a block may be and still be sampled (CIP-36: seven days; 0: any age)."""

    samples: int = DEFAULT_SAMPLES
    confidence: float | None = None
    window_s: float = WEEK_S
    retries: int = 3
    retry_s: float = 0.5
    poll_s: float = 1.0

    def samples_of(self, square_size: int) -> int:
        return self.samples if self.confidence is None else samples_needed(self.confidence, square_size)


class Withheld(Unavailable):
    """Cells of a block that no peer shows: the evidence that made this node stop."""

    def __init__(self, height: int, cells: tuple[Place, ...], why: str) -> None:
        super().__init__(
            f"block {height} is not available: {len(cells)} sampled cells did not come, the first at {cells[0]}: {why}",
            remedy="ask other nodes of the DA chain too; if none has them, the data was withheld",
        )
        self.height = height
        self.cells = cells


@dataclass(frozen=True, slots=True)
class LightReport:
    """What a light node has checked and what its word still rests on. `confidence` is the least over the blocks sampled: the
    chance that this node alone would have noticed that the block is not available. `old` blocks were older than the sampling
    window. `rejection` is why the chain ends below it, for ever."""

    chain_id: str
    genesis_hash: bytes
    height: int
    cells: int
    old: int
    confidence: float
    history_root: bytes
    bytes_received: int
    seconds: float
    alarms: tuple[Alarm, ...]
    rejection: Rejection | None
    peers: tuple[PeerReport, ...]
    verified: tuple[str, ...]
    trusted: tuple[str, ...]


class LightNode:
    """One DA chain. Its folder is its memory: headers, drawn cells, sampled blocks, alarms, rejections, dropped peers."""

    def __init__(
        self,
        square: RemoteSquare,
        store: Store,
        record: SamplingRecord,
        config: LightConfig,
        *,
        clock: Callable[[], float] = time.time,
        registry: CollectorRegistry | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self.square = square
        self.history = History()
        self._store = store
        self._record = record
        self._config = config
        self._clock = clock
        self._sampler = Sampler(square.peers)
        self._advancing = asyncio.Lock()
        self._at_tip = float("-inf")
        chain = square.genesis.chain_id
        self._log = (log or structlog.get_logger()).bind(chain=chain)
        registry = registry or CollectorRegistry()
        self._m_height = Gauge("dougong_light_height", "Blocks checked and sampled", ("chain",), registry=registry).labels(chain)
        self._m_alarms = Gauge("dougong_light_alarms", "Blocks whose data is withheld", ("chain",), registry=registry).labels(
            chain
        )
        self._m_rejected = Gauge("dougong_light_rejected", "Headers proven bad", ("chain",), registry=registry).labels(chain)
        square.rejections.told = self._rejected
        for block in record.blocks:
            self.history.append(block.data_root)
        self._show()

    @classmethod
    async def open(
        cls,
        path: Path,
        nodes: NodeClient | Sequence[NodeClient],
        genesis_hash: bytes,
        config: LightConfig | None = None,
        *,
        peers: PeerConfig | None = None,
        clock: Callable[[], float] = time.time,
        source: random.Random | None = None,
        registry: CollectorRegistry | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> LightNode:
        """Starts from the genesis hash, or goes on where the folder says. `clock` in seconds since 1970; `source` draws the cells
        (None: the system's randomness). Raises `InvalidHeader` if no peer serves this chain."""
        store = await in_thread(Store, path, (*REMOTE_TABLES, *SAMPLING_TABLES))
        try:
            square = await RemoteSquare.open(nodes, genesis_hash, store=store, config=peers, log=log)
            record = await in_thread(SamplingRecord, store, source=source)
        except BaseException:
            await in_thread(store.close)  # so that it can be opened again
            raise
        return cls(square, store, record, config or LightConfig(), clock=clock, registry=registry, log=log)

    @property
    def height(self) -> int:
        """The last block that was checked and sampled, and that is not rejected."""
        first = self.square.rejections.first
        return len(self.history) if first is None else min(len(self.history), first.height - 1)

    async def run(self) -> None:
        """Follows until cancelled; waits for peers that are away and for cells that are withheld. Raises `ChainRejected`, and
        `InvalidHeader` when no peer's chain verifies."""
        while True:
            try:
                await self.catch_up()
            except Unavailable as error:
                self._log.warning("waiting for the data availability layer", error=str(error))
            await asyncio.sleep(self._config.poll_s)

    async def catch_up(self, target: int | None = None) -> int:
        """Checks every block up to `target` (None: all there are); returns the last height checked. Raises `Withheld`,
        `ChainRejected` when the target lies on what is rejected."""
        async with self._advancing:
            rejections = self.square.rejections
            try:
                last = await self.square.latest() if target is None else target
            except ChainRejected as rejected:
                last = rejected.height
            while self.height < last:
                rejections.check(self.height + 1)
                end = last if rejections.first is None else min(last, rejections.first.height - 1)
                await self._advance(min(end, self.height + _BLOCKS_AT_A_TIME), last)
            rejections.check(last)
            if target is None:
                self._at_tip = self._clock()
            return self.height

    def data_root(self, height: int) -> bytes:
        """Of a block that was checked and sampled. Raises `ChainRejected` where it is rejected, `InvalidInput` beyond."""
        self.square.rejections.check(height)
        if not 1 <= height <= self.height:
            raise InvalidInput(f"block {height} has not been checked; the last one was {self.height}")
        return self._record.blocks[height - 1].data_root

    # --- a run of blocks ------------------------------------------------------------------------------------------------

    async def _advance(self, until: int, last: int) -> None:
        """Checks blocks up to `until`. Those before the first that is not available count."""
        started, before = self._clock(), self.square.peers.bytes_received
        headers = await self.square.headers(self.height + 1, until)
        young = [header for header in headers if self._is_young(header) or header.height == last or self._is_missed(header)]
        wanted = [(header, self._config.samples_of(header.square_size)) for header in young]
        drawn = dict(zip((header.height for header in young), await in_thread(self._record.draw, wanted), strict=True))
        room = asyncio.Semaphore(_SQUARES_AT_A_TIME)

        async def sampled(header: SquareHeader) -> tuple[list[Place], str]:
            async with room:
                return await self._sample(header, drawn.get(header.height, []))

        results: list[tuple[list[Place], str]] = []
        tasks = [asyncio.create_task(sampled(header)) for header in headers]
        try:
            for task in tasks:
                results.append(await task)
                if results[-1][0]:  # what is above does not count: not asked for in vain
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        available = headers[: len(results) - 1] if results[-1][0] else headers
        await self._count(available, drawn, self._clock() - started, self.square.peers.bytes_received - before)
        if len(available) < len(headers):
            await self._sound(headers[len(available)], *results[-1])

    def _is_young(self, header: SquareHeader) -> bool:
        """What was not there when this node had all there was is no older than that, whatever its validators say of its time."""
        age = min(self._clock() - header.time_ns / NANOSECONDS, self._clock() - self._at_tip)
        return not self._config.window_s or age <= self._config.window_s

    def _is_missed(self, header: SquareHeader) -> bool:
        """Whether its cells did not come so far: that does not pass with the window."""
        alarm = self._record.alarms.get(header.height)
        return alarm is not None and alarm.lasts

    async def _sample(self, header: SquareHeader, places: list[Place]) -> tuple[list[Place], str]:
        missing, why = list(places), ""
        for attempt in range(self._config.retries + 1):
            if attempt:
                await asyncio.sleep(self._config.retry_s)
            missing, why = await self._sampler.missing(header, missing)
            if not missing:
                break
        return missing, why

    async def _count(self, headers: Sequence[SquareHeader], drawn: dict[int, list[Place]], seconds: float, received: int) -> None:
        """Makes blocks durable that are available; the bill goes with the last one."""
        blocks = [
            SampledBlock(
                header.height,
                header.data_root,
                header.square_size,
                len(drawn.get(header.height, ())),
                header.time_ns,
                seconds if header is headers[-1] else 0.0,
                received if header is headers[-1] else 0,
            )
            for header in headers
        ]
        if not blocks:
            return
        for alarm in await in_thread(self._record.put, blocks, now=self._clock()):
            self._log.warning("withheld data has turned up", height=alarm.height, sounded_at=alarm.sounded_at)
        for block in blocks:
            self.history.append(block.data_root)
        self._show()

    async def _sound(self, header: SquareHeader, missing: list[Place], why: str) -> None:
        alarm = Alarm(header.height, header.data_root, tuple(missing), why, self._clock())
        alarm = await in_thread(self._record.sound, alarm)
        self._show()
        self._log.error("data is withheld", height=alarm.height, cells=alarm.cells, tries=alarm.tries, why=why)
        raise Withheld(header.height, alarm.cells, why)

    def _rejected(self, rejection: Rejection) -> None:
        self._log.error("the chain is rejected", height=rejection.height, kind=rejection.kind, why=rejection.why)
        self._show()

    def _show(self) -> None:
        self._m_height.set(self.height)
        self._m_alarms.set(sum(alarm.lasts for alarm in self._record.alarms.values()))
        self._m_rejected.set(len(self.square.rejections.all))

    # --- the word -------------------------------------------------------------------------------------------------------

    def report(self) -> LightReport:
        genesis, peers = self.square.genesis, self.square.peers
        chain, height = genesis.chain_id, self.height
        blocks = self._record.blocks[:height]
        sampled = [block for block in blocks if block.cells]
        cells, old = sum(block.cells for block in sampled), len(blocks) - len(sampled)
        rejection = self.square.rejections.first
        alarms = tuple(self._record.alarms.values())
        unsampled = (f"{chain}: {old} blocks older than the sampling window, by their headers alone",) if old else ()
        return LightReport(
            chain_id=chain,
            genesis_hash=genesis.hash,
            height=height,
            cells=cells,
            old=old,
            confidence=min((confidence(block.cells, block.square_size) for block in sampled), default=0.0),
            history_root=self.history.root(height) if blocks else b"",
            bytes_received=sum(block.bytes_received for block in self._record.blocks),
            seconds=sum(block.seconds for block in self._record.blocks),
            alarms=alarms,
            rejection=rejection,
            peers=peers.report(),
            verified=(
                f"{chain}: {height} headers from the genesis hash, by their validators' signatures",
                f"{chain}: {height} data roots under their headers, {cells} random cells under their roots",
                *(f"{chain}: block {alarm.height} is withheld: {alarm.why}" for alarm in alarms if alarm.lasts),
                *((f"{chain}: rejected from block {rejection.height} on: {rejection.why}",) if rejection else ()),
            ),
            trusted=(
                f"{chain}: no third of its {len(genesis.validators)} validators' power signs a second history",
                f"{chain}: {peers.url} hide no block newer than {height}{_made(blocks)}",
                f"{chain}: of every square that is badly extended, some full node that extends it again tells one of these peers",
                *unsampled,
            ),
        )

    async def close(self) -> None:
        await in_thread(self._store.close)


def _made(blocks: Sequence[SampledBlock]) -> str:
    return f", made at {format_time(blocks[-1].time_ns)}" if blocks else ""
