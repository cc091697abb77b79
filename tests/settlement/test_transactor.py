"""One key, many transactions at once, a node that stalls, forgets or goes away: each takes effect once, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from eth_account import Account

from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidInput, Rejected, Unavailable
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.settlement.contract import deploy
from dougong.settlement.signing import Unsigned, sign
from dougong.settlement.transactor import Offer, Transactor
from tests.engines import ANVIL_KEY, anvil
from tests.settlement.world import World, key_of

KEY = Secp256k1Key(ANVIL_KEY)


@pytest.fixture
async def manual(tmp_path: Path) -> AsyncIterator[JsonRpc]:
    """An anvil that makes a block only when told to."""
    with anvil(tmp_path, "--no-mining") as url:
        async with JsonRpc(url) as rpc:
            yield rpc


async def nonce(rpc: JsonRpc, address: bytes, tag: str = "latest") -> int:
    return quantity(await rpc.call("eth_getTransactionCount", "0x" + address.hex(), tag))


async def mempool(rpc: JsonRpc, count: int) -> None:
    """Returns once the node holds so many pending transactions."""
    while True:
        status = await rpc.call("txpool_status")
        if quantity(status["pending"]) >= count:
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("to", [b"\x0a" * 20, None])
@pytest.mark.parametrize("calldata", [b"", b"\x01", b"\xff" * 70])
def test_signatures_are_ethereums(to: bytes | None, calldata: bytes) -> None:
    key = key_of("user")
    raw, tx_hash = sign(Unsigned(31337, 200, 10**9, 3 * 10**9, 100_000, to, 10**18, calldata), key)
    fields = {
        "type": 2,
        "chainId": 31337,
        "nonce": 200,
        "maxPriorityFeePerGas": 10**9,
        "maxFeePerGas": 3 * 10**9,
        "gas": 100_000,
        "value": 10**18,
        "data": calldata,
    }
    theirs = Account.sign_transaction(fields | ({"to": to} if to else {}), key.secret)
    assert (raw, tx_hash) == (bytes(theirs.raw_transaction), bytes(theirs.hash))


async def test_many_at_once_take_one_nonce_each(world: World) -> None:
    transactor = await world.transactor("busy")
    receipts = await asyncio.gather(*(transactor.send(b"\x0a" * 20, b"", n) for n in range(40)))
    assert len({receipt.tx_hash for receipt in receipts}) == 40
    assert await nonce(world.rpc, transactor.address) == 40


async def test_a_refused_transaction_takes_no_nonce(world: World) -> None:
    transactor = await world.transactor("poor")
    token = await deploy(transactor, artifact("Token"), "Coin", "C", 5)
    before = await nonce(world.rpc, transactor.address)
    outcomes = await asyncio.gather(
        token.send("transfer", b"\x0b" * 20, 1),
        token.send("transfer", b"\x0b" * 20, 6),
        transactor.send(b"\x0b" * 20, b"", 10**30),
        token.send("transfer", b"\x0b" * 20, 2),
        return_exceptions=True,
    )
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, True, False]
    assert "balance too low" in str(outcomes[1])
    assert await nonce(world.rpc, transactor.address) == before + 2


async def test_a_transaction_that_fails_in_its_block_is_rejected_with_its_reason(manual: JsonRpc) -> None:
    """Both pass their estimate; the block takes one."""
    transactor = await Transactor.connect(manual, KEY)
    async with asyncio.TaskGroup() as group:
        deployed = group.create_task(deploy(transactor, artifact("Token"), "Coin", "C", 5))
        await mempool(manual, 1)
        await manual.call("evm_mine")
    token = deployed.result()
    sends = [asyncio.create_task(token.send("transfer", b"\x0b" * 20, 4)) for _ in range(2)]
    await mempool(manual, 2)
    await manual.call("evm_mine")
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert len(failed) == 1
    assert "balance too low" in str(failed[0])


async def test_a_stuck_transaction_is_sent_again_at_a_higher_price(manual: JsonRpc) -> None:
    """No block takes it; its price rises, its nonce stays, and one of the offers takes effect."""
    transactor = await Transactor.connect(manual, KEY, stuck_after=0.05)
    sending = asyncio.create_task(transactor.send(b"\x0a" * 20, b"", 1))
    await mempool(manual, 1)

    async def price() -> int:
        content = (await manual.call("txpool_content"))["pending"]
        (entry,) = [tx for by_nonce in content.values() for tx in by_nonce.values()]
        return quantity(entry["maxFeePerGas"])

    first = await price()
    while await price() <= first * 3 // 2:
        await transactor.rpc.call("eth_blockNumber")
    await manual.call("evm_mine")
    receipt = await sending
    assert await nonce(manual, transactor.address) == 1
    assert receipt.logs == ()
    assert quantity(await manual.call("eth_getBalance", "0x" + "0a" * 20, "latest")) == 1


async def test_a_node_that_forgets_its_pool_gets_it_again(manual: JsonRpc) -> None:
    transactor = await Transactor.connect(manual, KEY, stuck_after=0.1)
    sending = [asyncio.create_task(transactor.send(b"\x0a" * 20, b"", n + 1)) for n in range(3)]
    await mempool(manual, 3)
    await manual.call("anvil_dropAllTransactions")
    await mempool(manual, 3)
    await manual.call("evm_mine")
    await asyncio.gather(*sending)
    assert await nonce(manual, transactor.address) == 3
    assert quantity(await manual.call("eth_getBalance", "0x" + "0a" * 20, "latest")) == 6


async def test_giving_up_says_that_the_outcome_is_unknown(manual: JsonRpc) -> None:
    transactor = await Transactor.connect(manual, KEY, give_up_after=0.1)
    with pytest.raises(Unavailable, match="in no block"):
        await transactor.send(b"\x0a" * 20, b"", 1)


async def test_what_was_abandoned_leaves_no_gap(manual: JsonRpc) -> None:
    """The caller goes away and the node loses the transaction: the next one must not wait behind its nonce."""
    transactor = await Transactor.connect(manual, KEY)
    abandoned = asyncio.create_task(transactor.send(b"\x0a" * 20, b"", 1))
    await mempool(manual, 1)
    abandoned.cancel()
    await asyncio.wait([abandoned])
    await manual.call("anvil_dropAllTransactions")
    following = asyncio.create_task(transactor.send(b"\x0a" * 20, b"", 4))
    await mempool(manual, 1)
    await manual.call("evm_mine")
    await following
    assert await nonce(manual, transactor.address) == 1
    assert quantity(await manual.call("eth_getBalance", "0x" + "0a" * 20, "latest")) == 4


async def test_another_user_of_the_key_is_noticed(manual: JsonRpc) -> None:
    mine = await Transactor.connect(manual, KEY, stuck_after=0.1)
    sending = asyncio.create_task(mine.send(b"\x0a" * 20, b"", 1))
    await mempool(manual, 1)
    await manual.call("anvil_dropAllTransactions")
    fee = 200 * 10**9
    raw, _ = sign(Unsigned(mine.chain_id, 0, fee, fee, 21_000, b"\x0c" * 20, 7, b""), KEY)
    await manual.call("eth_sendRawTransaction", "0x" + raw.hex())
    await manual.call("evm_mine")
    with pytest.raises(Rejected, match="took nonce 0"):
        await sending


class LosesAnswers(httpx.AsyncHTTPTransport):
    """Passes every transaction on, and loses the answer to the first attempt."""

    seen: ClassVar[set[bytes]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        asked = json.loads(request.content)
        if isinstance(asked, dict) and asked["method"] == "eth_sendRawTransaction" and request.content not in self.seen:
            self.seen.add(request.content)
            await response.aread()
            raise httpx.ReadTimeout("the answer was lost")
        return response


async def test_a_lost_answer_is_not_a_lost_transaction(world: World) -> None:
    """The first attempt was mined, so the second is told that its nonce is used: by itself."""
    key = key_of("unlucky")
    await world.owner.send(key.address, b"", 10**18)
    async with JsonRpc(world.rpc.url, transport=LosesAnswers()) as rpc:
        receipts = [await Transactor(rpc, key, world.owner.chain_id).send(b"\x0a" * 20, b"", 5) for _ in range(2)]
    assert len({receipt.tx_hash for receipt in receipts}) == 2
    assert await nonce(world.rpc, key.address) == 2


class Answers(httpx.AsyncHTTPTransport):
    """Passes everything on, but says something else of receipts. A node may refuse them for a while ("indexing is in
    progress")."""

    def __init__(self, answer: Mapping[str, object], times: int) -> None:
        super().__init__()
        self._answer = answer
        self.left = times

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if isinstance(asked, list) and asked[0]["method"] == "eth_getTransactionReceipt" and self.left:
            self.left -= 1
            return httpx.Response(200, json=[{"jsonrpc": "2.0", "id": one["id"], **self._answer} for one in asked])
        return await super().handle_async_request(request)


async def test_a_refused_question_is_not_a_refused_transaction(world: World) -> None:
    """It is out: `Rejected` would say that it had no effect."""
    key = key_of("indexed")
    await world.owner.send(key.address, b"", 10**18)
    refusal = {"error": {"code": -32000, "message": "transaction indexing is in progress"}}
    refusing = Answers(refusal, 3)
    async with JsonRpc(world.rpc.url, transport=refusing) as rpc:
        await Transactor(rpc, key, world.owner.chain_id).send(b"\x0a" * 20, b"", 5)
    assert refusing.left == 0
    async with JsonRpc(world.rpc.url, transport=Answers(refusal, 10_000)) as rpc:
        with pytest.raises(Unavailable, match="in no block"):
            await Transactor(rpc, key, world.owner.chain_id, give_up_after=0.1).send(b"\x0a" * 20, b"", 5)
    assert await nonce(world.rpc, key.address) == 2


@pytest.mark.parametrize("said", [{"blockNumber": "0x1", "status": "0x1", "transactionHash": "0x" + "11" * 32}, "nonsense"])
async def test_another_transactions_receipt_is_none_of_ours(manual: JsonRpc, said: object) -> None:
    async with JsonRpc(manual.url, transport=Answers({"result": said}, 10_000)) as rpc:
        with pytest.raises((InvalidInput, Unavailable)):
            await (await Transactor.connect(rpc, KEY, give_up_after=0.1)).send(b"\x0a" * 20, b"", 1)


async def test_what_stands_behind_another_nonce_is_not_made_dearer(manual: JsonRpc) -> None:
    """An earlier process left nonce 0 in the pool: a higher price for nonce 1 buys nothing, and is paid once the way is free."""
    abandoned = asyncio.create_task((await Transactor.connect(manual, KEY)).send(b"\x0a" * 20, b"", 1))
    await mempool(manual, 1)
    abandoned.cancel()
    await asyncio.wait([abandoned])
    offers: list[Offer] = []

    async def note(offer: Offer) -> None:
        offers.append(offer)

    transactor = await Transactor.connect(manual, KEY, stuck_after=0.02)
    sending = asyncio.create_task(transactor.send(b"\x0b" * 20, b"", 2, note=note))
    while len(offers) < 4:
        await manual.call("eth_blockNumber")
    await manual.call("evm_mine")
    await sending
    assert {offer.nonce for offer in offers} == {1}
    assert len({offer.fees for offer in offers}) == 1


async def test_an_absent_node_is_unavailable(tmp_path: Path) -> None:
    with anvil(tmp_path) as url:
        pass
    async with JsonRpc(url, attempts=1) as rpc:
        with pytest.raises(Unavailable, match="did not answer eth_chainId"):
            await Transactor.connect(rpc, KEY)
        with pytest.raises(Unavailable):
            await Transactor(rpc, KEY, 31337).send(b"\x0a" * 20, b"")


async def test_a_contract_that_is_not_there_is_named(world: World) -> None:
    from dougong.settlement.client import SettlementClient

    with pytest.raises(InvalidInput, match="there is no Settlement contract"):
        await SettlementClient(world.rpc, b"\x0d" * 20).batch_count(1)
    reader = SettlementClient(world.rpc, world.settlement)
    with pytest.raises(InvalidInput, match="only reads"):
        await reader.deposit(world.rollup_id, b"\1" * 20, 10**9)


def test_events_of_another_contract_are_refused() -> None:
    abi = Abi(artifact("Outbox"))
    with pytest.raises(InvalidInput, match="not a MessageSent"):
        abi.event("MessageSent", [b"\0" * 32], b"")
    with pytest.raises(InvalidInput, match="does not decode"):
        abi.event("MessageSent", [abi.topic("MessageSent"), bytes(32), bytes(32), bytes(32)], b"\1" * 31)


def test_a_missing_engine_is_a_failure_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANVIL", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="run `make engines`"), anvil(tmp_path):
        pass
