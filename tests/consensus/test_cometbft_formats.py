"""Headers, blocks, commits and sets against the output of CometBFT v0.38.25's Go packages, kept in vectors/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dougong.codec.timestamp import decode_time, encode_time
from dougong.consensus import block as blocks
from dougong.consensus.commit import BlockIdFlag, Commit, CommitSig, sign_bytes_of, verify_commit
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import Header
from dougong.consensus.validators import ordered, validators_hash
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import ed25519_address
from dougong.errors import ConfigError, InvalidHeader, InvalidInput
from dougong.types import MerkleProof, TxResult, Validator

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "cometbft.json").read_text())
GENESIS = (Path(__file__).parent / "vectors" / "genesis.json").read_bytes()
BLOCKS: list[dict[str, Any]] = VECTORS["blocks"]
CHAIN_ID: str = VECTORS["chain_id"]


def unhex(text: str) -> bytes:
    return bytes(int(text[6:])) if text.startswith("zeros:") else bytes.fromhex(text)


def validators_of(block: dict[str, Any]) -> tuple[Validator, ...]:
    return tuple(Validator(unhex(entry["public_key"]), entry["power"]) for entry in block["validators"])


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_hashes_as_in_cometbft(number: int) -> None:
    block = BLOCKS[number]
    header = Header.decode(unhex(block["header"]))
    txs = tuple(unhex(tx) for tx in block["txs"] or [])
    last = Commit.decode(unhex(BLOCKS[number - 1]["commit"])) if number else Commit()
    encoded = blocks.encode_block(header, txs, last)
    assert header.hash().hex() == block["hash"]
    assert header.time_ns == block["time_ns"]
    assert header.data_hash == blocks.data_hash(txs)
    assert header.last_commit_hash == last.hash()
    assert header.evidence_hash == blocks.EVIDENCE_HASH
    assert (len(encoded), sha256(encoded).hex()) == (block["block_size"], block["block_sha256"])
    block_id = blocks.block_id_of(header, encoded)
    assert (block_id.parts_total, block_id.parts_hash.hex()) == (block["parts_total"], block["parts_hash"])
    assert blocks.decode_block(encoded) == (header, txs, last)


@pytest.mark.parametrize("block", BLOCKS)
def test_votes_and_sets_are_those_of_cometbft(block: dict[str, Any]) -> None:
    validators = validators_of(block)
    assert ordered(reversed(validators)) == validators
    assert validators_hash(validators).hex() == block["validators_hash"]
    assert [ed25519_address(validator.public_key).hex() for validator in validators] == [
        v["address"] for v in block["validators"]
    ]
    commit = Commit.decode(unhex(block["commit"]))
    assert commit.hash().hex() == block["commit_hash"]
    for index, expected in enumerate(block["sign_bytes"]):
        if expected:
            assert sign_bytes_of(CHAIN_ID, commit, index).hex() == expected
        else:
            assert commit.signatures[index] == CommitSig()
    verify_commit(CHAIN_ID, validators, commit.block_id, block["height"], commit)


def test_the_other_hashes_are_those_of_cometbft() -> None:
    for params in VECTORS["consensus_params"]:
        assert blocks.ConsensusParams(params["max_bytes"], params["max_gas"]).hash().hex() == params["hash"]
    results = (TxResult(0, b"ok", "any", 21000, 20999), TxResult(7, log="no"), TxResult())
    assert blocks.results_hash(results).hex() == VECTORS["results"]["hash"]
    assert blocks.results_hash(()).hex() == VECTORS["results"]["empty"]
    txs = [*map(unhex, VECTORS["data"]["txs"]), bytes(VECTORS["data"]["zeros"])]
    assert blocks.data_hash(txs).hex() == VECTORS["data"]["hash"]
    assert blocks.data_hash(()).hex() == VECTORS["data"]["empty"]
    found = VECTORS["tx_proof"]
    proof = MerkleProof(found["index"], found["total"], tuple(map(unhex, found["aunts"])))
    assert unhex(found["leaf"]) == sha256(txs[1])
    merkle.verify(blocks.data_hash(txs), sha256(txs[1]), proof)


def test_results_are_read_back() -> None:
    results = (TxResult(0, b"ok", "fine", -1, 5), TxResult(7, log="no"), TxResult())
    assert blocks.decode_results(blocks.encode_results(results, b"hash")) == (results, b"hash")


@pytest.mark.parametrize("block", BLOCKS)
def test_no_changed_byte_of_a_header_or_commit_goes_unseen(block: dict[str, Any]) -> None:
    header, commit = unhex(block["header"]), unhex(block["commit"])
    validators = validators_of(block)
    expected = Commit.decode(commit).block_id
    for position in range(len(header)):
        changed = header[:position] + bytes([header[position] ^ 1]) + header[position + 1 :]
        try:
            assert Header.decode(changed).hash().hex() != block["hash"]
        except InvalidHeader:
            continue
    for position in range(len(commit)):
        changed = commit[:position] + bytes([commit[position] ^ 1]) + commit[position + 1 :]
        try:
            other = Commit.decode(changed)
            verify_commit(CHAIN_ID, validators, expected, block["height"], other)
        except InvalidHeader:
            continue
        # What may change is what is not checked once the power is in: later entries, and those for nil.
        assert other.hash() != Commit.decode(commit).hash()
        assert other.signatures[0] == Commit.decode(commit).signatures[0]


def test_a_second_encoding_of_the_same_header_is_refused() -> None:
    header = unhex(BLOCKS[0]["header"])
    with pytest.raises(InvalidHeader):
        Header.decode(header + b"\x78\x00")
    with pytest.raises(InvalidHeader):
        Header.decode(header[-22:] + header[:-22])
    with pytest.raises(InvalidHeader):
        Header.decode(header[:4] + b"\xf8\x80\x00" + header[4:])


def test_commits_that_do_not_carry_the_power_are_refused() -> None:
    block = BLOCKS[1]
    validators, commit = validators_of(block), Commit.decode(unhex(block["commit"]))

    def check(signatures: tuple[CommitSig, ...]) -> None:
        changed = Commit(commit.height, commit.round, commit.block_id, signatures)
        verify_commit(CHAIN_ID, validators, commit.block_id, commit.height, changed)

    check(commit.signatures)
    first, second, *rest = commit.signatures
    refused: list[tuple[CommitSig, ...]] = [
        (),
        commit.signatures[:-1],
        (*commit.signatures, CommitSig()),
        (first, first, *rest),  # one signature twice
        (second, first, *rest),  # in another order
        (CommitSig(), second, *rest),  # 30 of 55: not more than two thirds
        (CommitSig(BlockIdFlag.NIL, first.validator_address, first.time_ns, first.signature), second, *rest),
    ]
    for signatures in refused:
        with pytest.raises(InvalidHeader):
            check(signatures)
    with pytest.raises(InvalidHeader):
        verify_commit("another-chain", validators, commit.block_id, commit.height, commit)


def test_times_are_gos() -> None:
    assert decode_time(encode_time(-62_135_596_800 * 10**9)) == -62_135_596_800 * 10**9
    assert encode_time(0) == b""
    for data in (b"\x10\x80\x94\xeb\xdc\x03", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x12\x00", b"\x08"):
        with pytest.raises(InvalidInput):
            decode_time(data)


def test_genesis_documents_of_cometbft_are_read() -> None:
    genesis = Genesis.parse(GENESIS)
    assert genesis.hash == sha256(GENESIS)
    assert (genesis.chain_id, genesis.time_ns) == (CHAIN_ID, 1_767_323_045_678_900_000)
    assert validators_hash(genesis.validators).hex() == BLOCKS[0]["validators_hash"]
    assert genesis.init_chain.app_state == b'{"a":1}'


def test_created_genesis_documents_are_canonical() -> None:
    (validator,) = Genesis.parse(GENESIS).validators
    genesis = Genesis.create("x-1", 1_767_323_045_000_000_001, [validator], app_state={"b": [1, "é"], "a": None})
    assert Genesis.parse(genesis.raw) == genesis
    assert genesis.app_state == '{"a":null,"b":[1,"é"]}'.encode()
    assert genesis.time_ns == 1_767_323_045_000_000_001


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": ""},
        {"chain_id": "x" * 51},
        {"initial_height": "2"},
        {"validators": []},
        {"validators": None},
        {"validators": [{"pub_key": {"type": "tendermint/PubKeySecp256k1", "value": ""}, "power": "1"}]},
        {"validators": [{"pub_key": {"type": "tendermint/PubKeyEd25519", "value": "AAAA"}, "power": "1"}]},
        {"validators": [{"pub_key": {"type": "tendermint/PubKeyEd25519", "value": "A" * 43 + "="}, "power": "0"}]},
        {"genesis_time": "2026-01-02 03:04:05"},
        {"genesis_time": 5},
        {"consensus_params": {}},
        {"consensus_params": {"block": {"max_bytes": "104857601", "max_gas": "-1"}}},
        {
            "consensus_params": {
                "block": {"max_bytes": "22020096", "max_gas": "-1"},
                "abci": {"vote_extensions_enable_height": "1"},
            }
        },
        {"app_hash": "xyz"},
        {"unknown": 1},
    ],
)
def test_bad_genesis_documents_are_refused(change: dict[str, Any]) -> None:
    document = json.loads(GENESIS)
    with pytest.raises(ConfigError, match="genesis document"):
        Genesis.parse(json.dumps({**document, **change}).encode())


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_genesis_document_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="genesis document"):
        Genesis.parse(raw)
