"""`kind = "ethereum-blobs"`: an Ethereum chain's blobs as `DataAvailability`.

    layer = EthereumBlobs(BlobReader(rpc, Beacon(url), finality="finalized"), sender)
    placement = await layer.submit(Blob(namespace, data), budget=(await layer.quote(len(data))).price * 2)
    blob = await layer.blob(placement, namespace)

A height is a block's number. One transaction carries one blob, framed (`dougong.availability.kzg.frames`), and is the
placement's data root; a rollup's own transaction calls the batch inbox instead (docs/spec/settlement.md), and is read here
all the same. Whatever is returned has been checked against the block, and the block against its hash; see
`dougong.availability.ethereum.block` for what is trusted.
"""

from __future__ import annotations

import asyncio

from dougong.availability.ethereum.block import EthereumBlock
from dougong.availability.ethereum.fees import measure
from dougong.availability.ethereum.reading import BlobReader
from dougong.availability.ethereum.sending import BlobReceipt, BlobSender
from dougong.availability.kzg.frames import DATA_BYTES_PER_BLOB, blobs_needed, claimed_head, read_head, unframe
from dougong.availability.kzg.params import BYTES_PER_CELL, MAX_BLOBS_PER_TX
from dougong.availability.kzg.proofs import placed_blob
from dougong.availability.kzg.sidecar import make_sidecar
from dougong.availability.square.shares import check_blob_format
from dougong.errors import InvalidBlob, NotFound, Rejected, Unavailable
from dougong.net.jsonrpc import quantity
from dougong.types import (
    Blob,
    BlobsHeader,
    KzgBlobProof,
    KzgCell,
    KzgNamespaceData,
    Namespace,
    PlacedBlob,
    Placement,
    Quote,
    TransactionContent,
)

__all__ = ["EthereumBlobs"]

FIRST_POLL, LONGEST_POLL = 0.02, 4.0


