"""The DA chain whole: solo, the square application and what the layer serves, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.blob_tx import account_address, make_blob_tx
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.square.proofs import verify_blob_proof, verify_cell, verify_namespace_data, verify_share_proof
from dougong.availability.square.wire import decode_blob_tx
from dougong.consensus import Genesis, Solo, SoloOptions
from dougong.consensus.light import LightClient, verify_transaction
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.errors import InvalidBlob, InvalidNamespace, NotFound
from dougong.store import Store
from dougong.testing.consensus import running
from dougong.types import Blob, Namespace, Placement, Validator

VALIDATOR = Ed25519Key(b"\1" * 32)
ALICE, BOB = Secp256k1Key(b"\1" * 32), Secp256k1Key(b"\2" * 32)
GENESIS = Genesis.create(
    "square-1", 1_767_323_045_000_000_000, [Validator(VALIDATOR.public_key, 10)], app_state={"max_square_size": 16}
)
ALPHA, BETA = Namespace.user(b"alpha"), Namespace.user(b"beta")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SquareLayer]:
    app = await SquareApplication.open(folder / "app")
    chain = await Solo.open(folder / "chain", GENESIS, VALIDATOR, app, SoloOptions(block_time=0.02))
    try:
        yield SquareLayer(chain, app)
    finally:
        await chain.close()
        await app.close()


@asynccontextmanager
async def live(folder: Path) -> AsyncIterator[SquareLayer]:
    async with opened(folder) as layer, running(layer.chain):
        yield layer


async def test_what_is_submitted_is_proven_from_the_genesis_document(tmp_path: Path) -> None:
    async with live(tmp_path) as layer:
        da = SquareClient(layer, ALICE)
        blob = Blob(ALPHA, bytes(range(256)) * 9, 1, da.address)
        placement = await da.submit(blob)
        light = LightClient(Genesis.parse(GENESIS.raw), layer.signed_header)
        header = await light.header(placement.height)
        verify_transaction(header, placement.data_root, await layer.data_root_proof(placement.height))
        data_header = await da.header(placement.height)
        assert (data_header.data_root, data_header.time_ns) == (placement.data_root, header.time_ns)
        found = await da.blobs(placement.height, ALPHA)
        verify_namespace_data(data_header, found)
        assert [placed.blob for placed in found.blobs] == [blob]
        assert found.blobs[0].placement == placement
        proof = await da.prove(placement)
        verify_share_proof(proof)
        assert verify_blob_proof(placement, ALPHA, proof) == blob
        for row in range(2 * data_header.square_size):
            for column in range(2 * data_header.square_size):
                verify_cell(data_header, await da.sample(placement.height, row, column))
        absent = await da.blobs(placement.height, BETA)
        verify_namespace_data(data_header, absent)
        assert absent.blobs == ()
        assert len(await da.shares(placement.height)) == data_header.square_size**2


async def test_one_account_submits_much_at_once(tmp_path: Path) -> None:
    async with live(tmp_path) as layer:
        da, other = SquareClient(layer, ALICE), SquareClient(layer, BOB)
        blobs = [Blob(ALPHA if number % 2 else BETA, number.to_bytes(2) * (1 + 97 * number)) for number in range(40)]
        placements = await asyncio.gather(*(client.submit(blob) for blob in blobs for client in (da, other)))
        assert len(set(placements)) == 80
        for placement, blob in zip(placements, [blob for blob in blobs for _ in range(2)], strict=True):
            assert verify_blob_proof(placement, blob.namespace, await da.prove(placement)) == blob
        assert await layer.next_sequence(da.address) == await layer.next_sequence(other.address) == 40


async def test_two_clients_of_one_account_do_not_lose_a_blob(tmp_path: Path) -> None:
    async with live(tmp_path) as layer:
        clients = [SquareClient(layer, ALICE) for _ in range(4)]
        blobs = [Blob(ALPHA, b"blob %d" % number) for number in range(20)]
        placements = await asyncio.gather(*(clients[number % 4].submit(blob) for number, blob in enumerate(blobs)))
        assert len(set(placements)) == 20
        read = [placed.blob for height in {p.height for p in placements} for placed in (await layer.blobs(height, ALPHA)).blobs]
        assert sorted(blob.data for blob in read) == sorted(blob.data for blob in blobs), "each is published exactly once"


async def test_a_blob_accepted_before_a_restart_is_published_once_after_it(tmp_path: Path) -> None:
    blobs = [Blob(ALPHA, b"one"), Blob(BETA, b"two")]
    raw = make_blob_tx(ALICE, "square-1", 0, blobs)
    async with opened(tmp_path) as layer:
        assert (await layer.broadcast(raw)).accepted
    async with opened(tmp_path) as layer:
        da = SquareClient(layer, ALICE)
        again = asyncio.create_task(da.publish(blobs))
        while await asyncio.sleep(0.001, not da._bidder._flying):
            pass
        async with running(layer.chain):
            published = await again
            assert len(published.placements) == 2
            inner = decode_blob_tx(raw)
            assert inner is not None
            assert published.tx_hash == sha256(inner.tx)
            assert await layer.next_sequence(da.address) == 1
            third = await da.submit(Blob(ALPHA, b"three"))
            assert (await layer.blobs(third.height, ALPHA)).blobs[0].blob.data == b"three"
    async with opened(tmp_path) as layer:
        first = published.placements[0]
        assert (await layer.blobs(first.height, ALPHA)).blobs[0].placement == first


class Observed(SquareApplication):
    """Lets others look at the moment when it has committed a block and the chain does not know yet."""

    def __init__(self, store: Store, *others: Any, **named: Any) -> None:
        super().__init__(store, *others, **named)
        self.look: Callable[[], Coroutine[None, None, None]] | None = None
        self.looks: list[asyncio.Task[None]] = []

    async def commit(self) -> None:
        await super().commit()
        if self.look is not None:
            self.looks.append(asyncio.create_task(self.look()))
            for _ in range(5):
                await asyncio.sleep(0)


async def test_a_spent_sequence_is_in_a_block_that_can_be_read(tmp_path: Path) -> None:
    address = account_address(ALICE.public_key)
    seen: list[tuple[int, int]] = []
    app = await Observed.open(tmp_path / "app")
    assert isinstance(app, Observed)
    chain = await Solo.open(tmp_path / "chain", GENESIS, VALIDATOR, app, SoloOptions(block_time=0.02))
    layer = SquareLayer(chain, app)

    async def look() -> None:
        seen.append((await layer.next_sequence(address), await layer.latest()))

    app.look = look
    async with running(chain):
        placements = [await SquareClient(layer, ALICE).submit(Blob(ALPHA, b"blob %d" % number)) for number in range(5)]
        await asyncio.gather(*app.looks)
    for spent, latest in seen:
        assert spent <= sum(placement.height <= latest for placement in placements)
    assert max(spent for spent, _ in seen) == 5
    await chain.close()
    await app.close()


async def test_what_cannot_be_published_is_refused_at_once(tmp_path: Path) -> None:
    async with live(tmp_path) as layer:
        da = SquareClient(layer, ALICE)
        with pytest.raises(InvalidBlob):
            await da.submit(Blob(ALPHA, b""))
        with pytest.raises(InvalidBlob, match="fit"):
            await da.submit(Blob(ALPHA, bytes(200_000)))
        with pytest.raises(InvalidBlob, match="signer"):
            await da.submit(Blob(ALPHA, b"x", 1, account_address(BOB.public_key)))
        with pytest.raises(InvalidNamespace):
            await da.submit(Blob(Namespace(bytes(28) + b"\1"), b"x"))
        assert (await da.submit(Blob(ALPHA, b"good"))).height, "a refusal uses no sequence up"
        latest = await da.latest()
        with pytest.raises(NotFound):
            await da.header(latest + 1000)
        with pytest.raises(NotFound):
            await da.sample(1, 99, 0)
        header = await da.header(1)
        with pytest.raises(NotFound):
            await da.prove(Placement(1, header.data_root, 5, 1))
