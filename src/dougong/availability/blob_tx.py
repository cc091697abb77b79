"""The transaction that publishes blobs: Celestia's `BlobTx` around a signed Cosmos transaction with one MsgPayForBlobs.

    raw = make_blob_tx(key, "square-1", sequence=0, blobs=[Blob(namespace, data)])
    paid = check_blob_tx(raw, "square-1")           # everything that can be said without a state; raises InvalidInput
    paid.signer, paid.sequence

Source: celestia-app `proto/celestia/blob/v1/tx.proto` and `x/blob/types`; Cosmos SDK `proto/cosmos/tx/v1beta1/tx.proto` and
ADR-020 (direct sign mode). The signature is secp256k1 over the SHA-256 of the SignDoc, r ‖ s with low s; an address is
RIPEMD-160 of SHA-256 of the compressed public key, and it is also the signer of share version 1 blobs. The signature covers
the blobs through their share commitments.

Deviations: a fee is carried but not charged, account numbers are 0, and what this chain cannot honour (timeouts, fee
payers, tips, extension options, other sign modes, a second message) is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from Crypto.Hash import RIPEMD160

from dougong.availability.commitment import commitment
from dougong.availability.namespaces import check_blob_namespace
from dougong.availability.wire import BlobTx, decode_blob_tx, encode_blob_tx
from dougong.codec import bech32
from dougong.codec.protobuf import Reader, Writer, read_varint, varint
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key, secp256k1_verify
from dougong.errors import InvalidBlob, InvalidInput, InvalidNamespace, InvalidTransaction
from dougong.types import Blob

ADDRESS_PREFIX = "celestia"
MESSAGE_TYPE = "/celestia.blob.v1.MsgPayForBlobs"
KEY_TYPE = "/cosmos.crypto.secp256k1.PubKey"
MAX_BLOBS = 1024
MAX_MEMO_BYTES = 256
_SIGN_MODE_DIRECT = 1


@dataclass(frozen=True, slots=True)
class PaidBlobs:
    """A blob transaction that is valid as far as no state is needed: `signer` (20 bytes) signed it as its `sequence`-th."""

    signer: bytes
    sequence: int
    blobs: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class SignedTx:
    """A Cosmos transaction taken apart. `message` is the MsgPayForBlobs."""

    body: bytes
    auth_info: bytes
    signature: bytes
    message: bytes
    public_key: bytes
    sequence: int

    def digest(self, chain_id: str, account_number: int = 0) -> bytes:
        """What is signed: the SHA-256 of the SignDoc."""
        return _digest(self.body, self.auth_info, chain_id, account_number)


def account_address(public_key: bytes) -> bytes:
    """A Cosmos account's 20 bytes, from its compressed secp256k1 key."""
    return RIPEMD160.new(sha256(public_key)).digest()


def make_blob_tx(
    key: Secp256k1Key, chain_id: str, sequence: int, blobs: Sequence[Blob], *, gas_limit: int = 0, account_number: int = 0
) -> bytes:
    """A signed `BlobTx`. Raises `InvalidBlob` or `InvalidNamespace` for a blob that the chain would refuse."""
    signer = account_address(key.public_key)
    for blob in blobs:
        check_blob_namespace(blob.namespace)
        _check_signer(blob, signer)
    message = encode_message(signer, blobs)
    body = Writer().message(1, _any(MESSAGE_TYPE, message)).done()
    mode = Writer().message(1, Writer().uint(1, _SIGN_MODE_DIRECT).done()).done()
    public_key = _any(KEY_TYPE, Writer().bytes(1, key.public_key).done())
    signer_info = Writer().message(1, public_key).message(2, mode).uint(3, sequence).done()
    auth_info = Writer().message(1, signer_info).message(2, Writer().uint(2, gas_limit).done(), always=True).done()
    signature = key.sign_digest(_digest(body, auth_info, chain_id, account_number))[:64]
    return encode_blob_tx(Writer().bytes(1, body).bytes(2, auth_info).bytes(3, signature).done(), blobs)


def check_blob_tx(raw: bytes, chain_id: str) -> PaidBlobs:
    """Judges everything that needs no state, the cheap things first. Raises `InvalidTransaction`, `InvalidBlob` or
    `InvalidNamespace`."""
    try:
        blob_tx = decode_blob_tx(raw)
        if blob_tx is None:
            raise InvalidTransaction("not a blob transaction, which are the only ones here")
        signed = parse_signed_tx(blob_tx.tx)
        signer = account_address(signed.public_key)
        if not secp256k1_verify(signed.public_key, signed.digest(chain_id), signed.signature):
            raise InvalidTransaction(f"the signature is not that of its key for chain {chain_id}")
        _check_message(signed.message, signer, blob_tx)
    except (InvalidTransaction, InvalidBlob, InvalidNamespace):
        raise
    except InvalidInput as error:
        raise InvalidTransaction(f"a blob transaction does not decode: {error}") from error
    return PaidBlobs(signer, signed.sequence, blob_tx.blobs)


