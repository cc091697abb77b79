"""The node API over sockets: what comes out of the client is what the node holds, and it verifies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest
import pytest_asyncio

from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.blob_tx import account_address, make_blob_tx
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.square.proofs import verify_cell, verify_header, verify_namespace_data, verify_share_proof
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import Header
from dougong.consensus.light import LightClient
from dougong.consensus.solo import Solo, SoloOptions
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.errors import InvalidInput, NotFound, Rejected, Unavailable
from dougong.net.node import NodeClient
from dougong.rpc.node import availability_methods, chain_health, consensus_methods
from dougong.rpc.server import RpcServer
from dougong.types import Blob, Namespace, Placement, Validator

KEY, BATCHER = Ed25519Key(bytes(32)), Secp256k1Key(b"\1" * 32)
NAMESPACE = Namespace.user(b"alpha")
BLOB = Blob(NAMESPACE, bytes(range(256)) * 20)


@dataclass(frozen=True, slots=True)
class World:
    layer: SquareLayer
    genesis: Genesis
    url: str
    placement: Placement


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[World]:
    genesis = Genesis.create("square-1", 1_700_000_000 * 10**9, [Validator(KEY.public_key, 1)], app_state={"max_square_size": 16})
    app = await SquareApplication.open(folder / "app")
    chain = await Solo.open(folder / "chain", genesis, KEY, app, SoloOptions(block_time=0.01, create_empty_blocks=False))
    layer = SquareLayer(chain, app)
    server = RpcServer.bind("127.0.0.1", 0)
    server.mount("square", consensus_methods(genesis.raw, chain).include(availability_methods(layer, chain)), chain_health(chain))
    tasks = [asyncio.create_task(work) for work in (server.run(), chain.run())]
    try:
        yield World(layer, genesis, server.url("square"), await SquareClient(layer, BATCHER).submit(BLOB))
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await chain.close()
        await app.close()


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def node(world: World) -> AsyncIterator[NodeClient]:
    async with NodeClient(world.url) as made:
        yield made


async def test_a_light_node_gets_from_the_genesis_hash_to_a_blob(world: World, node: NodeClient) -> None:
    raw = await node.genesis()
    assert sha256(raw) == world.genesis.hash
    height = world.placement.height
    client = LightClient(Genesis.parse(raw), node.signed_header)
    trusted = await client.header(height)
    header, proof = await node.data_header(height)
    verify_header(header)
    merkle.verify(trusted.data_hash, sha256(header.data_root), proof)
    assert header.data_root == world.placement.data_root
    width = len(header.row_roots)
    for cell in await node.samples(height, [(row, width - 1 - row) for row in range(width)]):
        verify_cell(header, cell)
    cell = await node.sample(height, 0, 1)
    verify_cell(header, cell)
    data = await node.namespace(height, NAMESPACE)
    verify_namespace_data(header, data)
    assert [placed.blob for placed in data.blobs] == [BLOB]
    absent = await node.namespace(height, Namespace.user(b"beta"))
    verify_namespace_data(header, absent)
    assert absent.blobs == ()
    shares = await node.prove(world.placement)
    verify_share_proof(shares)
    assert shares.data_root == header.data_root
    assert await node.shares(height) == tuple(await world.layer.shares(height))


async def test_answers_are_what_the_node_holds(world: World, node: NodeClient) -> None:
    height = world.placement.height
    chain = world.layer.chain
    assert await node.block(height) == await chain.block(height)
    assert await node.signed_header(height) == await chain.signed_header(height)
    assert (await node.status()).genesis_hash == world.genesis.hash
    assert await node.latest() >= height
    assert Header.decode((await node.signed_header(height)).header).height == height
    assert await node.next_sequence(account_address(BATCHER.public_key)) == 1


async def test_a_remote_batcher_publishes(world: World, node: NodeClient) -> None:
    key = Secp256k1Key(b"\2" * 32)
    signer = account_address(key.public_key)
    blob = Blob(Namespace.user(b"gamma"), b"remote")
    raw = make_blob_tx(key, world.genesis.chain_id, await node.next_sequence(signer), [blob])
    after = await node.latest()
    await node.submit(raw)
    while not (found := await _blobs_after(world, node, after, blob.namespace)):
        await world.layer.chain.wait_for_height(await node.latest() + 1)
    assert found == [blob]
    assert await node.next_sequence(signer) == 1
    with pytest.raises(Rejected, match="sequence 0 is not"):
        await node.submit(raw)
    with pytest.raises(Rejected):
        await node.submit(b"junk")


async def _blobs_after(world: World, node: NodeClient, height: int, namespace: Namespace) -> list[Blob]:
    found: list[Blob] = []
    for number in range(height + 1, await node.latest() + 1):
        found += [placed.blob for placed in (await node.namespace(number, namespace)).blobs]
    return found


async def test_what_is_not_there_is_said_to_be_not_there(world: World, node: NodeClient) -> None:
    for asked in (node.block(999), node.signed_header(999), node.data_header(999), node.shares(999), node.sample(999, 0, 0)):
        with pytest.raises(NotFound):
            await asked
    for bad in (node.block(0), node.block(-1), node.sample(world.placement.height, -1, 0), node.block(2**64)):
        with pytest.raises(InvalidInput):
            await bad
    with pytest.raises((NotFound, InvalidInput)):
        await node.sample(world.placement.height, 60_000, 0)


async def test_the_bill_counts_every_byte_of_every_answer(world: World) -> None:
    async with NodeClient(world.url) as node:
        assert (node.bytes_received, node.bytes_sent) == (0, 0)
        await node.shares(world.placement.height)
        size = len(orjson.dumps(["0x" + share.hex() for share in await world.layer.shares(world.placement.height)]))
        assert size < node.bytes_received < size + 400
        assert 50 < node.bytes_sent < 200


LIES = [
    b"",
    b"{}",
    b"[]",
    b'{"jsonrpc":"2.0","id":1,"result":null}',
    b'{"jsonrpc":"2.0","id":1,"result":{"height":"1"}}',
    b'{"jsonrpc":"2.0","id":1,"result":{"header":{},"proof":{}}}',
    b'{"jsonrpc":"2.0","id":1,"result":["0x0"]}',
    b'{"jsonrpc":"2.0","id":1,"result":"' + b"9" * 5_000 + b'"}',
    b'{"jsonrpc":"2.0","id":7,"result":"1"}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}',
    b"\xff" * 100,
    b" " * 200_000,
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie[:60].decode(errors="replace"))
async def test_a_lying_node_meets_typed_errors(lie: bytes) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=lie)

    for ask in ("status", "latest", "shares", "data_header", "block", "signed_header"):
        async with NodeClient("http://node", attempts=1, max_bytes=100_000, transport=httpx.MockTransport(handle)) as node:
            method = getattr(node, ask)
            with pytest.raises((InvalidInput, Unavailable, Rejected)):
                await (method() if ask in ("status", "latest") else method(1))
