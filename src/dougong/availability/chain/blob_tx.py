"""The transaction that publishes blobs: Celestia's `BlobTx` around a signed Cosmos transaction with one MsgPayForBlobs.

    raw = make_blob_tx(key, "square-1", sequence=0, blobs=[Blob(namespace, data)], fee=2_000)
    paid = check_blob_tx(raw, "square-1")           # everything that can be said without a state; raises InvalidInput
    paid.signer, paid.sequence, paid.fee

Source: celestia-app `proto/celestia/blob/v1/tx.proto` and `x/blob/types`; the transaction inside: `cosmos_tx`. The address
of a key is also the signer of share version 1 blobs. The signature covers the blobs through their share commitments. Judging
goes in two steps, so that who floods pays first: `read_blob_tx` (microseconds; everything but hashes), then
`BlobPayment.verify` (signature, then commitments).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dougong.availability.chain.cosmos_tx import (
    KEY_TYPE,
    SignedTx,
    account_address,
    address_text,
    parse_signed_tx,
    sign_tx,
)
from dougong.availability.chain.fees import bytes_used, gas_needed
from dougong.availability.square.commitment import commitment
from dougong.availability.square.namespaces import check_blob_namespace
from dougong.availability.square.shares import shares_needed
from dougong.availability.square.wire import BlobTx, decode_blob_tx, encode_blob_tx
from dougong.codec.protobuf import Reader, Writer, read_varint, varint
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidBlob, InvalidInput, InvalidNamespace, InvalidTransaction
from dougong.types import Blob

__all__ = [
    "BLOB_TX_BYTES",
    "KEY_TYPE",
    "MAX_BLOBS",
    "MESSAGE_TYPE",
    "BlobPayment",
    "PaidBlobs",
    "account_address",
    "blobs_gas",
    "check_blob_tx",
    "content_id",
    "encode_message",
    "make_blob_tx",
    "parse_signed_tx",
    "read_blob_tx",
]

MESSAGE_TYPE = "/celestia.blob.v1.MsgPayForBlobs"
MAX_BLOBS = 1024
_TX_BYTES, _BLOB_INFO_BYTES = 420, 90  # above what `make_blob_tx` writes, and what each blob adds to it
BLOB_TX_BYTES = _TX_BYTES + _BLOB_INFO_BYTES  # with one blob


@dataclass(frozen=True, slots=True)
class PaidBlobs:
    """A blob transaction that is valid as far as no state is needed: `signer` (20 bytes) signed it as its `sequence`-th."""

    signer: bytes
    sequence: int
    blobs: tuple[Blob, ...]
    fee: int = 0


@dataclass(frozen=True, slots=True)
class BlobPayment:
    """A blob transaction whose form is right, and nothing is verified yet. `gas` is what it needs, `used` its bytes of the
    square, `content` what it publishes (see `content_id`)."""

    signed: SignedTx
    blobs: tuple[Blob, ...]
    commitments: tuple[bytes, ...]
    gas: int
    used: int

    @property
    def content(self) -> bytes:
        return _content(self.blobs, self.commitments)

    def verify(self, chain_id: str) -> None:
        """Raises `InvalidTransaction` or `InvalidBlob`."""
        self.signed.verify(chain_id)
        if self.commitments != tuple(commitment(blob) for blob in self.blobs):
            raise InvalidBlob("MsgPayForBlobs names other share commitments than its blobs have")


def content_id(blobs: Sequence[Blob]) -> bytes:
    """32 bytes that say which blobs, in which namespaces, a transaction publishes, whoever signs it at whatever price."""
    return _content(blobs, [commitment(blob) for blob in blobs])


def blobs_gas(blobs: Sequence[Blob]) -> int:
    """A gas limit that suffices for a transaction that `make_blob_tx` makes of these blobs, whatever its fee and sequence."""
    shares = sum(shares_needed(len(blob.data), blob.share_version) for blob in blobs)
    return gas_needed(_TX_BYTES + _BLOB_INFO_BYTES * len(blobs), shares)


def make_blob_tx(
    key: Secp256k1Key,
    chain_id: str,
    sequence: int,
    blobs: Sequence[Blob],
    *,
    fee: int = 0,
    gas_limit: int | None = None,
    account_number: int = 0,
) -> bytes:
    """A signed `BlobTx`; `gas_limit` None: as much as it needs. Raises `InvalidBlob` or `InvalidNamespace` for a blob that the
    chain would refuse."""
    signer = account_address(key.public_key)
    for blob in blobs:
        check_blob_namespace(blob.namespace)
        _check_signer(blob, signer)
    limit = blobs_gas(blobs) if gas_limit is None else gas_limit
    message = encode_message(signer, blobs)
    tx = sign_tx(key, chain_id, sequence, MESSAGE_TYPE, message, fee=fee, gas_limit=limit, account_number=account_number)
    return encode_blob_tx(tx, blobs)


def check_blob_tx(raw: bytes, chain_id: str) -> PaidBlobs:
    """Judges everything that needs no state, the cheap things first. Raises `InvalidTransaction`, `InvalidBlob` or
    `InvalidNamespace`."""
    payment = read_blob_tx(raw)
    if payment is None:
        raise InvalidTransaction("not a blob transaction")
    payment.verify(chain_id)
    return PaidBlobs(payment.signed.signer, payment.signed.sequence, payment.blobs, payment.signed.fee)


def read_blob_tx(raw: bytes) -> BlobPayment | None:
    """Everything but signature and commitments; None for what is no `BlobTx`. Raises as `check_blob_tx`."""
    try:
        blob_tx = decode_blob_tx(raw)
        if blob_tx is None:
            return None
        if raw != encode_blob_tx(blob_tx.tx, blob_tx.blobs):
            # Else bytes that no share holds and nobody pays for could fill a block.
            raise InvalidTransaction("a BlobTx is not encoded in its one form")
        signed = parse_signed_tx(blob_tx.tx)
        if signed.type_url != MESSAGE_TYPE:
            raise InvalidTransaction(f"{signed.type_url[:64]!r} stands where {MESSAGE_TYPE} is wanted")
        commitments = _check_message(signed.message, signed.signer, blob_tx)
    except (InvalidTransaction, InvalidBlob, InvalidNamespace):
        raise
    except InvalidInput as error:
        raise InvalidTransaction(f"a blob transaction does not decode: {error}") from error
    shares = sum(shares_needed(len(blob.data), blob.share_version) for blob in blob_tx.blobs)
    size = len(blob_tx.tx)
    return BlobPayment(signed, blob_tx.blobs, commitments, gas_needed(size, shares), bytes_used(size, shares))


def encode_message(signer: bytes, blobs: Sequence[Blob]) -> bytes:
    """MsgPayForBlobs. The one that fits a transaction's blobs is computed and compared, never trusted."""
    writer = Writer().string(1, address_text(signer))
    for blob in blobs:
        writer.bytes(2, blob.namespace.raw)
    writer.bytes(3, b"".join(varint(len(blob.data)) for blob in blobs))
    for blob in blobs:
        writer.bytes(4, commitment(blob))
    return writer.bytes(8, b"".join(varint(blob.share_version) for blob in blobs)).done()


