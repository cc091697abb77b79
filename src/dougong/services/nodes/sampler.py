"""Asks peers for cells until each one asked for has been proven, or every peer has failed to show it.

    missing, why = await Sampler(peers).missing(header, places)

Cells of a block are spread over the peers, so that none of them learns all that one asker wants: who withholds selectively must
guess the rest. A cell that a peer does not show, or shows falsely, is asked of the next one; a peer that has not answered within
`hedge_s` keeps its time, and another is asked for the same cells beside it. So a cell is missing only if no peer has shown it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence

from dougong.availability.square.proofs import verify_cell
from dougong.errors import DougongError, InvalidProof, Unavailable
from dougong.net.node import NodeClient
from dougong.services.nodes.peers import FINAL, Peer, PeerSet
from dougong.types import SquareCell, SquareHeader

__all__ = ["Place", "Sampler", "check_axis_cells", "check_cell", "check_cells"]

Place = tuple[int, int]
"""Row and column of the extended square."""


class Sampler:
    """Many blocks may be sampled at a time."""

    def __init__(self, peers: PeerSet) -> None:
        self._peers = peers

    async def missing(self, header: SquareHeader, places: Sequence[Place]) -> tuple[list[Place], str]:
        """The places whose cells nobody proved under this (verified) header, and why the last of them did not come."""
        wanted = list(dict.fromkeys(places))
        open_ = set(wanted)
        pending: set[Place] = set()
        asked: dict[Place, set[Peer]] = {place: set() for place in wanted}
        running: dict[asyncio.Task[tuple[set[Place], str]], list[Place]] = {}
        why = ""
        try:
            while open_:
                for peer, share in self._spread(open_ - pending, asked).items():
                    running[asyncio.create_task(self._ask(peer, header, share))] = share
                    pending.update(share)
                    for place in share:
                        asked[place].add(peer)
                if not running:
                    break
                patience = self._peers.config.hedge_s
                done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    pending.clear()
                for task in done:
                    pending.difference_update(running.pop(task))
                    proven, reason = task.result()
                    open_ -= proven
                    why = reason or why
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return [place for place in wanted if place in open_], why if open_ else ""

    def _spread(self, places: Collection[Place], asked: dict[Place, set[Peer]]) -> dict[Peer, list[Place]]:
        """Each place to a peer that has not been asked for it, evenly over those that are well."""
        ready, everyone = self._peers.ready(), self._peers.order()
        spread: dict[Peer, list[Place]] = {}
        shuffled = list(places)
        random.shuffle(shuffled)
        for place in shuffled:
            fresh = [peer for peer in ready if peer not in asked[place]]
            rest = [peer for peer in everyone if peer not in asked[place]]
            if fresh:
                peer = min(fresh, key=lambda one: len(spread.get(one, ())))
            elif rest:
                peer = rest[0]
            else:
                continue
            spread.setdefault(peer, []).append(place)
        return spread

    async def _ask(self, peer: Peer, header: SquareHeader, places: list[Place]) -> tuple[set[Place], str]:
        """Those that the peer proved, and what was wrong with the others."""
        proven: set[Place] = set()

        async def verified(node: NodeClient) -> None:
            cells = await node.cells(header.height, places)
            _check_count(places, cells)
            wrong: InvalidProof | None = None
            for cell, place in zip(cells, places, strict=True):
                try:
                    if cell is not None:
                        check_cell(header, cell, *place)
                        proven.add(place)
                except InvalidProof as error:
                    wrong = error
            if wrong is not None:
                raise wrong
            if len(proven) < len(places):
                raise Unavailable(f"{peer.url} does not show {len(places) - len(proven)} cells of block {header.height}")

        try:
            await self._peers.attempt(peer, verified)
        except FINAL:
            raise
        except DougongError as error:
            return proven, str(error)
        return proven, ""


def check_cell(header: SquareHeader, cell: SquareCell, row: int, column: int) -> None:
    """Raises `InvalidProof` unless the cell is the one that was asked for, proven under the (verified) header."""
    if (cell.row, cell.column) != (row, column):
        raise InvalidProof(f"cell ({row}, {column}) was asked for, ({cell.row}, {cell.column}) came")
    verify_cell(header, cell)


def check_cells(header: SquareHeader, places: Sequence[Place], cells: Sequence[SquareCell | None]) -> None:
    """As `check_cell`, for those of several that came."""
    _check_count(places, cells)
    for (row, column), cell in zip(places, cells, strict=True):
        if cell is not None:
            check_cell(header, cell, row, column)


def _check_count(places: Sequence[Place], cells: Sequence[SquareCell | None]) -> None:
    if len(cells) != len(places):
        raise InvalidProof(f"{len(places)} cells were asked for, {len(cells)} came")


def check_axis_cells(header: SquareHeader, axis: int, index: int, cells: Sequence[SquareCell]) -> None:
    """Raises `InvalidProof` unless the cells are the second half of the axis, each proven under the axis that crosses."""
    k = header.square_size
    if len(cells) != k:
        raise InvalidProof(f"half of an axis are {k} cells; {len(cells)} came")
    for at, cell in enumerate(cells, start=k):
        check_cell(header, cell, *((at, index) if axis else (index, at)))
        if cell.axis == axis:
            raise InvalidProof("a cell was to be proven under the axis that crosses")
