"""What a light client refuses: forged, replayed, reordered and withheld headers, from a peer that may say anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from dougong.consensus.block import EVIDENCE_HASH, ConsensusParams, data_hash, results_hash
from dougong.consensus.commit import BlockIdFlag, Commit, CommitSig, vote_sign_bytes
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import NO_BLOCK, BlockId, Header
from dougong.consensus.light import LightBlock, LightClient, LightOptions, prove_transaction, verify_skipping, verify_transaction
from dougong.consensus.validators import ordered, validators_hash
from dougong.crypto.keys import Ed25519Key
from dougong.errors import InvalidHeader, InvalidInput, InvalidProof, StoreCorrupt, Unavailable
from dougong.store import Store
from dougong.types import SignedHeader, Validator

CHAIN = "light-1"
START = 1_767_323_045_000_000_000
SECOND = 1_000_000_000
KEYS = [Ed25519Key(bytes([number]) * 32) for number in range(1, 9)]
BY_KEY = {key.public_key: key for key in KEYS}
TXS = [b"one", b"two", b"three"]


def team(*numbers: int) -> tuple[Validator, ...]:
    return ordered(Validator(KEYS[number].public_key, 10) for number in numbers)


def sign(header: Header, validators: Sequence[Validator], silent: int = 0, chain: str = CHAIN) -> SignedHeader:
    """The header with a commit by all but the last `silent` of the set."""
    block_id = BlockId(header.hash(), 1, bytes(32))
    entries = []
    for index, validator in enumerate(validators):
        key = BY_KEY[validator.public_key]
        if index >= len(validators) - silent:
            entries.append(CommitSig())
            continue
        message = vote_sign_bytes(chain, header.height, 0, block_id, header.time_ns + 1)
        entries.append(CommitSig(BlockIdFlag.COMMIT, key.address, header.time_ns + 1, key.sign(message)))
    commit = Commit(header.height, 0, block_id, tuple(entries))
    return SignedHeader(header.height, header.encode(), commit.encode(), tuple(validators))


def make_header(height: int, last: BlockId, validators: Sequence[Validator], following: Sequence[Validator]) -> Header:
    return Header(
        chain_id=CHAIN,
        height=height,
        time_ns=START + height * SECOND,
        last_block_id=last,
        last_commit_hash=Commit().hash(),
        data_hash=data_hash(TXS),
        validators_hash=validators_hash(validators),
        next_validators_hash=validators_hash(following),
        consensus_hash=ConsensusParams().hash(),
        app_hash=b"",
        last_results_hash=results_hash(()),
        evidence_hash=EVIDENCE_HASH,
        proposer_address=KEYS[0].address,
    )


class Peer:
    """A chain whose validators at height h are `sets[h - 1]`; it counts what it is asked for."""

    def __init__(self, sets: Sequence[tuple[Validator, ...]]) -> None:
        self.headers: dict[int, Header] = {}
        self.answers: dict[int, SignedHeader] = {}
        self.asked: list[int] = []
        last = NO_BLOCK
        for height, validators in enumerate(sets, 1):
            following = sets[height] if height < len(sets) else validators
            header = make_header(height, last, validators, following)
            self.headers[height] = header
            self.answers[height] = sign(header, validators)
            last = BlockId(header.hash(), 1, bytes(32))
        self.genesis = Genesis.create(CHAIN, START, sets[0])

    async def fetch(self, height: int) -> SignedHeader:
        self.asked.append(height)
        if height not in self.answers:
            raise Unavailable("withheld")
        return self.answers[height]

    def client(self, options: LightOptions | None = None, store: Store | None = None) -> LightClient:
        return LightClient(self.genesis, self.fetch, options=options or NOW, store=store)


NOW = LightOptions(clock=lambda: START + 10_000 * SECOND)
STEADY = [team(0, 1, 2, 3)] * 20
# One member leaves and one comes every fifth height: at height 20 one of the first four is left.
MOVING = [team(*(number + shift // 5 for number in range(4))) for shift in range(20)]


async def test_a_skip_takes_one_header_where_the_set_is_steady() -> None:
    peer = Peer(STEADY)
    client = peer.client()
    assert await client.header(20) == peer.headers[20]
    assert peer.asked == [1, 20]
    for height in range(19, 0, -1):
        assert await client.header(height) == peer.headers[height]
    assert client.height == 20


@pytest.mark.parametrize("stored", [True, False])
async def test_memory_is_bounded_however_long_the_chain_is(tmp_path: Path, stored: bool) -> None:
    peer = Peer([team(*(number + shift // 10 for number in range(4))) for shift in range(40)])
    store = Store(tmp_path, ("trusted",)) if stored else None
    few = replace(NOW, kept=8)
    client = peer.client(few, store)
    for height in range(1, 41):
        assert await client.header(height) == peer.headers[height]
        assert len(client._trusted) == len(client._heights) <= 8
    asked = len(peer.asked)
    for height in (2, 3, 25, 2, 40, 17):
        assert await client.header(height) == peer.headers[height]
        assert sorted(client._trusted) == client._heights
        assert len(client._heights) <= 8
    assert (len(peer.asked) == asked) is stored
    if store is not None:
        again = peer.client(few, store)
        assert (len(again._heights), again.height) == (8, 40)
        assert await again.header(5) == peer.headers[5]
        assert len(peer.asked) == asked
        store.close()


async def test_a_skip_is_halved_where_the_set_has_moved() -> None:
    peer = Peer(MOVING)
    client = peer.client()
    assert await client.header(20) == peer.headers[20]
    assert peer.asked == [1, 20, 10]
    for height in range(1, 21):
        assert await client.header(height) == peer.headers[height]


async def test_a_skip_needs_the_trusted_share() -> None:
    peer = Peer(MOVING)
    blocks = [LightBlock.parse(peer.answers[height], CHAIN) for height in range(1, 21)]
    verify_skipping(blocks[0], blocks[12])  # two of four are left
    with pytest.raises(InvalidHeader, match="trusted set"):
        verify_skipping(blocks[0], blocks[19])  # one of four: not more than a third
    with pytest.raises(InvalidHeader, match="trusted set"):
        verify_skipping(blocks[0], blocks[12], Fraction(1, 2))


FORGERIES: dict[str, Callable[[Peer], SignedHeader]] = {
    "another header at the height asked for": lambda peer: peer.answers[4],
    "another height's name": lambda peer: replace(peer.answers[4], height=5),
    "a changed header under the old commit": lambda peer: replace(
        peer.answers[5], header=replace(peer.headers[5], data_hash=bytes(32)).encode()
    ),
    "a set of one's own": lambda peer: sign(
        replace(peer.headers[5], validators_hash=validators_hash(team(5, 6, 7))), team(5, 6, 7)
    ),
    "a set that the header does not name": lambda peer: replace(sign(peer.headers[5], team(5, 6)), validators=team(5, 6)),
    "half of the power": lambda peer: sign(peer.headers[5], STEADY[0], silent=2),
    "signatures for another chain": lambda peer: sign(peer.headers[5], STEADY[0], chain="light-2"),
    "another chain": lambda peer: sign(replace(peer.headers[5], chain_id="light-2"), STEADY[0], chain="light-2"),
    "a header from the future": lambda peer: sign(replace(peer.headers[5], time_ns=START + 10_011 * SECOND), STEADY[0]),
    "a header older than the trusted one": lambda peer: sign(replace(peer.headers[5], time_ns=START), STEADY[0]),
    "no validators": lambda peer: replace(peer.answers[5], validators=()),
    "a validator twice": lambda peer: replace(peer.answers[5], validators=STEADY[0][:1] * 4),
    "no bytes": lambda peer: replace(peer.answers[5], header=b""),
    "no commit": lambda peer: replace(peer.answers[5], commit=b""),
}


@pytest.mark.parametrize("name", FORGERIES)
@pytest.mark.parametrize("trusted", [1, 4])
async def test_forgeries_are_refused(name: str, trusted: int) -> None:
    peer = Peer(STEADY)
    client = peer.client()
    await client.header(trusted)
    honest, peer.answers[5] = peer.answers[5], FORGERIES[name](peer)
    with pytest.raises(InvalidHeader):
        await client.header(5)
    peer.answers[5] = honest
    assert await client.header(5) == peer.headers[5], "a lie leaves nothing behind"


async def test_a_fork_is_refused_next_to_and_between_trusted_headers() -> None:
    peer = Peer(STEADY)
    fork = replace(peer.headers[5], data_hash=bytes(32))
    for known in ([4], [6]):
        client = peer.client()
        for height in known:
            await client.header(height)
        honest, peer.answers[5] = peer.answers[5], sign(fork, STEADY[0])
        if known == [6]:
            with pytest.raises(InvalidHeader, match="does not follow"):
                await client.header(5)
        else:
            assert await client.header(5) == fork, "the validators themselves signed it"
            peer.answers[6] = sign(peer.headers[6], STEADY[0])
            with pytest.raises(InvalidHeader, match="does not follow"):
                await client.header(6)
        peer.answers[5] = honest


@pytest.mark.parametrize(
    "change",
    [
        lambda header: replace(header, consensus_hash=bytes(32)),
        lambda header: replace(header, time_ns=START - 1),
        lambda header: replace(header, last_commit_hash=bytes(32)),
    ],
)
async def test_the_first_header_must_be_that_of_the_genesis_document(change: Callable[[Header], Header]) -> None:
    peer = Peer(STEADY)
    peer.answers[1] = sign(change(peer.headers[1]), STEADY[0])
    with pytest.raises(InvalidHeader, match="first header"):
        await peer.client().header(1)


async def test_a_genesis_of_other_validators_is_refused() -> None:
    peer = Peer(STEADY)
    client = LightClient(Genesis.create(CHAIN, START, team(4, 5)), peer.fetch, options=NOW)
    with pytest.raises(InvalidHeader, match="genesis"):
        await client.header(3)


async def test_trust_runs_out() -> None:
    peer = Peer(STEADY)
    now = [START + 30 * SECOND]
    client = peer.client(LightOptions(trusting_period=60, clock=lambda: now[0]))
    await client.header(3)
    now[0] = START + 63 * SECOND
    with pytest.raises(InvalidHeader, match="trusting period"):
        await client.header(10)
    assert await client.header(3) == peer.headers[3]


async def test_what_was_verified_survives_a_restart(tmp_path: Path) -> None:
    peer = Peer(MOVING)
    store = Store(tmp_path, ("trusted",))
    await peer.client(store=store).header(20)
    asked = len(peer.asked)
    again = peer.client(store=store)
    assert again.height == 20
    assert await again.header(20) == peer.headers[20]
    assert len(peer.asked) == asked
    with pytest.raises(InvalidHeader, match="genesis"):
        LightClient(Genesis.create(CHAIN, START, team(4, 5)), peer.fetch, store=store)
    ((key, value),) = store.items("trusted", limit=1)
    with store.write() as txn:
        txn.put("trusted", key, value[:-3])
    with pytest.raises(StoreCorrupt):
        peer.client(store=store)
    store.close()


async def test_withholding_is_said_and_not_believed() -> None:
    peer = Peer(MOVING)
    del peer.answers[10]
    with pytest.raises(Unavailable):
        await peer.client().header(20)
    with pytest.raises(InvalidInput):
        await peer.client().header(0)
    with pytest.raises(InvalidInput, match="trust level"):
        peer.client(LightOptions(trust_level=Fraction(1, 4)))


async def test_transactions_are_proven_under_a_header() -> None:
    header = Peer(STEADY).headers[2]
    for index, tx in enumerate(TXS):
        verify_transaction(header, tx, prove_transaction(TXS, index))
        with pytest.raises(InvalidProof):
            verify_transaction(header, b"other", prove_transaction(TXS, index))
