"""Blocks: what a node says of one is believed as far as it follows from the block's hash."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rlp import decode as decode_rlp

from dougong._native import transactions_root
from dougong.availability.ethereum import read_block
from dougong.availability.ethereum.block import encode_transaction
from dougong.availability.kzg import frame, verify_header
from dougong.codec import rlp
from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidHeader, InvalidInput
from tests.availability.ethereum.conftest import MINE, OWNER, STRANGER, World
from tests.availability.kzg.world import FOREIGN, LARGE, carried, signed

# What a node tells beside the header, the hash, and the transactions: nothing of it is used.
UNUSED = {"size", "totalDifficulty", "uncles", "withdrawals"}


def test_every_kind_of_transaction_is_encoded_as_it_was_signed(world: World) -> None:
    kinds = set()
    for tx in world.answer["transactions"]:
        assert keccak256(encode_transaction(tx)).hex() == tx["hash"][2:]
        kinds.add(tx["type"])
    assert kinds == {"0x0", "0x1", "0x2", "0x3", "0x4"}


def test_who_published_what(world: World) -> None:
    verify_header(world.block.header)
    assert world.block.header.extent == (5, 128)
    found = {(tx.sender, tx.versioned_hashes) for tx in world.block.header.transactions}
    expected = {
        (key.address, carried(key, blobs).tx.versioned_hashes)
        for key, blobs in ((OWNER, frame(LARGE)), (OWNER, frame(MINE)), (STRANGER, (FOREIGN,)), (STRANGER, frame(MINE)))
    }
    assert found == expected
    assert [raw[0] for raw in world.block.raw] == [3, 3, 3, 3]


def test_a_standard_root_is_taken_too(world: World) -> None:
    """As every chain but anvil has it: over the transactions alone. The header then hashes to another block."""
    bare = copy.deepcopy(world.answer)
    for tx in bare["transactions"]:
        for name in ("blobs", "commitments", "cellProofs"):
            tx.pop(name, None)
    with pytest.raises(InvalidHeader, match="transactions"):
        read_block(bare)
    bare["transactionsRoot"] = "0x" + transactions_root([encode_transaction(tx) for tx in bare["transactions"]]).hex()
    with pytest.raises(InvalidHeader, match="hash"):
        read_block(bare)
    bare["hash"] = "0x" + header_hash(bare)
    assert read_block(bare).header.transactions == world.block.header.transactions


def test_a_transaction_of_any_size_is_read(world: World) -> None:
    """A megabyte of zeros costs some tenths of an ether, and would have ended the reading of the chain."""
    calldata = bytes((1 << 20) + 1)
    raw = signed(OWNER, carried(OWNER, (FOREIGN,)).tx.versioned_hashes, calldata)
    fields = decode_rlp(raw[1:])
    names = "chainId nonce maxPriorityFeePerGas maxFeePerGas gas to value input accessList maxFeePerBlobGas blobVersionedHashes"
    told: dict[str, Any] = {"type": "0x3"}
    for name, field in zip([*names.split(), "yParity", "r", "s"], fields, strict=True):
        whole = name in ("to", "input")
        told[name] = "0x" + field.hex() if whole else hex(int.from_bytes(field)) if isinstance(field, bytes) else field
    told |= {"accessList": [], "blobVersionedHashes": ["0x" + one.hex() for one in told["blobVersionedHashes"]]}
    root = "0x" + transactions_root([raw]).hex()
    block = {**world.answer, "transactions": [told], "transactionsRoot": root, "blobGasUsed": hex(1 << 17)}
    block["hash"] = "0x" + header_hash(block)
    (tx,) = read_block(block).header.transactions
    assert tx == carried(OWNER, (FOREIGN,)).tx


NUMBERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"}
HEADER = """parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit gasUsed
    timestamp extraData mixHash nonce baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas parentBeaconBlockRoot
    requestsHash"""


def header_hash(answer: dict[str, Any]) -> str:
    """A Prague block's."""
    fields = [int(answer[name], 16) if name in NUMBERS else bytes.fromhex(answer[name][2:]) for name in HEADER.split()]
    return keccak256(rlp.encode(fields)).hex()


JUNK_VALUES: list[object] = [None, "0x1234", [], [None], {"a": 1}, 7]


def changes(answer: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The answer with one thing changed."""
    txs = answer["transactions"]
    for name, value in answer.items():
        if name not in UNUSED | {"transactions"}:
            flipped = "0x01" if value == "0x" else value[:-1] + hex(int(value[-1], 16) ^ 1)[2:]
            for wrong in [flipped, *JUNK_VALUES]:
                yield name, {**answer, name: wrong}
    for number, tx in enumerate(txs):
        for name in ("nonce", "value", "gas", "input", "to", "r", "s", "type", "blobVersionedHashes", "maxFeePerBlobGas"):
            for wrong in JUNK_VALUES:
                if name in tx and tx[name] != wrong:
                    yield f"{number}.{name}", {**answer, "transactions": [*txs[:number], {**tx, name: wrong}, *txs[number + 1 :]]}
    for what, other in {
        "one left out": txs[:-1],
        "one doubled": [*txs, txs[-1]],
        "two swapped": [txs[1], txs[0], *txs[2:]],
        "none": [],
        "hashes alone": [tx["hash"] for tx in txs],
        "no list": {"0": txs[0]},
        "no objects": [None] * len(txs),
    }.items():
        yield what, {**answer, "transactions": other}


def test_nothing_of_a_block_can_be_changed(world: World) -> None:
    small = {**world.answer, "transactions": [tx for tx in world.answer["transactions"] if tx["type"] != "0x3"][:3]}
    small["blobGasUsed"] = "0x0"
    small["transactionsRoot"] = "0x" + transactions_root([encode_transaction(tx) for tx in small["transactions"]]).hex()
    small["hash"] = "0x" + header_hash(small)
    for honest in (small, world.answer):
        read_block(honest)
        for what, changed in changes(honest):
            try:
                found = read_block(changed)
            except InvalidHeader:
                continue
            raise AssertionError(f"{what} was changed: {found.header}")


JUNK = st.recursive(
    st.none() | st.integers() | st.text(max_size=9), lambda part: st.lists(part) | st.dictionaries(st.text(), part)
)
NAMES = ["type", "nonce", "gas", "to", "value", "input", "r", "s", "v", "yParity", "chainId", "accessList", "authorizationList"]
VALUES: list[object] = ["0x1", "0x3", "0x4", "0x", None, [], [{}], [None], {}, "0x" + "11" * 20]


@given(JUNK)
def test_no_answer_breaks_the_reader(answer: object) -> None:
    with pytest.raises(InvalidHeader):
        read_block(answer)


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES)))
def test_no_transaction_breaks_the_encoder(tx: object) -> None:
    try:
        encode_transaction(tx)
    except InvalidInput:
        return
