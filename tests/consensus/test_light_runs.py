"""Runs of headers by their hashes, and two headers for one height: what a peer can make up, and what only validators can sign."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dougong.consensus.header import BlockId, Header
from dougong.consensus.light import Fork, NotUpon
from dougong.errors import InvalidHeader
from dougong.store import Store
from dougong.types import SignedHeader
from tests.consensus.test_light_client import KEYS, MOVING, NOW, STEADY, Peer, make_header, sign, team


class Many(Peer):
    """Also answers for many heights at once."""

    async def fetch_many(self, heights: Sequence[int]) -> list[SignedHeader]:
        return [await self.fetch(height) for height in heights]


def fork_at(peer: Many, height: int) -> Many:
    """The same chain up to the height; from there on other blocks, signed by the same validators."""
    other = Many([team(0, 1, 2, 3)] * len(peer.headers))
    last = BlockId(peer.headers[height - 1].hash(), 1, bytes(32)) if height > 1 else peer.headers[1].last_block_id
    for at in range(1, len(peer.headers) + 1):
        if at < height:
            header = peer.headers[at]
        else:
            made = make_header(at, last, team(0, 1, 2, 3), team(0, 1, 2, 3))
            header = replace(made, data_hash=b"\x07" * 32)
        other.headers[at] = header
        other.answers[at] = sign(header, team(0, 1, 2, 3))
        last = BlockId(header.hash(), 1, bytes(32))
    return other


@pytest.mark.parametrize("sets", [STEADY, MOVING])
async def test_a_run_is_verified_by_its_hashes(tmp_path: Path, sets: list[tuple[object, ...]]) -> None:
    peer = Many(sets)  # type: ignore[arg-type]
    store = Store(tmp_path, ("trusted",))
    client = peer.client(store=store)
    assert await client.run(1, 8, peer.fetch, peer.fetch_many) == [peer.headers[height] for height in range(1, 9)]
    assert await client.run(9, 20, peer.fetch, peer.fetch_many) == [peer.headers[height] for height in range(9, 21)]
    assert await client.run(20, 20, peer.fetch, peer.fetch_many) == [peer.headers[20]]
    assert len(store.items("trusted")) < 8, "one durable header a run, not one a height"
    store.close()


def other_time(header: Header) -> Header:
    return replace(header, time_ns=header.time_ns + 1)


@pytest.mark.parametrize("at", [1, 2, 5, 9])
async def test_a_run_with_another_header_in_it_is_refused(at: int) -> None:
    peer = Many(STEADY)
    client = peer.client()
    await client.header(10)
    honest = peer.answers[at]
    forged = other_time(Header.decode(honest.header))
    peer.answers[at] = sign(forged, team(0, 1, 2, 3)) if at == 1 else SignedHeader(at, forged.encode(), b"junk", ())
    with pytest.raises(InvalidHeader):
        await client.run(1, 10, peer.fetch, peer.fetch_many)
    peer.answers[at] = honest
    assert len(await client.run(1, 10, peer.fetch, peer.fetch_many)) == 10


async def test_a_run_cut_short_doubled_or_in_another_order_is_refused() -> None:
    peer = Many(STEADY)
    client = peer.client()
    whole = await peer.fetch_many(range(1, 10))
    for answers in (whole[:-1], whole[::-1], [*whole, whole[-1]], [*whole[:3], whole[2], *whole[4:]], []):

        async def fetch_many(heights: Sequence[int], answers: list[SignedHeader] = answers) -> list[SignedHeader]:
            return answers

        with pytest.raises(InvalidHeader):
            await client.run(1, 10, peer.fetch, fetch_many)


async def test_two_signed_headers_of_one_height_are_a_fork() -> None:
    for height in (1, 2, 3, 9, 20):
        peer = Many(STEADY)
        client = peer.client()
        for known in (1, 8, 9, 20):
            await client.header(known)
        await client.header(height)
        other = fork_at(peer, height)
        await client.examine(peer.answers[height], peer.fetch)
        with pytest.raises(Fork) as caught:
            await client.examine(other.answers[height], other.fetch)
        assert (caught.value.height, caught.value.ours, caught.value.theirs) == (
            height,
            peer.answers[height],
            other.answers[height],
        )


async def test_what_the_validators_did_not_sign_is_a_lie_and_no_fork() -> None:
    peer = Many(STEADY)
    client = peer.client()
    await client.header(20)
    strangers = team(4, 5, 6, 7)
    made_up = make_header(20, BlockId(KEYS[0].public_key, 1, bytes(32)), strangers, strangers)
    for lie in (
        sign(made_up, strangers),
        sign(other_time(peer.headers[20]), team(0, 1, 2, 3), silent=2),
        replace(peer.answers[20], header=other_time(peer.headers[20]).encode()),
        replace(peer.answers[20], height=19),
        peer.answers[19],
    ):

        async def fetch(height: int, lie: SignedHeader = lie) -> SignedHeader:
            return lie if height == 20 else peer.answers[height]

        with pytest.raises(InvalidHeader):
            await client.examine(replace(lie, height=20) if lie is peer.answers[19] else lie, fetch)
    assert await client.header(20) == peer.headers[20]


async def test_a_header_upon_a_forked_one_names_the_height_to_examine() -> None:
    peer = Many(STEADY)
    other = fork_at(peer, 9)
    client = peer.client()
    await client.header(9)
    with pytest.raises(NotUpon) as caught:
        await client.header(10, other.fetch)
    assert caught.value.height == 9
    with pytest.raises(Fork):
        await client.examine(other.answers[9], other.fetch)
    with pytest.raises(NotUpon):
        await client.run(10, 15, other.fetch, other.fetch_many)


async def test_several_peers_at_a_time_share_what_is_verified() -> None:
    peer = Many(MOVING)
    client = peer.client(replace(NOW, kept=8))
    found = await asyncio.gather(*(client.header(height, peer.fetch) for height in range(20, 0, -1)))
    assert [header.height for header in found] == list(range(20, 0, -1))
    assert sorted(client._trusted) == client._heights
