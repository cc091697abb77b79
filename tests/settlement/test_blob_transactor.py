"""Blob transactions of one key: priced, replaced, taken up again after a restart, and never beside ordinary ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
import rlp

from dougong.codec.blob_transaction import network_form
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidInput, Rejected, Underpaid
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.settlement.fees import Fees, Market
from dougong.settlement.signing import Unsigned, sign
from dougong.settlement.transactor import MAX_BLOB_BUMPS, Offer, Transactor
from dougong.types import GAS_PER_BLOB
from tests.engines import ANVIL_KEY, anvil
from tests.settlement.sidecars import sidecar
from tests.settlement.test_transactor import mempool, nonce

KEY = Secp256k1Key(ANVIL_KEY)
TO = b"\x0a" * 20
GWEI = 10**9


@pytest.fixture
async def manual(tmp_path: Path) -> AsyncIterator[JsonRpc]:
    """An anvil that makes a block only when told to."""
    with anvil(tmp_path, "--no-mining") as url:
        async with JsonRpc(url) as rpc:
            yield rpc


class Notes:
    """What a service writes down."""

    def __init__(self) -> None:
        self.kept: list[Offer] = []

    async def __call__(self, offer: Offer) -> None:
        self.kept.append(offer)


class Lying(httpx.AsyncHTTPTransport):
    """A node to which everything is cheap and takes ten times the gas."""

    LIES: ClassVar[dict[str, object]] = {
        "eth_getBlockByNumber": {"baseFeePerGas": "0x1"},
        "eth_maxPriorityFeePerGas": "0x1",
        "eth_blobBaseFee": "0x1",
        "eth_estimateGas": hex(210_000),
    }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if isinstance(asked, dict) and asked["method"] in self.LIES:
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": self.LIES[asked["method"]]})
        return await super().handle_async_request(request)


async def pending(rpc: JsonRpc) -> list[dict[str, str]]:
    content = (await rpc.call("txpool_content"))["pending"]
    return [tx for by_nonce in content.values() for tx in by_nonce.values()]


async def holds(rpc: JsonRpc, tx_hash: bytes) -> bool:
    return await rpc.call("eth_getTransactionByHash", "0x" + tx_hash.hex()) is not None


async def kill(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_the_network_form_is_eip_7594s() -> None:
    carried = sidecar(b"one", b"two")
    tx = Unsigned(1, 2, 3, 4, 5, TO, 6, b"7", 8, carried.versioned_hashes)
    raw, tx_hash = sign(tx, KEY)
    assert keccak256(raw) == tx_hash
    wrapped = network_form(raw, carried.blobs, carried.commitments, carried.cell_proofs)
    assert (raw[0], wrapped[0]) == (3, 3)
    body, version, blobs, commitments, proofs = rlp.decode(wrapped[1:])
    assert rlp.encode(body) == raw[1:]
    assert (version, tuple(blobs), tuple(commitments), tuple(proofs)) == (
        b"\1",
        carried.blobs,
        carried.commitments,
        carried.cell_proofs,
    )
    with pytest.raises(InvalidInput, match="deploys no contract"):
        sign(Unsigned(1, 2, 3, 4, 5, None, 6, b"7", 8, carried.versioned_hashes), KEY)


def test_fees_leave_room_and_stay_within_the_budget() -> None:
    market = Market(base_fee=10 * GWEI, tip=GWEI, blob_base_fee=3 * GWEI)
    assert market.offer(100_000) == Fees(GWEI, 21 * GWEI)
    gas, blob_gas = 100_000, 2 * GAS_PER_BLOB
    most = market.offer(gas, blob_gas)
    assert most == Fees(GWEI, 21 * GWEI, 6 * GWEI)
    least = gas * 11 * GWEI + blob_gas * 3 * GWEI
    for budget in (least, least + 1, (least + most.cost(gas, blob_gas)) // 2, most.cost(gas, blob_gas), 10**20):
        fees = market.offer(gas, blob_gas, budget=budget)
        assert fees.cost(gas, blob_gas) <= budget
        assert fees.cap >= 11 * GWEI
        assert fees.blob_cap >= 3 * GWEI
    with pytest.raises(Underpaid) as caught:
        market.offer(gas, blob_gas, budget=least - 1)
    assert caught.value.wanted == least
    assert Market(1, 1, 1).offer(gas, blob_gas).blob_cap == GWEI, "a price of 1 wei is outrun in minutes"


def test_a_replacement_doubles_every_fee_of_a_blob_transaction() -> None:
    before = Fees(2, 10, 100)
    dearer = Fees(1, 30, 1).outbid(before)
    assert (dearer.tip, dearer.cap, dearer.blob_cap) == (5, 30, 201)
    assert Fees(1, 1).outbid(Fees(100, 1_000)) == Fees(126, 1_251)


async def test_a_stuck_blob_transaction_is_replaced_at_twice_the_price(manual: JsonRpc) -> None:
    notes = Notes()
    transactor = await Transactor.connect(manual, KEY, stuck_after=0.05)
    sending = asyncio.create_task(transactor.send(TO, b"", 1, sidecar=sidecar(b"one"), note=notes))
    await mempool(manual, 1)
    while len(notes.kept) < 3:
        await manual.call("eth_blockNumber")
    await manual.call("evm_mine")
    receipt = await sending
    assert {offer.nonce for offer in notes.kept} == {0}
    for before, after in zip(notes.kept, notes.kept[1:], strict=False):
        if after.fees == before.fees:
            continue  # offered again as it was
        for then, now in ((before.fees.tip, after.fees.tip), (before.fees.cap, after.fees.cap)):
            assert now >= 2 * then
        assert after.fees.blob_cap >= 2 * before.fees.blob_cap
    assert receipt.tx_hash in notes.kept[-1].hashes
    assert len(notes.kept[-1].hashes) <= MAX_BLOB_BUMPS + 1
    assert await nonce(manual, transactor.address) == 1
    assert quantity(await manual.call("eth_getBalance", "0x" + TO.hex(), "latest")) == 1


async def test_a_budget_bounds_every_bid(manual: JsonRpc) -> None:
    notes = Notes()
    transactor = await Transactor.connect(manual, KEY, stuck_after=0.02)
    with pytest.raises(Underpaid) as caught:
        await transactor.send_blobs(TO, b"", sidecar(b"one"), budget=1)
    budget = 3 * caught.value.wanted
    sending = asyncio.create_task(transactor.send(TO, b"", 1, sidecar=sidecar(b"one"), budget=budget, note=notes))
    while len(notes.kept) < 5:
        await manual.call("eth_blockNumber")
    (waiting,) = await pending(manual)
    await manual.call("evm_mine")
    await sending
    gas = quantity(waiting["gas"])
    assert all(offer.fees.cost(gas, GAS_PER_BLOB) <= budget for offer in notes.kept)


async def test_after_a_kill_the_same_nonce_is_used_again(manual: JsonRpc) -> None:
    """The first one waits in the node's pool; what is sent now takes its place, so that one of them is paid for."""
    notes = Notes()
    carried = sidecar(b"one")
    first = asyncio.create_task((await Transactor.connect(manual, KEY)).send(TO, b"", 1, sidecar=carried, note=notes))
    await mempool(manual, 1)
    await kill(first)
    second = await Transactor.connect(manual, KEY)
    sending = asyncio.create_task(second.send(TO, b"", 2, sidecar=carried, note=notes, earlier=notes.kept[-1]))
    while len(await pending(manual)) != 1 or len(notes.kept) < 2:
        await manual.call("eth_blockNumber")
    while quantity((await pending(manual))[0]["value"]) != 2:
        await manual.call("eth_blockNumber")
    await manual.call("evm_mine")
    receipt = await sending
    assert receipt.tx_hash == notes.kept[-1].hashes[-1]
    assert await nonce(manual, second.address) == 1
    assert quantity(await manual.call("eth_getBalance", "0x" + TO.hex(), "latest")) == 2


