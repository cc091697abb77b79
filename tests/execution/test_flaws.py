"""A transaction that no block could ever include is refused when it is sent, not dropped later."""

from __future__ import annotations

import json

import pytest
from eth_account import Account

from dougong._native import TxInfo, decode_transactions, sign_transaction, transactions_root
from dougong.errors import InvalidInput

KEY = b"\1" * 32
FIELDS = {"type": "0x2", "chainId": "0x1", "nonce": "0x0", "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1", "value": "0x0"}
TO = "0x" + "22" * 20


def decoded(gas: int, **fields: object) -> TxInfo:
    [info] = decode_transactions([sign_transaction(json.dumps({**FIELDS, "gas": hex(gas), **fields}), KEY)])
    assert isinstance(info, TxInfo), info
    return info


@pytest.mark.parametrize(
    ("minimum", "fields"),
    [
        (21_000, {"to": TO}),
        # EIP-7623: 21,000 and 40 for a byte that is not zero is more than the 16 of EIP-2028.
        (21_000 + 40 * 100, {"to": TO, "input": "0x" + "ff" * 100}),
        (21_000 + 10 * 100, {"to": TO, "input": "0x" + "00" * 100}),
        # EIP-2930: 2,400 an address and 1,900 a slot.
        (21_000 + 2_400 + 1_900, {"to": TO, "accessList": [{"address": TO, "storageKeys": ["0x" + "00" * 32]}]}),
        # EIP-2, EIP-3860: a creation costs 32,000 more, and 2 a word of init code.
        (53_000 + 16 * 4 + 2, {"to": None, "input": "0x01020304"}),
    ],
)
def test_gas_below_the_minimum(minimum: int, fields: dict[str, object]) -> None:
    assert decoded(minimum, **fields).flaw is None
    rule = "insufficient gas for floor data gas cost" if len(str(fields.get("input"))) > 200 else "intrinsic gas too low"
    assert decoded(minimum - 1, **fields).flaw == f"{rule}: gas {minimum - 1}, minimum needed {minimum}"


def test_init_code_over_the_limit() -> None:
    assert decoded(10_000_000, to=None, input="0x" + "00" * 49_152).flaw is None
    flaw = decoded(10_000_000, to=None, input="0x" + "00" * 49_153).flaw
    assert flaw is not None
    assert "initcode" in flaw


def test_a_delegation_without_authorizations() -> None:
    flaw = decoded(100_000, type="0x4", to=TO, authorizationList=[]).flaw
    assert flaw == "set code tx must have at least one authorization tuple"


HASHES = ["0x01" + f"{n:02x}" * 31 for n in (1, 2, 3)]
BLOB_FIELDS = {**FIELDS, "type": "0x3", "gas": "0x5208", "to": TO, "maxFeePerBlobGas": "0x7", "blobVersionedHashes": HASHES}


def test_blob_transactions_are_read_where_they_are_asked_for_alone() -> None:
    raw = sign_transaction(json.dumps(BLOB_FIELDS), KEY)
    key = Account.from_key(KEY)
    theirs = key.sign_transaction({**{k: v for k, v in BLOB_FIELDS.items() if k != "input"}, "data": "0x"})
    assert raw == bytes(theirs.raw_transaction)
    [why] = decode_transactions([raw])
    assert why == "transaction type not supported: type 3 rejected, this chain carries no blobs of its own"
    infos = decode_transactions([raw] * 5, blobs=True)
    for info in infos:
        assert isinstance(info, TxInfo)
        assert (info.hash, info.sender) == (bytes(theirs.hash), bytes.fromhex(key.address[2:]))
        assert [hash_.hex() for hash_ in info.blob_versioned_hashes] == [hash_[2:] for hash_ in HASHES]
        assert (info.tx_type, info.max_fee_per_blob_gas) == (3, 7)
    [why] = decode_transactions([raw])
    assert isinstance(why, str), "what was read as another chain's is not remembered as ours"
    [plain] = decode_transactions([sign_transaction(json.dumps({**FIELDS, "gas": "0x5208", "to": TO}), KEY)], blobs=True)
    assert isinstance(plain, TxInfo)
    assert (plain.blob_versioned_hashes, plain.max_fee_per_blob_gas) == ([], None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"to": None}, "to"),
        ({"maxFeePerBlobGas": None}, "maxFeePerBlobGas"),
        ({"blobVersionedHashes": None}, "blobVersionedHashes"),
        ({"blobVersionedHashes": []}, "blobVersionedHashes"),
        ({"blobVersionedHashes": ["0x02" + "00" * 31]}, "version 1"),
        ({"blobVersionedHashes": ["0x01"]}, "32 bytes"),
    ],
)
def test_half_a_blob_transaction_is_not_signed(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        sign_transaction(json.dumps(BLOB_FIELDS | change), KEY)


def test_the_root_over_no_transactions_is_the_empty_tries() -> None:
    assert transactions_root([]).hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
