"""Header fields from JSON-RPC: the hash of their RLP is the block's, and what later forks add is optional."""

from __future__ import annotations

import pytest

from dougong.codec import rlp
from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidInput
from dougong.net.header import header_fields

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"

# Ethereum mainnet's genesis block.
GENESIS: dict[str, object] = {
    "parentHash": "0x" + bytes(32).hex(),
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x" + bytes(20).hex(),
    "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
    "transactionsRoot": EMPTY_ROOT,
    "receiptsRoot": EMPTY_ROOT,
    "logsBloom": "0x" + bytes(256).hex(),
    "difficulty": "0x400000000",
    "number": "0x0",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x0",
    "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
    "mixHash": "0x" + bytes(32).hex(),
    "nonce": "0x0000000000000042",
}


def test_mainnets_genesis_hashes_to_its_hash() -> None:
    block_hash = keccak256(rlp.encode(header_fields(GENESIS)))
    assert block_hash.hex() == "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"


def test_what_later_forks_added_counts_where_it_is_there() -> None:
    later: dict[str, object] = {"blockAccessListHash": "0x" + "aa" * 32, "baseFeePerGas": "0x7", "requestsHash": None}
    assert header_fields(GENESIS | later) == [*header_fields(GENESIS), 7, b"\xaa" * 32]


@pytest.mark.parametrize(
    "change",
    [{"stateRoot": None}, {"nonce": "0x42"}, {"gasUsed": 0}, {"miner": "0x" + "00" * 32}, {"withdrawalsRoot": "0x00"}],
)
def test_a_header_with_a_field_missing_or_of_another_size_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        header_fields(GENESIS | change)
