"""What is stated of sampling is true of the code that samples: the least that a withholder can hide is found as often as said.

Each trial is what a light node does with one block: it draws cells, and asks a peer for them until all are proven or one is
withheld. The peer withholds exactly (k + 1)² cells, the crossings of k + 1 rows and k + 1 columns: fewer cannot make a square
unrecoverable. The share of trials in which the node accepts must lie within five standard deviations of the stated chance, which
a right sampler leaves once in 1.7 million runs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import pytest

from dougong.availability.square.namespaces import TAIL_PADDING
from dougong.availability.square.sampling import choose_cells, confidence, samples_needed, withheld_cells
from dougong.availability.square.served import NotEnoughShares, ServedSquare
from dougong.net.node import NodeClient
from dougong.services.nodes.light_node import LightConfig
from dougong.services.nodes.peers import PeerSet
from dougong.services.nodes.sampler import Place, Sampler
from dougong.services.nodes.sampling_record import SamplingRecord
from dougong.store import Store
from dougong.types import SquareCell

TRIALS = 10_000
SIGMAS = 5.0


def square(k: int, seed: int = 0) -> ServedSquare:
    source = random.Random(seed)
    share = TAIL_PADDING.raw + b"\x01" + bytes(4)
    shares = [share + source.randbytes(512 - len(share)) for _ in range(k * k)]
    return ServedSquare.extend(b"".join(shares), height=1, time_ns=0)


def hidden_crossings(k: int, source: random.Random) -> frozenset[Place]:
    """k + 1 random rows crossed with k + 1 random columns."""
    rows, columns = (source.sample(range(2 * k), k + 1) for _ in range(2))
    return frozenset((row, column) for row in rows for column in columns)


class Withholder(NodeClient):
    """A peer in memory that shows all cells but those that it hides."""

    def __init__(self, served: ServedSquare) -> None:
        super().__init__("http://withholder")
        width = 2 * served.size
        self.hidden: frozenset[Place] = frozenset()
        self.shown = {(row, column): served.cell(row, column) for row in range(width) for column in range(width)}

    async def cells(self, height: int, places: Sequence[Place]) -> list[SquareCell | None]:
        return [None if place in self.hidden else self.shown[place] for place in places]


@pytest.mark.parametrize(("k", "config"), [(4, LightConfig(samples=4)), (16, LightConfig()), (32, LightConfig(confidence=0.95))])
async def test_a_withholder_is_found_as_often_as_stated(k: int, config: LightConfig) -> None:
    source = random.Random(f"trials of {k}")
    served = square(k)
    peer = Withholder(served)
    sampler = Sampler(PeerSet([peer]))
    count = config.samples_of(k)
    accepted = 0
    for _ in range(TRIALS):
        peer.hidden = hidden_crossings(k, source)
        missing, _why = await sampler.missing(served.header, choose_cells(k, count, source))
        accepted += not missing
    await peer.aclose()
    missed = 1.0 - confidence(count, k)
    deviation = sqrt(TRIALS * missed * (1.0 - missed))
    assert abs(accepted - TRIALS * missed) <= SIGMAS * deviation, (accepted, TRIALS * missed, deviation)


@pytest.mark.parametrize(("wanted", "k"), [(0.9, 8), (0.99, 32), (0.999, 128), (0.999999, 512)])
def test_a_stated_confidence_is_kept_with_no_more_cells_than_needed(wanted: float, k: int) -> None:
    count = LightConfig(confidence=wanted).samples_of(k)
    assert count == samples_needed(wanted, k)
    assert confidence(count - 1, k) < wanted <= confidence(count, k)


def test_the_default_is_celestia_s() -> None:
    assert [LightConfig().samples_of(k) for k in (1, 32, 512)] == [16, 16, 16]
    assert LightConfig().window_s == 7 * 24 * 3600


@pytest.mark.parametrize("k", [1, 2, 4, 8, 16, 32])
def test_so_many_withheld_cells_and_no_fewer_keep_a_square_from_being_rebuilt(k: int) -> None:
    """So what is withheld above is exactly what the stated chance is about."""
    source = random.Random(k)
    served = square(k, seed=k)
    width = 2 * k
    hidden = hidden_crossings(k, source)
    assert len(hidden) == withheld_cells(k) == (k + 1) ** 2
    cells = [None if divmod(place, width) in hidden else served.cell(*divmod(place, width)).share for place in range(width**2)]
    with pytest.raises(NotEnoughShares):
        ServedSquare.repair(served.header, cells)
    for row, column in source.sample(sorted(hidden), min(8, len(hidden))):
        one_fewer = list(cells)
        one_fewer[row * width + column] = served.cell(row, column).share
        assert ServedSquare.repair(served.header, one_fewer).original() == served.original()


async def test_a_withholder_cannot_wait_for_a_lucky_draw(tmp_path: Path) -> None:
    """The cells are the same at every try and after every restart: whoever hid one of them has to show it."""
    served = square(4)
    peer = Withholder(served)
    sampler = Sampler(PeerSet([peer]))
    drawn: list[list[Place]] = []
    for _ in range(30):
        store = Store(tmp_path / "light", ("sampled", "drawn", "alarms"))
        ((places),) = SamplingRecord(store).draw([(served.header, 16)])
        drawn.append(places)
        store.close()  # and what a kill leaves is the same
        peer.hidden = peer.hidden or frozenset(places[:1])
        missing, _ = await sampler.missing(served.header, places)
        assert missing == places[:1]
    assert all(places == drawn[0] for places in drawn)
    store = Store(tmp_path / "light", ("sampled", "drawn", "alarms"))
    ((more),) = SamplingRecord(store).draw([(served.header, 24)])  # the operator wants more: what was drawn stays
    assert (more[:16], len(set(more))) == (drawn[0], 24)
    ((every),) = SamplingRecord(store).draw([(served.header, 1_000)])
    assert (every[:24], len(set(every))) == (more, 64)
    store.close()
    await peer.aclose()


def test_draws_are_even_and_differ_between_nodes() -> None:
    """Every cell of the extended square comes up, and no two nodes ask for the same ones."""
    draws = [tuple(choose_cells(2, 4)) for _ in range(2_000)]
    counts = {place: sum(place in drawn for drawn in draws) for place in {place for drawn in draws for place in drawn}}
    assert len(counts) == 16
    expected, deviation = 500.0, sqrt(2_000 * 0.25 * 0.75)
    assert all(abs(count - expected) < 6 * deviation for count in counts.values())
    assert len({tuple(choose_cells(64)) for _ in range(100)}) == 100
