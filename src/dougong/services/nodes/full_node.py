"""A full node of a DA chain: downloads each square, extends it again, and tells everybody when one is badly encoded.

    node = FullNode(store, square, proofs, peers=[NodeClient(url)], kept=KeptSquares(archive, square, proofs, store))
    await node.run()                                # until cancelled; raises BadBlock once it has told

It signs nothing and is trusted by no one: what it finds is a proof. Proofs go both ways: what peers hold is asked for at every
pass and checked (`FraudProofs`), what is new here is offered to them. Behind a proven bad block there is nothing to check.

Who might cheat: a node that withholds or lies about shares (services/nodes/inspection.py: single cells replace them), a peer that
offers false proofs (refused) or never answers (left behind: peers are asked apart from each other, each in its own time).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from dougong.availability.square.fraud import BadBlock
from dougong.errors import DougongError, NotFound, Unavailable
from dougong.net.node import NodeClient
from dougong.services.nodes.fraud_proofs import FRAUD_TABLES, FraudProofs
from dougong.services.nodes.inspection import SquareSource, inspect
from dougong.services.nodes.kept_squares import KeptSquares
from dougong.services.threads import in_thread
from dougong.store import Store, height_key
from dougong.types import SquareHeader

__all__ = ["FULL_NODE_TABLES", "FullNode", "SquareWithheld"]

_CHECKED = "checked_squares"
FULL_NODE_TABLES = (*FRAUD_TABLES, _CHECKED)
PEER_S = 10.0


class SquareWithheld(Unavailable):
    """A block whose header is there, and whose square can neither be read nor convicted."""

    def __init__(self, height: int, why: str) -> None:
        super().__init__(
            f"block {height} is not available: {why}",
            remedy="name more peers; if none of them has it, the data was withheld",
        )
        self.height = height


class FullNode:
    """`store` holds the tables in `FULL_NODE_TABLES`; `proofs` keeps its own in it. With `kept` the squares stay."""

    def __init__(
        self,
        store: Store,
        da: SquareSource,
        proofs: FraudProofs,
        *,
        peers: Sequence[NodeClient] = (),
        kept: KeptSquares | None = None,
        poll_s: float = 0.5,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self.proofs = proofs
        self._store = store
        self._da = da
        self._peers = peers
        self._kept = kept
        self._poll_s = poll_s
        self._log = log or structlog.get_logger()
        last = store.items(_CHECKED, reverse=True, limit=1)
        self._height = int.from_bytes(last[0][0]) if last else 0

    @property
    def height(self) -> int:
        """The last height whose square was extended again and fits its header."""
        return self._height

    async def run(self) -> None:
        """Makes one pass after the other."""
        while True:
            await self.check()
            await asyncio.sleep(self._poll_s)

    async def check(self) -> None:
        """One pass: hears the peers, checks what is new. Raises `BadBlock` once the proof is on disk and was offered to the
        peers, `SquareWithheld`."""
        await self.listen()
        try:
            await self.catch_up()
        except BadBlock as error:
            if await self.proofs.submit(error.proof):
                await self.tell()
            if self._kept is not None:
                await self._kept.header(error.proof.height)  # kept from now on: others need it to verify the proof
            raise

    async def catch_up(self) -> None:
        """Checks every final block that has not been checked. Raises `BadBlock` at the first that is proven bad."""
        latest = await self._da.latest()
        while self._height < latest:
            height = self._height + 1
            self.proofs.check(height)
            header = await self._inspect(height)
            await in_thread(self._put, height, header.data_root)
            self._height = height

    async def _inspect(self, height: int) -> SquareHeader:
        header = await self._da.header(height)
        try:
            if self._kept is not None:
                return await self._kept.keep(height)
            await inspect(self._da, header)
        except NotFound:
            raise
        except Unavailable as error:
            raise SquareWithheld(height, str(error)) from error
        return header

    async def listen(self) -> None:
        """Asks every peer for its proofs; passes on what is new."""
        before = self.proofs.lowest
        await asyncio.gather(*(self._hear(peer) for peer in self._peers))
        if self.proofs.lowest is not before:
            await self.tell()

    async def tell(self) -> None:
        """Offers the lowest proof to every peer."""
        proof = self.proofs.lowest
        if proof is not None:
            await asyncio.gather(*(self._offer(peer) for peer in self._peers))

    async def _hear(self, peer: NodeClient) -> None:
        try:
            async with asyncio.timeout(PEER_S):
                for proof in await peer.fraud_proofs(1):
                    await self.proofs.submit(proof)
        except (DougongError, TimeoutError) as error:
            self._log.info("a peer tells nothing of use", peer=peer.url, error=str(error))

    async def _offer(self, peer: NodeClient) -> None:
        proof = self.proofs.lowest
        assert proof is not None, "there is one to tell"
        try:
            async with asyncio.timeout(PEER_S):
                await peer.submit_fraud_proof(proof)
        except (DougongError, TimeoutError) as error:
            self._log.warning("a peer does not take the proof", peer=peer.url, error=str(error))

    def _put(self, height: int, data_root: bytes) -> None:
        with self._store.write() as txn:
            txn.put(_CHECKED, height_key(height), data_root)
