"""A node that sees only DA and settlement, through sockets, reaches the same state, and notices claims that do not."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import cast

import httpx
import pytest

from dougong.availability import SquareClient
from dougong.errors import Divergence, NotFound, Rejected, Unavailable
from dougong.net.jsonrpc import JsonRpc
from dougong.net.node import NodeClient
from dougong.rpc.backend import EvmBackend
from dougong.services.nodes.remote import RemoteSquare
from dougong.services.nodes.verifying_node import ClaimWatch, VerifyingNode
from dougong.services.rollup.sources import SettledSource, SovereignSource
from dougong.settlement.client import SettlementClient
from dougong.types import BatchReference, Blob, Claim, Namespace, NamespaceData, Placement
from tests.services.settled import (
    DA_GENESIS,
    NAMESPACE,
    PROPOSER,
    SEQUENCER,
    USER,
    Crash,
    CrashAt,
    Rollup,
    World,
    data_chain,
    make_blocks,
    mount_square,
    serving,
    settle,
    settled_rollup,
    settled_world,
    sovereign_rollup,
)
from tests.services.world import USERS, genesis, transfers


class Outage(httpx.AsyncHTTPTransport):
    """A network that can be down."""

    down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("connection refused")
        return await super().handle_async_request(request)


@asynccontextmanager
async def verifier(world: World, folder: str = "verifier") -> AsyncIterator[tuple[VerifyingNode, Outage]]:
    outage = Outage()
    async with (
        NodeClient(world.server.url("square")) as client,
        JsonRpc(world.rpc.url, attempts=1, transport=outage) as rpc,
    ):
        square = await RemoteSquare.open(client, DA_GENESIS.hash)
        settlement = SettlementClient(rpc, world.settlement)
        source = SettledSource(settlement, square, rollup_id=world.rollup_id, da_id=DA_GENESIS.hash, namespace=NAMESPACE)
        claims = ClaimWatch(settlement, world.rollup_id)
        node = await VerifyingNode.open(world.folder / folder, genesis(), source, claims=claims)
        try:
            yield node, outage
        finally:
            await node.close()


async def settle_and_claim(rollup: Rollup, nonce: int) -> None:
    assert rollup.proposer is not None
    await make_blocks(rollup, nonce, 2)
    await settle(rollup)
    await rollup.proposer.claim_next()


async def test_it_rebuilds_the_rollup_and_resumes_where_it_was(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await settle_and_claim(rollup, 0)
        await settle_and_claim(rollup, 2)
        async with verifier(world) as (node, _):
            assert isinstance(node, EvmBackend)
            assert await node.catch_up() == 2
            assert node.chain.latest.hash == rollup.chain.latest.hash
            assert node.claims is not None
            assert (node.claims.checked, node.alarms) == (2, [])
            assert (node.heads().latest, node.heads().finalized) == (4, 4)
            with pytest.raises(Rejected):
                await node.submit(transfers(USERS[0], 4, 1)[0])
        await settle_and_claim(rollup, 4)
        async with verifier(world) as (node, _):
            assert await node.catch_up() == 1
            assert node.chain.latest.hash == rollup.chain.latest.hash
        await rollup.down()


async def test_a_crash_between_block_and_record_derives_the_batch_again(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await settle_and_claim(rollup, 0)
        await settle_and_claim(rollup, 2)

        def fail(*args: object) -> None:
            raise Crash("before the record")

        async with verifier(world) as (node, _):
            node.follower._put_position = fail  # type: ignore[method-assign, assignment]
            with pytest.raises(Crash):
                await node.catch_up()
            assert (node.chain.latest.number, node.follower.position.index) == (2, 0)
        async with verifier(world) as (node, _):
            assert await node.catch_up() == 2
            assert node.chain.latest.hash == rollup.chain.latest.hash
        await rollup.down()


async def test_a_false_claim_raises_an_alarm_that_names_both(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        await settle_and_claim(rollup, 0)
        true = rollup.proposer.claims[0]
        false = replace(true, post_state=b"\x66" * 32)
        await (await world.client(PROPOSER)).post_claim(false)
        async with verifier(world) as (node, _):
            await node.catch_up()
            (alarm,) = node.alarms
            assert isinstance(alarm, Divergence)
            assert "66" * 32 in str(alarm)
            assert true.post_state.hex() in str(alarm)
            assert node.chain.latest.hash == true.post_state
        await rollup.down()


async def test_settlement_away_is_waited_for(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await settle_and_claim(rollup, 0)
        async with verifier(world) as (node, outage):
            outage.down = True
            with pytest.raises(Unavailable):
                await node.catch_up()
            outage.down = False
            assert await node.catch_up() == 1
        await rollup.down()


async def test_attested_data_that_the_da_chain_does_not_have_diverges(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await settle_and_claim(rollup, 0)
        async with verifier(world) as (node, _):
            source = node.follower._source
            (reference,), _ = await source.references(node.follower.position)
            assert reference.placement is not None
            with pytest.raises(Divergence, match="never was"):
                await source.data(replace(reference, placement=replace(reference.placement, data_root=b"\x11" * 32)))
            with pytest.raises(Divergence, match="names the DA chain"):
                other = SettledSource(
                    source._settlement,  # type: ignore[attr-defined]
                    world.da(USER),
                    rollup_id=world.rollup_id,
                    da_id=b"\x22" * 32,
                    namespace=NAMESPACE,
                )
                await other.references(node.follower.position)
            past = replace(reference.placement, start_share=10**6)
            assert await source.data(replace(reference, placement=past)) is None  # total: no reference stalls a rollup
        await rollup.down()


async def test_a_sovereign_rollup_is_followed_from_its_namespace_alone(tmp_path: Path) -> None:
    async with data_chain(tmp_path / "da") as layer, serving() as server:
        url = mount_square(server, layer)
        rollup = await sovereign_rollup(layer, tmp_path / "free")
        stranger = SquareClient(layer, USER)
        for nonce in (0, 2, 4):
            await make_blocks(rollup, nonce, 2)
            record = await rollup.batcher.close_batch(now=True)
            assert record is not None
            await rollup.batcher.publish(record)
            await stranger.submit(Blob(NAMESPACE, b"\x00not mine", 1, stranger.address))
            await stranger.submit(Blob(NAMESPACE, b"\x00unsigned"))
            await rollup.batcher.fix_next()
        own = SquareClient(layer, SEQUENCER)
        await own.submit(Blob(NAMESPACE, b"\x00garbage, signed", 1, own.address))
        async with NodeClient(url) as client:
            square = await RemoteSquare.open(client, DA_GENESIS.hash)
            signer = own.address
            for _ in range(2):  # the second time from its folder
                source = SovereignSource(square, da_id=DA_GENESIS.hash, namespace=NAMESPACE, sequencer=signer, span=2)
                node = await VerifyingNode.open(tmp_path / "verifier", genesis(), source)
                await node.catch_up()
                assert node.follower.position.index == 4
                assert node.chain.latest.hash == rollup.chain.latest.hash
                await node.close()
        await rollup.down()


class Blobs:
    """A square told as blobs of Ethereum are: every blob begins at share 0 of a transaction of its own."""

    def __init__(self, square: SquareClient) -> None:
        self.latest, self.header, self._square = square.latest, square.header, square

    async def blobs(self, height: int, namespace: Namespace) -> NamespaceData:
        found = await self._square.blobs(height, namespace)
        placed = (replace(one, placement=Placement(height, sha256(one.blob.data).digest(), 0, 1)) for one in found.blobs)
        return replace(found, blobs=tuple(placed))


async def test_a_follower_stopped_between_two_batches_of_a_block_takes_the_second(tmp_path: Path) -> None:
    class Stopping(SovereignSource):
        after = 0

        async def data(self, reference: BatchReference) -> bytes | None:
            if reference.index == self.after:
                raise Unavailable("stopped here")
            return await super().data(reference)

    async with data_chain(tmp_path / "da") as layer:
        own = SquareClient(layer, SEQUENCER)
        await own.publish([Blob(NAMESPACE, b"\x00%d" % number, 1, own.address) for number in range(3)])
        await own.publish([Blob(NAMESPACE, b"\x00%d" % number, 1, own.address) for number in range(3, 5)])
        for number, blobs in enumerate([own, cast(SquareClient, Blobs(own))]):
            for batch in range(1, 6):
                source = Stopping(blobs, da_id=DA_GENESIS.hash, namespace=NAMESPACE, sequencer=own.address)
                source.after = batch
                node = await VerifyingNode.open(tmp_path / f"verifier{number}", genesis(), source)
                with suppress(Unavailable):
                    await node.catch_up()
                assert node.follower.position.index == batch, "no batch of a block may be passed over"
                await node.close()


async def test_a_proposer_killed_anywhere_claims_each_batch_once(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world:
        step, nonce = 1, 0
        while True:
            crash = CrashAt()
            rollup = await settled_rollup(world, crash=crash)
            await rollup.resume()
            await make_blocks(rollup, nonce, 1)
            await settle(rollup)
            nonce += 1
            assert rollup.proposer is not None
            crash.passed.clear()
            crash.at = step
            finished = False
            try:
                await rollup.proposer.claim_next()
                await rollup.proposer.finalize_ready()
                finished = True
            except Crash:
                pass
            await rollup.down()
            rollup = await settled_rollup(world)
            await rollup.resume()
            assert rollup.proposer is not None
            await rollup.proposer.resume()
            await rollup.proposer.finalize_ready()
            assert len(rollup.proposer.claims) == rollup.proposer.final == step
            assert rollup.proposer.claims[-1].post_state == rollup.chain.latest.hash
            await rollup.down()
            if finished:
                break
            step += 1
        assert crash.passed == ["written", "posted", "finalized"]
        reader = await world.client(USER)
        posted, _ = await reader.claims(world.rollup_id)
        assert len(posted) == step


async def test_a_proposer_that_lost_its_store_goes_on_from_the_final_claim(tmp_path: Path) -> None:
    """A first claim beside the final one could never become final, and nothing would settle any more."""
    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        assert rollup.proposer is not None
        await settle_and_claim(rollup, 0)
        await settle_and_claim(rollup, 2)
        known = list(rollup.proposer.claims)
        await rollup.proposer.finalize_ready()
        await rollup.down()
        shutil.rmtree(world.folder / "alpha" / "proposer")
        rollup = await settled_rollup(world)
        await rollup.resume()
        assert rollup.proposer is not None
        # Without `resume`, as if the other claim had become final while this one was being posted.
        with pytest.raises(Rejected, match="sibling"):
            await rollup.proposer.claim_next()
        rollup.proposer.claims.clear()
        await rollup.proposer.resume()
        assert (rollup.proposer.claims, rollup.proposer.final) == (known, len(known))
        await settle_and_claim(rollup, 4)
        await rollup.proposer.finalize_ready()
        assert rollup.proposer.final == len(known) + 1
        await rollup.down()


@pytest.mark.parametrize("batches", [(0, 0), (2, 1), (5, 1)])
async def test_claims_that_no_contract_takes_do_not_stop_a_node(tmp_path: Path, batches: tuple[int, int]) -> None:
    """What a settlement node says about claims is checked by nobody before."""
    claim = Claim(1, bytes(20), 1, 1, bytes(32), bytes(32), bytes(32), *batches, bytes(32), 0, 0, bytes(32), bytes(32))

    class Liar:
        async def claims(self, rollup_id: int, first_block: int) -> tuple[Sequence[Claim], int]:
            return (claim,), 1

    async with settled_world(tmp_path) as world:
        rollup = await settled_rollup(world)
        await settle_and_claim(rollup, 0)
        node = await VerifyingNode.open(tmp_path / "node", genesis(), world.source(), claims=ClaimWatch(Liar(), 1))
        await node.catch_up()
        (alarm,) = node.alarms
        assert "lies" in str(alarm)
        await node.close()
        await rollup.down()


async def test_a_record_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with settled_world(tmp_path) as world, verifier(world) as (node, _):
        with pytest.raises(NotFound):
            node.follower.record(0)
