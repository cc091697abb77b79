"""The native EVM as Python sees it: kill -9, threads, errors by kind, every transaction type, the outbox root, batches.

What only Rust can see (tries, codec, derivation, headers against other clients') is tested in rust/evm/tests.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from benches.core_evm import raw_transaction

from dougong import errors
from dougong._native import (
    Evm,
    TxInfo,
    decode_batch,
    decode_header,
    decode_transactions,
    encode_batch,
    keccak256,
    sign_authorization,
    sign_transaction,
    sign_transactions,
    verify_account_proof,
    verify_storage_proof,
)
from dougong.testing.wallet import GWEI, Wallet

CHAIN_ID = 4242
ETHER = 10**18
ALICE, BOB = Wallet.of("alice", CHAIN_ID), Wallet.of("bob", CHAIN_ID)
FEES = b"\xfe" * 20
OUTBOX = bytes.fromhex("d0d0000000000000000000000000000000000001")
# sstore(6, calldataload(0)); log1(0, 0, calldataload(0))
WRITER = "0x60003560065560003560006000a100"


def genesis(**changes: Any) -> str:
    document: dict[str, Any] = {
        "config": {"chainId": CHAIN_ID, "pragueTime": 0, "dougong": {"outboxSlot": "0x6"}},
        "coinbase": "0x" + FEES.hex(),
        "gasLimit": "0x1c9c380",
        "timestamp": "0x64",
        "difficulty": "0x0",
        "alloc": {
            "0x" + ALICE.address.hex(): {"balance": hex(1000 * ETHER)},
            "0x" + OUTBOX.hex(): {"balance": "0x0", "code": WRITER},
        },
    }
    document["config"] |= changes.pop("config", {})
    return json.dumps(document | changes)


@pytest.fixture
def evm(tmp_path: Path) -> Iterator[Evm]:
    engine = Evm(str(tmp_path / "chain"), genesis())
    yield engine
    engine.close()


def put(evm: Evm, *txs: bytes) -> None:
    built = evm.execute(evm.head().timestamp + 1, txs, skip_invalid=False, beneficiary=FEES)
    assert built.included == list(range(len(txs)))
    evm.commit()


def info(raw: bytes) -> TxInfo:
    [decoded] = decode_transactions([raw])
    assert isinstance(decoded, TxInfo), decoded
    return decoded


def receipt(evm: Evm, raw: bytes) -> dict[str, Any]:
    shown = evm.receipt_json(info(raw).hash)
    assert shown is not None
    return dict(json.loads(shown))


def test_mainnet_transactions_hash_and_recover(vectors: Path) -> None:
    for path in (vectors / "ethereum-blocks").glob("*.json.gz"):
        given = json.loads(gzip.decompress(path.read_bytes()))["transactions"]
        raws = [raw_transaction(tx) for tx in given]
        for tx, raw, decoded in zip(given, raws, decode_transactions(raws), strict=True):
            assert isinstance(decoded, TxInfo), decoded
            assert decoded.hash.hex() == tx["hash"][2:]
            assert decoded.sender.hex() == tx["from"][2:]
            assert decoded.value == int(tx["value"], 16)
            assert decoded.to == (bytes.fromhex(tx["to"][2:]) if tx["to"] else None)
            assert (decoded.nonce, decoded.tx_type, decoded.size) == (int(tx["nonce"], 16), int(tx["type"], 16), len(raw))


CHILD = """
import sys, json
from dougong._native import Evm
from dougong.testing.wallet import Wallet
evm = Evm(sys.argv[1], sys.argv[2])
alice = Wallet.of("alice", evm.chain_id)
nonce, _ = evm.account(alice.address)
while True:
    txs = [alice.transfer(bytes([7]) * 20, 1, nonce=nonce + i) for i in range(5)]
    nonce += 5
    evm.execute(evm.head().timestamp + 1, txs, skip_invalid=False, beneficiary=bytes(20))
    evm.commit()
    print(evm.head().number, evm.head().hash.hex(), flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    folder = str(tmp_path / "chain")
    acknowledged: dict[int, str] = {}
    for lines in (3, 17, 8):
        child = subprocess.Popen([sys.executable, "-c", CHILD, folder, genesis()], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(lines):
            number, digest = child.stdout.readline().split()
            acknowledged[int(number)] = digest
        os.kill(child.pid, signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                number, digest = line.split()
                acknowledged[int(number)] = digest
        child.wait()
        evm = Evm(folder, genesis())
        head = evm.head()
        assert head.number >= max(acknowledged)
        for block, known in acknowledged.items():
            assert evm.header(block).hash.hex() == known
        # The flat state is the trie's: what the head holds was paid by exactly its blocks.
        assert evm.account(ALICE.address) == evm.account(ALICE.address, head.number)
        assert evm.account(ALICE.address)[0] == 5 * head.number
        proof = json.loads(evm.proof_json(ALICE.address, [], head.number))
        proven = verify_account_proof(head.state_root, ALICE.address, [bytes.fromhex(node[2:]) for node in proof["accountProof"]])
        assert proven is not None
        assert proven[:2] == evm.account(ALICE.address)
        evm.close()


def test_reads_go_on_beside_the_writer(evm: Evm) -> None:
    done = threading.Event()

    def read() -> int:
        rounds = 0
        while not done.is_set() or not rounds:
            head = evm.head()
            nonce, _ = evm.account(ALICE.address, head.number)
            assert nonce == 20 * head.number
            block = json.loads(evm.block_json(head.number, True))
            assert block["hash"] == "0x" + head.hash.hex()
            success, data, _ = evm.call_json(json.dumps({"to": "0x" + OUTBOX.hex(), "data": "0x"}), head.number, 10**6)
            assert (success, data) == (True, b"")
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as readers:
        rounds = [readers.submit(read) for _ in range(4)]
        try:
            for block in range(25):
                put(evm, *(ALICE.transfer(BOB.address, 1, nonce=20 * block + i) for i in range(20)))
        finally:
            done.set()
        assert all(reader.result() for reader in rounds)
    assert evm.head().number == 25


def test_every_transaction_type_executes(evm: Evm) -> None:
    me = {"chainId": CHAIN_ID, "gas": 200_000, "to": "0x" + OUTBOX.hex(), "value": "0x0"}
    access = [{"address": "0x" + OUTBOX.hex(), "storageKeys": ["0x" + "00" * 31 + "06"]}]
    authorization = json.loads(
        sign_authorization(json.dumps({"chainId": CHAIN_ID, "address": "0x" + OUTBOX.hex(), "nonce": 0}), BOB.secret)
    )
    dynamic = {"maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": 1}
    requests: list[dict[str, Any]] = [
        {"type": 0, "gasPrice": 10 * GWEI},
        {"gasPrice": 10 * GWEI, "accessList": access},
        {**dynamic, "accessList": access},
        {**dynamic, "to": "0x" + BOB.address.hex(), "authorizationList": [authorization]},
    ]
    words = [(n + 1).to_bytes(32) for n in range(4)]
    raws = sign_transactions(
        [
            json.dumps(me | request | {"nonce": nonce, "input": "0x" + words[nonce].hex()})
            for nonce, request in enumerate(requests)
        ],
        [ALICE.secret] * 4,
    )
    put(evm, *raws)
    assert [info(raw).tx_type for raw in raws] == [0, 1, 2, 4]
    for raw, word in zip(raws, words, strict=True):
        shown = receipt(evm, raw)
        assert (shown["status"], shown["logs"][0]["topics"]) == ("0x1", ["0x" + word.hex()])
    assert evm.code(BOB.address, 1) == b"\xef\x01\x00" + OUTBOX, "Bob's account runs the writer now"
    assert evm.storage(BOB.address, (6).to_bytes(32), 1) == words[3]
    assert evm.storage(OUTBOX, (6).to_bytes(32), 1) == words[2]
    assert evm.header(1).outbox_root == words[2]
    assert evm.header(0).outbox_root == bytes(32)
    assert evm.transactions(1) == raws


def test_a_header_and_its_proofs_speak_for_the_state(evm: Evm) -> None:
    put(evm, ALICE.sign(ALICE.fields(OUTBOX, nonce=0, data=b"\x11" * 32, gas=100_000)))
    rlp = evm.header_rlp(1)
    header = decode_header(rlp)
    assert (header.hash, keccak256(rlp)) == (evm.head().hash, evm.head().hash)
    assert rlp in evm.block_rlp(1)
    slot = (6).to_bytes(32)
    shown = json.loads(evm.proof_json(OUTBOX, [slot, bytes(32)], 1))
    nodes = [bytes.fromhex(node[2:]) for node in shown["accountProof"]]
    account = verify_account_proof(header.state_root, OUTBOX, nodes)
    assert account is not None
    for entry, value in zip(shown["storageProof"], (b"\x11" * 32, bytes(32)), strict=True):
        branch = [bytes.fromhex(node[2:]) for node in entry["proof"]]
        assert verify_storage_proof(account[2], bytes.fromhex(entry["key"][2:]), branch) == value
    with pytest.raises(errors.InvalidProof):
        verify_account_proof(header.state_root, OUTBOX, nodes[:-1])
    with pytest.raises(errors.InvalidProof):
        verify_account_proof(bytes(32), OUTBOX, nodes)
    with pytest.raises(errors.InvalidInput):
        decode_header(rlp + b"\0")
    with pytest.raises(errors.InvalidInput):
        decode_header(rlp[:-1])


def test_a_verifier_follows_the_batches_of_a_sequencer(evm: Evm, tmp_path: Path) -> None:
    deposit = (0, BOB.address + (5 * 10**9).to_bytes(8))
    forced = (1, BOB.transfer(ALICE.address, 1, nonce=0))
    messages = [deposit, forced]
    nonce = 0
    while evm.head().inbox_end < 2:
        position = evm.head().inbox_end
        own = [ALICE.transfer(BOB.address, 3, nonce=nonce), b"", ALICE.transfer(BOB.address, 3, nonce=nonce + 7)]
        built = evm.execute_rollup(evm.head().timestamp + 1, 2, messages[position:], own)
        assert (built.included, [position for position, _ in built.skipped]) == ([0], [1, 2])
        evm.commit()
        nonce += 1
    assert [evm.header(number).inbox_end for number in range(evm.head().number + 1)] == [0, 1, 2]
    batch = evm.encode_batch(1, 2, 3)
    verifier = Evm(str(tmp_path / "verifier"), genesis())
    derived = verifier.apply_batch(batch, 1000, 2, messages)
    assert [header.hash for header in derived] == [evm.header(1).hash, evm.header(2).hash]
    assert verifier.account(FEES) == evm.account(FEES)
    assert json.loads(verifier.block_json(1, False))["withdrawals"][0]["amount"] == hex(5 * 10**9)
    parent, blocks = decode_batch(batch, 30_000_000) or (b"", [])
    assert encode_batch(parent, blocks, 3) == batch
    assert verifier.apply_batch(batch, 1000, 2, []) == [], "the same batch again: another parent, nothing to consume"
    verifier.rollback(1)
    assert verifier.head().hash == evm.header(1).hash
    verifier.apply_batch(None, verifier.head().timestamp, 2, [forced])
    assert verifier.head().inbox_end == 2
    verifier.close()


def test_what_was_closed_is_closed_and_can_be_opened_again(tmp_path: Path) -> None:
    folder = str(tmp_path / "chain")
    evm = Evm(folder, genesis())
    put(evm, ALICE.transfer(BOB.address, 1, nonce=0))
    with pytest.raises(errors.StoreError, match="in use"):
        Evm(folder, genesis())
    evm.close()
    evm.close()
    with pytest.raises(errors.StoreError, match="closed"):
        evm.head()
    again = Evm(folder, genesis())
    assert again.head().number == 1
    again.close()
    with pytest.raises(errors.StoreCorrupt) as caught:
        Evm(folder, genesis(timestamp="0x65"))
    assert "rebuild" in caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"pragueTime": None}},
        {"config": {"pragueTime": 999}},
        {"config": {"londonBlock": 5}},
        {"config": {"amsterdamTime": 0}},
        {"config": {"terminalTotalDifficulty": 7}},
        {"config": {"depositContractAddress": "0x" + "11" * 20}},
        {"config": {"dougong": {"outboxSlot": []}}},
        {"gasLimit": "0x1"},
        {"alloc": {"0x" + "11" * 20: {"balance": "0x0", "storage": {"0x" + "00" * 32: "0x" + "00" * 31 + "01"}}}},
        {"alloc": "none"},
    ],
)
def test_a_genesis_that_we_do_not_run_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError):
        Evm(str(tmp_path / "chain"), genesis(**changes))


