"""Clients that bid, on a running chain where blockspace costs something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.bidding import BidPolicy
from dougong.availability.chain.blob_tx import account_address, blobs_gas, make_blob_tx
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.cosmos_tx import address_text
from dougong.availability.chain.fees import base_cost
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.chain.paying import pay
from dougong.availability.chain.pool import PoolLimits
from dougong.consensus import Genesis, Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.errors import Unavailable, Underpaid
from dougong.testing.consensus import running
from dougong.types import Blob, Namespace, Validator

VALIDATOR = Ed25519Key(b"\1" * 32)
KEYS = [Secp256k1Key(bytes([number]) * 32) for number in range(1, 6)]
ALICE, BOB, POOR = KEYS[0], KEYS[1], KEYS[4]
ALPHA = Namespace.user(b"alpha")
FLOOR = 4_000_000
UTIA = 10**9
GENESIS = Genesis.create(
    "square-1",
    1_767_323_045_000_000_000,
    [Validator(VALIDATOR.public_key, 10)],
    app_state={
        "max_square_size": 16,
        "min_base_fee": FLOOR,
        "accounts": {address_text(account_address(key.public_key)): UTIA for key in KEYS[:4]},
    },
)


FREE = Genesis.create(
    "free-1",
    1_767_323_045_000_000_000,
    [Validator(VALIDATOR.public_key, 10)],
    app_state={"max_square_size": 8, "min_base_fee": 0},
)


@asynccontextmanager
async def opened(folder: Path, limits: PoolLimits | None = None, genesis: Genesis = GENESIS) -> AsyncIterator[SquareLayer]:
    app = await SquareApplication.open(folder / "app", pool=limits)
    chain = await Solo.open(folder / "chain", genesis, VALIDATOR, app, SoloOptions(block_time=0.02))
    try:
        yield SquareLayer(chain, app)
    finally:
        await chain.close()
        await app.close()


def blob(size: int, mark: int = 0) -> Blob:
    return Blob(ALPHA, mark.to_bytes(4) + bytes(size - 4))


def least(size: int) -> int:
    return base_cost(FLOOR, blobs_gas([blob(size)]))


async def published(layer: SquareLayer, wanted: Blob) -> int:
    """How many times the blob lies in the chain."""
    heights = range(1, await layer.latest() + 1)
    return sum([placed.blob == wanted for height in heights for placed in (await layer.blobs(height, ALPHA)).blobs])


async def test_what_is_quoted_is_enough_and_is_what_is_paid(tmp_path: Path) -> None:
    async with opened(tmp_path) as layer, running(layer.chain):
        da = SquareClient(layer, ALICE)
        quote = await da.quote(5_000)
        assert (quote.price, quote.unit) == (least(5_000), "utia")
        await da.submit(blob(5_000), budget=quote.price)
        assert (await layer.account(da.address)).balance == UTIA - quote.price


async def test_a_budget_that_does_not_reach_spends_nothing_and_learns_the_price(tmp_path: Path) -> None:
    async with opened(tmp_path) as layer, running(layer.chain):
        da = SquareClient(layer, ALICE)
        with pytest.raises(Underpaid) as caught:
            await da.submit(blob(5_000), budget=least(5_000) // 2)
        assert least(5_000) // 2 < caught.value.wanted <= least(5_000)
        assert (await layer.account(da.address)).balance == UTIA
        await da.submit(blob(5_000), budget=caught.value.wanted)
        assert await published(layer, blob(5_000)) == 1


async def test_an_empty_account_learns_why_and_goes_on_once_it_is_funded(tmp_path: Path) -> None:
    async with opened(tmp_path) as layer, running(layer.chain):
        da = SquareClient(layer, POOR)
        with pytest.raises(Underpaid, match="insufficient funds") as caught:
            await da.submit(blob(100))
        assert address_text(da.address) in caught.value.remedy
        fee = await pay(layer, ALICE, da.address, 10 * caught.value.wanted)
        assert (await layer.account(account_address(ALICE.public_key))).balance == UTIA - fee - 10 * caught.value.wanted
        assert (await da.submit(blob(100))).height


async def test_a_bid_is_raised_until_it_is_in_and_only_once(tmp_path: Path) -> None:
    """Others fill the squares and pay more; the sequence stays, so whatever was replaced, one took effect."""
    async with opened(tmp_path) as layer:
        others = [SquareClient(layer, key) for key in KEYS[1:4]]
        da = SquareClient(layer, ALICE, BidPolicy(patience=1))
        price = least(50_000)
        for number, other in enumerate(others):
            for sequence in range(3):
                fee = price * (2 + sequence)
                raw = make_blob_tx(KEYS[1 + number], layer.chain_id, sequence, [blob(50_000, sequence)], fee=fee)
                assert (await layer.broadcast(raw)).accepted, other
        assert (await da.quote(50_000)).price >= 2 * price
        low = make_blob_tx(ALICE, layer.chain_id, 0, [blob(50_000, 99)], fee=price)
        assert (await layer.broadcast(low)).accepted
        async with running(layer.chain):
            placement = await da.submit(blob(50_000, 99), budget=20 * price)
            account = await layer.account(da.address)
            assert account.sequence == 1
            assert UTIA - 20 * price <= account.balance < UTIA - price
            assert await published(layer, blob(50_000, 99)) == 1
            assert placement.height > 1


async def test_who_was_pushed_out_comes_back_at_a_higher_price(tmp_path: Path) -> None:
    async with opened(tmp_path, PoolLimits(txs=2)) as layer:
        da = SquareClient(layer, ALICE)
        sent = asyncio.create_task(da.submit(blob(100)))
        while await asyncio.sleep(0.001, layer.app.market().waiting_txs == 0):
            pass
        for key in KEYS[1:3]:
            raw = make_blob_tx(key, layer.chain_id, 0, [blob(100)], fee=2 * least(100))
            assert (await layer.broadcast(raw)).accepted
        assert layer.app.account(da.address).pending == ()
        async with running(layer.chain):
            assert (await sent).height
        assert layer.app.account(da.address).sequence == 1


async def test_nobody_waits_for_ever_behind_one_that_was_pushed_out_and_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path, PoolLimits(txs=2)) as layer:
        da = SquareClient(layer, ALICE)
        sent = []
        for number in range(2):
            sent.append(asyncio.create_task(da.submit(blob(100, number))))
            while await asyncio.sleep(0.001, layer.app.market().waiting_txs == number):
                pass
        for key in KEYS[1:3]:
            raw = make_blob_tx(key, layer.chain_id, 0, [blob(100_000)], fee=2 * least(100_000))  # the base fee rises
            assert (await layer.broadcast(raw)).accepted
        sent[0].cancel()
        await asyncio.wait(sent[:1])
        async with running(layer.chain):
            with pytest.raises(Unavailable):
                await asyncio.wait_for(sent[1], 20)
            assert (await da.submit(blob(100, 1))).height
            assert await published(layer, blob(100, 1)) == 1
        assert layer.app.account(da.address).sequence == 1


async def test_a_quote_follows_what_waits(tmp_path: Path) -> None:
    """The ladder of bids is made once for all who ask, and anew when the pool or the base fee changes."""
    async with opened(tmp_path) as layer:
        quotes = []
        for sequence in range(8):
            quotes.append((await layer.quote(20_000)).price)
            raw = make_blob_tx(BOB, layer.chain_id, sequence, [blob(20_000)], fee=2 * least(20_000))
            assert (await layer.broadcast(raw)).accepted
        assert quotes[0] == least(20_000) < quotes[-1]
        assert quotes == sorted(quotes)
        async with running(layer.chain):
            while await asyncio.sleep(0.001, layer.app.market().waiting_txs):
                pass
            await layer.wait_for_height(await layer.latest() + 40)
        assert (await layer.quote(20_000)).price == quotes[0]


async def test_what_was_given_up_is_taken_up_again_and_not_sent_twice(tmp_path: Path) -> None:
    """The budget did not reach, the transaction waits on: asked again, the client finds it."""
    async with opened(tmp_path) as layer:
        da = SquareClient(layer, ALICE, BidPolicy(patience=1))
        raw = make_blob_tx(ALICE, layer.chain_id, 0, [blob(50_000)], fee=least(50_000))
        assert (await layer.broadcast(raw)).accepted
        for key in KEYS[1:4]:
            for sequence in range(4):
                rival = make_blob_tx(key, layer.chain_id, sequence, [blob(50_000)], fee=3 * least(50_000))
                assert (await layer.broadcast(rival)).accepted
        async with running(layer.chain):
            with pytest.raises(Underpaid) as caught:
                await da.submit(blob(50_000), budget=least(50_000))
            assert caught.value.wanted > least(50_000)
            while (await layer.account(da.address)).sequence == 0:
                try:
                    await da.submit(blob(50_000), budget=least(50_000))
                except Underpaid:
                    continue
        account = layer.app.account(da.address)
        assert (account.sequence, account.balance) == (1, UTIA - least(50_000))


async def test_many_at_once_queue_behind_the_limit_of_one_account(tmp_path: Path) -> None:
    async with opened(tmp_path, PoolLimits(signer_txs=3)) as layer, running(layer.chain):
        da = SquareClient(layer, ALICE)
        placements = await asyncio.gather(*(da.submit(blob(100, number)) for number in range(12)))
        assert len(set(placements)) == 12
        assert (await layer.account(da.address)).sequence == 12


async def test_the_market_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as layer:
        async with running(layer.chain):
            await asyncio.gather(*(SquareClient(layer, key).submit(blob(40_000, n)) for n, key in enumerate(KEYS[:4])))
        market = await layer.market()
    async with opened(tmp_path) as layer:
        again = await layer.market()
        assert (again.base_fee, again.supply) == (market.base_fee, market.supply)
        assert again.supply == sum(layer.app.balance(account_address(key.public_key)) for key in KEYS) < 4 * UTIA


async def test_where_nothing_is_charged_large_blobs_wait_their_turn(tmp_path: Path) -> None:
    async with opened(tmp_path, genesis=FREE) as layer:
        senders = [SquareClient(layer, key) for key in KEYS]
        wanted = [blob(40 * 480, mark) for mark in range(10)]  # one fills most of a square
        submits = [asyncio.create_task(senders[mark % 5].submit(one)) for mark, one in enumerate(wanted)]
        await asyncio.sleep(0)
        async with running(layer.chain):
            placements = await asyncio.gather(*submits)
            assert len({placement.height for placement in placements}) == len(wanted)
            assert [await published(layer, one) for one in wanted] == [1] * len(wanted)
