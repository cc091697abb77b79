"""The squares that a full node has checked, kept on disk and shown to others: what makes it a peer of light nodes.

    kept = KeptSquares(archive, square, proofs, store)
    await kept.keep(7)                              # downloads, encodes again, writes; raises BadBlock
    server.mount("square", square_methods(kept).include(header_methods(genesis.raw, kept.signed_header)), kept.health)

Every square it shows was encoded again here, and every header verified; who asks verifies both for himself. A block that is
proven to be badly encoded has no square to show, but its header is shown: without it nobody could verify the proof.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import orjson

from dougong.availability.chain.attestor import check_square
from dougong.availability.square.archive import ArchivedHeader, SquareArchive
from dougong.availability.square.served import ServedSquare
from dougong.errors import InvalidInput, NotFound, StoreCorrupt
from dougong.net.codec import from_json, to_json
from dougong.services.nodes.fraud_proofs import FraudProofs
from dougong.services.nodes.inspection import inspect
from dougong.services.nodes.remote import RemoteSquare
from dougong.services.threads import in_thread
from dougong.store import Store, height_key
from dougong.types import (
    MerkleProof,
    Namespace,
    Placement,
    ShareProof,
    SignedHeader,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)

__all__ = ["KEPT_TABLES", "KeptSquares"]

_CONVICTED = "convicted_headers"
KEPT_TABLES = (_CONVICTED,)
_EXTENDED_AT_ONCE = 2
T = TypeVar("T")


class KeptSquares:
    """A `SquareNode`. `square` is where squares come from, `store` holds the tables in `KEPT_TABLES`. `blocks`: how many heights'
    squares are kept (None: all); headers always are."""

    def __init__(
        self, archive: SquareArchive, square: RemoteSquare, proofs: FraudProofs, store: Store, *, blocks: int | None = None
    ) -> None:
        self._archive = archive
        self._square = square
        self._proofs = proofs
        self._store = store
        self._blocks = blocks
        self._extending = asyncio.Semaphore(_EXTENDED_AT_ONCE)
        self._fetching = asyncio.Lock()

    async def keep(self, height: int) -> SquareHeader:
        """The checked header of a square that is on disk now. Raises what `inspect` does."""
        header, proof = await self._square.proven_header(height)
        await inspect(self._square, header, partial(self._take, proof))
        if self._blocks is not None:
            await in_thread(self._archive.prune, height - self._blocks + 1)
        return header

    def _take(self, proof: MerkleProof, header: SquareHeader, shares: Sequence[bytes]) -> None:
        self._archive.put(check_square(header, shares), proof)

    # --- shown ------------------------------------------------------------------------------------------------------------

    async def latest(self) -> int:
        return self._archive.last

    async def signed_header(self, height: int) -> SignedHeader:
        return self._square.signed_header(height)

    async def header(self, height: int) -> SquareHeader:
        return (await self._header(height)).header

    async def data_root_proof(self, height: int) -> MerkleProof:
        return (await self._header(height)).data_root_proof

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        return await self._ask(height, lambda square: square.namespace_data(namespace))

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        return await self._ask(height, lambda square: square.cell(row, column))

    async def shares(self, height: int) -> Sequence[bytes]:
        return await self._ask(height, ServedSquare.original)

    async def prove(self, placement: Placement) -> ShareProof:
        return await self._ask(placement.height, lambda square: square.prove(placement))

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        """Extends the square: k cells under the axes that cross would read all of its rows k times."""

        def made(square: ServedSquare) -> Sequence[SquareCell]:
            time_ns = square.header.time_ns
            whole = ServedSquare.extend(b"".join(square.original()), height=height, time_ns=time_ns)
            return whole.axis_cells(axis, index)

        async with self._extending:
            return await self._ask(height, made)

    async def health(self) -> dict[str, object]:
        genesis, bad = self._square.genesis, self._proofs.lowest
        return {
            "kind": "full node",
            "chainId": genesis.chain_id,
            "genesis": "0x" + genesis.hash.hex(),
            "latest": self._archive.last,
            "badlyEncoded": None if bad is None else bad.height,
        }

    async def _ask(self, height: int, question: Callable[[ServedSquare], T]) -> T:
        try:
            return await in_thread(lambda: question(self._archive.square(height)))
        except StoreCorrupt:  # made anew, once however many ask
            async with self._fetching:
                await self.keep(height)
            return await in_thread(lambda: question(self._archive.square(height)))

    async def _header(self, height: int) -> ArchivedHeader:
        try:
            return await in_thread(self._archive.header, height)
        except NotFound:
            known = await self._proofs.proofs(height)
            if not known or known[0].height != height:
                raise
        return await self._convicted(height)

    async def _convicted(self, height: int) -> ArchivedHeader:
        """The header of a block that a proof convicts: asked for once, and kept."""
        async with self._fetching:
            raw = self._store.get(_CONVICTED, height_key(height))
            if raw is None:
                header, proof = await self._square.proven_header(height)
                await in_thread(self._put, header, proof)
                return ArchivedHeader(header, proof)
        try:
            found = orjson.loads(raw)
            return ArchivedHeader(from_json(SquareHeader, found["header"]), from_json(MerkleProof, found["proof"]))
        except (InvalidInput, ValueError, KeyError, TypeError) as error:
            raise StoreCorrupt(f"the header of block {height} does not read: {error!r}", remedy="remove the folder") from error

    def _put(self, header: SquareHeader, proof: MerkleProof) -> None:
        with self._store.write() as txn:
            raw = orjson.dumps({"header": to_json(header), "proof": to_json(proof)})
            txn.put(_CONVICTED, height_key(header.height), raw)
