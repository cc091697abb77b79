"""One block of blob transactions, made once: proofs take a third of a second for each blob."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from dougong._native import sign_transaction
from dougong.availability.kzg import (
    DATA_BYTES_PER_BLOB,
    block_data_root,
    cells_and_proofs,
    commit,
    frame,
    placed_blob,
    versioned_hash,
)
from dougong.availability.kzg.params import BYTES_PER_BLOB
from dougong.crypto.keys import Secp256k1Key
from dougong.types import (
    Blob,
    BlobsHeader,
    BlobTransaction,
    KzgBlobProof,
    KzgCell,
    KzgNamespaceData,
    Namespace,
    TransactionContent,
)

HEIGHT = 9
OURS, SIGNED, ABSENT = Namespace.user(b"ours"), Namespace.user(b"signed"), Namespace.user(b"absent")
KEY, STRANGER = Secp256k1Key(b"\1" * 32), Secp256k1Key(b"\2" * 32)
LARGE = Blob(OURS, (sha256(b"large").digest() * 8000)[: DATA_BYTES_PER_BLOB + 100])
MINE = Blob(SIGNED, b"signed data", 1, KEY.address)
FOREIGN = b"".join(b"\0" + sha256(number.to_bytes(4)).digest()[1:] for number in range(BYTES_PER_BLOB // 32))


@dataclass(frozen=True)
class Carried:
    """A transaction of the block, with everything that the block does not hold."""

    key: Secp256k1Key
    blobs: tuple[bytes, ...]
    commitments: tuple[bytes, ...]

    @property
    def tx(self) -> BlobTransaction:
        return BlobTransaction(self.key.address, tuple(versioned_hash(one) for one in self.commitments))

    @property
    def raw(self) -> bytes:
        return signed(self.key, self.tx.versioned_hashes)


def signed(key: Secp256k1Key, hashes: tuple[bytes, ...], calldata: bytes = b"") -> bytes:
    fields = (
        '{"type": "0x3", "chainId": "0x1", "nonce": "0x0", "to": "0x%s", "value": "0x0", "data": "0x%s", "gas": "0x5208", '
        '"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1", "maxFeePerBlobGas": "0x1", "blobVersionedHashes": [%s]}'
    )
    return sign_transaction(fields % ("11" * 20, calldata.hex(), ", ".join(f'"0x{one.hex()}"' for one in hashes)), key.secret)


@cache
def commitment(blob: bytes) -> bytes:
    return commit(blob)


@cache
def extended(blob: bytes) -> tuple[list[bytes], list[bytes]]:
    return cells_and_proofs(blob)


def carried(key: Secp256k1Key, blobs: tuple[bytes, ...]) -> Carried:
    return Carried(key, blobs, tuple(commitment(blob) for blob in blobs))


@cache
def transactions() -> tuple[Carried, ...]:
    """Somebody's blob; ours over two; one signed, and the same copied by a stranger."""
    return (
        carried(STRANGER, (FOREIGN,)),
        carried(KEY, frame(LARGE)),
        carried(KEY, frame(MINE)),
        carried(STRANGER, frame(MINE)),
    )


@cache
def header() -> BlobsHeader:
    txs = tuple(one.tx for one in transactions())
    return BlobsHeader(HEIGHT, 10**18, block_data_root(txs), txs)


def rows() -> list[bytes]:
    return [blob for one in transactions() for blob in one.blobs]


def cell(row: int, column: int) -> KzgCell:
    blob = rows()[row]
    cells, proofs = extended(blob)
    return KzgCell(row, column, cells[column], commitment(blob), proofs[column])


def namespace_data(namespace: Namespace, whole: frozenset[int]) -> KzgNamespaceData:
    """With the transactions of these numbers whole, and the others' first cells."""
    found, shown, row = [], [], 0
    for number, one in enumerate(transactions()):
        if number in whole:
            found += placed_blob(HEIGHT, one.tx, one.blobs, namespace)
        shown.append(TransactionContent(one.blobs, None) if number in whole else TransactionContent((), cell(row, 0)))
        row += len(one.blobs)
    return KzgNamespaceData(HEIGHT, namespace, tuple(found), tuple(shown))


def blob_proof(number: int, with_transaction: bool) -> KzgBlobProof:
    one = transactions()[number]
    return KzgBlobProof(one.tx.data_root, one.raw if with_transaction else b"", one.blobs)