def test_osaka_rules_start_when_the_genesis_says(tmp_path: Path) -> None:
    evm = Evm(str(tmp_path / "chain"), genesis(config={"osakaTime": 103}))
    # CLZ (EIP-7939) is an invalid instruction before Osaka.
    request = json.dumps({"data": "0x60011e60005260206000f3"})
    for block in (1, 2):
        put(evm)
        with pytest.raises(errors.InvalidTransaction, match="invalid opcode"):
            evm.call_json(request, block, 10**6)
    put(evm)
    assert evm.call_json(request, 3, 10**6)[0]


def test_bad_input_is_named_and_changes_nothing(evm: Evm) -> None:
    head = evm.head().hash
    with pytest.raises(errors.InvalidInput, match="20 bytes"):
        evm.account(b"\1")
    with pytest.raises(errors.InvalidInput, match="32 bytes"):
        evm.storage(OUTBOX, b"\1", 0)
    with pytest.raises(errors.NotFound):
        evm.header(9)
    with pytest.raises(errors.NotFound):
        evm.account(OUTBOX, 9)
    with pytest.raises(errors.NotFound):
        evm.rollback(9)
    with pytest.raises(errors.InvalidTransaction, match="transaction 1: "):
        evm.execute(200, [ALICE.transfer(BOB.address, 1, nonce=0), b"\x03"], skip_invalid=False, beneficiary=FEES)
    with pytest.raises(errors.InvalidTransaction, match="transaction 0: nonce"):
        evm.execute(200, [ALICE.transfer(BOB.address, 1, nonce=4)], skip_invalid=False, beneficiary=FEES)
    with pytest.raises(errors.InvalidInput):
        evm.execute(1, [], skip_invalid=True, beneficiary=FEES)
    with pytest.raises(errors.InvalidInput):
        evm.encode_batch(0, 0, 3)
    with pytest.raises(errors.InvalidInput):
        evm.call_json("[]", 0, 10**6)
    with pytest.raises(errors.InvalidInput):
        evm.logs_json('{"topics": 5}', 0, 0, 10)
    with pytest.raises(errors.InvalidInput):
        sign_transaction('{"nonce": 0}', ALICE.secret)
    with pytest.raises(errors.InvalidInput):
        sign_transaction(ALICE.fields(BOB.address, nonce=0), bytes(32))
    assert evm.number_of(bytes(32)) is None
    assert evm.transaction_json(bytes(32)) is None
    assert evm.receipt_json(bytes(32)) is None
    evm.discard()
    assert evm.head().hash == head
    built = evm.execute(200, [], skip_invalid=True, beneficiary=FEES)
    assert built.header.number == 1, "nothing was left pending"


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00", b"\x02", b"\x02\xc0", b"\x03\xc0", b"\x05\xc0", b"\xff", b"\xc0", bytes(2**20 + 1)],
)
def test_what_is_not_a_transaction_says_why(raw: bytes) -> None:
    [why] = decode_transactions([raw])
    assert isinstance(why, str)
    assert why


