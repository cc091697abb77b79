"""An attestor at work: downloads every square, extends it again, and signs the history of data roots.

    service = AttestorService(attestor, da)
    await service.run()                             # until cancelled
    signature = await service.signature(height, next_attestors_hash)

The attestor itself (availability/chain/attestor.py) refuses to sign what it has not seen whole, and never signs two histories of
one length. A node that shows it another data root than before raises `Divergence`, a block that is badly encoded `BadBlock` with
the proof: the service stops and says so. Spec: docs/spec/attestation.md.
"""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import CollectorRegistry, Gauge

from dougong.availability.chain.attestor import Attestor
from dougong.availability.chain.history import History
from dougong.availability.square.fraud import BadBlock
from dougong.errors import NotFound
from dougong.interfaces import DataAvailability
from dougong.services.nodes.fraud_proofs import FraudProofs
from dougong.services.nodes.inspection import SquareSource, inspect
from dougong.services.threads import in_thread
from dougong.types import MerkleProof

__all__ = ["AttestorService", "DataRootHistory"]


class AttestorService:
    """One attestor. Signs when it is asked, and only for heights that it has checked."""

    def __init__(
        self,
        attestor: Attestor,
        da: SquareSource,
        *,
        proofs: FraudProofs | None = None,
        poll_s: float = 0.25,
        registry: CollectorRegistry | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._attestor = attestor
        self._da = da
        self._proofs = proofs
        self._poll_s = poll_s
        self._checking = asyncio.Lock()
        self._log = (log or structlog.get_logger()).bind(attestor=attestor.address.hex())
        gauge = Gauge("dougong_attested_height", "Last height checked", ("attestor",), registry=registry or CollectorRegistry())
        self._m_height = gauge.labels(attestor.address.hex())

    @property
    def address(self) -> bytes:
        return self._attestor.address

    @property
    def height(self) -> int:
        """The last height whose square was checked."""
        return self._attestor.height

    async def run(self) -> None:
        while True:
            await self.catch_up()
            await asyncio.sleep(self._poll_s)

    async def catch_up(self) -> None:
        """Checks every final block that has not been checked. Raises `BadBlock` for one that is badly encoded, once the proof is
        on disk: this attestor signs nothing from there on."""
        async with self._checking:
            latest = await self._da.latest()
            while self._attestor.height < latest:
                height = self._attestor.height + 1
                if self._proofs is not None:
                    self._proofs.check(height)
                try:
                    await inspect(self._da, await self._da.header(height), self._attestor.observe)
                except BadBlock as error:
                    if self._proofs is not None:
                        await self._proofs.submit(error.proof)
                    raise
                self._m_height.set(height)

    async def history_root(self, height: int) -> bytes:
        if height > self.height:
            raise NotFound(f"height {height} was not checked yet")
        return await in_thread(self._attestor.history.root, height)

    async def signature(self, height: int, next_attestors_hash: bytes) -> bytes:
        """65 bytes over the history up to `height`. Raises `NotFound` while that is not checked."""
        async with self._checking:
            return await in_thread(self._attestor.sign, height, next_attestors_hash)


class DataRootHistory:
    """The history of data roots as a DA layer's checked headers tell it (`HistoryProver`, fixing.py)."""

    def __init__(self, da: DataAvailability) -> None:
        self._da = da
        self._history = History()
        self._reading = asyncio.Lock()

    async def prove(self, height: int, attested_height: int) -> MerkleProof:
        await self._reach(attested_height)
        return self._history.prove(height, attested_height)

    async def root(self, height: int) -> bytes:
        await self._reach(height)
        return self._history.root(height)

    async def _reach(self, height: int) -> None:
        async with self._reading:
            while len(self._history) < height:
                self._history.append((await self._da.header(len(self._history) + 1)).data_root)
