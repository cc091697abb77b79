"""The market as the application runs it: who pays whom, which blocks are refused, and who gets in while others flood."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from dougong.availability.chain.admission import INVALID, UNDERPAID, UNFUNDED, WRONG_SEQUENCE, wanted_of
from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.blob_tx import account_address, blobs_gas, make_blob_tx
from dougong.availability.chain.cosmos_tx import address_text
from dougong.availability.chain.fees import base_cost, bytes_used
from dougong.availability.chain.pool import PoolLimits
from dougong.availability.chain.state import TABLES
from dougong.availability.chain.transfer import make_transfer
from dougong.availability.square.wire import decode_blob_tx
from dougong.crypto.keys import Secp256k1Key
from dougong.store import Store, Transaction
from dougong.testing import check_application
from dougong.types import Blob, DecidedBlock, InitChain, Namespace, Proposal

CHAIN = "square-1"
FLOOR = 4_000_000
KEYS = [Secp256k1Key(bytes([number]) * 32) for number in range(1, 9)]
ADDRESSES = [account_address(key.public_key) for key in KEYS]
ALICE, BOB, CAROL = KEYS[:3]
VALIDATOR, OTHER_VALIDATOR = b"\x11" * 20, b"\x22" * 20
TREASURY = b"\x33" * 20
UTIA = 10**9
STATE = {
    "max_square_size": 16,
    "min_base_fee": FLOOR,
    "accounts": {address_text(address): UTIA for address in ADDRESSES[:6]},
    "payouts": {VALIDATOR.hex(): address_text(TREASURY)},
}
GENESIS = InitChain(CHAIN, 0, 1, (), json.dumps(STATE, sort_keys=True, separators=(",", ":")).encode())
ALPHA = Namespace.user(b"alpha")


def blob(size: int) -> list[Blob]:
    return [Blob(ALPHA, bytes(size))]


def tx(key: Secp256k1Key, sequence: int, size: int = 100, *, fee: int | None = None, tip: int = 0) -> bytes:
    paid = base_cost(FLOOR, blobs_gas(blob(size))) + tip if fee is None else fee
    return make_blob_tx(key, CHAIN, sequence, blob(size), fee=paid)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SquareApplication]:
    app = await SquareApplication.open(folder)
    try:
        yield app
    finally:
        await app.close()


@asynccontextmanager
async def started(folder: Path, limits: PoolLimits | None = None) -> AsyncIterator[SquareApplication]:
    app = await SquareApplication.open(folder, pool=limits)
    try:
        await app.init_chain(GENESIS)
        yield app
    finally:
        await app.close()


async def propose(app: SquareApplication, *txs: bytes) -> list[bytes]:
    return list(await app.prepare_proposal(Proposal(1, 1, txs, VALIDATOR, 1 << 24)))


async def valid(app: SquareApplication, txs: Sequence[bytes]) -> bool:
    return await app.process_proposal(Proposal(1, 1, tuple(txs), VALIDATOR))


def block(height: int, txs: Sequence[bytes], proposer: bytes = VALIDATOR) -> DecidedBlock:
    return DecidedBlock(height, height, tuple(txs), proposer, bytes(32))


async def decide(app: SquareApplication, height: int, txs: Sequence[bytes], proposer: bytes = VALIDATOR) -> list[int]:
    result = await app.finalize_block(block(height, txs, proposer))
    await app.commit()
    return [entry.code for entry in result.tx_results]


def total(app: SquareApplication) -> int:
    return sum(app.balance(address) for address in {*ADDRESSES, TREASURY})


async def test_it_keeps_the_laws_of_applications_where_money_counts(tmp_path: Path) -> None:
    txs = [tx(ALICE, 0), tx(ALICE, 1), tx(BOB, 0, tip=7)]
    await check_application(opened, tmp_path, txs=txs, genesis=GENESIS)


async def test_a_fee_is_burnt_up_to_the_base_fee_and_the_rest_is_the_proposers(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        raw = tx(ALICE, 0, tip=500)
        inner = decode_blob_tx(raw)
        assert inner is not None
        fee = base_cost(FLOOR, blobs_gas(blob(100))) + 500
        gas = 50_000 + 10 * len(inner.tx) + 4_096
        assert await decide(app, 1, await propose(app, raw)) == [0, 0]
        assert app.balance(ADDRESSES[0]) == UTIA - fee
        assert app.balance(TREASURY) == fee - base_cost(FLOOR, gas)
        assert app.market().supply == total(app) == 6 * UTIA - base_cost(FLOOR, gas)
        await decide(app, 2, await propose(app, tx(ALICE, 1, tip=500)), OTHER_VALIDATOR)
        assert app.balance(TREASURY) == fee - base_cost(FLOOR, gas), "a validator without a payout account burns its tips"
        assert app.market().supply == total(app)


async def test_money_moves_and_a_funded_account_publishes(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        poor, address = KEYS[7], ADDRESSES[7]
        refused = await app.check_tx(tx(poor, 0))
        assert (refused.code, wanted_of(refused)) == (UNFUNDED, base_cost(FLOOR, blobs_gas(blob(100))))
        gift = make_transfer(ALICE, CHAIN, 0, address, 100_000, fee=1_000)
        chosen = await propose(app, tx(ALICE, 1), gift, tx(BOB, 0))
        assert chosen[1] == gift, "what carries no blobs stands first"
        assert len(chosen) == 4
        assert await valid(app, chosen)
        assert await decide(app, 1, chosen) == [0, 0, 0, 0]
        assert app.balance(address) == 100_000
        chosen = await propose(app, tx(poor, 0))
        assert await decide(app, 2, chosen) == [0, 0]
        assert app.account(address).sequence == 1
        behind = await propose(app, tx(ALICE, 2), make_transfer(ALICE, CHAIN, 3, address, 1, fee=1_000))
        assert len(behind) == 2, "a transfer behind a blob transaction waits a block"
        assert await valid(app, behind)
        itself = make_transfer(BOB, CHAIN, 1, ADDRESSES[1], 5, fee=1_000)
        before = app.balance(ADDRESSES[1])
        assert await decide(app, 3, [bytes(32), itself]) == [0, 0]
        assert app.balance(ADDRESSES[1]) == before - 1_000


async def test_a_proposer_cannot_let_anybody_in_for_less(tmp_path: Path) -> None:
    async with started(tmp_path / "honest") as app:
        good = await propose(app, tx(ALICE, 0), tx(ALICE, 1))
    least = base_cost(FLOOR, 50_000)
    everything = UTIA - 2_000
    cases = {
        "underpaid": ([tx(ALICE, 0, fee=least)], [UNDERPAID]),
        "free": ([tx(ALICE, 0, fee=0)], [UNDERPAID]),
        "with money that is not there": ([tx(KEYS[7], 0)], [UNFUNDED]),
        "for more than it has": ([make_transfer(ALICE, CHAIN, 0, TREASURY, UTIA, fee=1_000)], [UNFUNDED]),
        "spent twice": ([make_transfer(ALICE, CHAIN, n, TREASURY, everything, fee=1_000) for n in (0, 1)], [0, UNFUNDED]),
        "replayed": ([tx(ALICE, 0), tx(ALICE, 0)], [0, WRONG_SEQUENCE]),
        "out of turn": ([tx(ALICE, 1), tx(ALICE, 0)], [WRONG_SEQUENCE, 0]),
        "out of gas": ([make_blob_tx(ALICE, CHAIN, 0, blob(100), fee=10**6, gas_limit=54_000)], [INVALID]),
    }
    for name, (txs, codes) in cases.items():
        async with started(tmp_path / name) as app:
            assert await valid(app, good)
            root = (await app.squares.get(txs)).served.header.data_root
            assert not await valid(app, [root, *txs]), name
            assert await decide(app, 1, [root, *txs]) == [0, *codes], name
            assert app.market().supply == total(app), name


async def test_a_hopeless_transaction_is_refused_before_its_signature_is_looked_at(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        for name, raw, code in (
            ("underpaid", make_blob_tx(ALICE, "square-2", 0, blob(100), fee=1), UNDERPAID),
            ("unfunded", make_blob_tx(KEYS[7], "square-2", 0, blob(100), fee=10**6), UNFUNDED),
            ("out of turn", make_blob_tx(ALICE, "square-2", 5, blob(100), fee=10**6), WRONG_SEQUENCE),
        ):
            assert (await app.check_tx(raw)).code == code, name
        assert "insufficient fee" in (await app.check_tx(tx(ALICE, 0, fee=1))).log
        forged = await app.check_tx(make_blob_tx(ALICE, "square-2", 0, blob(100), fee=10**6))
        assert (forged.code, app.market().waiting_txs) == (INVALID, 0)


async def test_the_best_bids_get_in_and_big_ones_block_nobody(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        small = [tx(CAROL, 0, tip=1), tx(KEYS[3], 0)]
        large = [tx(ALICE, number, 50_000, tip=100_000 - number) for number in range(3)]
        chosen = await propose(app, *small, *large, tx(BOB, 0, 50_000, tip=200_000))
        sizes = [len(raw) > 1_000 for raw in chosen[1:]]
        assert sizes == [True, True, False, False]
        assert chosen[1] == tx(BOB, 0, 50_000, tip=200_000)
        assert chosen[2] == large[0]
        assert await valid(app, chosen)


@pytest.mark.parametrize("limits", [PoolLimits(), PoolLimits(txs=12, bytes=400_000, signer_txs=6)])
async def test_an_honest_rollup_gets_in_while_others_flood(tmp_path: Path, limits: PoolLimits) -> None:
    """A rich attacker fills blocks and pool at a good price, a poor one with what is cheapest; who bids more gets in next."""
    async with started(tmp_path, limits) as app:
        rich, poor, honest = ALICE, BOB, CAROL
        for number in range(8):
            await app.check_tx(tx(rich, number, 50_000, tip=20_000))
            await app.check_tx(tx(poor, number))
            await app.check_tx(tx(KEYS[3], number, 50_000, tip=10_000))
        mine = tx(honest, 0, 30_000, tip=25_000)
        assert (await app.check_tx(mine)).accepted
        chosen = await propose(app)
        assert chosen[1] == mine
        assert await valid(app, chosen)
        market = app.market()
        assert market.waiting_txs <= limits.txs
        assert market.waiting_bytes <= limits.bytes


async def test_what_is_replaced_is_dropped_and_only_one_takes_effect(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        old, new = tx(ALICE, 0, tip=0), tx(ALICE, 0, tip=1_000)
        assert (await app.check_tx(old)).accepted
        little = await app.check_tx(tx(ALICE, 0, tip=1))
        assert little.code == UNDERPAID
        assert (wanted_of(little) or 0) > base_cost(FLOOR, blobs_gas(blob(100)))
        assert (await app.check_tx(new)).accepted
        assert (await app.check_tx(old, recheck=True)).code == UNDERPAID
        assert (await propose(app, old))[1:] == [new]


async def test_random_blocks_keep_the_sum_and_two_nodes_agree(tmp_path: Path) -> None:
    """Whatever comes: proposals are valid, nothing is minted, and a node that replays, with restarts, has the same hashes."""
    chance = random.Random(7)
    blocks: list[DecidedBlock] = []
    hashes: list[bytes] = []
    fees: list[int] = []
    async with started(tmp_path / "one", PoolLimits(txs=20, signer_txs=8)) as app:
        for height in range(1, 26):
            offered = []
            for _ in range(chance.randrange(12)):
                key = chance.choice(KEYS)
                address = account_address(key.public_key)
                sequence = max(0, app.account(address).next_sequence + chance.choice([0, 0, 0, -1, 1]))
                price = app.market().base_fee * chance.choice([1, 1, 2, 3]) * chance.randrange(95, 130) // 100
                if chance.random() < 0.2:
                    fee = base_cost(price, 56_000)
                    raw = make_transfer(key, CHAIN, sequence, chance.choice(ADDRESSES), chance.randrange(1, UTIA), fee=fee)
                else:
                    size = chance.choice([1, 500, 20_000, 45_000])
                    raw = make_blob_tx(key, CHAIN, sequence, blob(size), fee=base_cost(price, blobs_gas(blob(size))))
                if chance.random() < 0.7:
                    await app.check_tx(raw)
                if chance.random() < 0.7:
                    offered.append(raw)
            chance.shuffle(offered)
            chosen = await propose(app, *offered)
            assert await valid(app, chosen)
            if chance.random() < 0.2:
                chosen = [*chosen, chance.choice(offered or [b"junk"])]  # a decided block that nobody should have signed
            decided = block(height, chosen, chance.choice([VALIDATOR, OTHER_VALIDATOR]))
            hashes.append((await app.finalize_block(decided)).app_hash)
            await app.commit()
            blocks.append(decided)
            fees.append(app.market().base_fee)
            assert app.market().supply == total(app)
            assert app.market().base_fee >= FLOOR
            assert app.market().waiting_txs <= 20
    assert max(fees) > FLOOR, "the history was busy enough to move the base fee"
    async with started(tmp_path / "two"):
        pass
    for decided, expected in zip(blocks, hashes, strict=True):
        async with opened(tmp_path / "two") as app:
            assert (await app.finalize_block(decided)).app_hash == expected
        async with opened(tmp_path / "two") as app:  # it died before it committed
            assert (await app.finalize_block(decided)).app_hash == expected
            await app.commit()


async def test_the_base_fee_follows_what_was_published(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        size = 60_000
        full = [tx(KEYS[number], 0, size, tip=100_000) for number in range(2)]
        used = 0
        for raw in full:
            inner = decode_blob_tx(raw)
            assert inner is not None
            used += bytes_used(len(inner.tx), -(-(size - 478) // 482) + 1)
        assert await decide(app, 1, await propose(app, *full)) == [0, 0, 0]
        target = app.params.target_bytes
        assert app.market().base_fee == FLOOR + FLOOR * (used - target) // target // 8
        assert app.market().used_percent == used * 100 // app.params.capacity_bytes
        await decide(app, 2, await propose(app))
        assert app.market().base_fee == FLOOR


class Watched(Store):
    """Calls `committed` when a write is on the disk and its thread has not gone on."""

    committed: Callable[[], None] | None = None

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with super().write() as txn:
            yield txn
        if self.committed is not None:
            self.committed()


async def test_who_sees_a_sequence_spent_waits_for_its_block(tmp_path: Path) -> None:
    """A block is written in a thread: an account can be read that is newer than the tip. Whoever took that for an account that
    someone else had spent, without its block, would publish and pay again."""
    store = Watched(tmp_path / "state", TABLES)
    app = SquareApplication(store)
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((app.account(ADDRESSES[0]).sequence, app.seen_height))

    try:
        await app.init_chain(GENESIS)
        look()
        store.committed = look
        for height in (1, 2):
            await decide(app, height, await propose(app, tx(ALICE, height - 1)))
        assert seen == [(0, 0), (1, 1), (2, 2)]
    finally:
        await app.close()
