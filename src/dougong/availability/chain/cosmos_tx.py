"""A Cosmos transaction as this chain knows it: one message, one secp256k1 key that signs it in direct mode, a fee in utia.

    raw = sign_tx(key, "square-1", sequence=3, type_url=MESSAGE_TYPE, message=encoded, fee=2_000, gas_limit=80_000)
    signed = parse_signed_tx(raw)                   # taken apart; nothing is verified
    signed.verify("square-1")                       # raises InvalidTransaction

Source: Cosmos SDK `proto/cosmos/tx/v1beta1/tx.proto` and ADR-020 (direct sign mode). The signature is secp256k1 over the
SHA-256 of the SignDoc, r ‖ s with low s; an address is RIPEMD-160 of SHA-256 of the compressed public key.

Deviations: account numbers are 0; a fee is nothing or one coin of utia; what this chain cannot honour (timeouts, fee payers,
tips, extension options, other sign modes, a second message) is refused rather than ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

from Crypto.Hash import RIPEMD160

from dougong.codec import bech32
from dougong.codec.protobuf import Reader, Writer
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key, secp256k1_verify
from dougong.errors import InvalidTransaction

ADDRESS_PREFIX = "celestia"
ADDRESS_BYTES = 20
DENOM = "utia"
KEY_TYPE = "/cosmos.crypto.secp256k1.PubKey"
MAX_AMOUNT = (1 << 63) - 1  # of utia anywhere: the whole supply fits
MAX_GAS = (1 << 63) - 1  # int64, as results carry it
MAX_MEMO_BYTES = 256
_SIGN_MODE_DIRECT = 1
MOST_COINS = 16  # that are read, to say what is wrong with them


@dataclass(frozen=True, slots=True)
class SignedTx:
    """A transaction taken apart. `fee` is in utia."""

    body: bytes
    auth_info: bytes
    signature: bytes
    type_url: str
    message: bytes
    public_key: bytes
    sequence: int
    fee: int
    gas_limit: int

    @property
    def signer(self) -> bytes:
        return account_address(self.public_key)

    def digest(self, chain_id: str, account_number: int = 0) -> bytes:
        """What is signed: the SHA-256 of the SignDoc."""
        return _digest(self.body, self.auth_info, chain_id, account_number)

    def verify(self, chain_id: str) -> None:
        """Raises `InvalidTransaction` unless the key signed it for this chain."""
        if not secp256k1_verify(self.public_key, self.digest(chain_id), self.signature):
            raise InvalidTransaction(f"the signature is not that of its key for chain {chain_id}")


def account_address(public_key: bytes) -> bytes:
    """A Cosmos account's 20 bytes, from its compressed secp256k1 key."""
    return RIPEMD160.new(sha256(public_key)).digest()


def address_text(address: bytes) -> str:
    """`celestia1…`."""
    return bech32.encode(ADDRESS_PREFIX, address)


def parse_address(text: str) -> bytes:
    """Raises `InvalidInput` unless it is `celestia1…` of 20 bytes."""
    address = bech32.decode(ADDRESS_PREFIX, text)
    if len(address) != ADDRESS_BYTES:
        raise InvalidTransaction(f"an account's address is {ADDRESS_BYTES} bytes, and {text} holds {len(address)}")
    return address


def sign_tx(
    key: Secp256k1Key,
    chain_id: str,
    sequence: int,
    type_url: str,
    message: bytes,
    *,
    fee: int,
    gas_limit: int,
    account_number: int = 0,
) -> bytes:
    """A signed TxRaw."""
    body = Writer().message(1, encode_any(type_url, message)).done()
    mode = Writer().message(1, Writer().uint(1, _SIGN_MODE_DIRECT).done()).done()
    public_key = encode_any(KEY_TYPE, Writer().bytes(1, key.public_key).done())
    signer_info = Writer().message(1, public_key).message(2, mode).uint(3, sequence).done()
    paid = Writer().message(1, encode_coin(fee) if fee else b"").uint(2, gas_limit).done()
    auth_info = Writer().message(1, signer_info).message(2, paid, always=True).done()
    signature = key.sign_digest(_digest(body, auth_info, chain_id, account_number))[:64]
    return _encode(body, auth_info, signature)


