"""Payments against nodes that lie about prices and pools that push them out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dougong.availability.chain.admission import UNDERPAID, encode_wanted
from dougong.availability.chain.blob_tx import account_address, make_blob_tx
from dougong.availability.chain.cosmos_tx import parse_signed_tx
from dougong.availability.chain.fees import base_cost
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.chain.params import SquareParams
from dougong.availability.chain.paying import pay
from dougong.availability.chain.pool import PoolLimits
from dougong.availability.chain.transfer import TRANSFER_GAS
from dougong.errors import Underpaid
from dougong.testing.consensus import running
from dougong.types import BlobMarket, CheckTxResult, FeeAccount
from tests.availability.test_bidding import ALICE, FLOOR, KEYS, UTIA, blob, least, opened

RECIPIENT = bytes([7]) * 20
AT_THE_FLOOR = base_cost(FLOOR, TRANSFER_GAS)


class Liar:
    """A node that asks for more than the chain does: with every refusal, or in its prices."""

    def __init__(self, layer: SquareLayer, *, wanted: int = 0, base_fee: int = FLOOR) -> None:
        self._layer = layer
        self._wanted = wanted
        self._base_fee = base_fee
        self.offered: list[int] = []

    @property
    def chain_id(self) -> str:
        return self._layer.chain_id

    @property
    def params(self) -> SquareParams:
        return self._layer.params

    async def latest(self) -> int:
        return await self._layer.latest()

    async def wait_for_height(self, height: int) -> None:
        await self._layer.wait_for_height(height)

    async def account(self, address: bytes) -> FeeAccount:
        return await self._layer.account(address)

    async def market(self) -> BlobMarket:
        return replace(await self._layer.market(), base_fee=self._base_fee)

    async def broadcast(self, raw: bytes) -> CheckTxResult:
        self.offered.append(parse_signed_tx(raw).fee)
        if self.offered[-1] < self._wanted:
            return CheckTxResult(UNDERPAID, "more", data=encode_wanted(self._wanted))
        return await self._layer.broadcast(raw)


async def test_a_node_that_asks_for_everything_gets_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as layer, running(layer.chain):
        liar = Liar(layer, wanted=UTIA // 2)
        with pytest.raises(Underpaid) as caught:
            await pay(liar, ALICE, RECIPIENT, 1_000)
        assert caught.value.wanted == UTIA // 2
        assert liar.offered == [base_cost(2 * FLOOR, TRANSFER_GAS)], "not even a signature for more"
        liar = Liar(layer, wanted=3 * AT_THE_FLOOR)
        assert await pay(liar, ALICE, RECIPIENT, 1_000) == 3 * AT_THE_FLOOR


async def test_a_node_that_names_a_high_price_gets_the_limit_at_most(tmp_path: Path) -> None:
    async with opened(tmp_path) as layer, running(layer.chain):
        assert await pay(Liar(layer, base_fee=10**6 * FLOOR), ALICE, RECIPIENT, 1_000, ceiling=5) == 5 * AT_THE_FLOOR
        assert await pay(Liar(layer, base_fee=10**6 * FLOOR), ALICE, RECIPIENT, 1_000, limit=AT_THE_FLOOR) == AT_THE_FLOOR
        assert (await layer.account(RECIPIENT)).balance == 2_000


async def test_a_payment_that_was_pushed_out_comes_back_and_is_made_once(tmp_path: Path) -> None:
    payer = account_address(ALICE.public_key)
    async with opened(tmp_path, PoolLimits(txs=2)) as layer:
        paying = asyncio.create_task(pay(layer, ALICE, RECIPIENT, 1_000))
        while await asyncio.sleep(0.001, layer.app.market().waiting_txs == 0):
            pass
        for key in KEYS[1:3]:
            rival = make_blob_tx(key, layer.chain_id, 0, [blob(100)], fee=4 * least(100))
            assert (await layer.broadcast(rival)).accepted
        assert layer.app.account(payer).pending == ()
        async with running(layer.chain):
            fee = await asyncio.wait_for(paying, 20)
        account = await layer.account(payer)
        assert (account.sequence, account.balance) == (1, UTIA - 1_000 - fee)
        assert (await layer.account(RECIPIENT)).balance == 1_000