def test_no_one_can_change_a_signed_transaction(evm: Evm) -> None:
    raw = ALICE.transfer(BOB.address, 5, nonce=0)
    for place in range(len(raw)):
        for flip in (0x01, 0x80):
            changed = raw[:place] + bytes([raw[place] ^ flip]) + raw[place + 1 :]
            [decoded] = decode_transactions([changed])
            assert isinstance(decoded, str) or decoded.sender != ALICE.address
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = int.from_bytes(raw[-32:])
    parity = raw.rindex(b"\xa0" + raw[-65:-33]) - 1
    high = bytearray(raw[:-32] + (order - s).to_bytes(32))
    high[parity] = {0x80: 0x01, 0x01: 0x80}[high[parity]]
    [why] = decode_transactions([bytes(high)])
    assert isinstance(why, str), "a high s is the same signature again (EIP-2)"


def test_a_small_blob_lists_no_millions_of_transactions() -> None:
    """A kilobyte could name eleven million of them, and cost who derives it a gigabyte and many seconds."""
    most, gas_limit = 1 << 18, 60_000_000
    a_block = gas_limit // 21_000
    full = [(0, 0, [b"\0"] * a_block)] * (most // a_block)
    rest = most - len(full) * a_block
    batch = encode_batch(bytes(32), [*full, (0, 0, [b"\0"] * rest)], 3)
    assert len(batch) < 1_000
    assert decode_batch(batch, gas_limit) is not None
    assert decode_batch(encode_batch(bytes(32), [*full, (0, 0, [b"\0"] * (rest + 1))], 3), gas_limit) is None