async def test_after_a_kill_what_was_mined_is_not_sent_again(manual: JsonRpc) -> None:
    notes = Notes()
    carried = sidecar(b"one")
    first = asyncio.create_task((await Transactor.connect(manual, KEY)).send(TO, b"", 1, sidecar=carried, note=notes))
    await mempool(manual, 1)
    await kill(first)
    await manual.call("evm_mine")
    second = await Transactor.connect(manual, KEY)
    receipt = await second.send(TO, b"", 1, sidecar=carried, earlier=notes.kept[-1])
    assert receipt.tx_hash == notes.kept[-1].hashes[0]
    assert await nonce(manual, second.address) == 1


async def test_after_a_kill_a_forgotten_offer_is_made_anew(manual: JsonRpc) -> None:
    """The node lost its pool; or the nonce went to something else; or lies beyond what the node would take next."""
    notes = Notes()
    carried = sidecar(b"one")
    first = asyncio.create_task((await Transactor.connect(manual, KEY)).send(TO, b"", 1, sidecar=carried, note=notes))
    await mempool(manual, 1)
    await kill(first)
    (offer,) = notes.kept
    lost = (b"\1" * 32,)
    unpayable = Fees(10**18, 10**20, 10**18)  # need not be outbid, nor be offered for ever, where nobody has it
    for earlier in (Offer(0, unpayable, offer.hashes), Offer(0, offer.fees, lost), Offer(99, offer.fees, lost)):
        await manual.call("anvil_dropAllTransactions")
        transactor = await Transactor.connect(manual, KEY)
        sending = asyncio.create_task(transactor.send(TO, b"", 1, sidecar=carried, earlier=earlier))
        await mempool(manual, 1)
        await manual.call("evm_mine")
        await sending
    assert await nonce(manual, KEY.address) == 3


