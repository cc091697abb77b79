"""Values of the availability seam: blobs, where they lie, and the proofs of it.

Two families of layers share the seam. In a *square* layer (Celestia's formats) a data root commits to a square of shares,
extended in two dimensions. In a *blob* layer (Ethereum's, PeerDAS) a data root commits to the KZG commitments of one
transaction's blobs, each extended by itself. What every layer has stands in the base classes `DataHeader`, `Cell`, `BlobProof`
and `NamespaceData`; what proves it is the family's own and stands in their subclasses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from hashlib import sha256

from dougong.types.namespace import Namespace

CELLS_PER_EXT_BLOB = 128


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to publish under a namespace. `signer` (20 bytes) is set when, and only when, `share_version` is 1."""

    namespace: Namespace
    data: bytes
    share_version: int = 0
    signer: bytes = b""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a blob lies: shares [start_share, start_share + share_count) under `data_root`, in block `height`.

    In a square, shares are counted along the rows of the original square. In a blob layer a share is one of the blobs that a
    transaction carries. Either way a data root that is known to be published fixes every byte of the placement.
    """

    height: int
    data_root: bytes
    start_share: int
    share_count: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What publishing a blob costs and how it goes, as measured now. `price` is the expected total for the blob asked about, in
    the layer's smallest `unit` ("utia", "wei"); `latency_ms` the milliseconds until it lies in a final block; `throughput` the
    bytes of blobs that the layer takes in a second."""

    price: int
    unit: str
    latency_ms: int
    throughput: int


@dataclass(frozen=True, slots=True)
class PendingTx:
    """A transaction of an account that waits for a block. `digest` is its hash, `fee` in utia; `content` says what it publishes
    (`content_id` in `availability.chain.blob_tx`), and is empty for a transfer."""

    sequence: int
    digest: bytes
    fee: int
    content: bytes


@dataclass(frozen=True, slots=True)
class FeeAccount:
    """An account of a DA chain after its last block: `balance` in utia, the next `sequence`, and what waits from there on."""

    balance: int
    sequence: int
    pending: tuple[PendingTx, ...] = ()

    @property
    def next_sequence(self) -> int:
        """Behind everything that waits."""
        return self.pending[-1].sequence + 1 if self.pending else self.sequence


@dataclass(frozen=True, slots=True)
class BlobMarket:
    """What a DA chain charges in its next block, and who waits for it. Fees in nano-utia per gas; `supply` in utia;
    `used_percent` of the widest square by the last block."""

    base_fee: int
    min_base_fee: int
    supply: int
    used_percent: int
    waiting_txs: int
    waiting_bytes: int


@dataclass(frozen=True, slots=True)
class DataHeader(ABC):
    """What a layer's block at `height` commits to. `data_root` covers all of the block's data; `time_ns` is the block's time.
    Parsed, it has been checked: what its family adds hashes to the data root."""

    height: int
    time_ns: int
    data_root: bytes

    @abstractmethod
    def capacity(self, data_root: bytes) -> int | None:
        """How many shares lie under a data root that a placement may name; None if this block has no such root."""

    @property
    @abstractmethod
    def extent(self) -> tuple[int, int]:
        """Rows and columns of the extended data: where cells are sampled."""


@dataclass(frozen=True, slots=True)
class SquareHeader(DataHeader):
    """Celestia's data availability header: 2k row roots and 2k column roots (90 bytes each), whose Merkle root is `data_root`."""

    row_roots: tuple[bytes, ...]
    column_roots: tuple[bytes, ...]

    @property
    def square_size(self) -> int:
        """k: the width of the original square, in shares."""
        return len(self.row_roots) // 2

    def capacity(self, data_root: bytes) -> int | None:
        return self.square_size**2 if data_root == self.data_root else None

    @property
    def extent(self) -> tuple[int, int]:
        return len(self.row_roots), len(self.column_roots)


@dataclass(frozen=True, slots=True)
class MerkleProof:
    """RFC 6962 inclusion proof: siblings from the leaf up to the root. Every hash is SHA-256."""

    index: int
    total: int
    siblings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NmtProof:
    """A proof for leaves [start, end) of a namespaced Merkle tree, in the order of Celestia's nmt.

    `nodes` are the 90-byte roots of the subtrees beside the range, left to right. For a namespace that is absent,
    `leaf_hash` is the node of the leaf that would follow it; otherwise it is empty.
    """

    start: int
    end: int
    nodes: tuple[bytes, ...]
    leaf_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Cell:
    """One piece of a block's extended data, with its bytes: what a light node samples. Its family adds the proof."""

    row: int
    column: int
    share: bytes


