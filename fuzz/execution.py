"""What the EVM is made of from outside, decoded in Rust: batches and Ethereum transactions. Neither may panic."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dougong._native import (
    decode_batch,
    decode_header,
    decode_transactions,
    encode_batch,
    sign_transaction,
    verify_account_proof,
    verify_storage_proof,
)
from dougong.codec import rlp
from fuzz.target import Target, accepted, joined, pieces

GAS_LIMIT = 30_000_000
LEGACY = {
    "type": "0x0",
    "chainId": "0x1",
    "nonce": "0x0",
    "to": "0x" + "11" * 20,
    "value": "0x1",
    "gas": "0x5208",
    "gasPrice": "0x1",
}
DYNAMIC = {
    "type": "0x2",
    "chainId": "0x1",
    "nonce": "0x1",
    "to": "0x" + "22" * 20,
    "value": "0x0",
    "data": "0x010203",
    "gas": "0x10000",
    "maxFeePerGas": "0x2",
    "maxPriorityFeePerGas": "0x1",
}


def _check_batch(data: bytes) -> None:
    batch = decode_batch(data, GAS_LIMIT)
    if batch is not None:
        parent, blocks = batch
        written = encode_batch(parent, blocks, 1)
        assert decode_batch(written, GAS_LIMIT) == batch


def _batches() -> Iterator[bytes]:
    yield encode_batch(bytes(32), [], 1)
    yield encode_batch(bytes(range(32)), [(1, 0, [b"tx", b"another"]), (2, 3, [])], 9)


def _check_transaction(data: bytes) -> None:
    for found in (*decode_transactions([data]), *decode_transactions([data], blobs=True)):
        assert isinstance(found, str) or (len(found.hash), len(found.sender)) == (32, 20)


def _transactions() -> Iterator[bytes]:
    for fields in (LEGACY, DYNAMIC):
        yield sign_transaction(json.dumps(fields), b"\1" * 32)


def _check_state(data: bytes) -> None:
    """Proofs of Ethereum's state under a root that nobody has: whatever they hold, nothing is there to be proven."""
    accepted(decode_header, data)
    nodes = pieces(data)
    assert accepted(lambda _: verify_account_proof(ROOT, bytes(20), nodes), data) is None, "an account is proven"
    assert accepted(lambda _: verify_storage_proof(ROOT, bytes(32), nodes), data) is None, "a slot is proven"


def _states() -> Iterator[bytes]:
    yield joined([rlp.encode([b"\x20" + bytes(32), rlp.encode([b"\1", b"", bytes(32), bytes(32)])])])
    yield joined([rlp.encode([b"\xa0" * 32] * 17), rlp.encode([b""] * 17)])
    yield rlp.encode([b"\1" * 32, b"\2" * 32, b"\3" * 20, b"\4" * 32, b"\5" * 32, b"\6" * 32, bytes(256), b"", b"\7", b"\x08"])


ROOT = b"\xee" * 32

TARGETS = (
    Target("state-proof", _check_state, _states),
    Target("batch", _check_batch, _batches),
    Target("transaction", _check_transaction, _transactions),
)
