"""Transactions that nobody could mean: each is refused with go-ethereum's words and code, whatever was done to its bytes.

Source of the words: go-ethereum `core/types/transaction.go`, `core/txpool/validation.go`, `core/error.go`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
import rlp
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from dougong._native import decode_transactions, keccak256
from dougong.net.codes import SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.testing.wallet import GWEI
from tests.clients.world import CHAIN_ID, Node, account, our_node

SECRET = account("attacker").secret
ME = Account.from_key(SECRET)
TO = b"\x0a" * 20
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SIGNATURE = "invalid sender: invalid transaction v, r, s values"
ACCESS = [{"address": "0x" + TO.hex(), "storageKeys": ["0x" + "01" * 32]}]


def authorization() -> Any:
    return ME.sign_authorization({"chainId": CHAIN_ID, "address": TO, "nonce": 1})


def signed(**fields: Any) -> bytes:
    """By a library that is not ours; what makes it valid is filled in."""
    priced = {} if "gasPrice" in fields else {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": GWEI}
    given = {"chainId": CHAIN_ID, "nonce": 0, "gas": 100_000, "value": 0, "to": TO, **priced, **fields}
    return bytes(ME.sign_transaction({key: value for key, value in given.items() if value is not None}).raw_transaction)


TYPES: dict[int, Callable[[], bytes]] = {
    0: lambda: signed(gasPrice=100 * GWEI),
    1: lambda: signed(gasPrice=100 * GWEI, type=1, accessList=ACCESS),
    2: lambda: signed(accessList=ACCESS),
    4: lambda: signed(authorizationList=[authorization()]),
}
NAMES = {0: "types.LegacyTx", 1: "types.AccessListTx", 2: "types.DynamicFeeTx", 4: "types.SetCodeTx"}


def items(raw: bytes) -> list[Any]:
    return list(rlp.decode(raw if raw[0] > 0x7F else raw[1:]))


def again(raw: bytes, change: Callable[[list[Any]], Any]) -> bytes:
    """The transaction with its fields changed and its signature left as it was."""
    fields = items(raw)
    changed = change(fields)
    prefix = b"" if raw[0] > 0x7F else raw[:1]
    return prefix + bytes(rlp.encode(fields if changed is None else changed))


def put(index: int, value: Any) -> Callable[[list[Any]], None]:
    return lambda fields: fields.__setitem__(index, value)


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def high_s(raw: bytes) -> bytes:
    return again(raw, lambda fields: [*fields[:-1], number(ORDER - int.from_bytes(fields[-1]))])


def unsigned(kind: int, fields: list[Any]) -> bytes:
    """A transaction of fields that no library signs, with a signature that recovers to somebody."""
    payload = bytes(rlp.encode(fields))
    key = Account.from_key(SECRET)
    signature = key.unsafe_sign_hash(keccak256(bytes([kind]) + payload))
    whole = [*fields, number(signature.v - 27), number(signature.r), number(signature.s)]
    return bytes([kind]) + bytes(rlp.encode(whole))


def dynamic(**changes: int | bytes | list[Any]) -> bytes:
    fields: dict[str, Any] = {"chain": CHAIN_ID, "nonce": 0, "tip": GWEI, "fee": 100 * GWEI, "gas": 100_000, "to": TO, "value": 0}
    fields |= {"data": b"", "access": [], **changes}
    return unsigned(2, [number(value) if isinstance(value, int) else value for value in fields.values()])


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "typed transaction too short"),
    "a type and nothing": (lambda: b"\x02", "typed transaction too short"),
    "type 0 as a type": (lambda: b"\x00" + TYPES[0](), "transaction type not supported"),
    "type 5": (lambda: b"\x05" + TYPES[2]()[1:], "transaction type not supported"),
    "type 0x7f": (lambda: b"\x7f\xc0", "transaction type not supported"),
    "a deposit of another stack": (lambda: b"\x7e" + TYPES[2]()[1:], "transaction type not supported"),
    "a string": (lambda: b"\x83abc", "rlp: expected input list for types.LegacyTx"),
    "type 3 without its blobs": (lambda: b"\x03" + TYPES[2]()[1:], "transaction type not supported: type 3 rejected"),
    "of another chain": (lambda: signed(chainId=5), f"invalid sender: invalid chain id for signer: have 5 want {CHAIN_ID}"),
    "of another chain, legacy": (
        lambda: signed(chainId=5, gasPrice=100 * GWEI),
        f"invalid sender: invalid chain id for signer: have 5 want {CHAIN_ID}",
    ),
    "parity of two": (lambda: again(TYPES[2](), put(-3, b"\x02")), SIGNATURE),
    "legacy v of 26": (lambda: again(TYPES[0](), put(-3, b"\x1a")), SIGNATURE),
    "two tips": (lambda: dynamic(tip=200 * GWEI), "max priority fee per gas higher than max fee per gas"),
    "the last nonce": (lambda: dynamic(nonce=2**64 - 1), "nonce has max value"),
    "a nonce over 64 bits": (lambda: dynamic(nonce=2**64), "rlp: input string too long"),
    "gas over 64 bits": (lambda: dynamic(gas=2**64), "rlp: input string too long"),
    "the most gas": (lambda: dynamic(gas=2**64 - 1), "exceeds block gas limit"),
    "gas times fee over 128 bits": (lambda: dynamic(fee=2**128 - 1), "insufficient funds for gas * price + value"),
    "a fee over 128 bits": (lambda: dynamic(fee=2**128), "rlp: input string too long"),
    "the most value": (lambda: dynamic(value=2**256 - 1), "insufficient funds for gas * price + value"),
    "a value over 256 bits": (lambda: dynamic(value=2**256), "rlp: input string too long"),
    "a fee of nothing": (lambda: dynamic(fee=0, tip=0), "max fee per gas less than block base fee"),
    "no gas": (lambda: dynamic(gas=0), "intrinsic gas too low: gas 0, minimum needed 21000"),
    "less than the floor": (
        lambda: dynamic(data=b"\1" * 1_000, gas=40_000),
        "insufficient gas for floor data gas cost: gas 40000, minimum needed 61000",
    ),
    "too much init code": (lambda: dynamic(to=b"", data=bytes(49_153), gas=10**7), "max initcode size exceeded"),
    "many slots for little gas": (
        lambda: dynamic(access=[[TO, [b"\1" * 32] * 1_000]], gas=100_000),
        "intrinsic gas too low: gas 100000, minimum needed 1923400",
    ),
    "many addresses for little gas": (lambda: dynamic(access=[[TO, []]] * 5_000), "intrinsic gas too low"),
    "a slot of 31 bytes": (lambda: dynamic(access=[[TO, [b"\1" * 31]]]), "rlp: "),
    "an address of 19 bytes": (lambda: dynamic(to=TO[:19]), "rlp: "),
    "an access list too deep": (lambda: dynamic(access=[[[TO], []]]), "rlp: "),
    "no authorizations": (
        lambda: unsigned(4, [*items(TYPES[4]())[:9], []]),
        "set code tx must have at least one authorization tuple",
    ),
    "a delegation that creates": (lambda: again(TYPES[4](), put(5, b"")), "rlp: "),
    "an authorization of five parts": (lambda: again(TYPES[4](), put(9, [items(TYPES[4]())[9][0][:5]])), "rlp: "),
    "over 128 kB": (lambda: dynamic(data=bytes(131_073), gas=10**7), "oversized data: transaction size "),
    "over a megabyte": (lambda: dynamic(data=bytes(1_100_000), gas=5 * 10**7), "oversized data: transaction size "),
    **{
        f"{name}, type {kind}": (lambda make=make, change=change: change(make()), words.format(NAMES[kind]))  # type: ignore[misc]
        for kind, make in TYPES.items()
        for name, change, words in (
            ("a byte more", lambda raw: raw + b"\0", "rlp: input contains more than one value"),
            ("itself again", lambda raw: raw + raw, "rlp: input contains more than one value"),
            ("a byte less", lambda raw: raw[:-1], "rlp: value size exceeds available input length"),
            (
                "a field more",
                lambda raw: again(raw, lambda fields: [*fields, b""]),
                "rlp: input list has too many elements for {}",
            ),
            ("a field less", lambda raw: again(raw, lambda fields: fields[:-1]), "rlp: too few elements for {}"),
            ("no fields", lambda raw: again(raw, lambda fields: []), "rlp: too few elements for {}"),
            ("a zero before s", lambda raw: again(raw, put(-1, b"\0" + items(raw)[-1][1:])), "rlp: non-canonical integer"),
            ("a list for s", lambda raw: again(raw, put(-1, [b"\1"])), "rlp: expected input string or byte"),
            ("high s", high_s, SIGNATURE),
            ("no r", lambda raw: again(raw, put(-2, b"")), SIGNATURE),
            ("no s", lambda raw: again(raw, put(-1, b"")), SIGNATURE),
            ("r of the curve's order", lambda raw: again(raw, put(-2, number(ORDER))), SIGNATURE),
            ("s of 33 bytes", lambda raw: again(raw, put(-1, b"\1" * 33)), "rlp: input string too long"),
        )
    },
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with our_node(tmp_path_factory.mktemp("ours")) as made:
        yield made


@pytest_asyncio.fixture
async def rpc(node: Node) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(node.url) as made:
        yield made


async def test_each_is_refused_in_geths_words(rpc: JsonRpc) -> None:
    wrong: dict[str, object] = {}
    for name, (make, words) in CASES.items():
        try:
            wrong[name] = await rpc.call("eth_sendRawTransaction", "0x" + make().hex())
        except RpcError as error:
            said = str(error).removeprefix("eth_sendRawTransaction: ")
            if error.code != SERVER_ERROR or not said.startswith(words):
                wrong[name] = (words, error.code, said)
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())
    me = ME.address
    assert [await rpc.call("eth_getTransactionCount", me, block) for block in ("latest", "pending")] == ["0x0", "0x0"]
    for make in TYPES.values():  # what they were made from is good
        assert await rpc.call("eth_call", {"to": me}, "latest") == "0x"
        assert not isinstance(decode_transactions([make()])[0], str)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(TYPES)), data=st.data())
def test_any_change_of_the_bytes_is_another_transaction_or_none(kind: int, data: st.DataObject) -> None:
    """Nothing decodes in two ways, and nobody else's signature comes of a change."""
    raw = TYPES[kind]()
    at = data.draw(st.integers(0, len(raw) - 1))
    with_ = data.draw(
        st.one_of(st.binary(max_size=3), st.sampled_from([b"\x80", b"\xc0", b"\xb8\x01", b"\xf8\x01", b"\xff" * 9]))
    )
    changed = raw[:at] + with_ + raw[at + data.draw(st.integers(0, 3)) :]
    (info,) = decode_transactions([changed])
    if changed == raw:
        assert not isinstance(info, str)
    elif not isinstance(info, str):
        assert info.hash == keccak256(changed)
        assert "0x" + info.sender.hex() != ME.address.lower(), json.dumps([raw.hex(), changed.hex()])
    else:
        assert 0 < len(info) < 200