@dataclass(frozen=True, slots=True)
class SquareCell(Cell):
    """One share of the extended square with its proof to the row root (`axis` 0) or the column root (`axis` 1)."""

    axis: int
    proof: NmtProof


@dataclass(frozen=True, slots=True)
class BadEncodingProof:
    """That row (`axis` 0) or column (1) `index` of the square at `height` under `data_root` is badly encoded: k of its 2k cells,
    in the order of their places, each under the root of its row or column, through which goes another codeword than the axis'
    own root commits to. A block of which this can be shown is never valid, whoever signed it."""

    height: int
    data_root: bytes
    axis: int
    index: int
    cells: tuple[SquareCell, ...]


@dataclass(frozen=True, slots=True)
class ShareRowProof:
    """Shares [start, end) of one row with their proof to the row root, and the row root's proof to the data root."""

    row: int
    shares: tuple[bytes, ...]
    nmt_proof: NmtProof
    row_root: bytes
    row_proof: MerkleProof


@dataclass(frozen=True, slots=True)
class BlobProof:
    """What proves the bytes of a placement under its data root. Its family adds the proof."""

    data_root: bytes


@dataclass(frozen=True, slots=True)
class ShareProof(BlobProof):
    """A run of shares proven under a square's data root, row by row."""

    rows: tuple[ShareRowProof, ...]


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """All shares of a namespace in one row (none, with an absence proof) under that row's root."""

    row: int
    shares: tuple[bytes, ...]
    proof: NmtProof


@dataclass(frozen=True, slots=True)
class PlacedBlob:
    """A blob read back from a square, and where it lies."""

    blob: Blob
    placement: Placement


@dataclass(frozen=True, slots=True)
class NamespaceData:
    """Everything published under a namespace in a block. Its family adds the proof that nothing was left out."""

    height: int
    namespace: Namespace
    blobs: tuple[PlacedBlob, ...]


@dataclass(frozen=True, slots=True)
class SquareNamespaceData(NamespaceData):
    """`rows` holds one entry for each row whose root's namespace range covers the namespace; that there is none at all is proven
    by the row roots themselves."""

    rows: tuple[NamespaceRow, ...]


@dataclass(frozen=True, slots=True)
class BlobTransaction:
    """A blob-carrying transaction of a block: the address (20 bytes) that signed it, and the versioned hash (32 bytes) of each of
    its blobs, in order. Source: EIP-4844."""

    sender: bytes
    versioned_hashes: tuple[bytes, ...]

    @property
    def data_root(self) -> bytes:
        """What a placement names: SHA-256 of the versioned hashes, one after the other. BLOBHASH shows a contract the same."""
        return sha256(b"".join(self.versioned_hashes)).digest()


@dataclass(frozen=True, slots=True)
class BlobsHeader(DataHeader):
    """The blob-carrying transactions of an Ethereum block, in order: all that the block commits to of its blobs. The blobs are
    the rows of the extended data, counted through the block; each is extended to 128 cells (EIP-7594)."""

    transactions: tuple[BlobTransaction, ...]

    def capacity(self, data_root: bytes) -> int | None:
        return next((len(tx.versioned_hashes) for tx in self.transactions if tx.data_root == data_root), None)

    @property
    def extent(self) -> tuple[int, int]:
        return sum(len(tx.versioned_hashes) for tx in self.transactions), CELLS_PER_EXT_BLOB


@dataclass(frozen=True, slots=True)
class KzgCell(Cell):
    """2,048 bytes of an extended blob (its first 64 cells are the blob itself), the blob's commitment and the proof (48 bytes
    each) that these are the polynomial's values there. `row` counts the blobs of the block."""

    commitment: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class KzgBlobProof(BlobProof):
    """The whole blobs (131,072 bytes each) of a transaction, and the transaction as it was signed (EIP-2718, without its blobs):
    who published them, and that it was these."""

    transaction: bytes
    blobs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TransactionContent:
    """What one blob-carrying transaction has of a namespace: all of its blobs, whole; or, without them, the first cell of its
    first blob, which shows whose they are."""

    blobs: tuple[bytes, ...]
    first_cell: KzgCell | None


@dataclass(frozen=True, slots=True)
class KzgNamespaceData(NamespaceData):
    """One entry for each blob-carrying transaction of the block, in order: of the namespace whole, of others as little as
    shows it."""

    transactions: tuple[TransactionContent, ...]
