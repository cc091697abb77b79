"""The DA chain's application: what it lets in, and every way to cheat it that a proposer has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.blob_tx import account_address, make_blob_tx
from dougong.availability.chain.params import SquareParams
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import ConfigError
from dougong.testing import check_application
from dougong.types import Blob, DecidedBlock, InitChain, Namespace, Proposal

CHAIN = "square-1"
GENESIS = InitChain(CHAIN, 0, 1, (), b'{"max_square_size":16}')
ALICE, BOB = Secp256k1Key(b"\1" * 32), Secp256k1Key(b"\2" * 32)
ALPHA = Namespace.user(b"alpha")


def tx(key: Secp256k1Key, sequence: int, data: bytes = b"data", chain: str = CHAIN) -> bytes:
    return make_blob_tx(key, chain, sequence, [Blob(ALPHA, data)])


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SquareApplication]:
    app = await SquareApplication.open(folder)
    try:
        yield app
    finally:
        await app.close()


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[SquareApplication]:
    async with opened(folder) as app:
        await app.init_chain(GENESIS)
        yield app


def proposal(txs: Sequence[bytes], room: int = 0) -> Proposal:
    return Proposal(1, 1, tuple(txs), bytes(20), room)


async def propose(app: SquareApplication, *txs: bytes, room: int = 1 << 24) -> list[bytes]:
    return list(await app.prepare_proposal(proposal(txs, room)))


async def decide(app: SquareApplication, height: int, txs: Sequence[bytes]) -> list[int]:
    result = await app.finalize_block(DecidedBlock(height, height, tuple(txs), bytes(20), bytes(32)))
    await app.commit()
    return [entry.code for entry in result.tx_results]


async def test_it_keeps_the_laws_of_applications(tmp_path: Path) -> None:
    await check_application(opened, tmp_path, txs=[tx(ALICE, 0), tx(ALICE, 1), tx(BOB, 0)], genesis=GENESIS)


async def test_proposals_put_sequences_in_order_and_leave_gaps_out(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        first, second, gap, other = tx(ALICE, 0), tx(ALICE, 1), tx(ALICE, 3), tx(BOB, 0)
        chosen = await propose(app, gap, second, other, first, tx(ALICE, 1, b"too late"))
        assert chosen[1:] == [first, second, other]
        assert await app.process_proposal(proposal(chosen))
        assert await decide(app, 1, chosen) == [0, 0, 0, 0]
        assert not (await app.check_tx(first, recheck=True)).accepted
        assert (await propose(app, gap, first))[1:] == []


async def test_every_false_proposal_is_refused(tmp_path: Path) -> None:
    async with started(tmp_path / "another") as app:
        (empty_root,) = await propose(app)
        root_of_first = (await propose(app, tx(ALICE, 0)))[0]
    async with started(tmp_path) as app:
        first, second = tx(ALICE, 0), tx(ALICE, 1)
        root, *_ = chosen = await propose(app, first, second)
        assert await app.process_proposal(proposal(chosen))
        assert await app.process_proposal(proposal([empty_root]))
        big = [tx(BOB, number, bytes(60_000)) for number in range(3)]
        false = {
            "no transactions": [],
            "no root": [first, second],
            "another root": [bytes(32), first, second],
            "a root that is too long": [root + b"\0", first, second],
            "the root twice": [root, root, first, second],
            "the root last": [first, second, root],
            "another order": [root, second, first],
            "left out": [root, first],
            "the empty square's root": [empty_root, first, second],
            "a replay within the block": [root, first, first],
            "a sequence from the future": [root_of_first, second],
            "another chain's transaction": [root, tx(ALICE, 0, chain="square-2"), second],
            "junk": [root, first, b"junk"],
            "an oversized square": [root, *big],
        }
        for name, txs in false.items():
            assert not await app.process_proposal(proposal(txs)), name


async def test_no_blob_is_published_twice(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        chosen = await propose(app, tx(ALICE, 0))
        assert await decide(app, 1, chosen) == [0, 0]
        assert not await app.process_proposal(proposal(chosen))
        assert await decide(app, 2, chosen) == [0, 2]
        assert app.account(account_address(ALICE.public_key)).sequence == 1


async def test_what_does_not_fit_waits_and_holds_nobody_else_up(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        large = [tx(ALICE, number, bytes(60_000)) for number in range(3)]
        small = tx(BOB, 0)
        chosen = await propose(app, *large, small)
        assert chosen[1:] == [*large[:2], small]
        assert await app.process_proposal(proposal(chosen))
        tight = await propose(app, *large, small, room=len(small) + 40)
        assert tight[1:] == [small]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (tx(ALICE, 1), "sequence 1 is not 0"),
        (tx(ALICE, 0, bytes(200_000)), "fit"),
        (tx(ALICE, 0, bytes((8 << 20) + 1)), "at most"),
        (bytes(32), "not a blob transaction"),
    ],
)
async def test_the_mempool_refuses_what_no_block_will_take(tmp_path: Path, raw: bytes, reason: str) -> None:
    async with started(tmp_path) as app:
        verdict = await app.check_tx(raw)
        assert not verdict.accepted
        assert reason in verdict.log


async def test_what_waits_has_no_gaps_and_no_doubles(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        txs = [tx(ALICE, number) for number in range(6)]
        signer = account_address(ALICE.public_key)

        async def accepts(*offered: bytes, recheck: bool = False) -> list[bool]:
            return [(await app.check_tx(raw, recheck=recheck)).accepted for raw in offered]

        assert await accepts(txs[1], txs[0], txs[0], txs[2], txs[1], txs[1]) == [False, True, True, False, True, True]
        assert await accepts(tx(ALICE, 1, b"another")) == [False], "a sequence is for one transaction"
        assert await accepts(txs[2], txs[3], txs[4]) == [True] * 3
        assert app.account(signer).next_sequence == 5
        await decide(app, 1, [bytes(32), txs[0]])
        assert await accepts(txs[5]) == [True]
        assert await accepts(txs[0], txs[1], txs[2], txs[5], recheck=True) == [False, True, True, True]
        await decide(app, 2, [bytes(32), tx(ALICE, 1, b"by another node")])
        assert await accepts(txs[1], txs[2], recheck=True) == [False, True]
        assert app.account(signer).next_sequence == 6


async def test_what_waited_before_a_restart_comes_back_in_any_order(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        await decide(app, 1, [bytes(32), tx(BOB, 0)])
    async with opened(tmp_path) as app:
        for number in (2, 0, 3, 1):
            assert (await app.check_tx(tx(ALICE, number), recheck=True)).accepted
        assert not (await app.check_tx(b"junk", recheck=True)).accepted
        assert (await app.check_tx(tx(BOB, 2), recheck=True)).accepted, "who it waits for may still come"
        chosen = await propose(app)
        assert chosen[1:] == [tx(ALICE, number) for number in range(4)]
        assert not (await app.check_tx(tx(BOB, 2), recheck=True)).accepted, "nobody came"


async def test_the_chain_is_remembered(tmp_path: Path) -> None:
    async with started(tmp_path):
        pass
    async with opened(tmp_path) as app:
        assert app.chain_id == CHAIN
        assert app.params == SquareParams(16)


@pytest.mark.parametrize(
    "state",
    [
        b"[]",
        b"{",
        b'{"x":1}',
        b'{"max_square_size":63}',
        b'{"max_square_size":1024}',
        b'{"max_tx_bytes":"9"}',
        b'{"max_square_size":true}',
    ],
)
def test_bad_parameters_are_refused(state: bytes) -> None:
    with pytest.raises(ConfigError, match="DA chain"):
        SquareParams.parse(state)
