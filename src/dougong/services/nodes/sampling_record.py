"""What a light node has sampled, what it is about to ask for, and where data did not come: durable before it acts on it.

    record = SamplingRecord(store)
    places = record.draw([(header, 16)])[0]             # drawn once: the same again after a crash
    record.put([SampledBlock(...)])                     # sampled: what was drawn for it is forgotten
    record.sound(Alarm(...))                            # withheld

**Cells are drawn once.** They are on disk before the first is asked for, and stay the same until all of them came: who drew anew
at each try, or after each restart, would let a producer who withholds selectively wait for a lucky draw. (celestia-node keeps
them for the same reason, `share/availability/light/sample.go`.)

**An alarm stays in the record.** One is sounded when no peer shows a cell; when the cell turns up later the alarm is cleared, and
both times are kept.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dougong.availability.square.sampling import choose_cells
from dougong.errors import StoreCorrupt
from dougong.services.records import pack, unpack
from dougong.store import Store, height_key
from dougong.types import SquareHeader

__all__ = ["SAMPLING_TABLES", "Alarm", "SampledBlock", "SamplingRecord"]

_SAMPLED, _DRAWN, _ALARMS = "sampled", "drawn", "alarms"
SAMPLING_TABLES = (_SAMPLED, _DRAWN, _ALARMS)
_REMEDY = "remove the light node's folder: it will sample again"

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SampledBlock:
    """One block that counts: its header is verified, and `cells` cells of its square were shown and proven (0: it is older than
    the sampling window). What that cost: `seconds` and `bytes_received`."""

    height: int
    data_root: bytes
    square_size: int
    cells: int
    time_ns: int
    seconds: float = 0.0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Cells of a block that no peer showed. `sounded_at` and `cleared_at` in seconds since 1970; 0.0 while it lasts. `tries`: how
    often all peers were asked for them."""

    height: int
    data_root: bytes
    cells: tuple[Place, ...]
    why: str
    sounded_at: float
    tries: int = 1
    cleared_at: float = 0.0

    @property
    def lasts(self) -> bool:
        return not self.cleared_at


class SamplingRecord:
    """Blocking: call it in a thread. `source` draws the cells (None: the operating system's randomness, for whoever means it)."""

    def __init__(self, store: Store, *, source: random.Random | None = None) -> None:
        """Raises `StoreCorrupt`."""
        self._store = store
        self._source = source
        self.blocks: list[SampledBlock] = []
        for key, raw in store.items(_SAMPLED):
            if int.from_bytes(key) != len(self.blocks) + 1:
                raise StoreCorrupt("the light node's sampled blocks have a gap", remedy=_REMEDY)
            self.blocks.append(_unpack_block(len(self.blocks) + 1, unpack(raw)))
        self.alarms = {int.from_bytes(key): _unpack_alarm(int.from_bytes(key), unpack(raw)) for key, raw in store.items(_ALARMS)}

    def draw(self, wanted: Sequence[tuple[SquareHeader, int]]) -> list[list[Place]]:
        """The cells to ask for, of each (verified) header as many as wanted: those drawn before, or new ones, durable by now."""
        drawn: list[list[Place]] = []
        new: list[tuple[SquareHeader, list[Place]]] = []
        for header, count in wanted:
            kept = self._store.get(_DRAWN, height_key(header.height))
            places: list[Place] = []
            if kept is not None:
                record = unpack(kept)
                if bytes.fromhex(record["data_root"]) != header.data_root:
                    raise StoreCorrupt(f"the cells drawn for block {header.height} are of another square", remedy=_REMEDY)
                places = [(row, column) for row, column in record["cells"]]
            if len(places) < min(count, 4 * header.square_size**2):  # more are wanted now than before: those that were drawn stay
                fresh = choose_cells(header.square_size, count, self._source)
                places += [place for place in fresh if place not in places][: count - len(places)]
                new.append((header, places))
            drawn.append(places)
        if new:
            with self._store.write() as txn:
                for header, places in new:
                    txn.put(_DRAWN, height_key(header.height), pack({"data_root": header.data_root, "cells": places}))
        return drawn

    def put(self, blocks: Sequence[SampledBlock], *, now: float) -> list[Alarm]:
        """The next blocks, all of whose cells came; returns the alarms that this clears."""
        cleared = [
            replace(alarm, cleared_at=now)
            for block in blocks
            if (alarm := self.alarms.get(block.height)) is not None and alarm.lasts
        ]
        with self._store.write() as txn:
            for block in blocks:
                txn.put(_SAMPLED, height_key(block.height), pack(_pack_block(block)))
                txn.delete(_DRAWN, height_key(block.height))
            for alarm in cleared:
                txn.put(_ALARMS, height_key(alarm.height), pack(_pack_alarm(alarm)))
        self.blocks += blocks
        self.alarms.update({alarm.height: alarm for alarm in cleared})
        return cleared

    def sound(self, alarm: Alarm) -> Alarm:
        """Records that cells are withheld; of an alarm that lasts, the first time is kept."""
        known = self.alarms.get(alarm.height)
        if known is not None and known.lasts:
            alarm = replace(alarm, sounded_at=known.sounded_at, tries=known.tries + 1)
        with self._store.write() as txn:
            txn.put(_ALARMS, height_key(alarm.height), pack(_pack_alarm(alarm)))
        self.alarms[alarm.height] = alarm
        return alarm


def _pack_block(block: SampledBlock) -> dict[str, object]:
    return {
        "data_root": block.data_root,
        "square_size": block.square_size,
        "cells": block.cells,
        "time_ns": block.time_ns,
        "seconds": block.seconds,
        "bytes": block.bytes_received,
    }


def _unpack_block(height: int, record: dict[str, object]) -> SampledBlock:
    try:
        return SampledBlock(
            height,
            bytes.fromhex(str(record["data_root"])),
            int(str(record["square_size"])),
            int(str(record["cells"])),
            int(str(record["time_ns"])),
            float(str(record["seconds"])),
            int(str(record["bytes"])),
        )
    except (KeyError, ValueError) as error:
        raise StoreCorrupt(f"the record of block {height} does not read: {error!r}", remedy=_REMEDY) from error


def _pack_alarm(alarm: Alarm) -> dict[str, object]:
    return {
        "data_root": alarm.data_root,
        "cells": alarm.cells,
        "why": alarm.why[:500],
        "sounded_at": alarm.sounded_at,
        "tries": alarm.tries,
        "cleared_at": alarm.cleared_at,
    }


def _unpack_alarm(height: int, record: dict[str, object]) -> Alarm:
    try:
        cells = record["cells"]
        assert isinstance(cells, list)
        return Alarm(
            height,
            bytes.fromhex(str(record["data_root"])),
            tuple((int(row), int(column)) for row, column in cells),
            str(record["why"]),
            float(str(record["sounded_at"])),
            int(str(record["tries"])),
            float(str(record["cleared_at"])),
        )
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise StoreCorrupt(f"the alarm of block {height} does not read: {error!r}", remedy=_REMEDY) from error
