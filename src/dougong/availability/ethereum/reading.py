"""Blocks of an Ethereum chain with their blobs, checked before they are kept.

    reader = BlobReader(rpc, beacon, finality=2)
    block = await reader.block(height)                  # NotFound until it is final
    blobs = await reader.content(block, index)          # all blobs of its blob transaction `index`
    cells = await reader.column(block, 0)               # None where the beacon node serves no columns

What is final comes from the execution node: its `finalized` or `safe` block (which it has from its beacon node), or the one that
so many blocks lie above, for chains without finality. Final blocks do not change, so they are kept, the last used ones.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, TypeAlias, TypeVar

from dougong.availability.ethereum.beacon import BlobSource
from dougong.availability.ethereum.block import EthereumBlock, read_block
from dougong.availability.kzg.library import cells_and_proofs, commit
from dougong.availability.kzg.params import BYTES_PER_BLOB
from dougong.availability.kzg.proofs import verify_column
from dougong.availability.kzg.roots import versioned_hash
from dougong.errors import InvalidHeader, InvalidInput, NotFound, Unavailable
from dougong.net.jsonrpc import JsonRpc, RpcError, quantity
from dougong.types import KzgCell

__all__ = ["BlobReader", "Finality"]

Finality: TypeAlias = Literal["finalized", "safe"] | int

T = TypeVar("T")
UNKNOWN_BLOCK = -39001  # geth's word for a tag that names no block yet
_KEPT_BLOCKS = 256
_KEPT_CONTENTS = 64
_KEPT_MATRICES = 8


class BlobReader:
    """One chain: an execution node for blocks, a beacon node (or what stands for one) for blobs."""

    def __init__(self, rpc: JsonRpc, source: BlobSource, finality: Finality = "finalized") -> None:
        self.rpc = rpc
        self.finality = finality
        self._source = source
        self._last_final = 0
        self._blocks: OrderedDict[int, EthereumBlock] = OrderedDict()
        self._contents: OrderedDict[tuple[bytes, int], tuple[bytes, ...]] = OrderedDict()
        self._matrices: OrderedDict[bytes, tuple[bytes, list[bytes], list[bytes]]] = OrderedDict()

    async def latest(self) -> int:
        """The last final height; 0 before the first. Never goes back."""
        if isinstance(self.finality, int):
            number = quantity(await self.rpc.call("eth_blockNumber")) - self.finality
        else:
            number = await self._tagged(self.finality)
        self._last_final = max(self._last_final, number)
        return self._last_final

    async def blocks_to_final(self) -> int:
        """How many blocks lie above the last final one."""
        if isinstance(self.finality, int):
            return self.finality
        final = await self.latest()
        return max(0, quantity(await self.rpc.call("eth_blockNumber")) - final)

    async def _tagged(self, tag: str) -> int:
        """The number of the node's final block; 0 while there is none."""
        try:
            head = await self.rpc.call("eth_getBlockByNumber", tag, False)
        except RpcError as error:
            if error.code == UNKNOWN_BLOCK:
                return 0
            raise
        return quantity(head.get("number")) if isinstance(head, dict) else 0

    async def block(self, height: int) -> EthereumBlock:
        """Raises `NotFound` while it is not final, `InvalidHeader` if what the node gave does not verify."""
        if height < 1 or (height > self._last_final and height > await self.latest()):
            raise NotFound(f"block {height} is not final")
        kept = _get(self._blocks, height)
        if kept is None:
            answer = await self.rpc.call("eth_getBlockByNumber", hex(height), True)
            if answer is None:
                raise Unavailable(f"{self.rpc.url} does not have block {height}, which is final")
            kept = await asyncio.to_thread(read_block, answer)
            if kept.header.height != height:
                raise InvalidHeader(f"{self.rpc.url} gave block {kept.header.height} for {height}")
            _keep(self._blocks, height, kept, _KEPT_BLOCKS)
        return kept

    async def content(self, block: EthereumBlock, index: int) -> tuple[bytes, ...]:
        """All blobs of the block's blob transaction `index`, which is what its versioned hashes say. Raises `Unavailable`."""
        (found,) = await self.contents(block, [index])
        return found

    async def contents(self, block: EthereumBlock, indices: Sequence[int]) -> list[tuple[bytes, ...]]:
        """Those of several transactions, in one go."""
        kept = {index: _get(self._contents, (block.block_hash, index)) for index in indices}
        # Held here from now on: others may put them out while this one waits.
        found = {index: content for index, content in kept.items() if content is not None}
        missing = [index for index in kept if index not in found]
        if missing:
            rows = [row for index in missing for row in _rows(block, index)]
            offered = await self._source.blobs(block, rows)
            by_hash = await asyncio.to_thread(_select, block, rows, offered)
            for index in missing:
                hashes = block.header.transactions[index].versioned_hashes
                if any(one not in by_hash for one in hashes):
                    raise Unavailable(
                        f"a blob of block {block.header.height} is withheld: what was given is not what it commits to"
                    )
                found[index] = tuple(by_hash[one] for one in hashes)
        for index, content in found.items():
            _keep(self._contents, (block.block_hash, index), content, _KEPT_CONTENTS)
        return [found[index] for index in indices]

    async def column(self, block: EthereumBlock, column: int) -> list[KzgCell] | None:
        """A column's cells, checked; None if the beacon node serves none, or wrong ones: then the blobs themselves are the
        way."""
        if not block.header.transactions:
            return []
        cells = await self._source.column(block, column)
        if cells is not None:
            try:
                await asyncio.to_thread(verify_column, block.header, column, cells)
            except InvalidInput:
                return None
        return cells

    async def cell(self, block: EthereumBlock, row: int, column: int) -> KzgCell:
        """One cell with its proof, from a column or else from its whole blob. Raises `Unavailable`."""
        cells = await self.column(block, column)
        if cells is not None:
            return cells[row]
        index = next(at for at in range(len(block.header.transactions)) if row in _rows(block, at))
        blob = (await self.content(block, index))[row - block.first_row(index)]
        blob_hash = block.versioned_hashes[row]
        matrix = _get(self._matrices, blob_hash)
        if matrix is None:
            matrix = await asyncio.to_thread(lambda: (commit(blob), *cells_and_proofs(blob)))
            _keep(self._matrices, blob_hash, matrix, _KEPT_MATRICES)
        commitment, cells_of_row, proofs = matrix
        return KzgCell(row, column, cells_of_row[column], commitment, proofs[column])


def _rows(block: EthereumBlock, index: int) -> range:
    first = block.first_row(index)
    return range(first, first + len(block.header.transactions[index].versioned_hashes))


def _select(block: EthereumBlock, rows: Sequence[int], offered: Sequence[bytes]) -> dict[bytes, bytes]:
    """The wanted ones of the blobs that a node offered, by what they hash to. Only if they are not where they would lie in a
    whole block are all of them hashed."""
    hashes = block.versioned_hashes
    wanted = {hashes[row] for row in rows}
    likely = [offered[row] for row in rows] if len(offered) == len(hashes) else []
    found: dict[bytes, bytes] = {}
    # No more than a block can have: each costs a twentieth of a second.
    for blob in (*likely, *offered[: len(hashes)]):
        if wanted <= found.keys():
            break
        if len(blob) == BYTES_PER_BLOB and blob not in found.values():
            try:
                found[versioned_hash(commit(blob))] = blob
            except InvalidInput:
                continue
    return found


K = TypeVar("K")


def _get(kept: OrderedDict[K, T], key: K) -> T | None:
    if key in kept:
        kept.move_to_end(key)
    return kept.get(key)


def _keep(kept: OrderedDict[K, T], key: K, value: T, limit: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > limit:
        kept.popitem(last=False)