class EthereumBlobs:
    """One chain, and one account that publishes on it; without `sender` it only reads. `max_blobs` bounds a transaction (EIP-7594
    allows 6), `give_up_after` the seconds that a published blob may take to become final."""

    def __init__(
        self,
        reader: BlobReader,
        sender: BlobSender | None = None,
        *,
        max_blobs: int = MAX_BLOBS_PER_TX,
        give_up_after: float = 3600.0,
    ) -> None:
        self._reader = reader
        self._sender = sender
        self._give_up_after = give_up_after
        self.max_blobs = max_blobs

    @property
    def max_blob_bytes(self) -> int:
        return self.max_blobs * DATA_BYTES_PER_BLOB

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        """`DataAvailability.submit`. A blob of share version 1 must name the sending account as its signer."""
        if self._sender is None:
            raise Rejected("this layer only reads: it was given no account to publish with", remedy="configure a key")
        if len(blob.data) > self.max_blob_bytes:
            raise InvalidBlob(f"a blob of {len(blob.data)} bytes is above the {self.max_blob_bytes} that a transaction carries")
        check_blob_format(blob)
        if blob.signer not in (b"", self._sender.address):
            raise InvalidBlob("a blob's signer is the account that publishes it")
        sidecar = await asyncio.to_thread(make_sidecar, blob)
        # To itself: nothing but the blobs matters.
        receipt = await self._sender.send_blobs(self._sender.address, b"", sidecar, budget=budget)
        return await self._final(receipt, self._sender.address, sidecar.versioned_hashes)

    async def quote(self, size: int) -> Quote:
        if not 0 < size <= self.max_blob_bytes:
            raise InvalidBlob(f"a blob is 1 to {self.max_blob_bytes} bytes, not {size}")
        return await measure(self._reader.rpc, blobs_needed(size), await self._reader.blocks_to_final())

    async def latest(self) -> int:
        return await self._reader.latest()

    async def header(self, height: int) -> BlobsHeader:
        return (await self._reader.block(height)).header

    async def blobs(self, height: int, namespace: Namespace) -> KzgNamespaceData:
        block = await self._reader.block(height)
        transactions = block.header.transactions
        first_column = await self._reader.column(block, 0)
        first_cells: dict[int, KzgCell] = {}
        if first_column is not None:
            for index, tx in enumerate(transactions):
                cell = first_column[block.first_row(index)]
                head = claimed_head(cell.share, len(tx.versioned_hashes), tx.sender)
                if head is None or head.namespace != namespace:
                    first_cells[index] = cell
        whole = [index for index in range(len(transactions)) if index not in first_cells]
        contents = dict(zip(whole, await self._reader.contents(block, whole), strict=True))
        found: list[PlacedBlob] = []
        for index, content in contents.items():
            found += placed_blob(height, transactions[index], content, namespace)
        shown = (TransactionContent(contents.get(index, ()), first_cells.get(index)) for index in range(len(transactions)))
        return KzgNamespaceData(height, namespace, tuple(found), tuple(shown))

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        block = await self._reader.block(placement.height)
        for index in _candidates(block, placement):
            content = await self._reader.content(block, index)
            blob = unframe(content, block.header.transactions[index].sender)
            if blob is not None:
                return blob if blob.namespace == namespace else None
        return None

    async def prove(self, placement: Placement) -> KzgBlobProof:
        block = await self._reader.block(placement.height)
        candidates = _candidates(block, placement)
        if not candidates:
            raise NotFound(f"block {placement.height} has no blob transaction at that place")
        content = await self._reader.content(block, candidates[0])
        head = read_head(content[0][:BYTES_PER_CELL])
        if head is None or not head.share_version:
            return KzgBlobProof(placement.data_root, b"", content)
        # Of several transactions with these blobs the signer's own is the one that proves something.
        own = next((one for one in candidates if block.header.transactions[one].sender == head.signer), candidates[0])
        return KzgBlobProof(placement.data_root, block.raw[own], content)

    async def sample(self, height: int, row: int, column: int) -> KzgCell:
        block = await self._reader.block(height)
        rows, columns = block.header.extent
        if not (0 <= row < rows and 0 <= column < columns):
            raise NotFound(f"block {height} has {rows} blobs of {columns} cells, and no cell ({row}, {column})")
        return await self._reader.cell(block, row, column)

    async def _final(self, receipt: BlobReceipt, sender: bytes, hashes: tuple[bytes, ...]) -> Placement:
        """Where the transaction lies once its block is final. A reorganisation may move it to another block, or out."""
        clock = asyncio.get_running_loop().time
        give_up, wait, height = clock() + self._give_up_after, FIRST_POLL, receipt.block_number
        while True:
            if await self._reader.latest() >= height:
                header = (await self._reader.block(height)).header
                placed = next((tx for tx in header.transactions if (tx.sender, tx.versioned_hashes) == (sender, hashes)), None)
                if placed is not None:
                    return Placement(height, placed.data_root, 0, len(hashes))
                height = await self._moved(receipt.tx_hash, height)
            if clock() > give_up:
                raise Unavailable(
                    f"the transaction 0x{receipt.tx_hash.hex()} is in no final block after {self._give_up_after:.0f} s",
                    remedy="check that the chain finalizes; asking `blobs` tells whether it was published",
                )
            await asyncio.sleep(wait)
            wait = min(LONGEST_POLL, wait * 1.4)

    async def _moved(self, tx_hash: bytes, height: int) -> int:
        answer = await self._reader.rpc.call("eth_getTransactionReceipt", "0x" + tx_hash.hex())
        if isinstance(answer, dict) and answer.get("blockNumber") is not None:
            return quantity(answer["blockNumber"])
        return height


def _candidates(block: EthereumBlock, placement: Placement) -> list[int]:
    """The blob transactions that a placement names: more than one if several carry the same blobs."""
    return [
        index
        for index, tx in enumerate(block.header.transactions)
        if (placement.start_share, placement.share_count) == (0, len(tx.versioned_hashes)) and tx.data_root == placement.data_root
    ]
