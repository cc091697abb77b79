"""A light node among peers that lie, withhold, stall and disagree; killed at every step. Rejections: test_rejections."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import httpx
import pytest

from dougong.consensus.genesis import Genesis
from dougong.consensus.header import Header
from dougong.errors import InvalidHeader, InvalidInput, Unavailable
from dougong.net.node import NodeClient
from dougong.services.nodes.light_node import LightConfig, LightNode, Withheld
from dougong.services.nodes.peers import PeerConfig
from dougong.types import (
    MerkleProof,
    SignedHeader,
    SquareCell,
    SquareHeader,
)
from tests.consensus.test_light_client import CHAIN, START, sign, team
from tests.services.memory_chain import TEAM, MemoryChain, MemoryNode, Place, now, square

CALM = PeerConfig(timeout_s=30.0, hedge_s=30.0, watch_s=0.0)  # nobody is outrun, however busy the machine
QUICK = PeerConfig(timeout_s=0.3, hedge_s=0.02, watch_s=0.0)
EAGER = LightConfig(retries=1, retry_s=0.0)
CHAIN_OF_6 = MemoryChain([square(seed) for seed in range(6)])


async def open_node(
    path: Path, nodes: Sequence[NodeClient], chain: MemoryChain = CHAIN_OF_6, *, peers: PeerConfig = CALM
) -> LightNode:
    return await LightNode.open(path, nodes, chain.genesis.hash, EAGER, peers=peers, clock=now())


# --- liars -----------------------------------------------------------------------------------------------------------


class CellLiar(MemoryNode):
    def __init__(self, forge: Callable[[list[SquareCell | None]], list[SquareCell | None]]) -> None:
        super().__init__(CHAIN_OF_6, "http://liar")
        self.forge = forge

    async def cells(self, height: int, places: Sequence[Place]) -> list[SquareCell | None]:
        return self.forge(await super().cells(height, places))


def each(change: Callable[[SquareCell], SquareCell]) -> Callable[[list[SquareCell | None]], list[SquareCell | None]]:
    return lambda cells: [None if cell is None else change(cell) for cell in cells]


def renamed(cell: SquareCell) -> SquareCell:
    return replace(cell, share=bytes(28) + b"\x09" + cell.share[29:])


FORGERIES: dict[str, Callable[[list[SquareCell | None]], list[SquareCell | None]]] = {
    "no cells": lambda cells: [],
    "one too few": lambda cells: cells[:-1],
    "one too many": lambda cells: [*cells, cells[0]],
    "in another order": lambda cells: [*cells[1:], cells[0]] if len(cells) > 1 else [*cells, None],
    "one twice": lambda cells: [cells[0]] * len(cells) if len(cells) > 1 else cells * 2,
    "truncated": each(lambda cell: replace(cell, share=cell.share[:-1])),
    "oversized": each(lambda cell: replace(cell, share=cell.share + b"\0")),
    "empty": each(lambda cell: replace(cell, share=b"")),
    "changed": each(lambda cell: replace(cell, share=cell.share[:-1] + bytes([cell.share[-1] ^ 1]))),
    "of another namespace": each(renamed),
    "of another place": each(lambda cell: replace(cell, row=cell.row ^ 1)),
    "outside the square": each(lambda cell: replace(cell, row=1 << 15)),
    "on another axis": each(lambda cell: replace(cell, axis=1 - cell.axis, share=cell.share[::-1])),
    "on no axis": each(lambda cell: replace(cell, axis=7)),
    "with no proof": each(lambda cell: replace(cell, proof=replace(cell.proof, nodes=()))),
    "with a longer proof": each(lambda cell: replace(cell, proof=replace(cell.proof, nodes=(*cell.proof.nodes, bytes(90))))),
    "with a proof of short nodes": each(
        lambda cell: replace(cell, proof=replace(cell.proof, nodes=tuple(node[:-1] for node in cell.proof.nodes)))
    ),
    "with a proof turned round": each(
        lambda cell: replace(cell, proof=replace(cell.proof, nodes=tuple(node[::-1] for node in cell.proof.nodes[::-1])))
    ),
    "with a proof of another range": each(lambda cell: replace(cell, proof=replace(cell.proof, end=cell.proof.end + 1))),
    "with a proof of absence": each(lambda cell: replace(cell, proof=replace(cell.proof, leaf_hash=bytes(90)))),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_cells_that_prove_nothing_cost_the_peer_its_place(tmp_path: Path, forgery: str) -> None:
    liar, honest = CellLiar(FORGERIES[forgery]), MemoryNode(CHAIN_OF_6)
    node = await open_node(tmp_path, [liar, honest])
    assert await node.catch_up() == 6
    assert [report.dropped for report in node.report().peers] == [True, False]
    assert not node.report().alarms
    await node.close()
    alone = await open_node(tmp_path / "alone", [CellLiar(FORGERIES[forgery])])
    with pytest.raises(Withheld):
        await alone.catch_up()
    assert alone.height == 0
    await alone.close()


class HeaderLiar(MemoryNode):
    """`forge` names the method whose answers are forged, and how."""

    def __init__(self, method: str, change: Callable[..., object]) -> None:
        super().__init__(CHAIN_OF_6, "http://liar")
        honest: Callable[..., Awaitable[object]] = getattr(self, method)

        async def forged(*args: object) -> object:
            return change(await honest(*args))

        setattr(self, method, forged)


def of_strangers(signed: SignedHeader) -> SignedHeader:
    strangers = team(4, 5, 6, 7)
    header = Header.decode(signed.header)
    return sign(replace(header, time_ns=header.time_ns + 1), strangers)


def rooted(pair: tuple[SquareHeader, MerkleProof], **changes: object) -> tuple[SquareHeader, MerkleProof]:
    return replace(pair[0], **changes), pair[1]  # type: ignore[arg-type]


def times(pairs: list[tuple[SquareHeader, MerkleProof]], **changes: object) -> list[tuple[SquareHeader, MerkleProof]]:
    return [rooted(pair, **changes) for pair in pairs]


HEADER_LIES: dict[str, tuple[str, Callable[..., object]]] = {
    "another chain": ("genesis", lambda raw: Genesis.create(CHAIN, START + 1, TEAM).raw),
    "no genesis": ("genesis", lambda raw: b"{}"),
    "a header of strangers": ("signed_header", of_strangers),
    "a header with half of the signatures": ("signed_header", lambda s: sign(Header.decode(s.header), TEAM, silent=2)),
    "a header of another chain": (
        "signed_header",
        lambda s: sign(replace(Header.decode(s.header), chain_id="other"), TEAM, chain="other"),
    ),
    "a header of another height": ("signed_header", lambda s: CHAIN_OF_6.signed[1 + s.height % 6]),
    "headers in another order": ("signed_headers", lambda found: found[::-1]),
    "too few headers": ("signed_headers", lambda found: found[1:]),
    "junk for headers": ("signed_headers", lambda found: [replace(one, header=b"junk") for one in found]),
    "another data root": ("data_headers", lambda found: times(found, data_root=bytes(32))),
    "another height": ("data_headers", lambda found: times(found, height=3)),
    "another time": ("data_headers", lambda found: times(found, time_ns=1)),
    "no row roots": ("data_headers", lambda found: times(found, row_roots=())),
    "short roots": (
        "data_headers",
        lambda found: [rooted(pair, row_roots=(b"",) * 4, column_roots=(b"",) * 4) for pair in found],
    ),
    "a proof of another transaction": ("data_headers", lambda found: [(pair[0], replace(pair[1], index=1)) for pair in found]),
    "a proof of nothing": ("data_headers", lambda found: [(pair[0], replace(pair[1], siblings=())) for pair in found]),
}


@pytest.mark.parametrize("lie", HEADER_LIES)
async def test_headers_that_do_not_verify_cost_the_peer_its_place(tmp_path: Path, lie: str) -> None:
    liar, honest = HeaderLiar(*HEADER_LIES[lie]), MemoryNode(CHAIN_OF_6)
    for attempt in count():  # peers that are equally good are asked in turns: until the liar's turn has come
        node = await open_node(tmp_path / str(attempt), [liar, honest])
        assert await node.catch_up() == 6
        dropped = [report.dropped for report in node.report().peers]
        assert not dropped[1]
        await node.close()
        if dropped[0]:
            break
    with pytest.raises((InvalidHeader, InvalidInput)):
        alone = await open_node(tmp_path / "alone", [HeaderLiar(*HEADER_LIES[lie])])
        try:
            await alone.catch_up()
        finally:
            await alone.close()


async def test_a_height_that_nobody_can_show_is_not_believed(tmp_path: Path) -> None:
    boaster, honest = HeaderLiar("latest", lambda height: 10**12), MemoryNode(CHAIN_OF_6)
    node = await open_node(tmp_path, [boaster, honest])
    assert await node.catch_up() == 6
    boasts = next(report for report in node.report().peers if report.url == "http://liar")
    assert "it said that block 1000000000000 is there" in boasts.why
    await node.close()


async def test_a_peer_cannot_hide_newer_blocks_that_another_shows(tmp_path: Path) -> None:
    behind = HeaderLiar("latest", lambda height: 2)
    node = await open_node(tmp_path, [behind, MemoryNode(CHAIN_OF_6)])
    assert await node.catch_up() == 6
    assert not any(report.dropped for report in node.report().peers), "being behind is no lie"
    await node.close()


# --- those who are slow, away, or send what is no JSON-RPC -----------------------------------------------------------


def over_http(answer: Callable[[httpx.Request], httpx.Response]) -> NodeClient:
    return NodeClient("http://garbage", attempts=1, transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\xff" * 1_000, b"[" * 100_000, b'{"jsonrpc":"2.0","id":1,"result":null}', b" " * (3 << 20)]
)
async def test_a_peer_that_sends_garbage_does_no_harm(tmp_path: Path, content: bytes) -> None:
    garbage = over_http(lambda request: httpx.Response(200, content=content))
    node = await open_node(tmp_path, [garbage, MemoryNode(CHAIN_OF_6)])
    assert await node.catch_up() == 6
    assert node.report().peers[0].points >= 50
    await node.close()
    await garbage.aclose()


async def test_a_compressed_answer_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    garbage = over_http(lambda request: httpx.Response(200, stream=httpx.ByteStream(bomb), headers={"content-encoding": "gzip"}))
    with pytest.raises(Unavailable, match="compressed"):
        await garbage.latest()
    await garbage.aclose()


@pytest.mark.parametrize("silent", [1, 2])
async def test_peers_that_never_answer_do_not_stall(tmp_path: Path, silent: int) -> None:
    mute = [MemoryNode(CHAIN_OF_6, f"http://mute{number}") for number in range(silent)]
    for one in mute:
        one.silent = True
    node = await open_node(tmp_path, [*mute, MemoryNode(CHAIN_OF_6)], peers=QUICK)
    assert await asyncio.wait_for(node.catch_up(), 20) == 6
    assert not any(report.dropped for report in node.report().peers)
    await node.close()


async def test_cells_of_a_block_are_spread_over_the_peers(tmp_path: Path) -> None:
    chain = MemoryChain([square(1, 16)])
    peers = [MemoryNode(chain, f"http://peer{number}") for number in range(4)]
    node = await open_node(tmp_path, peers, chain)
    await node.catch_up()
    shares = sorted(len(peer.asked) for peer in peers)
    assert (sum(shares), shares[-1]) == (16, 4)
    await node.close()


# --- withholding ---------------------------------------------------------------------------------------------------------


async def test_what_one_peer_withholds_another_shows(tmp_path: Path) -> None:
    withholder = MemoryNode(CHAIN_OF_6, "http://withholder")
    withholder.hidden = lambda height, place: True
    node = await open_node(tmp_path, [withholder, MemoryNode(CHAIN_OF_6)])
    assert await node.catch_up() == 6
    assert not any(report.dropped for report in node.report().peers), "it may be pruned, or busy"
    assert not node.report().alarms
    await node.close()


async def test_an_alarm_lasts_over_restarts_and_stays_in_the_record(tmp_path: Path) -> None:
    peers = [MemoryNode(CHAIN_OF_6, f"http://peer{number}") for number in range(2)]
    hidden: set[Place] = set()
    for peer in peers:
        peer.hidden = lambda height, place: height == 3 and (not hidden or place in hidden)
    node = await open_node(tmp_path, peers)
    with pytest.raises(Withheld) as caught:
        await node.catch_up()
    assert (caught.value.height, node.height) == (3, 2)
    drawn = set(caught.value.cells)
    assert len(drawn) == 16, "all cells of a square of width 4"
    hidden.add(min(drawn))
    for tries in range(2, 5):
        await node.close()
        node = await open_node(tmp_path, peers)
        (alarm,) = node.report().alarms
        assert (alarm.height, alarm.lasts, alarm.tries) == (3, True, tries - 1)
        with pytest.raises(Withheld) as caught:
            await node.catch_up()
        assert caught.value.cells == (min(drawn),), "the same cells are asked for"
        assert node.height == 2
        assert "withheld" in " ".join(node.report().verified)
    hidden.add((99, 99))
    hidden.remove(min(drawn))
    assert await node.catch_up() == 6
    (alarm,) = node.report().alarms
    assert (alarm.lasts, alarm.tries) == (False, 4)
    assert alarm.cleared_at >= alarm.sounded_at > 0
    await node.close()
    node = await open_node(tmp_path, peers)
    assert node.report().alarms == (alarm,)
    await node.close()


async def test_blocks_older_than_the_window_are_checked_by_their_headers(tmp_path: Path) -> None:
    pruned = MemoryNode(CHAIN_OF_6)
    pruned.hidden = lambda height, place: height < 4
    clock = now(heights=6 + 2)  # block h is 8 - h seconds old
    config = replace(EAGER, window_s=4.5)
    node = await LightNode.open(tmp_path, [pruned], CHAIN_OF_6.genesis.hash, config, peers=CALM, clock=clock)
    assert await node.catch_up() == 6
    report = node.report()
    assert (report.old, report.cells) == (3, 3 * 16)
    assert {height for height, _ in pruned.asked} == {4, 5, 6}
    assert any("3 blocks older than the sampling window" in line for line in report.trusted)
    await node.close()
    config = replace(EAGER, window_s=0.001)  # the last block is sampled, whatever its header says of its time
    node = await LightNode.open(tmp_path / "late", [pruned], CHAIN_OF_6.genesis.hash, config, peers=CALM, clock=clock)
    await node.catch_up()
    assert node.report().old == 5
    await node.close()


async def test_data_withheld_until_the_window_is_over_is_withheld(tmp_path: Path) -> None:
    """Else a producer need only be patient."""
    peer = MemoryNode(CHAIN_OF_6)
    peer.hidden = lambda height, place: height == 3
    heights = 6
    node = await LightNode.open(tmp_path, [peer], CHAIN_OF_6.genesis.hash, EAGER, peers=CALM, clock=lambda: now(heights)())
    with pytest.raises(Withheld):
        await node.catch_up()
    heights += 30 * 86_400
    for _ in range(2):
        with pytest.raises(Withheld) as caught:
            await node.catch_up()
        assert (caught.value.height, node.height) == (3, 2)
    assert [alarm.lasts for alarm in node.report().alarms] == [True]
    peer.hidden = lambda height, place: False
    assert await node.catch_up() == 6
    assert [alarm.lasts for alarm in node.report().alarms] == [False]
    await node.close()


async def test_who_is_flooded_is_not_dropped_for_it(tmp_path: Path) -> None:
    """Whoever floods the honest peers must not be the only one left."""

    class Flooded(MemoryNode):
        flooded = True

        async def signed_header(self, height: int) -> SignedHeader:
            if self.flooded and height > 2:
                raise Unavailable("too many requests")
            return await super().signed_header(height)

    honest = Flooded(CHAIN_OF_6)
    flooder = HeaderLiar("latest", lambda height: 2)
    config = replace(CALM, backoff_s=0.0)
    node = await open_node(tmp_path, [flooder, honest], peers=config)
    for _ in range(12):
        assert await node.catch_up() == 2
    assert not any(report.dropped for report in node.report().peers)
    honest.flooded = False
    assert await node.catch_up() == 6
    await node.close()


async def test_validators_who_set_their_clocks_back_are_sampled_by_who_follows(tmp_path: Path) -> None:
    """Else blocks dated before the window would be drawn from only where they are last."""
    peer = MemoryNode(MemoryChain([square(seed) for seed in range(2)]))
    clock = [now()() + 30 * 86_400]
    chain = CHAIN_OF_6.genesis.hash
    node = await LightNode.open(tmp_path, [peer], chain, EAGER, peers=CALM, clock=lambda: clock[0])
    assert await node.catch_up() == 2
    assert (node.report().old, node.report().cells) == (1, 16), "from nothing: as the headers say"
    peer.chain = CHAIN_OF_6
    clock[0] += 60
    peer.hidden = lambda height, place: height == 4
    with pytest.raises(Withheld) as caught:
        await node.catch_up()
    assert (caught.value.height, node.height) == (4, 3)
    peer.hidden = lambda height, place: False
    assert await node.catch_up() == 6
    assert (node.report().old, node.report().cells) == (1, 5 * 16)
    await node.close()


# --- kills ---------------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """A kill: nothing may catch it."""


async def test_killed_at_every_request_it_asks_for_the_same_cells_and_ends_the_same(tmp_path: Path) -> None:
    chain = MemoryChain([square(seed, 4) for seed in range(3)])
    whole = MemoryNode(chain)
    node = await open_node(tmp_path / "whole", [whole], chain)
    await node.catch_up()
    root = node.report().history_root
    await node.close()
    total = whole.requests
    assert total > 10
    for number in range(1, total + 1):
        peer = MemoryNode(chain)

        def kill(at: int, number: int = number) -> None:
            if at == number:
                raise Crash

        peer.before = kill
        path = tmp_path / str(number)
        with suppress(Crash):
            node = await open_node(path, [peer], chain)
            try:
                await node.catch_up()
            finally:
                await node.close()
        first = {height: {place for at, place in peer.asked if at == height} for height in range(1, 4)}
        again = await open_node(path, [peer], chain)
        peer.asked.clear()
        assert await again.catch_up() == 3
        for height in range(1, 4):
            second = {place for at, place in peer.asked if at == height}
            assert not first[height] or not second or first[height] == second, "a second draw would be a lucky one"
        assert again.report().history_root == root
        await again.close()


async def test_ten_thousand_headers_are_a_few_hundred_round_trips(tmp_path: Path) -> None:
    """Here a tenth of them: signatures are checked once in a run, and once in a run something is written."""
    chain = MemoryChain([square(seed % 3) for seed in range(1_000)])
    peer = MemoryNode(chain)
    verified: list[int] = []
    honest = peer.signed_header

    async def counted(height: int) -> SignedHeader:
        verified.append(height)
        return await honest(height)

    peer.signed_header = counted  # type: ignore[method-assign]

    async def many(heights: Sequence[int]) -> list[SignedHeader]:
        return [chain.signed[height] for height in heights]

    peer.signed_headers = many  # type: ignore[method-assign]
    old = replace(EAGER, window_s=1.0)
    node = await LightNode.open(tmp_path, [peer], chain.genesis.hash, old, clock=now(5_000))
    assert await node.catch_up() == 1_000
    assert len(verified) < 30
    assert len(node._store.items("trusted")) < 30
    assert [node.data_root(height) for height in (1, 500, 1_000)] == [
        chain.squares[height].header.data_root for height in (1, 500, 1_000)
    ]
    await node.close()
