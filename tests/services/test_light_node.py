"""A light node believes what is proven from the genesis hash, notices what is withheld, and says what it did not check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import orjson
import pytest

import dougong.availability
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.square.shares import CONTINUATION_BYTES, FIRST_BYTES
from dougong.errors import Divergence, InvalidHeader, InvalidProof
from dougong.interfaces import DataAvailability
from dougong.net.jsonrpc import JsonRpc
from dougong.net.node import NodeClient
from dougong.rpc.server import RpcServer
from dougong.services.nodes.light_node import LightConfig, LightNode, Withheld
from dougong.services.nodes.light_settlement import RollupCheck, SettlementCheck
from dougong.services.nodes.remote import RemoteSquare
from dougong.services.nodes.settled_storage import EmbeddedChain, SettledStorage
from dougong.settlement.attestations import AttestationsClient
from dougong.testing import check_availability
from dougong.types import (
    Blob,
)
from tests.services.settled import (
    BASE_GENESIS,
    DA_GENESIS,
    NAMESPACE,
    SEQUENCER,
    USER,
    World,
    data_chain,
    make_blocks,
    mount_square,
    serving,
    settle,
    settled_rollup,
    settled_world,
)
from tests.services.tampering import Tampering

EAGER = LightConfig(retries=1, retry_s=0.0)


@asynccontextmanager
async def chain_with_blobs(folder: Path, count: int = 3) -> AsyncIterator[tuple[SquareLayer, Tampering, str, RpcServer]]:
    async with data_chain(folder / "da") as layer, serving() as server:
        node = Tampering(layer)
        url = mount_square(server, layer, node)
        da = SquareClient(layer, USER)
        for number in range(count):
            await da.submit(Blob(NAMESPACE, bytes([number + 1]) * 3_000, 1, da.address))
        yield layer, node, url, server


async def test_every_block_is_checked_and_sampled_from_the_genesis_hash(tmp_path: Path) -> None:
    async with chain_with_blobs(tmp_path) as (layer, _, url, _server), NodeClient(url) as client:
        node = await LightNode.open(tmp_path / "light", client, DA_GENESIS.hash, EAGER)
        height = await node.catch_up()
        assert height >= 3
        report = node.report()
        assert (report.height, report.cells >= 4 * height) == (height, True)
        assert report.bytes_received > 1_000
        assert report.seconds > 0
        assert [node.data_root(h) for h in range(1, height + 1)] == [
            (await layer.header(h)).data_root for h in range(1, height + 1)
        ]
        await node.close()
        again = await LightNode.open(tmp_path / "light", client, DA_GENESIS.hash, EAGER)
        assert (again.height, again.report().history_root) == (height, report.history_root)
        assert again.report().bytes_received == report.bytes_received
        await SquareClient(layer, USER).submit(Blob(NAMESPACE, b"later"))
        assert await again.catch_up() > height
        await again.close()


async def test_another_chain_is_refused(tmp_path: Path) -> None:
    async with chain_with_blobs(tmp_path, 1) as (_, _node, url, _server), NodeClient(url) as client:
        with pytest.raises(InvalidHeader, match="genesis hash"):
            await LightNode.open(tmp_path / "light", client, bytes(32), EAGER)
        node = await LightNode.open(tmp_path / "light", client, DA_GENESIS.hash, EAGER)  # and the folder is free again
        await node.close()


async def test_withheld_cells_stop_the_node_until_they_come(tmp_path: Path) -> None:
    async with chain_with_blobs(tmp_path) as (_, tampering, url, _server), NodeClient(url) as client:
        node = await LightNode.open(tmp_path / "light", client, DA_GENESIS.hash, EAGER)
        tampering.withhold_all = True
        with pytest.raises(Withheld) as caught:
            await node.catch_up()
        assert (caught.value.height, node.height) == (1, 0)
        assert len(caught.value.cells) > 0
        tampering.withhold_all = False
        tampering.fail_next = 1  # one busy answer is asked again
        assert await node.catch_up() >= 3
        await node.close()


async def test_cells_that_are_not_the_square_s_count_as_withheld(tmp_path: Path) -> None:
    async with chain_with_blobs(tmp_path) as (_, tampering, url, _server), NodeClient(url) as client:
        node = await LightNode.open(tmp_path / "light", client, DA_GENESIS.hash, EAGER)
        tampering.flip_shares = True
        with pytest.raises(Withheld):
            await node.catch_up()
        await node.close()


async def test_what_a_remote_square_cannot_prove_is_refused(tmp_path: Path) -> None:
    async with chain_with_blobs(tmp_path) as (layer, tampering, url, _server), NodeClient(url) as client:
        placed = (await layer.blobs(2, NAMESPACE)).blobs or (await layer.blobs(3, NAMESPACE)).blobs
        placement = placed[0].placement
        square = await RemoteSquare.open(client, DA_GENESIS.hash)
        assert (await square.blobs(placement.height, NAMESPACE)).blobs == placed
        assert len(await square.shares(placement.height)) == (await square.header(placement.height)).square_size ** 2
        assert (await square.prove(placement)).data_root == placement.data_root
        tampering.hide_blobs = tampering.flip_shares = True
        with pytest.raises(InvalidProof):
            await square.blobs(placement.height, NAMESPACE)
        with pytest.raises(InvalidProof):
            await square.prove(placement)
        with pytest.raises(InvalidProof):
            await square.prove(replace(placement, data_root=bytes(32)))
        with pytest.raises(InvalidHeader):
            await square.shares(placement.height)
        with pytest.raises(InvalidProof):
            await square.sample(placement.height, 0, 0)
        fresh = await RemoteSquare.open(client, DA_GENESIS.hash)
        tampering.false_root = True
        with pytest.raises(InvalidHeader):
            await fresh.header(placement.height)


async def test_a_remote_square_with_a_key_publishes(tmp_path: Path) -> None:
    async with chain_with_blobs(tmp_path, 1) as (_, _node, url, _server), NodeClient(url) as client:
        square = await RemoteSquare.open(client, DA_GENESIS.hash, key=SEQUENCER)
        blob = Blob(NAMESPACE, b"from afar" * 100)
        placement = await square.submit(blob)
        found = await square.blobs(placement.height, NAMESPACE)
        assert [placed.blob for placed in found.blobs if placed.placement == placement] == [blob]


async def test_a_remote_square_keeps_the_law(tmp_path: Path) -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[DataAvailability]:
        async with data_chain(tmp_path / "da") as layer, serving() as server, NodeClient(mount_square(server, layer)) as client:
            yield await RemoteSquare.open(client, DA_GENESIS.hash, key=USER)

    # Of 32 x 32 shares one is the transaction's, and a blob of subtree width 16 may be preceded by 15 of padding.
    largest = FIRST_BYTES + (32 * 32 - 1 - 15 - 1) * CONTINUATION_BYTES
    await check_availability(make, dougong.availability, max_blob_bytes=largest)


async def another_block(node: NodeClient) -> None:
    """A header commits to the state after the block before it: what is in the last block is shown by the next one."""
    height = (await node.status()).height
    while await asyncio.sleep(0.01, (await node.status()).height == height):
        pass


@asynccontextmanager
async def settled_and_watched(folder: Path, *, own_chain: bool) -> AsyncIterator[tuple[World, SettlementCheck, RollupCheck]]:
    async with settled_world(folder, own_chain=own_chain) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        for first in (0, 3):
            await make_blocks(rollup, first, 3)
            await settle(rollup)
            await rollup.proposer.claim_next()
            await rollup.proposer.finalize_ready()
        assert rollup.proposer.final == 2
        async with NodeClient(world.server.url("square")) as client:
            light = await LightNode.open(folder / "light", client, DA_GENESIS.hash, EAGER)
            chain = None
            if own_chain:
                chain = EmbeddedChain(NodeClient(world.server.url("base")), BASE_GENESIS.hash)
                await another_block(chain.node)
            check = SettlementCheck(world.rpc, world.settlement, world.attestations, light, chain=chain)
            genesis_state = rollup.sequencer.evm.genesis_hash
            yield world, check, RollupCheck("alpha", world.rollup_id, genesis_state, "none")
            if chain is not None:
                await chain.node.aclose()
            await light.close()
        await rollup.down()


@pytest.mark.parametrize("own_chain", [True, False])
async def test_settlement_is_proven_and_what_is_trusted_is_named(tmp_path: Path, own_chain: bool) -> None:
    async with settled_and_watched(tmp_path, own_chain=own_chain) as (_, check, rollup):
        report = await check.run([rollup])
        (found,) = report.rollups
        assert (found.batches, found.claims, found.claimed_batches) == (2, 2, 2)
        assert found.state != rollup.genesis_state
        assert report.attested_height > 0
        assert any("proof = none" in line for line in report.trusted)
        assert any(f"hides no block newer than {report.block_number}, made at 20" in line for line in report.trusted)
        assert any("consensus is not checked" in line for line in report.trusted) is not own_chain
        assert any("headers from the genesis hash" in line for line in report.verified) is own_chain


async def test_a_rollup_with_another_genesis_diverges(tmp_path: Path) -> None:
    async with settled_and_watched(tmp_path, own_chain=False) as (_, check, rollup):
        with pytest.raises(Divergence):
            await check.run([replace(rollup, genesis_state=bytes(31) + b"\1")])


async def test_a_settlement_chain_with_another_genesis_is_refused(tmp_path: Path) -> None:
    async with settled_and_watched(tmp_path, own_chain=True) as (_, check, rollup):
        assert check._chain is not None
        check._storage = SettledStorage(check._rpc, replace(check._chain, genesis_hash=bytes(32)))
        with pytest.raises(InvalidHeader):
            await check.run([rollup])


class DeniesAttestations(httpx.AsyncBaseTransport):
    """A settlement node that answers every question to the attestations contract with zero."""

    def __init__(self, contract: bytes) -> None:
        self._contract = contract
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        asked, answered = orjson.loads(request.content), orjson.loads(await response.aread())
        if isinstance(asked, list) and all(self._contract.hex() in str(call["params"]) for call in asked):
            answered = [{**answer, "result": "0x" + "00" * 32} for answer in answered]
        return httpx.Response(200, content=orjson.dumps(answered))

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_a_node_that_denies_the_attestations_is_held_to_the_state(tmp_path: Path) -> None:
    """Otherwise it could keep a false history from being compared, by saying that there is none."""
    async with (
        settled_and_watched(tmp_path, own_chain=False) as (world, honest, rollup),
        JsonRpc(world.rpc.url, transport=DeniesAttestations(world.attestations)) as rpc,
    ):
        assert await AttestationsClient(rpc, world.attestations).last_height() == 0
        check = SettlementCheck(rpc, world.settlement, world.attestations, honest._light)
        assert (await check.run([rollup])).attested_height > 0
