"""Who is asked, who is asked next, and who is not asked any more: by what their answers were worth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dougong.errors import Divergence, DougongError, InvalidHeader, InvalidInput, InvalidProof, NotFound, Rejected, Unavailable
from dougong.net.jsonrpc import AnswerTooLarge, LimitExceeded, NotJsonRpc
from dougong.net.node import BadRequest, NodeClient
from dougong.services.nodes.peers import PEER_TABLE, PeerConfig, PeerSet
from dougong.store import Store

QUICK = PeerConfig(timeout_s=0.2, hedge_s=0.01)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Fake(NodeClient):
    """Answers `latest` as it is told to, and counts."""

    def __init__(self, url: str, answer: Callable[[], Awaitable[int]]) -> None:
        super().__init__(url)
        self.answer = answer
        self.asked = 0

    async def latest(self) -> int:
        self.asked += 1
        return await self.answer()


def says(value: int) -> Callable[[], Awaitable[int]]:
    async def answer() -> int:
        return value

    return answer


def fails(error: DougongError) -> Callable[[], Awaitable[int]]:
    async def answer() -> int:
        raise error

    return answer


async def never() -> int:
    await asyncio.Event().wait()
    raise AssertionError("not reached")


def peers(*nodes: Fake, clock: Clock | None = None, store: Store | None = None) -> PeerSet:
    return PeerSet(nodes, config=QUICK, clock=clock or Clock(), store=store)


async def latest(node: NodeClient) -> int:
    return await node.latest()


async def test_a_lie_costs_the_liar_its_place_and_the_asker_nothing(tmp_path: Path) -> None:
    clock, store = Clock(), Store(tmp_path, (PEER_TABLE,))
    liar, honest = Fake("http://liar", fails(InvalidProof("forged"))), Fake("http://honest", says(7))
    made = peers(liar, honest, clock=clock, store=store)
    for _ in range(20):
        assert await made.ask(latest) == 7
    assert liar.asked == 1
    assert [(report.url, report.dropped, report.why) for report in made.report()] == [
        ("http://liar", True, "forged"),
        ("http://honest", False, ""),
    ]
    again = await PeerSet.open([liar, honest], config=QUICK, clock=clock, store=store)  # after a restart
    for _ in range(20):
        assert await again.ask(latest) == 7
    assert liar.asked == 1
    clock.now += QUICK.ban_s + 1  # the ban ends, and the second one is longer
    while liar.asked == 1:
        assert await again.ask(latest) == 7
    banned = again.peers[0].banned_until - clock.now
    assert banned == 2 * QUICK.ban_s
    store.close()


@pytest.mark.parametrize(
    ("error", "points"),
    [
        (InvalidProof("forged"), 100),
        (InvalidHeader("forged"), 100),
        (InvalidInput("no such shape"), 100),
        (NotJsonRpc("<html>"), 50),
        (AnswerTooLarge("megabytes"), 50),
        (BadRequest("it was asked for nonsense"), 0),
        (NotFound("pruned"), 0),
        (Rejected("no such method"), 0),
        (Unavailable("withheld"), 0),
        (LimitExceeded("too much", 5.0), 0),
    ],
)
async def test_what_an_answer_costs(error: DougongError, points: int) -> None:
    made = peers(Fake("http://one", fails(error)), Fake("http://two", says(1)))
    made.peers[1].not_before = 1e12  # asked last
    assert await made.ask(latest) == 1
    assert made.report()[0].points == points


async def test_points_are_forgotten_with_time() -> None:
    clock = Clock()
    made = peers(Fake("http://one", fails(NotJsonRpc("<html>"))), Fake("http://two", says(1)), clock=clock)
    made.peers[1].not_before = 1e12
    await made.ask(latest)
    clock.now += 3_600
    assert made.report()[0].points == 25


async def test_a_peer_that_never_answers_does_not_stall() -> None:
    silent, honest = Fake("http://silent", never), Fake("http://honest", says(3))
    made = peers(silent, honest)
    made.peers[1].latency = 100.0  # so that the silent one is asked first
    assert await asyncio.wait_for(made.ask(latest), 5) == 3
    assert (silent.asked, honest.asked) == (1, 1)
    with pytest.raises(Unavailable, match="did not answer within"):
        await peers(silent).ask(latest)


async def test_who_failed_is_asked_later_and_gets_its_place_back() -> None:
    clock = Clock()
    shaky, steady = Fake("http://shaky", fails(Unavailable("away"))), Fake("http://steady", says(1))
    made = peers(shaky, steady, clock=clock)
    made.peers[1].latency = 100.0
    pauses = []
    for _ in range(8):
        await made.ask(latest)
        pauses.append(made.peers[0].not_before - clock.now)
        clock.now = max(clock.now, made.peers[0].not_before)
        made.peers[1].not_before = clock.now + 1e6  # so that the shaky one is due first
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    shaky.answer = says(2)
    assert await made.ask(latest) == 2
    assert (made.peers[0].failures, made.peers[0].not_before) == (0, 0.0)


async def test_a_node_s_word_on_when_to_come_back_is_kept() -> None:
    clock = Clock()
    busy, free = Fake("http://busy", fails(LimitExceeded("too much", 30.0))), Fake("http://free", says(1))
    made = peers(busy, free, clock=clock)
    made.peers[1].latency = 100.0
    await made.ask(latest)
    for _ in range(10):
        await made.ask(latest)
    assert busy.asked == 1
    assert made.ready() == [made.peers[1]]
    clock.now += 31
    assert made.peers[0] in made.ready()


ERRORS = {
    "away": Unavailable("away"),
    "absent": NotFound("not there"),
    "lie": InvalidProof("forged"),
    "refusal": Rejected("no such method"),
}


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        (["lie"], InvalidProof),
        (["absent", "absent"], NotFound),
        (["absent", "lie"], InvalidProof),
        (["refusal"], Rejected),
        (["refusal", "absent"], NotFound),
    ],
)
async def test_the_caller_hears_what_the_errors_come_to(kinds: list[str], verdict: type[DougongError]) -> None:
    made = peers(*(Fake(f"http://{number}", fails(ERRORS[kind])) for number, kind in enumerate(kinds)))
    with pytest.raises(verdict):
        await made.ask(latest)


async def test_while_one_is_away_nothing_is_final() -> None:
    for kind in ("absent", "lie", "refusal"):
        made = peers(Fake("http://1", fails(ERRORS[kind])), Fake("http://2", fails(ERRORS["away"])))
        with pytest.raises(Unavailable) as caught:
            await made.ask(latest)
        assert not isinstance(caught.value, NotFound)


async def test_a_divergence_is_nobody_s_fault_and_ends_the_asking() -> None:
    fork, other = Fake("http://fork", fails(Divergence("forked"))), Fake("http://other", says(1))
    made = peers(fork, other)
    made.peers[1].latency = 100.0
    with pytest.raises(Divergence):
        await made.ask(latest)
    assert (other.asked, made.report()[0].points, made.peers[0].failures) == (0, 0, 0)


async def test_a_bug_is_not_hidden_as_a_peer_s_failure() -> None:
    async def broken() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await peers(Fake("http://one", broken), Fake("http://two", broken)).ask(latest)


async def test_when_all_have_lied_they_are_asked_all_the_same() -> None:
    one, two = (Fake(f"http://{number}", fails(InvalidProof("forged"))) for number in range(2))
    made = peers(one, two)
    for _ in range(3):
        with pytest.raises(InvalidProof):
            await made.ask(latest)
    two.answer = says(9)
    assert await made.ask(latest) == 9


async def test_a_survey_waits_for_nobody_once_there_are_answers() -> None:
    made = peers(
        Fake("http://1", says(5)), Fake("http://2", never), Fake("http://3", says(8)), Fake("http://4", fails(ERRORS["lie"]))
    )
    said = await asyncio.wait_for(made.survey(latest), 5)
    assert {peer.url: value for peer, value in said.items()} == {"http://1": 5, "http://3": 8}
    assert made.report()[3].dropped
    with pytest.raises(Unavailable):
        await peers(Fake("http://1", never)).survey(latest)


async def test_who_is_well_takes_turns() -> None:
    """So that no peer sees all that one asker wants."""
    made = peers(*(Fake(f"http://{number}", says(1)) for number in range(4)))
    firsts = [made.order()[0].url for _ in range(400)]
    assert all(50 < firsts.count(peer.url) < 150 for peer in made.peers)


def test_nobody_is_no_set() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        PeerSet([])
