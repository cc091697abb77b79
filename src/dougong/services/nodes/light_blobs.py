"""Checks what a settlement contract says about rollups whose data lies in blobs of its own chain, without reading the blobs.

    check = BlobSettlementCheck(rpc, settlement, EthereumBlobs(reader), da_id=da_id)
    report = await check.run([RollupCheck("alpha", 1, genesis_state, proof="none")])

As light_settlement.py does, with this in the squares' place: a batch's block has a transaction with the blobs that the data root
stands for, and cells of these blobs are drawn at random. A blob is extended to 128 cells, any 64 of which recover it
(EIP-7594), so if it is withheld each draw finds an empty place with a chance of more than one half: all of n draws miss it with
less than 2⁻ⁿ. The cells that are drawn are proven against the commitment, so none can be badly encoded.

Batches in blocks that are not final yet are checked in a later pass. Of those older than the sampling window none is drawn:
beacon nodes drop blobs after 18 days, and who starts later must not take them for withheld.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from dougong._native import HeaderInfo
from dougong.errors import Divergence
from dougong.net.jsonrpc import JsonRpc
from dougong.services.nodes.light_node import WEEK_S
from dougong.services.nodes.light_settlement import ContractCheck, RollupCheck
from dougong.types import BatchReference, BlobsHeader, KzgCell, Placement

__all__ = ["BlobSettlementCheck", "SampledBlobs"]

DRAWS = 16  # cells of each blob; what light nodes draw of a square


class SampledBlobs(Protocol):
    """A DA layer of blobs, as far as a light node needs it; what it gives is checked."""

    async def latest(self) -> int: ...

    async def header(self, height: int) -> BlobsHeader: ...

    async def sample(self, height: int, row: int, column: int) -> KzgCell: ...


class BlobSettlementCheck(ContractCheck):
    """`draws` cells of each blob are sampled, once while this lives, if its batch is at most `window_s` seconds old (0: of any
    age)."""

    def __init__(
        self,
        rpc: JsonRpc,
        settlement: bytes,
        da: SampledBlobs,
        *,
        da_id: bytes,
        draws: int = DRAWS,
        window_s: float = WEEK_S,
        drawing: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(rpc, settlement)
        young = f" that is at most {window_s / 86_400:g} days old" if window_s else ""
        self.lies_in = f"a final block's blobs, {draws} cells of each sampled{young}"
        self._da = da
        self._da_id = da_id
        self._draws = draws
        self._window_s = window_s
        self._clock = clock
        self._drawing = drawing or random.SystemRandom()
        self._seen: set[Placement] = set()

    ages = False

    async def _attested(self) -> tuple[HeaderInfo, int, list[str]]:
        return await self._storage.header(), 0, []

    async def _sampled(self, rollup: RollupCheck, batches: Sequence[BatchReference]) -> None:
        final = await self._da.latest()
        for batch in batches:
            placement = batch.placement
            if placement is None or placement.height > final or placement in self._seen:
                continue
            if batch.da_id != self._da_id:
                raise Divergence(f"batch {batch.index} of {rollup.name} lies on another DA layer: {batch.da_id.hex()}")
            header = await self._da.header(placement.height)
            if header.capacity(placement.data_root) != placement.share_count:
                raise Divergence(
                    f"batch {batch.index} of {rollup.name} was settled under data root {placement.data_root.hex()} of block "
                    f"{placement.height}, which has no transaction with such blobs"
                )
            # The time is folded into the accumulator: who shows the log cannot make a batch older than it is.
            if not self._window_s or self._clock() - batch.timestamp <= self._window_s:
                await self._draw(header, placement)
            self._seen.add(placement)

    async def _draw(self, header: BlobsHeader, placement: Placement) -> None:
        """Raises `Unavailable` for a cell that nobody shows."""
        first = 0
        for transaction in header.transactions:
            if transaction.data_root == placement.data_root:
                break
            first += len(transaction.versioned_hashes)
        columns = self._drawing.sample(range(header.extent[1]), self._draws)
        for column in columns:
            for row in range(first, first + placement.share_count):
                await self._da.sample(placement.height, row, column)