def _check_message(raw: bytes, signer: bytes, blob_tx: BlobTx) -> tuple[bytes, ...]:
    """The commitments that it states."""
    message = Reader(raw, (1, 2, 3, 4, 8), repeated=(2, 4), most=2 * MAX_BLOBS + 5)
    blobs = blob_tx.blobs
    if len(blobs) > MAX_BLOBS:
        raise InvalidBlob(f"a transaction carries {len(blobs)} blobs, more than {MAX_BLOBS}")
    if message.text(1) != address_text(signer):
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
    commitments = tuple(message.many(4))
    if len(commitments) != len(blobs):
        raise InvalidBlob("MsgPayForBlobs names other share commitments than its blobs have")
    return commitments


def _content(blobs: Sequence[Blob], commitments: Sequence[bytes]) -> bytes:
    return sha256(*(blob.namespace.raw + one for blob, one in zip(blobs, commitments, strict=True)))


def _check_signer(blob: Blob, signer: bytes) -> None:
    if blob.share_version == 1 and blob.signer != signer:
        raise InvalidBlob(f"a blob names the signer {blob.signer.hex()}, and {signer.hex()} signs the transaction")


def _varints(packed: bytes, limit: int) -> list[int]:
    values: list[int] = []
    offset = 0
    while offset < len(packed) and len(values) <= limit:
        value, offset = read_varint(packed, offset)
        values.append(value)
    return values
