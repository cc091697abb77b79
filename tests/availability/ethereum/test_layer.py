"""The adapter over a block that many share: what is ours is found, whole, and nothing else passes for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from dougong.availability.ethereum import Beacon, BlobReader, EthereumBlobs, EthereumBlock
from dougong.availability.kzg import verify_blob_proof, verify_cell, verify_namespace_data
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidBlob, InvalidHeader, InvalidProof, NotFound, Rejected, Unavailable, Underpaid
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.transactor import Receipt, Transactor
from dougong.types import Blob, BlobSidecar, KzgCell, KzgNamespaceData, Placement
from tests.availability.ethereum.conftest import MINE, OWNER, STRANGER, World, pooled
from tests.availability.kzg.world import ABSENT, LARGE, OURS, SIGNED, commitment, extended
from tests.engines import ANVIL_KEY, anvil


class Columns:
    """A source that serves columns of what another one has, and counts the blobs downloaded."""

    def __init__(self, inner: Beacon, *, forged: bool = False) -> None:
        self.inner = inner
        self.forged = forged
        self.rows: list[int] = []

    async def blobs(self, block: EthereumBlock, rows: Sequence[int]) -> list[bytes]:
        self.rows += rows
        return await self.inner.blobs(block, rows)

    async def column(self, block: EthereumBlock, column: int) -> list[KzgCell]:
        blobs = await self.inner.blobs(block, range(len(block.versioned_hashes)))
        cells = []
        for row, blob in enumerate(blobs):
            shares, proofs = extended(blob)
            share = bytes(2048) if self.forged else shares[column]
            cells.append(KzgCell(row, column, share, commitment(blob), proofs[column]))
        return cells


class Withholding(Columns):
    async def blobs(self, block: EthereumBlock, rows: Sequence[int]) -> list[bytes]:
        return [bytes(131_072)] * len(block.versioned_hashes)


def owners(height: int, block: EthereumBlock, key: Secp256k1Key, count: int) -> Placement:
    tx = next(tx for tx in block.header.transactions if tx.sender == key.address and len(tx.versioned_hashes) == count)
    return Placement(height, tx.data_root, 0, count)


async def test_everything_of_a_namespace_is_found(world: World, reader: BlobReader) -> None:
    layer, block = EthereumBlobs(reader), world.block
    height = block.header.height
    for namespace, blobs in ((OURS, [LARGE]), (SIGNED, [MINE]), (ABSENT, [])):
        found = await layer.blobs(height, namespace)
        verify_namespace_data(await layer.header(height), found)
        assert [one.blob for one in found.blobs] == blobs
    assert await layer.header(height) == block.header


async def test_with_columns_only_ones_own_blobs_are_downloaded(world: World, reader: BlobReader) -> None:
    block = world.block
    async with Beacon(world.url) as beacon:
        source = Columns(beacon)
        layer = EthereumBlobs(BlobReader(reader.rpc, source, 0))
        found = await layer.blobs(block.header.height, OURS)
        verify_namespace_data(block.header, found)
        assert [one.blob for one in found.blobs] == [LARGE]
        assert len(source.rows) == 2
        empty = await layer.blobs(block.header.height, ABSENT)
        verify_namespace_data(block.header, empty)
        assert len(source.rows) == 2
        assert all(content.first_cell is not None for content in empty.transactions)
        cell = await layer.sample(block.header.height, 3, 77)
        verify_cell(block.header, cell)


async def test_forged_columns_hide_nothing(world: World, reader: BlobReader) -> None:
    """The attack: a beacon node shows column 0 as if no blob were framed."""
    async with Beacon(world.url) as beacon:
        layer = EthereumBlobs(BlobReader(reader.rpc, Columns(beacon, forged=True), 0))
        found = await layer.blobs(world.block.header.height, OURS)
        assert [one.blob for one in found.blobs] == [LARGE]


async def test_withheld_blobs_are_unavailable_and_never_none(world: World, reader: BlobReader) -> None:
    """The attack: other bytes in place of a batch would make it count as empty for one node alone."""
    block = world.block
    placement = owners(block.header.height, block, OWNER, 2)
    async with Beacon(world.url) as beacon:
        layer = EthereumBlobs(BlobReader(reader.rpc, Withholding(beacon), 0))
        for call in (layer.blob(placement, OURS), layer.prove(placement), layer.blobs(block.header.height, OURS)):
            with pytest.raises(Unavailable):
                await call


async def test_a_copy_of_signed_blobs_is_nobodys(world: World, reader: BlobReader) -> None:
    """Both transactions have one data root: the placement reads as the signer's blob, once, and the proof is the signer's."""
    layer, block = EthereumBlobs(reader), world.block
    own = next(tx for tx in block.header.transactions if tx.sender == OWNER.address and len(tx.versioned_hashes) == 1)
    copies = [tx for tx in block.header.transactions if tx.data_root == own.data_root]
    assert {tx.sender for tx in copies} == {OWNER.address, STRANGER.address}
    placement = Placement(block.header.height, own.data_root, 0, 1)
    assert await layer.blob(placement, SIGNED) == MINE
    proof = await layer.prove(placement)
    assert verify_blob_proof(placement, SIGNED, proof) == MINE
    others = [raw for raw in block.raw if raw != proof.transaction]
    assert len(others) == len(block.raw) - 1
    for raw in others:
        with pytest.raises(InvalidProof):
            verify_blob_proof(placement, SIGNED, replace(proof, transaction=raw))


async def test_blobs_of_others_are_no_blobs_and_still_proven(world: World, reader: BlobReader) -> None:
    layer, block = EthereumBlobs(reader), world.block
    foreign = next(
        tx
        for tx in block.header.transactions
        if tx.sender == STRANGER.address and sum(tx.data_root == other.data_root for other in block.header.transactions) == 1
    )
    placement = Placement(block.header.height, foreign.data_root, 0, 1)
    assert await layer.blob(placement, OURS) is None
    proof = await layer.prove(placement)
    assert (proof.transaction, len(proof.blobs)) == (b"", 1)
    with pytest.raises(InvalidProof):
        verify_blob_proof(placement, OURS, proof)


async def test_parts_of_a_transaction_are_no_place(world: World, reader: BlobReader) -> None:
    layer, block = EthereumBlobs(reader), world.block
    whole = owners(block.header.height, block, OWNER, 2)
    for start, count in ((0, 1), (1, 1), (1, 2), (0, 3), (-1, 2), (0, 0)):
        part = replace(whole, start_share=start, share_count=count)
        assert await layer.blob(part, OURS) is None
        with pytest.raises(NotFound):
            await layer.prove(part)


async def test_a_node_that_gives_another_block_is_refused(world: World) -> None:
    def lying(request: httpx.Request) -> httpx.Response:
        asked = orjson.loads(request.content)
        result = "0xff" if asked["method"] == "eth_blockNumber" else world.answer
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": result})

    async with JsonRpc("http://liar", transport=httpx.MockTransport(lying)) as rpc, Beacon(world.url) as beacon:
        layer = EthereumBlobs(BlobReader(rpc, beacon, 0))
        with pytest.raises(InvalidHeader):
            await layer.header(world.block.header.height + 1)
        assert await layer.header(world.block.header.height) == world.block.header


async def test_nothing_is_sent_of_what_cannot_be_published(reader: BlobReader) -> None:
    class Never:
        address = OWNER.address

        async def send_blobs(self, *_: object, **__: object) -> Any:
            raise AssertionError("nothing is sent")

    layer = EthereumBlobs(reader, Never(), max_blobs=1)
    for blob in (Blob(OURS, b""), Blob(OURS, bytes(126_913)), Blob(SIGNED, b"x", 1, STRANGER.address)):
        with pytest.raises(InvalidBlob):
            await layer.submit(blob)
    with pytest.raises(Rejected):
        await EthereumBlobs(reader).submit(MINE)
    for size in (0, -1, 126_913):
        with pytest.raises(InvalidBlob):
            await layer.quote(size)


class Reorganised:
    """A sender whose transaction loses its block once it has a receipt, and gets into another one."""

    def __init__(self, inner: Transactor) -> None:
        self.inner = inner
        self.address = inner.address

    async def send_blobs(self, to: bytes, calldata: bytes, sidecar: BlobSidecar, *, budget: int | None = None) -> Receipt:
        rpc = self.inner.rpc
        before = await rpc.call("evm_snapshot")
        sending = asyncio.create_task(self.inner.send_blobs(to, calldata, sidecar, budget=budget))
        await pooled(rpc, 1)
        await rpc.call("evm_mine")
        receipt = await sending
        raw = await rpc.call("eth_getRawTransactionByHash", "0x" + receipt.tx_hash.hex())
        assert await rpc.call("evm_revert", before)
        await rpc.call("evm_mine")
        await rpc.call("eth_sendRawTransaction", raw)
        for _ in range(4):
            await rpc.call("evm_mine")
        return receipt


async def test_a_blob_is_placed_where_it_became_final(tmp_path: Path) -> None:
    """The chain drops the block that the receipt names; the transaction comes again in the next: that is the placement."""
    with anvil(tmp_path, "--no-mining") as url:
        async with JsonRpc(url) as rpc, Beacon(url) as beacon:
            sender = Reorganised(await Transactor.connect(rpc, Secp256k1Key(ANVIL_KEY)))
            layer = EthereumBlobs(BlobReader(rpc, beacon, finality=2), sender)
            blob = Blob(OURS, b"reorganised")
            placement = await layer.submit(blob)
            assert placement.height == 2
            assert await layer.blob(placement, OURS) == blob
            assert await layer.latest() == 3
            assert await layer.blob(replace(placement, height=1), OURS) is None


async def test_quotes_are_what_it_costs(tmp_path: Path) -> None:
    with anvil(tmp_path, "--base-fee", "1000000000") as url:
        async with JsonRpc(url) as rpc, Beacon(url) as beacon:
            sender = await Transactor.connect(rpc, Secp256k1Key(ANVIL_KEY))
            layer = EthereumBlobs(BlobReader(rpc, beacon, finality=0), sender)
            small, large = await layer.quote(1), await layer.quote(126_913)
            assert small.unit == "wei"
            assert large.price > small.price > 0
            assert small.latency_ms > 0
            assert small.throughput > 0
            with pytest.raises(Underpaid) as error:
                await layer.submit(Blob(OURS, b"cheap"), budget=small.price // 2)
            before = int(await rpc.call("eth_getBalance", "0x" + OWNER.address.hex(), "latest"), 16)
            await layer.submit(Blob(OURS, b"paid"), budget=error.value.wanted)
            spent = before - int(await rpc.call("eth_getBalance", "0x" + OWNER.address.hex(), "latest"), 16)
            assert small.price // 2 < spent <= 2 * small.price


async def test_what_is_final_is_the_nodes_word(tmp_path: Path) -> None:
    with anvil(tmp_path, "--slots-in-an-epoch", "1") as url:
        async with JsonRpc(url) as rpc, Beacon(url) as beacon:
            await rpc.call("anvil_mine", "0xa")
            finalized, safe, deep = (BlobReader(rpc, beacon, finality) for finality in ("finalized", "safe", 4))
            assert (await finalized.latest(), await safe.latest(), await deep.latest()) == (8, 9, 6)
            assert (await finalized.blocks_to_final(), await safe.blocks_to_final(), await deep.blocks_to_final()) == (2, 1, 4)
            assert (await finalized.block(8)).header.extent == (0, 128)
            with pytest.raises(NotFound):
                await finalized.block(9)
            assert await EthereumBlobs(finalized).blobs(8, OURS) == KzgNamespaceData(8, OURS, (), ())


async def test_before_the_first_final_block_there_is_none(world: World) -> None:
    def geth(request: httpx.Request) -> httpx.Response:
        error = {"code": -39001, "message": "Unknown block"}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": orjson.loads(request.content)["id"], "error": error})

    async with JsonRpc("http://geth", transport=httpx.MockTransport(geth)) as rpc, Beacon(world.url) as beacon:
        reader = BlobReader(rpc, beacon, "finalized")
        assert await reader.latest() == 0
        with pytest.raises(NotFound):
            await reader.block(1)
