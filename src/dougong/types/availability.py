"""Values of the availability seam: blobs, where they lie, and the proofs of it."""

from __future__ import annotations

from dataclasses import dataclass

from dougong.types.namespace import Namespace


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to publish under a namespace. `signer` (20 bytes) is set when, and only when, `share_version` is 1."""

    namespace: Namespace
    data: bytes
    share_version: int = 0
    signer: bytes = b""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a blob lies: shares [start_share, start_share + share_count), counted along the rows of the original
    square whose data root is `data_root`, in block `height`. With the data root attested it fixes every byte."""

    height: int
    data_root: bytes
    start_share: int
    share_count: int


@dataclass(frozen=True, slots=True)
class DataHeader:
    """The data availability header of a block: 2k row roots and 2k column roots (90 bytes each), whose Merkle root is
    `data_root`. `time_ns` is the block's time. Parsed, it has been checked: the roots hash to the data root."""

    height: int
    time_ns: int
    data_root: bytes
    row_roots: tuple[bytes, ...]
    column_roots: tuple[bytes, ...]

    @property
    def square_size(self) -> int:
        """k: the width of the original square, in shares."""
        return len(self.row_roots) // 2


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
    """One share of the extended square with its proof to the row root (`axis` 0) or the column root (`axis` 1)."""

    row: int
    column: int
    share: bytes
    axis: int
    proof: NmtProof


@dataclass(frozen=True, slots=True)
class ShareRowProof:
    """Shares [start, end) of one row with their proof to the row root, and the row root's proof to the data root."""

    row: int
    shares: tuple[bytes, ...]
    nmt_proof: NmtProof
    row_root: bytes
    row_proof: MerkleProof


@dataclass(frozen=True, slots=True)
class ShareProof:
    """A run of shares proven under a data root, row by row."""

    data_root: bytes
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
    """Everything published under a namespace in a block, with the proof that nothing was left out.

    `rows` holds one entry for each row whose root's namespace range covers the namespace; none at all is proven by the
    row roots themselves.
    """

    height: int
    namespace: Namespace
    blobs: tuple[PlacedBlob, ...]
    rows: tuple[NamespaceRow, ...]