async def test_who_starts_again_and_again_does_not_bid_without_end(manual: JsonRpc) -> None:
    """Each start finds its offer in the node's pool. Without a budget a dozen doublings of the tip would be paid in earnest."""
    notes = Notes()
    carried = sidecar(b"one")
    for _ in range(MAX_BLOB_BUMPS + 4):
        transactor = await Transactor.connect(manual, KEY)
        before = len(notes.kept)
        earlier = notes.kept[-1] if notes.kept else None
        sending = asyncio.create_task(transactor.send(TO, b"", 1, sidecar=carried, note=notes, earlier=earlier))
        while len(notes.kept) == before:
            await manual.call("eth_blockNumber")
        while not await holds(manual, notes.kept[-1].hashes[-1]):
            assert not sending.done(), sending
        await kill(sending)
    first, last = notes.kept[0], notes.kept[-1]
    assert {offer.nonce for offer in notes.kept} == {0}
    assert last.fees.tip < first.fees.tip * 2 ** (MAX_BLOB_BUMPS + 2)
    assert last.fees.blob_cap >= first.fees.blob_cap * 2
    await manual.call("evm_mine")
    assert await nonce(manual, KEY.address) == 1


async def test_a_higher_estimate_does_not_take_a_kept_offer_above_the_budget(manual: JsonRpc) -> None:
    notes = Notes()
    carried = sidecar(b"one")
    transactor = await Transactor.connect(manual, KEY)
    with pytest.raises(Underpaid) as caught:
        await transactor.send_blobs(TO, b"", carried, budget=1)
    budget = 2 * caught.value.wanted
    first = asyncio.create_task(transactor.send(TO, b"", 1, sidecar=carried, budget=budget, note=notes))
    await mempool(manual, 1)
    await kill(first)
    async with JsonRpc(manual.url, transport=Lying()) as lying:
        second = await Transactor.connect(lying, KEY)
        sending = asyncio.create_task(second.send(TO, b"", 1, sidecar=carried, budget=budget, note=notes, earlier=notes.kept[-1]))
        while len(notes.kept) < 2:
            await manual.call("eth_blockNumber")
        assert notes.kept[0].fees.cost(262_500, GAS_PER_BLOB) > budget
        assert notes.kept[-1].fees.cost(262_500, GAS_PER_BLOB) <= budget
        await manual.call("evm_mine")
        await sending


async def test_pools_hold_one_kind_of_an_accounts_transactions(manual: JsonRpc) -> None:
    """geth reserves an account for one pool: the other kind waits until nothing is pending."""
    transactor = await Transactor.connect(manual, KEY)
    plain = [asyncio.create_task(transactor.send(TO, b"", 1)) for _ in range(2)]
    await mempool(manual, 2)
    blobs = asyncio.create_task(transactor.send(TO, b"", 1, sidecar=sidecar(b"one")))
    later = asyncio.create_task(transactor.send(TO, b"", 1))
    kinds: set[int] = set()
    while not (blobs.done() and later.done()):
        waiting = {quantity(tx.get("type", "0x0")) for tx in await pending(manual)}
        assert len(waiting) <= 1
        if waiting:
            kinds |= waiting
            await manual.call("evm_mine")
    await asyncio.gather(*plain, blobs, later)
    assert kinds == {2, 3}
    assert await nonce(manual, transactor.address) == 4


async def test_a_call_that_would_revert_costs_nothing(manual: JsonRpc) -> None:
    transactor = await Transactor.connect(manual, KEY)
    with pytest.raises(Rejected):
        await transactor.send(TO, b"", 10**30, sidecar=sidecar(b"one"))
    assert await pending(manual) == []
