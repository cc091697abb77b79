"""The availability layer: blobs in squares, erasure coded in two dimensions, with proofs; bit-exact with Celestia's formats.

Building: `build_square`, `construct_square`, `ServedSquare`. Checking: the `verify_*` functions, which trust only a data root.
"""

from dougong.availability.commitment import SUBTREE_ROOT_THRESHOLD, subtree_roots
from dougong.availability.commitment import commitment as share_commitment
from dougong.availability.layout import MAX_SQUARE_SIZE, Square, SquareBuilder, build_square, construct_square
from dougong.availability.namespaces import check_blob_namespace
from dougong.availability.proofs import (
    data_root,
    proven_placement,
    verify_blob_proof,
    verify_cell,
    verify_header,
    verify_namespace_data,
    verify_share_proof,
)
from dougong.availability.sampling import DEFAULT_SAMPLES, choose_cells, confidence, samples_needed
from dougong.availability.shares import (
    SHARE_BYTES,
    check_blob_format,
    parse_blobs,
    parse_transactions,
    shares_needed,
    split_blob,
    split_transactions,
)
from dougong.availability.square import BadEncoding, NotEnoughShares, ServedSquare
from dougong.availability.wire import (
    BlobTx,
    IndexWrapper,
    decode_blob_tx,
    decode_index_wrapper,
    encode_blob_tx,
    encode_index_wrapper,
)

__all__ = [
    "DEFAULT_SAMPLES",
    "MAX_SQUARE_SIZE",
    "SHARE_BYTES",
    "SUBTREE_ROOT_THRESHOLD",
    "BadEncoding",
    "BlobTx",
    "IndexWrapper",
    "NotEnoughShares",
    "ServedSquare",
    "Square",
    "SquareBuilder",
    "build_square",
    "check_blob_format",
    "check_blob_namespace",
    "choose_cells",
    "confidence",
    "construct_square",
    "data_root",
    "decode_blob_tx",
    "decode_index_wrapper",
    "encode_blob_tx",
    "encode_index_wrapper",
    "parse_blobs",
    "parse_transactions",
    "proven_placement",
    "samples_needed",
    "share_commitment",
    "shares_needed",
    "split_blob",
    "split_transactions",
    "subtree_roots",
    "verify_blob_proof",
    "verify_cell",
    "verify_header",
    "verify_namespace_data",
    "verify_share_proof",
]
