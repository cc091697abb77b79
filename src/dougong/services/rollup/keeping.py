"""How much of a rollup's past a node keeps, and the snapshots that it offers.

    service = Keeping(chain, KeepingConfig(states=10_000), folder)
    await service.run()                             # until cancelled

States and bodies leave their windows in small steps beside the chain's own writes; every step is durable, so a kill -9 between
any two is made up for by the next round. The windows are counted back from the *finalized* head: what is above it can always be
rolled back. A snapshot is written from one view of the store, while blocks go on; the last `SNAPSHOTS` of them stay.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from dougong.errors import NotFound, StoreError
from dougong.services.rollup.chain import RollupChain
from dougong.services.threads import in_thread

__all__ = ["Keeping", "KeepingConfig"]

SNAPSHOTS = 2
STRIDE = 32
"""Blocks that leave a window together: a write to the disk each would cost more than what they free."""
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class KeepingConfig:
    """Of how many blocks under the finalized head states, and bodies with receipts, are kept (None: of all); how many blocks lie
    between two snapshots (None: there are none)."""

    states: int | None = None
    bodies: int | None = None
    snapshot_interval: int | None = None

    @property
    def idle(self) -> bool:
        return self.states is None and self.bodies is None and self.snapshot_interval is None


class Keeping:
    """One for each rollup of a node. `folder` is for the snapshots: `NUMBER.snapshot`."""

    def __init__(
        self,
        chain: RollupChain,
        config: KeepingConfig,
        folder: Path,
        *,
        idle_s: float = 1.0,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._chain = chain
        self._config = config
        self._folder = folder
        self._idle_s = idle_s
        self._log = log or structlog.get_logger()
        self._tried = 0

    async def run(self) -> None:
        while True:
            await self.round()
            await asyncio.sleep(self._idle_s)

    async def round(self) -> None:
        """A snapshot if one is due, then everything that has left its window."""
        final = self._chain.finalized
        if self._config.snapshot_interval is not None:
            await self._snapshot(final - final % self._config.snapshot_interval)
        states, bodies = _first(self._config.states, final), _first(self._config.bodies, final)
        more = bool(states or bodies)
        while more:
            more = await in_thread(self._chain.evm.prune, states, bodies)
            await asyncio.sleep(PAUSE_S)  # blocks go first

    async def _snapshot(self, number: int) -> None:
        path = self._folder / f"{number}.snapshot"
        if number <= self._tried or path.exists():
            return
        self._tried = number
        await in_thread(self._folder.mkdir, parents=True, exist_ok=True)
        try:
            _, block_hash, digest, *_ = await in_thread(self._chain.evm.export_snapshot, str(path), number)
        except (NotFound, StoreError) as error:
            self._log.warning("no snapshot was made", number=number, error=str(error))
            return
        self._log.info("snapshot", number=number, hash=block_hash.hex(), digest=digest.hex())
        await in_thread(_forget, self._folder)


def _first(window: int | None, final: int) -> int:
    if window is None or final <= window:
        return 0
    first = final - window
    return first - first % STRIDE


def _forget(folder: Path) -> None:
    """All but the newest snapshots, and drafts of any that was cut off."""
    for draft in folder.glob("*.snapshot.part"):
        draft.unlink(missing_ok=True)
    numbers = sorted(int(path.stem) for path in folder.glob("*.snapshot") if path.stem.isdecimal())
    for number in numbers[:-SNAPSHOTS]:
        (folder / f"{number}.snapshot").unlink(missing_ok=True)
