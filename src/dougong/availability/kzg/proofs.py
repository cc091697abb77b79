"""What a verifier of blobs needs: pure functions that raise `InvalidProof` (or `InvalidHeader`), and trust nothing but a data
root.

    verify_header(header)                              # its transactions hash to its data root
    verify_cell(header, cell)                          # one sampled cell
    verify_column(header, column, cells)               # one of each blob: what PeerDAS samples
    blob = verify_blob_proof(placement, namespace, proof)    # a blob at its place
    verify_namespace_data(header, data)                # everything of a namespace, and nothing left out

Nothing is left out of a block when each of its blob-carrying transactions is accounted for: either all of its blobs are
there, and what they are is computed from their bytes; or the first cell of the first blob is, with its proof, and says that
the transaction is of another namespace or of no frame at all. Source: docs/spec/blobs.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong._native import TxInfo, decode_transactions
from dougong.availability.kzg.frames import claimed_head, unframe
from dougong.availability.kzg.library import commit, on_all_cores, verify_cells
from dougong.availability.kzg.params import (
    BYTES_PER_BLOB,
    CELLS_PER_EXT_BLOB,
    NUMBER_OF_COLUMNS,
    VERSIONED_HASH_VERSION_KZG,
)
from dougong.availability.kzg.roots import block_data_root, versioned_hash
from dougong.errors import InvalidHeader, InvalidInput, InvalidProof
from dougong.types import (
    ADDRESS_BYTES,
    HASH_BYTES,
    Blob,
    BlobsHeader,
    BlobTransaction,
    KzgBlobProof,
    KzgCell,
    KzgNamespaceData,
    Namespace,
    PlacedBlob,
    Placement,
    TransactionContent,
)

__all__ = [
    "check_blobs",
    "placed_blob",
    "verify_blob_proof",
    "verify_cell",
    "verify_column",
    "verify_header",
    "verify_namespace_data",
]

_NOBODY = b""


def verify_header(header: BlobsHeader) -> None:
    """Raises `InvalidHeader` unless the transactions hash to the data root. That they are all of the block's is for the
    block's own proof to show (`dougong.availability.ethereum.block`)."""
    for tx in header.transactions:
        if len(tx.sender) != ADDRESS_BYTES or not tx.versioned_hashes:
            raise InvalidHeader("a blob transaction has a sender and blobs")
        if any(len(one) != HASH_BYTES or one[:1] != VERSIONED_HASH_VERSION_KZG for one in tx.versioned_hashes):
            raise InvalidHeader("a versioned hash is 32 bytes and of version 1")
    if block_data_root(header.transactions) != header.data_root:
        raise InvalidHeader("the blob transactions do not hash to the data root")


def verify_cell(header: BlobsHeader, cell: KzgCell) -> None:
    """Raises `InvalidProof` unless the cell lies at its place of the block's extended blobs under this (checked) header."""
    _verify_places(header, [cell])
    _verify_values([cell])


def verify_column(header: BlobsHeader, column: int, cells: Sequence[KzgCell]) -> None:
    """Raises `InvalidProof` unless these are the column's cells, one for each of the block's blobs, in order."""
    rows, _ = header.extent
    places = [(row, column) for row in range(rows)]
    if not 0 <= column < NUMBER_OF_COLUMNS or [(cell.row, cell.column) for cell in cells] != places:
        raise InvalidProof(f"these are not the {rows} cells of column {column}")
    _verify_places(header, cells)
    _verify_values(cells)


def verify_blob_proof(placement: Placement, namespace: Namespace, proof: KzgBlobProof) -> Blob:
    """The blob that the placement's transaction carries. Raises `InvalidProof` if the proof is not for exactly that place, or its
    blobs are not one whole blob of the namespace, signed by whom it names."""
    count = len(proof.blobs)
    if (placement.data_root, placement.start_share, placement.share_count) != (proof.data_root, 0, count) or not count:
        raise InvalidProof("a blob proof is for another place")
    hashes = tuple(on_all_cores(_versioned_hash_of, proof.blobs))
    if BlobTransaction(_NOBODY, hashes).data_root != proof.data_root:
        raise InvalidProof("the blobs do not hash to the data root")
    # Without a signer it does not matter who sent it, and nothing about it need be shown.
    sender = _sender(proof.transaction, hashes) if proof.transaction else _NOBODY
    blob = unframe(proof.blobs, sender)
    if blob is None or blob.namespace != namespace or bool(blob.share_version) != bool(proof.transaction):
        raise InvalidProof("the blobs proven are not one blob of the namespace")
    return blob


