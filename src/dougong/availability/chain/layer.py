"""The DA layer in this process: a chain that orders a `SquareApplication`, and everything that a node of it serves.

    layer = SquareLayer(chain, app)
    da = SquareClient(layer, key)                   # DataAvailability, whose blobs `key` signs and pays for
    placement = await da.submit(Blob(namespace, data))
    signed = await layer.signed_header(placement.height)
    proof = await layer.data_root_proof(placement.height)       # from signed's data_hash to the data root

The latest squares are kept in memory. Older ones are read from the archive (availability/square/archive.py), where there is one,
a row at a time; what is not there yet, or is damaged there, is laid out again from its block, once however many ask.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.bidding import Published
from dougong.availability.chain.blob_tx import BLOB_TX_BYTES
from dougong.availability.chain.cosmos_tx import DENOM
from dougong.availability.chain.fees import base_cost, bytes_used, gas_needed
from dougong.availability.chain.params import SquareParams
from dougong.availability.chain.square_cache import DEFAULT_CACHE_BYTES, LaidOut
from dougong.availability.square.archive import ArchivedHeader, SquareArchive
from dougong.availability.square.reading import blob_in_shares, holds, shares_at
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.shares import shares_needed
from dougong.availability.square.wire import decode_blob_tx
from dougong.codec.protobuf import Reader
from dougong.codec.timestamp import decode_time
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import Divergence, InvalidBlob, InvalidInput, StoreCorrupt
from dougong.interfaces import Consensus
from dougong.types import (
    Blob,
    BlobMarket,
    Block,
    CheckTxResult,
    FeeAccount,
    MerkleProof,
    Namespace,
    Placement,
    Quote,
    ShareProof,
    SignedHeader,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)

T = TypeVar("T")

_KEPT_BLOCKS = 1024
_BUILT_AT_ONCE = 2
_TIME_FIELD, _DATA_HASH_FIELD = 4, 7  # of CometBFT's Header
_MEASURED_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class _ServedBlock:
    """A block's square, the proof of its data root, and the places of its blobs by their transaction's hash."""

    square: ServedSquare
    data_root_proof: MerkleProof
    placements: dict[bytes, tuple[Placement, ...]]
    size_bytes: int


class SquareLayer:
    """What a node of the DA chain serves. `chain` must order `app`; whoever composes them runs and closes both."""

    def __init__(self, chain: Consensus, app: SquareApplication, archive: SquareArchive | None = None) -> None:
        self.chain = chain
        self.app = app
        self.archive = archive
        self._blocks: OrderedDict[int, _ServedBlock] = OrderedDict()
        self._under_way: dict[int, asyncio.Task[_ServedBlock]] = {}
        self._room = asyncio.Semaphore(_BUILT_AT_ONCE)

    @property
    def chain_id(self) -> str:
        return self.app.chain_id

    @property
    def params(self) -> SquareParams:
        return self.app.params

    async def latest(self) -> int:
        return (await self.chain.status()).height

    async def signed_header(self, height: int) -> SignedHeader:
        return await self.chain.signed_header(height)

    async def data_root_proof(self, height: int) -> MerkleProof:
        """That `sha256(data root)` is leaf 0 under the `data_hash` of the header at `height`."""
        return (await self._header(height)).data_root_proof

    async def header(self, height: int) -> SquareHeader:
        return (await self._header(height)).header

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        return await self._ask(height, lambda square: square.namespace_data(namespace))

    async def prove(self, placement: Placement) -> ShareProof:
        return await self._ask(placement.height, lambda square: square.prove(placement))

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        if not holds(await self.header(placement.height), placement):
            return None
        return blob_in_shares(shares_at(placement, await self.prove(placement)), namespace)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        kept = self._blocks.get(height)
        if kept is not None and (self.archive is None or height >= self.archive.base):
            return kept.square.cell(row, column)  # takes less time than a thread's turn
        return await self._ask(height, lambda square: square.cell(row, column))

    async def square(self, height: int) -> ServedSquare:
        """The extended square, whole and in memory. Raises `Pruned` for one below the window."""
        if self.archive is not None:
            self.archive.check_kept(height)
        return (await self._block(height)).square

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        """The second half of a row (`axis` 0) or column (1), each cell under the root of the axis that crosses."""
        square = await self.square(height)
        return await asyncio.to_thread(square.axis_cells, axis, index)

    async def shares(self, height: int) -> Sequence[bytes]:
        return await self._ask(height, ServedSquare.original)

    async def quote(self, size: int) -> Quote:
        """The fee of a transaction with one blob of `size` bytes for the next block, as it looks now
        (`availability.chain.quoting`). It waits as long as blocks took of late. Waiting saves what the base fee is above its
        floor: an eighth with every empty block."""
        limit = self.app.params.max_square_size
        shares = shares_needed(max(size, 1), 1)
        if size <= 0 or shares > limit * limit:
            raise InvalidBlob(f"no square of {limit} x {limit} shares holds a blob of {size} bytes")
        interval_ns = await self._interval_ns()
        price = self.app.price(bytes_used(BLOB_TX_BYTES, shares))
        fee = base_cost(price, gas_needed(BLOB_TX_BYTES, shares))
        return Quote(fee, DENOM, interval_ns // 10**6, self.app.params.capacity_bytes * 10**9 // interval_ns)

    async def _interval_ns(self) -> int:
        """Nanoseconds between the latest blocks."""
        last = await self.latest()
        first = max(1, last - _MEASURED_BLOCKS)
        if last <= first:
            return 10**9
        ends = (await self.header(first)).time_ns, (await self.header(last)).time_ns
        return max(1, (ends[1] - ends[0]) // (last - first))

    async def balance(self, address: bytes) -> int:
        """What an account (20 bytes) holds after the last final block, in utia."""
        return self.app.balance(address)

    async def next_sequence(self, signer: bytes) -> int:
        """The account's next sequence as the blocks up to `latest` have it: those that wait are not counted."""
        return (await self.account(signer)).sequence

    async def account(self, address: bytes) -> FeeAccount:
        """What an account has, as the blocks up to `latest` have it, and what it has waiting."""
        account = self.app.account(address)
        # The application is ahead of the chain for a moment: whoever sees a sequence spent must also see the block.
        await self.chain.wait_for_height(self.app.seen_height)
        return account

    async def market(self) -> BlobMarket:
        """What the next block costs."""
        return self.app.market()

    async def broadcast(self, raw: bytes) -> CheckTxResult:
        """Offers a `BlobTx` that someone signed. Accepted, it survives a restart."""
        return await self.chain.broadcast(raw)

    async def wait_for_height(self, height: int) -> None:
        await self.chain.wait_for_height(height)

    async def published(self, height: int, blobs: Sequence[Blob], sent: Mapping[bytes, bytes]) -> Published | None:
        """`BlobDoor.published`."""
        placements = (await self._block(height)).placements
        digest = next((digest for digest in sent if digest in placements), None)
        if digest is None:
            return None
        return Published(placements[digest], sent[digest] or await self._signed_hash(height, digest))

    async def _signed_hash(self, height: int, digest: bytes) -> bytes:
        block = await self.chain.block(height)
        found = next((decode_blob_tx(tx) for tx in block.txs if sha256(tx) == digest), None)
        return b"" if found is None else sha256(found.tx)

    async def check_archive(self) -> None:
        """Raises `StoreCorrupt` unless the archive is of this chain, and no longer than it: a chain's folder that was put back to
        an older state would decide other blocks for heights whose squares are served already."""
        last, latest = (0 if self.archive is None else self.archive.last), await self.latest()
        if self.archive is None or last == 0:
            return
        remedy = "restore the chain's folder, or remove the archive's if the chain is to begin anew from there"
        if last > latest:
            raise StoreCorrupt(f"the archive of {self.chain_id} ends at height {last} and the chain at {latest}", remedy=remedy)
        kept = await asyncio.to_thread(self.archive.header, last)
        header = Reader((await self.chain.signed_header(last)).header, range(1, 15))
        try:
            merkle.verify(header.raw(_DATA_HASH_FIELD), sha256(kept.header.data_root), kept.data_root_proof)
            same = decode_time(header.raw(_TIME_FIELD)) == kept.header.time_ns
        except InvalidInput:
            same = False
        if not same:
            message = f"the archive of {self.chain_id} holds another square for height {last} than the chain's"
            raise StoreCorrupt(message, remedy=remedy)

    async def keep(self, height: int) -> None:
        """Puts the next height into the archive. Raises `StoreError`."""
        block = await self._block(height)
        assert self.archive is not None, "a layer without an archive keeps nothing"
        await asyncio.to_thread(self.archive.put, block.square, block.data_root_proof)

    def forget(self, below: int) -> None:
        """Lets go of the squares in memory under `below`, which were pruned."""
        for height in [height for height in self._blocks if height < below]:
            del self._blocks[height]

    async def _header(self, height: int) -> ArchivedHeader:
        kept, archive = self._blocks.get(height), self.archive
        if kept is None and archive is not None and 0 < height <= archive.last:
            try:
                return await asyncio.to_thread(archive.header, height)
            except StoreCorrupt:
                kept = await self._mend(height)
        block = kept or await self._block(height)
        return ArchivedHeader(block.square.header, block.data_root_proof)

    async def _ask(self, height: int, question: Callable[[ServedSquare], T]) -> T:
        """The answer of a height's square, wherever it lies. Raises `Pruned` for one below the window."""
        archive = self.archive
        if archive is not None:
            archive.check_kept(height)
            if height not in self._blocks and 0 < height <= archive.last:
                try:
                    return await asyncio.to_thread(lambda: question(archive.square(height)))
                except StoreCorrupt:
                    await self._mend(height)
        square = (await self._block(height)).square
        return await asyncio.to_thread(question, square)

    async def _mend(self, height: int) -> _ServedBlock:
        """Makes a damaged square anew. Raises `Pruned` if its block is not there any more."""
        block = await self._block(height)
        if self.archive is not None:
            await asyncio.to_thread(self.archive.put, block.square, block.data_root_proof)
        return block

    async def _block(self, height: int) -> _ServedBlock:
        kept = self._blocks.get(height)
        if kept is not None:
            self._blocks.move_to_end(height)
            return kept
        task = self._under_way.get(height)
        if task is None:
            task = self._under_way[height] = asyncio.create_task(self._build(height))
            task.add_done_callback(lambda done: self._built(height, done))
        # One caller's cancellation is not the others'.
        return await asyncio.shield(task)

    def _built(self, height: int, done: asyncio.Task[_ServedBlock]) -> None:
        del self._under_way[height]
        if not done.cancelled():
            done.exception()  # retrieved: whoever asked may have gone

    async def _build(self, height: int) -> _ServedBlock:
        async with self._room:
            kept = await self._serve(await self.chain.block(height))
        if self.archive is None or height >= self.archive.base:
            self._blocks[height] = kept
            while len(self._blocks) > 1 and (len(self._blocks) > _KEPT_BLOCKS or self._kept_bytes() > DEFAULT_CACHE_BYTES):
                self._blocks.popitem(last=False)
        return kept

    def _kept_bytes(self) -> int:
        return sum(block.size_bytes for block in self._blocks.values())

    async def _serve(self, block: Block) -> _ServedBlock:
        height = block.signed_header.height
        data_root, *txs = block.txs
        laid_out = await self.app.squares.get(txs)
        time_ns = decode_time(Reader(block.signed_header.header, range(1, 15)).raw(_TIME_FIELD))
        square = laid_out.at(height, time_ns)
        if square.header.data_root != data_root:
            raise Divergence(
                f"block {height} says data root {data_root.hex()} and its transactions make {square.header.data_root.hex()}"
            )
        return await asyncio.to_thread(_serve, block.txs, laid_out, square)


def _serve(txs: tuple[bytes, ...], laid_out: LaidOut, square: ServedSquare) -> _ServedBlock:
    hashes = [sha256(tx) for tx in txs]
    header = square.header
    first = len(txs) - len(laid_out.square.blob_starts)  # before them: the data root and what carries no blobs
    placements = {
        digest: _placements(tx, starts, header.height, header.data_root)
        for digest, tx, starts in zip(hashes[first:], txs[first:], laid_out.square.blob_starts, strict=True)
    }
    return _ServedBlock(square, merkle.prove(hashes, 0), placements, laid_out.size_bytes)


def _placements(tx: bytes, starts: tuple[int, ...], height: int, data_root: bytes) -> tuple[Placement, ...]:
    blob_tx = decode_blob_tx(tx)
    blobs = () if blob_tx is None else blob_tx.blobs
    return tuple(
        Placement(height, data_root, start, shares_needed(len(blob.data), blob.share_version))
        for blob, start in zip(blobs, starts, strict=True)
    )