def parse_signed_tx(raw: bytes) -> SignedTx:
    """Takes a TxRaw with one message and one direct signature apart. Raises `InvalidInput`. What the signature does not cover has
    one form only: nobody makes another transaction of the same signature."""
    tx = Reader(raw, (1, 2, 3))
    if raw != _encode(tx.raw(1), tx.raw(2), tx.raw(3)):
        raise InvalidTransaction("a transaction is not encoded in its one form")
    body = Reader(tx.raw(1), (1, 2))  # no timeouts, no extension options
    if len(body.raw(2)) > MAX_MEMO_BYTES:
        raise InvalidTransaction(f"a memo is over {MAX_MEMO_BYTES} bytes")
    auth = Reader(tx.raw(2), (1, 2))  # no tip
    paid = Reader(auth.raw(2), (1, 2), repeated=(1,), most=MOST_COINS)  # a fee without another payer
    info = Reader(auth.raw(1), (1, 2, 3))
    mode = Reader(Reader(info.raw(2), (1,)).raw(1), (1,))
    if mode.uint(1) != _SIGN_MODE_DIRECT:
        raise InvalidTransaction("a transaction is not signed in direct mode")
    coins = paid.many(1)
    if len(coins) > 1:
        raise InvalidTransaction(f"a fee is paid in {DENOM} alone")
    if paid.uint(2) > MAX_GAS:
        raise InvalidTransaction("a gas limit does not fit 63 bits")
    message = Reader(body.raw(1), (1, 2))
    return SignedTx(
        body=tx.raw(1),
        auth_info=tx.raw(2),
        signature=tx.raw(3),
        type_url=message.text(1),
        message=message.raw(2),
        public_key=Reader(open_any(info.raw(1), KEY_TYPE), (1,)).raw(1),
        sequence=info.uint(3),
        fee=decode_coin(coins[0]) if coins else 0,
        gas_limit=paid.uint(2),
    )


def encode_coin(amount: int) -> bytes:
    return Writer().string(1, DENOM).string(2, str(amount)).done()


def decode_coin(raw: bytes) -> int:
    """The amount of a coin of utia. Raises `InvalidTransaction` for another coin, or an amount that is not a positive number
    in its one form."""
    coin = Reader(raw, (1, 2))
    denom, text = coin.text(1), coin.text(2)
    if denom != DENOM:
        raise InvalidTransaction(f"{denom[:64]!r} is not money here: {DENOM} is")
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and text[0] != "0" and int(text) <= MAX_AMOUNT):
        raise InvalidTransaction(f"an amount of {DENOM} is a positive number below 2**63, not {text[:32]!r}")
    return int(text)


def encode_any(type_url: str, value: bytes) -> bytes:
    return Writer().string(1, type_url).bytes(2, value).done()


def open_any(raw: bytes, type_url: str) -> bytes:
    """The value inside. Raises `InvalidTransaction` for another type."""
    reader = Reader(raw, (1, 2))
    if reader.text(1) != type_url:
        raise InvalidTransaction(f"{reader.text(1)[:64]!r} stands where {type_url} is wanted")
    return reader.raw(2)


def _encode(body: bytes, auth_info: bytes, signature: bytes) -> bytes:
    """TxRaw."""
    return Writer().bytes(1, body).bytes(2, auth_info).bytes(3, signature).done()


def _digest(body: bytes, auth_info: bytes, chain_id: str, account_number: int) -> bytes:
    return sha256(Writer().bytes(1, body).bytes(2, auth_info).string(3, chain_id).uint(4, account_number).done())
