"""Blob transactions: a real one of Celestia's test network, and every way to forge or twist one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from dougong.availability.chain.blob_tx import (
    KEY_TYPE,
    MESSAGE_TYPE,
    account_address,
    check_blob_tx,
    encode_message,
    make_blob_tx,
    parse_signed_tx,
)
from dougong.availability.chain.cosmos_tx import address_text
from dougong.availability.square.wire import decode_blob_tx, encode_blob_tx
from dougong.codec import bech32
from dougong.codec.protobuf import Writer
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import SECP256K1_ORDER, Secp256k1Key, secp256k1_verify
from dougong.errors import InvalidBlob, InvalidInput, InvalidNamespace, InvalidTransaction
from dougong.types import Blob, Namespace

MOCHA: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "mocha_tx.json").read_text())
CHAIN = "square-1"
ALICE, BOB = Secp256k1Key(b"\1" * 32), Secp256k1Key(b"\2" * 32)
ADDRESS = account_address(ALICE.public_key)
ALPHA, BETA = Namespace.user(b"alpha"), Namespace.user(b"beta")
BLOBS = (Blob(ALPHA, b"one"), Blob(BETA, b"two" * 400, 1, ADDRESS))


def test_a_real_transaction_is_read_and_its_signature_and_commitments_hold() -> None:
    blob_tx = decode_blob_tx(base64.b64decode(MOCHA["tx"]))
    assert blob_tx is not None
    signed = parse_signed_tx(blob_tx.tx)
    signer = account_address(signed.public_key)
    assert address_text(signer) == MOCHA["signer"]
    assert signed.sequence == MOCHA["sequence"]
    assert signed.message == encode_message(signer, blob_tx.blobs)
    assert encode_blob_tx(blob_tx.tx, blob_tx.blobs) == base64.b64decode(MOCHA["tx"]), "Celestia's clients write the one form"
    digest = signed.digest(MOCHA["chain_id"], MOCHA["account_number"])
    assert secp256k1_verify(signed.public_key, digest, signed.signature)


def test_what_is_made_is_valid() -> None:
    paid = check_blob_tx(make_blob_tx(ALICE, CHAIN, 7, BLOBS, gas_limit=100_000), CHAIN)
    assert (paid.signer, paid.sequence, paid.blobs) == (ADDRESS, 7, BLOBS)
    assert check_blob_tx(make_blob_tx(ALICE, CHAIN, 0, BLOBS[:1]), CHAIN).sequence == 0


def forge(
    *,
    blobs: tuple[Blob, ...] = BLOBS,
    message: bytes | None = None,
    body: bytes | None = None,
    extra_body: bytes = b"",
    auth: bytes | None = None,
    extra_auth: bytes = b"",
    mode: int = 1,
    public_key: bytes = ALICE.public_key,
    signature: bytes | None = None,
    extra_tx: bytes = b"",
) -> bytes:
    """A transaction that Alice signed, with something in it that should not be there."""

    def any_of(kind: str, value: bytes) -> bytes:
        return Writer().string(1, kind).bytes(2, value).done()

    message = encode_message(ADDRESS, blobs) if message is None else message
    body = (Writer().message(1, any_of(MESSAGE_TYPE, message)).done() if body is None else body) + extra_body
    modes = Writer().message(1, Writer().uint(1, mode).done()).done()
    info = Writer().message(1, any_of(KEY_TYPE, Writer().bytes(1, public_key).done())).message(2, modes).uint(3, 5).done()
    auth = (Writer().message(1, info).message(2, b"", always=True).done() if auth is None else auth) + extra_auth
    digest = sha256(Writer().bytes(1, body).bytes(2, auth).string(3, CHAIN).done())
    signature = ALICE.sign_digest(digest)[:64] if signature is None else signature
    return encode_blob_tx(Writer().bytes(1, body).bytes(2, auth).bytes(3, signature).done() + extra_tx, blobs)


def high_s() -> bytes:
    signed = parse_signed_tx(decode_blob_tx(forge()).tx)  # type: ignore[union-attr]
    s = SECP256K1_ORDER - int.from_bytes(signed.signature[32:])
    return forge(signature=signed.signature[:32] + s.to_bytes(32))


def reordered(tx: bytes) -> bytes:
    """The same signed transaction, its signature first."""
    signed = parse_signed_tx(tx)
    return Writer().bytes(3, signed.signature).bytes(1, signed.body).bytes(2, signed.auth_info).done()


def pay_for(*blobs: Blob, signer: bytes = ADDRESS) -> bytes:
    return encode_message(signer, blobs)


ONE_MESSAGE = Writer().string(1, MESSAGE_TYPE).bytes(2, pay_for(*BLOBS)).done()
OTHER_MESSAGE = Writer().string(1, "/cosmos.bank.v1beta1.MsgSend").bytes(2, pay_for(*BLOBS)).done()

FORGERIES: dict[str, bytes] = {
    "another chain's": make_blob_tx(ALICE, "square-2", 0, BLOBS),
    "an account number": make_blob_tx(ALICE, CHAIN, 0, BLOBS, account_number=1),
    "no signature": forge(signature=b""),
    "a signature of zeros": forge(signature=bytes(64)),
    "a signature with a recovery byte": forge(signature=bytes(65)),
    "a malleable signature": high_s(),
    "another's key": forge(public_key=BOB.public_key),
    "no key": forge(public_key=b""),
    "a key that is no point": forge(public_key=b"\2" + b"\xff" * 32),
    "an uncompressed key": forge(public_key=b"\4" + bytes(64)),
    "another signer": forge(message=pay_for(*BLOBS, signer=account_address(BOB.public_key))),
    "another's blob of share version 1": forge(blobs=(Blob(ALPHA, b"x", 1, account_address(BOB.public_key)),)),
    "another blob's commitment": forge(message=pay_for(Blob(ALPHA, b"two"), BLOBS[1])),
    "another size": forge(message=pay_for(Blob(ALPHA, b"onee"), BLOBS[1])),
    "another namespace": forge(message=pay_for(Blob(BETA, b"one"), BLOBS[1])),
    "another share version": forge(message=pay_for(Blob(ALPHA, b"one", 1, ADDRESS), BLOBS[1])),
    "another order": forge(message=pay_for(*BLOBS[::-1])),
    "a blob that is not paid for": forge(message=pay_for(BLOBS[0])),
    "a payment without a blob": forge(message=pay_for(*BLOBS, BLOBS[0])),
    "an empty message": forge(message=b""),
    "a message that does not decode": forge(message=b"\xff"),
    "an unknown field of the message": forge(message=pay_for(*BLOBS) + Writer().uint(15, 1).done()),
    "two messages": forge(body=Writer().message(1, ONE_MESSAGE).message(1, ONE_MESSAGE).done()),
    "another kind of message": forge(body=Writer().message(1, OTHER_MESSAGE).done()),
    "no body": forge(body=b""),
    "a timeout": forge(extra_body=Writer().uint(3, 9).done()),
    "an extension option": forge(extra_body=Writer().message(1023, b"x").done()),
    "a memo that is too long": forge(extra_body=Writer().bytes(2, b"m" * 257).done()),
    "another sign mode": forge(mode=127),
    "two signers": forge(extra_auth=Writer().message(1, b"", always=True).done()),
    "a tip": forge(extra_auth=Writer().message(3, b"x").done()),
    "no auth info": forge(auth=b""),
    "a second signature": forge(extra_tx=Writer().bytes(3, bytes(64)).done()),
    "an unknown field of the transaction": forge(extra_tx=Writer().bytes(9, b"x").done()),
    "bytes in it that nobody pays for": Writer().bytes(1, bytes(1 << 20)).done() + forge(),
    "fields in it that nobody pays for": Writer().bytes(3, b"?").done() * 1000 + forge(),
    "fields in another order": Writer().string(3, "BLOB").done() + forge()[: -len(Writer().string(3, "BLOB").done())],
    "a length in two bytes where one does": forge().replace(b"\x1a\x04BLOB", b"\x1a\x84\0BLOB"),
    "a signed part in another order": encode_blob_tx(reordered(decode_blob_tx(forge()).tx), BLOBS),  # type: ignore[union-attr]
    "a plain transaction": b"hello",
    "nothing": b"",
    "only the signed part": decode_blob_tx(forge()).tx,  # type: ignore[union-attr]
}


def test_the_forger_can_make_a_valid_one() -> None:
    assert check_blob_tx(forge(), CHAIN).sequence == 5
    assert check_blob_tx(forge(extra_body=Writer().bytes(2, b"memo").done()), CHAIN).sequence == 5


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused(name: str) -> None:
    with pytest.raises((InvalidTransaction, InvalidBlob)):
        check_blob_tx(FORGERIES[name], CHAIN)


def test_no_changed_byte_keeps_it_valid_with_another_meaning() -> None:
    raw = make_blob_tx(ALICE, CHAIN, 7, [Blob(ALPHA, b"data")])
    valid = check_blob_tx(raw, CHAIN)
    for position in range(len(raw)):
        for bit in (1, 0x80):
            changed = raw[:position] + bytes([raw[position] ^ bit]) + raw[position + 1 :]
            try:
                assert check_blob_tx(changed, CHAIN) == valid
            except InvalidInput:
                continue


@pytest.mark.parametrize("namespace", [Namespace(bytes(28) + b"\1"), Namespace(b"\xff" * 28 + b"\xfe")])
def test_reserved_namespaces_are_refused(namespace: Namespace) -> None:
    with pytest.raises((InvalidNamespace, InvalidBlob)):
        make_blob_tx(ALICE, CHAIN, 0, [Blob(namespace, b"x")])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "celestia1",
        "celestia1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzf30at",
        "celestia1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqf30as",
        "Celestia1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzf30as",
        "cosmos1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzf30as",
        "celestia1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzf30as ",
        "celestia1" + "q" * 200,
    ],
)
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        bech32.decode("celestia", text)
