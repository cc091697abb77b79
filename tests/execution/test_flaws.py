"""A transaction that no block could ever include is refused when it is sent, not dropped later."""

from __future__ import annotations

import json

import pytest

from dougong._native import TxInfo, decode_transactions, sign_transaction

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
    assert decoded(minimum - 1, **fields).flaw == f"intrinsic gas too low: gas {minimum - 1}, minimum needed {minimum}"


def test_init_code_over_the_limit() -> None:
    assert decoded(10_000_000, to=None, input="0x" + "00" * 49_152).flaw is None
    flaw = decoded(10_000_000, to=None, input="0x" + "00" * 49_153).flaw
    assert flaw is not None
    assert "initcode" in flaw


def test_a_delegation_without_authorizations() -> None:
    assert decoded(100_000, type="0x4", to=TO, authorizationList=[]).flaw == "EIP-7702 transaction with empty auth list"
