"""A rollup's inputs under settlement's own state root: what a lying node can and cannot make a verifying node take."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from dougong.errors import InvalidProof, Unavailable
from dougong.net.jsonrpc import JsonRpc
from dougong.services.nodes.proven_settlement import ProvenSettlement
from dougong.services.nodes.settled_storage import SettledStorage
from dougong.settlement.client import SettlementClient
from dougong.types import BatchReference, InboxMessage
from tests.settlement.world import World


class Liar(SettlementClient):
    """A client whose node tells a story that fits itself: other batches and messages, and accumulators to match."""

    async def batches(self, rollup_id: int, start: int) -> list[BatchReference]:
        return [replace(batch, timestamp=batch.timestamp + 1) for batch in await super().batches(rollup_id, start)]

    async def messages(self, rollup_id: int, start: int) -> list[InboxMessage]:
        return [replace(message, sender=b"\x66" * 20) for message in await super().messages(rollup_id, start)]


class Withholder(SettlementClient):
    """A client whose node leaves the last entry out."""

    async def batches(self, rollup_id: int, start: int) -> list[BatchReference]:
        return list(await super().batches(rollup_id, start))[:-1]

    async def messages(self, rollup_id: int, start: int) -> list[InboxMessage]:
        return list(await super().messages(rollup_id, start))[:-1]


class Falsifier(httpx.AsyncHTTPTransport):
    """Passes on what is asked, and changes the answers to eth_getProof."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        body = json.loads(await response.aread())
        if json.loads(request.content)["method"] == "eth_getProof":
            for entry in body["result"]["storageProof"]:
                last = bytearray.fromhex(entry["proof"][-1][2:])
                last[-1] ^= 1
                entry["proof"][-1] = "0x" + last.hex()
        return httpx.Response(response.status_code, content=json.dumps(body).encode())


async def with_inputs(world: World) -> None:
    user = await world.client()
    for amount in (1, 2):
        await user.deposit(world.rollup_id, b"\1" * 20, amount * 10**9)
        await world.append(amount)


@asynccontextmanager
async def seen_through(world: World, transport: httpx.AsyncHTTPTransport) -> AsyncIterator[ProvenSettlement]:
    async with JsonRpc(world.rpc.url, transport=transport) as rpc:
        yield ProvenSettlement(SettlementClient(rpc, world.settlement), SettledStorage(rpc, None))


async def test_an_honest_node_is_believed(world: World) -> None:
    await with_inputs(world)
    client = await world.client()
    proven = ProvenSettlement(client, SettledStorage(world.rpc, None))
    for start in (0, 1, 2):
        assert list(await proven.batches(world.rollup_id, start)) == list(await client.batches(world.rollup_id, start))
        assert list(await proven.messages(world.rollup_id, start)) == list(await client.messages(world.rollup_id, start))
        assert await proven.batch_accumulator(world.rollup_id, start) == await client.batch_accumulator(world.rollup_id, start)
        assert await proven.inbox_accumulator(world.rollup_id, start) == await client.inbox_accumulator(world.rollup_id, start)
    assert len(await proven.batches(world.rollup_id, 0)) == 2


@pytest.mark.parametrize(("kind", "error"), [(Liar, InvalidProof), (Withholder, Unavailable)])
async def test_another_story_is_refused(world: World, kind: type[SettlementClient], error: type[Exception]) -> None:
    await with_inputs(world)
    proven = ProvenSettlement(kind(world.rpc, world.settlement), SettledStorage(world.rpc, None))
    for start in (0, 1):
        with pytest.raises(error):
            await proven.batches(world.rollup_id, start)
        with pytest.raises(error):
            await proven.messages(world.rollup_id, start)


async def test_a_false_proof_is_refused(world: World) -> None:
    await with_inputs(world)
    async with seen_through(world, Falsifier()) as proven:
        with pytest.raises(InvalidProof):
            await proven.batches(world.rollup_id, 0)
        with pytest.raises(InvalidProof):
            await proven.inbox_accumulator(world.rollup_id, 1)


async def test_a_node_that_is_behind_makes_nobody_forget(world: World) -> None:
    await with_inputs(world)
    proven = ProvenSettlement(await world.client(), SettledStorage(world.rpc, None))
    with pytest.raises(Unavailable, match="behind"):
        await proven.batch_accumulator(world.rollup_id, 3)
    with pytest.raises(Unavailable, match="behind"):
        await proven.inbox_accumulator(world.rollup_id, 3)
