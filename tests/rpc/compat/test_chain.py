"""The imported chain beside itself: what is read alone is what its block shows, in every fork."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dougong._native import Evm
from dougong.errors import InvalidInput, NotFound
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.protocol import Limits, answer
from tests.rpc.compat.world import ImportedEvm, import_chain

HEAD = 54


@pytest.fixture(scope="module")
def folder(vectors: Path) -> Path:
    return vectors / "rpc-compat"


@pytest.fixture(scope="module")
def evm(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evm]:
    made = import_chain(folder, tmp_path_factory.mktemp("chain"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def api(evm: Evm, folder: Path) -> Iterator[EthereumApi]:
    made = EthereumApi(ImportedEvm(evm, folder / "headfcu.json"))
    yield made
    made.close()


async def call(api: EthereumApi, method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    reply = json.loads(await answer(api.methods, body, Limits()) or b"")
    return reply.get("result", reply.get("error"))


def test_one_transaction_and_one_receipt_are_those_of_their_block(evm: Evm) -> None:
    logs = types = 0
    for number in range(HEAD + 1):
        block = json.loads(evm.block_json(number, True))
        receipts = json.loads(evm.block_receipts_json(number))
        assert evm.transaction_count(number) == len(block["transactions"]) == len(receipts)
        place = 0
        for index, (tx, receipt, raw) in enumerate(zip(block["transactions"], receipts, evm.transactions(number), strict=True)):
            tx_hash = bytes.fromhex(tx["hash"][2:])
            assert json.loads(evm.transaction_json(tx_hash) or b"") == tx
            assert json.loads(evm.transaction_at_json(number, index) or b"") == tx
            assert json.loads(evm.receipt_json(tx_hash) or b"") == receipt
            assert evm.raw_transaction(tx_hash) == raw
            assert [int(log["logIndex"], 16) for log in receipt["logs"]] == list(range(place, place + len(receipt["logs"])))
            place += len(receipt["logs"])
            types |= 1 << int(tx["type"], 16)
            assert ("root" in receipt) == (number < 9) != ("status" in receipt)
            assert ("blobGasUsed" in receipt) == (tx["type"] == "0x3") == ("maxFeePerBlobGas" in tx)
        logs += place
        assert evm.transaction_at_json(number, len(receipts)) is None
        assert evm.transaction_at_json(number, 2**64 - 1) is None
    assert logs > 100
    assert types == 0b11111
    with pytest.raises(NotFound):
        evm.transaction_count(HEAD + 1)


async def test_ommers_are_shown(api: EthereumApi, evm: Evm) -> None:
    seen = 0
    for number in range(HEAD + 1):
        block = json.loads(evm.block_json(number, False))
        place = hex(number)
        assert await call(api, "eth_getUncleCountByBlockNumber", place) == hex(len(block["uncles"]))
        assert await call(api, "eth_getUncleCountByBlockHash", block["hash"]) == hex(len(block["uncles"]))
        for index, uncle_hash in enumerate(block["uncles"]):
            uncle = await call(api, "eth_getUncleByBlockNumberAndIndex", place, hex(index))
            assert uncle == await call(api, "eth_getUncleByBlockHashAndIndex", block["hash"], hex(index))
            assert uncle["hash"] == uncle_hash
            assert int(uncle["number"], 16) < number
            seen += 1
        assert await call(api, "eth_getUncleByBlockNumberAndIndex", place, hex(len(block["uncles"]))) is None
        assert await call(api, "eth_getUncleByBlockNumberAndIndex", place, "0x" + "f" * 64) is None
    assert seen == 18


async def test_fees_follow_from_block_to_block(api: EthereumApi, evm: Evm) -> None:
    history = await call(api, "eth_feeHistory", hex(HEAD + 1), "latest", [])
    shown = [json.loads(evm.block_json(number, False)) for number in range(HEAD + 1)]
    assert history["oldestBlock"] == "0x0"
    assert history["baseFeePerGas"][:-1] == [block.get("baseFeePerGas", "0x0") for block in shown]
    for number in range(HEAD):  # what is told of the next block is what it has, if it has the same blob parameters
        _, next_base_fee, _, next_blob_fee, _ = evm.fees(number)
        base_fee, _, blob_fee, _, limit = evm.fees(number + 1)
        assert next_base_fee in (base_fee, 0)
        assert next_base_fee == base_fee or number + 1 == 27
        assert next_blob_fee in (blob_fee, 0)
        assert bool(limit) == ("blobGasUsed" in shown[number + 1])
    assert any(history["blobGasUsedRatio"])
    assert set(history["baseFeePerBlobGas"]) == {"0x0", "0x1"}


async def test_the_next_fork_is_told_before_it_comes(evm: Evm) -> None:
    told = [json.loads(evm.config_json(number)) for number in range(HEAD + 1)]
    times = [390, 420, 450, 480, 510, 540]
    for number, config in enumerate(told):
        later = [time for time in times if time > 10 * number]
        assert config["current"]["activationTime"] == max([time for time in times if time <= 10 * number], default=0)
        assert (config["next"] or {}).get("activationTime") == (later[0] if later else None)
        assert (config["last"] or {}).get("activationTime") == (later[-1] if later else None)
        assert config["next"] is None or config["next"]["forkId"] != config["current"]["forkId"]
    assert told[0]["last"] == told[HEAD]["current"]
    assert "P256VERIFY" not in told[47]["current"]["precompiles"]


async def test_storage_of_many_accounts_has_a_limit(api: EthereumApi) -> None:
    account, slot = "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df", "0x" + "00" * 32
    full = await call(api, "eth_getStorageValues", {account: [slot] * 1_024}, "latest")
    assert full == {account: [full[account][0]] * 1_024}
    wrongs: list[object] = [{account: [slot] * 1_025}, {account: []}, {account: slot}, {account: [1]}, {"0x12": [slot]}, []]
    for wrong in wrongs:
        assert (await call(api, "eth_getStorageValues", wrong, "latest"))["code"] == -32602, wrong
    assert (await call(api, "eth_getStorageValues", {account: [slot]}, "0x37"))["code"] == -32000


def test_what_is_no_block_is_refused_and_changes_nothing(evm: Evm) -> None:
    head = evm.head().hash
    for data in (b"\xc0", b"\xff" * 40, b"\x80", bytes(1_000), evm.block_rlp(HEAD), evm.block_rlp(0), evm.block_rlp(HEAD)[:-1]):
        with pytest.raises(InvalidInput):
            evm.import_blocks(data)
    assert evm.import_blocks(b"") == []
    with pytest.raises(InvalidInput):
        evm.execute(2**40, [], skip_invalid=True, beneficiary=bytes(20))
    assert evm.head().hash == head


@pytest.fixture(scope="module")
def behind(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Evm, bytes]]:
    """The chain before a block with transactions of types 0, 2, 3 and 4, and that block."""
    made = import_chain(folder, tmp_path_factory.mktemp("behind"))
    block = made.block_rlp(45)
    made.rollback(44)
    yield made, block
    made.close()


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_makes_no_block_or_one_of_the_same_outcome(behind: tuple[Evm, bytes], data: st.DataObject) -> None:
    """A header says some things freely: its extra data, its randomness, a little of its gas limit."""
    evm, block = behind
    place = data.draw(st.integers(0, len(block) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != block[place]))
    cut = data.draw(st.one_of(st.none(), st.integers(1, len(block) - 1)))
    changed = (block[:place] + bytes([byte]) + block[place + 1 :])[:cut]
    try:
        evm.import_blocks(changed)
    except InvalidInput:
        assert evm.head().number == 44
        return
    ours = json.loads(evm.block_json(45, True))
    assert evm.block_rlp(45) == changed
    evm.rollback(44)
    evm.import_blocks(block)
    theirs = json.loads(evm.block_json(45, True))
    evm.rollback(44)
    differs = {name for name, value in ours.items() if name != "transactions" and theirs[name] != value}
    assert "hash" in differs
    assert differs <= {"hash", "mixHash", "extraData", "gasLimit"}


def test_the_block_itself_is_taken_after_all_that(behind: tuple[Evm, bytes]) -> None:
    evm, block = behind
    (head,) = evm.import_blocks(block)
    assert head.number == 45
    assert evm.block_rlp(45) == block
