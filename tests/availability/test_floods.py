"""Attempts to keep others out: with bytes that nobody pays for, bids that replace each other, and blocks filled to the brim."""

from __future__ import annotations

from pathlib import Path

import pytest

from dougong.availability.chain.admission import INVALID
from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.blob_tx import make_blob_tx
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.chain.pool import PoolLimits
from dougong.availability.square.wire import decode_blob_tx
from dougong.codec.protobuf import Writer
from dougong.consensus import Solo, SoloOptions
from dougong.consensus.block import tx_weight
from dougong.consensus.mempool import MempoolLimits
from dougong.errors import InvalidInput, Rejected
from dougong.types import Proposal
from tests.availability import test_bidding as bidding
from tests.availability.test_bidding import ALICE, BOB, GENESIS, VALIDATOR, least
from tests.availability.test_market import block, propose, started, tx, valid


@pytest.mark.parametrize("where", ["before", "between", "within a blob"])
async def test_a_block_is_not_filled_with_bytes_that_nobody_pays_for(tmp_path: Path, where: str) -> None:
    """A megabyte for the price of a hundred bytes: the last of two fields would count, and gas counts neither."""
    raw, junk = tx(ALICE, 0, tip=10**6), bytes(1 << 20)
    inner = decode_blob_tx(raw)
    assert inner is not None
    one = Writer().bytes(1, inner.blobs[0].namespace.raw[1:]).bytes(2, junk).bytes(2, inner.blobs[0].data).done()
    padded = {
        "before": Writer().bytes(1, junk).done() + raw,
        "between": Writer().bytes(1, inner.tx).string(3, junk.decode()).done() + raw,
        "within a blob": Writer().bytes(1, inner.tx).message(2, one).string(3, "BLOB").done(),
    }[where]
    async with started(tmp_path) as app:
        good = await propose(app, raw)
        assert (await app.check_tx(padded)).code == INVALID
        assert not await valid(app, [good[0], padded])
        result = await app.finalize_block(block(1, [good[0], padded]))
        assert [entry.code for entry in result.tx_results] == [0, INVALID]


@pytest.mark.parametrize("field", [b"\x08\x00", b"\x12\x00", b"\x1a\x00"])
def test_millions_of_fields_are_not_read(field: bytes) -> None:
    assert decode_blob_tx(field * 5_000 + tx(ALICE, 0)) is None


@pytest.mark.parametrize("part", [b"\x18\x00", b"\x12\x01x"])
def test_a_blob_has_each_field_once(part: bytes) -> None:
    one = Writer().bytes(1, bytes(28)).bytes(2, b"x").done() + part * 2
    with pytest.raises(InvalidInput, match="twice"):
        decode_blob_tx(Writer().bytes(1, b"signed").message(2, one).string(3, "BLOB").done())


async def test_a_block_filled_to_the_brim_is_no_larger_than_the_engine_allows(tmp_path: Path) -> None:
    async with started(tmp_path) as app:
        for sequence in range(30):
            assert (await app.check_tx(tx(ALICE, sequence, size=1))).accepted
        for limit in range(6_000, 6_100, 7):
            proposed = await app.prepare_proposal(Proposal(1, 1, (), b"", limit))
            assert 5_000 < sum(map(tx_weight, proposed)) <= limit


async def test_bids_that_replace_each_other_do_not_fill_the_engines_mempool(tmp_path: Path) -> None:
    """Each is let in for a tenth more than the last, and one of them at most is ever paid."""
    size = 20_000
    limits = MempoolLimits(bytes=8 * size)
    app = await SquareApplication.open(tmp_path / "app", pool=PoolLimits(bytes=3 * size))
    options = SoloOptions(mempool=limits)
    chain = await Solo.open(tmp_path / "chain", GENESIS, VALIDATOR, app, options)
    layer = SquareLayer(chain, app)
    try:
        bid = least(size)
        for _ in range(30):
            raw = make_blob_tx(ALICE, layer.chain_id, 0, [bidding.blob(size)], fee=bid)
            assert (await layer.broadcast(raw)).accepted
            bid = bid * 112 // 100
        assert (await layer.broadcast(make_blob_tx(BOB, layer.chain_id, 0, [bidding.blob(size)], fee=least(size)))).accepted
        assert (await layer.market()).waiting_txs == 2
    finally:
        await chain.close()
        await app.close()


async def test_a_mempool_full_of_what_counts_stays_full(tmp_path: Path) -> None:
    app = await SquareApplication.open(tmp_path / "app")
    chain = await Solo.open(tmp_path / "chain", GENESIS, VALIDATOR, app, SoloOptions(mempool=MempoolLimits(txs=4)))
    try:
        for sequence in range(4):
            raw = make_blob_tx(ALICE, "square-1", sequence, [bidding.blob(100)], fee=least(100))
            assert (await chain.broadcast(raw)).accepted
        for _ in range(2):
            with pytest.raises(Rejected, match="the mempool is full"):
                await chain.broadcast(make_blob_tx(BOB, "square-1", 0, [bidding.blob(100)], fee=least(100)))
    finally:
        await chain.close()
        await app.close()