def verify_namespace_data(header: BlobsHeader, data: KzgNamespaceData) -> None:
    """Raises `InvalidProof` unless `data` is all that the block under this (checked) header has of the namespace."""
    if data.height != header.height:
        raise InvalidProof(f"namespace data of height {data.height} is not of height {header.height}")
    if len(data.transactions) != len(header.transactions):
        raise InvalidProof(f"the block has {len(header.transactions)} blob transactions, not {len(data.transactions)}")
    row, cells, found = 0, list[KzgCell](), list[PlacedBlob]()
    for tx, content in zip(header.transactions, data.transactions, strict=True):
        if content.first_cell is not None:
            _check_elsewhere(tx, content, content.first_cell, row, data.namespace)
            cells.append(content.first_cell)
        else:
            check_blobs(tx, content.blobs)
            found += placed_blob(header.height, tx, content.blobs, data.namespace)
        row += len(tx.versioned_hashes)
    _verify_places(header, cells)
    _verify_values(cells)
    if data.blobs != tuple(found):
        raise InvalidProof("the blobs given are not those that the transactions carry")


def check_blobs(tx: BlobTransaction, blobs: Sequence[bytes]) -> None:
    """Raises `InvalidProof` unless these are the transaction's blobs."""
    if len(blobs) != len(tx.versioned_hashes):
        raise InvalidProof(f"the transaction carries {len(tx.versioned_hashes)} blobs, not {len(blobs)}")
    if tuple(on_all_cores(_versioned_hash_of, blobs)) != tx.versioned_hashes:
        raise InvalidProof("a blob is not the one that the transaction commits to")


def placed_blob(height: int, tx: BlobTransaction, blobs: Sequence[bytes], namespace: Namespace) -> list[PlacedBlob]:
    """The blob of the namespace that the transaction's (checked) blobs are, and its place; or nothing."""
    blob = unframe(blobs, tx.sender)
    if blob is None or blob.namespace != namespace:
        return []
    return [PlacedBlob(blob, Placement(height, tx.data_root, 0, len(blobs)))]


def _check_elsewhere(tx: BlobTransaction, content: TransactionContent, cell: KzgCell, row: int, namespace: Namespace) -> None:
    if content.blobs or (cell.row, cell.column) != (row, 0):
        raise InvalidProof("a transaction is shown by its blobs, or else by the first cell of its first one")
    head = claimed_head(cell.share, len(tx.versioned_hashes), tx.sender)
    if head is not None and head.namespace == namespace:
        raise InvalidProof("a transaction of the namespace is left out")


def _verify_places(header: BlobsHeader, cells: Sequence[KzgCell]) -> None:
    hashes = [one for tx in header.transactions for one in tx.versioned_hashes]
    for cell in cells:
        if not (0 <= cell.row < len(hashes) and 0 <= cell.column < CELLS_PER_EXT_BLOB):
            raise InvalidProof(f"cell ({cell.row}, {cell.column}) is outside a block of {len(hashes)} blobs")
        try:
            right = versioned_hash(cell.commitment) == hashes[cell.row]
        except InvalidInput as error:
            raise InvalidProof(str(error)) from None
        if not right:
            raise InvalidProof(f"the commitment of cell ({cell.row}, {cell.column}) is another blob's")


def _verify_values(cells: Sequence[KzgCell]) -> None:
    verify_cells(
        [cell.commitment for cell in cells],
        [cell.column for cell in cells],
        [cell.share for cell in cells],
        [cell.proof for cell in cells],
    )


def _versioned_hash_of(blob: bytes) -> bytes:
    if len(blob) != BYTES_PER_BLOB:
        raise InvalidProof(f"a blob is {BYTES_PER_BLOB} bytes, not {len(blob)}")
    try:
        return versioned_hash(commit(blob))
    except InvalidInput as error:
        raise InvalidProof(str(error)) from None


def _sender(transaction: bytes, hashes: tuple[bytes, ...]) -> bytes:
    """Who signed it. Raises `InvalidProof` unless it is a transaction that carries blobs with these hashes."""
    (decoded,) = decode_transactions([transaction], blobs=True)
    if not isinstance(decoded, TxInfo):
        raise InvalidProof(f"the transaction of a blob proof does not decode: {decoded}")
    if tuple(decoded.blob_versioned_hashes) != hashes:
        raise InvalidProof("the transaction of a blob proof carries other blobs")
    return decoded.sender