def parse_signed_tx(raw: bytes) -> SignedTx:
    """Takes a Cosmos TxRaw with one MsgPayForBlobs and one direct signature apart. Raises `InvalidInput`."""
    tx = Reader(raw, (1, 2, 3))
    body = Reader(tx.raw(1), (1, 2))  # no timeouts, no extension options
    if len(body.raw(2)) > MAX_MEMO_BYTES:
        raise InvalidTransaction(f"a memo is over {MAX_MEMO_BYTES} bytes")
    auth = Reader(tx.raw(2), (1, 2))  # no tip
    Reader(auth.raw(2), (1, 2), repeated=(1,))  # a fee without another payer
    info = Reader(auth.raw(1), (1, 2, 3))
    mode = Reader(Reader(info.raw(2), (1,)).raw(1), (1,))
    if mode.uint(1) != _SIGN_MODE_DIRECT:
        raise InvalidTransaction("a transaction is not signed in direct mode")
    return SignedTx(
        body=tx.raw(1),
        auth_info=tx.raw(2),
        signature=tx.raw(3),
        message=_open_any(body.raw(1), MESSAGE_TYPE),
        public_key=Reader(_open_any(info.raw(1), KEY_TYPE), (1,)).raw(1),
        sequence=info.uint(3),
    )


def encode_message(signer: bytes, blobs: Sequence[Blob]) -> bytes:
    """MsgPayForBlobs. The one that fits a transaction's blobs is computed and compared, never trusted."""
    writer = Writer().string(1, bech32.encode(ADDRESS_PREFIX, signer))
    for blob in blobs:
        writer.bytes(2, blob.namespace.raw)
    writer.bytes(3, b"".join(varint(len(blob.data)) for blob in blobs))
    for blob in blobs:
        writer.bytes(4, commitment(blob))
    return writer.bytes(8, b"".join(varint(blob.share_version) for blob in blobs)).done()


def _check_message(raw: bytes, signer: bytes, blob_tx: BlobTx) -> None:
    message = Reader(raw, (1, 2, 3, 4, 8), repeated=(2, 4))
    blobs = blob_tx.blobs
    if len(blobs) > MAX_BLOBS:
        raise InvalidBlob(f"a transaction carries {len(blobs)} blobs, more than {MAX_BLOBS}")
    if message.text(1) != bech32.encode(ADDRESS_PREFIX, signer):
        raise InvalidTransaction("MsgPayForBlobs names another signer than the key that signed")
    if message.many(2) != [blob.namespace.raw for blob in blobs]:
        raise InvalidBlob("MsgPayForBlobs names other namespaces than its blobs have")
    if _varints(message.raw(3), len(blobs)) != [len(blob.data) for blob in blobs]:
        raise InvalidBlob("MsgPayForBlobs names other sizes than its blobs have")
    if _varints(message.raw(8), len(blobs)) != [blob.share_version for blob in blobs]:
        raise InvalidBlob("MsgPayForBlobs names other share versions than its blobs have")
    for blob in blobs:
        check_blob_namespace(blob.namespace)
        _check_signer(blob, signer)
    if message.many(4) != [commitment(blob) for blob in blobs]:
        raise InvalidBlob("MsgPayForBlobs names other share commitments than its blobs have")


def _check_signer(blob: Blob, signer: bytes) -> None:
    if blob.share_version == 1 and blob.signer != signer:
        raise InvalidBlob(f"a blob names the signer {blob.signer.hex()}, and {signer.hex()} signs the transaction")


def _digest(body: bytes, auth_info: bytes, chain_id: str, account_number: int) -> bytes:
    return sha256(Writer().bytes(1, body).bytes(2, auth_info).string(3, chain_id).uint(4, account_number).done())


def _any(type_url: str, value: bytes) -> bytes:
    return Writer().string(1, type_url).bytes(2, value).done()


def _open_any(raw: bytes, type_url: str) -> bytes:
    reader = Reader(raw, (1, 2))
    if reader.text(1) != type_url:
        raise InvalidTransaction(f"{reader.text(1)[:64]!r} stands where {type_url} is wanted")
    return reader.raw(2)


def _varints(packed: bytes, limit: int) -> list[int]:
    values: list[int] = []
    offset = 0
    while offset < len(packed) and len(values) <= limit:
        value, offset = read_varint(packed, offset)
        values.append(value)
    return values
