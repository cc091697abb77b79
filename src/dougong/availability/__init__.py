"""The availability layer: blobs in squares, erasure coded in two dimensions, with proofs; bit-exact with Celestia's formats.

A chain in this process: `SquareApplication`, `SquareLayer`. Building: `build_square`, `construct_square`, `ServedSquare`.
Checking: the `verify_*` functions, which trust only a data root.
"""

from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.attestor import Attestor
from dougong.availability.chain.blob_tx import account_address, check_blob_tx, make_blob_tx
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.history import History, verify_history
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.chain.params import SquareParams
from dougong.availability.square.commitment import SUBTREE_ROOT_THRESHOLD, subtree_roots
from dougong.availability.square.commitment import commitment as share_commitment
from dougong.availability.square.fraud import (
    BadBlock,
    decode_bad_encoding,
    encode_bad_encoding,
    max_proof_bytes,
    prove_axis,
    prove_bad_encoding,
    verify_bad_encoding,
)
from dougong.availability.square.layout import MAX_SQUARE_SIZE, Square, SquareBuilder, build_square, construct_square
from dougong.availability.square.namespaces import check_blob_namespace
from dougong.availability.square.proofs import (
    data_root,
    proven_placement,
    verify_blob_proof,
    verify_cell,
    verify_header,
    verify_namespace_data,
    verify_share_proof,
)
from dougong.availability.square.reading import blob_in_shares, shares_at
from dougong.availability.square.sampling import DEFAULT_SAMPLES, choose_cells, confidence, samples_needed
from dougong.availability.square.served import BadEncoding, NotEnoughShares, ServedSquare
from dougong.availability.square.shares import (
    SHARE_BYTES,
    check_blob_format,
    parse_blobs,
    parse_transactions,
    shares_needed,
    split_blob,
    split_transactions,
)
from dougong.availability.square.wire import (
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
    "Attestor",
    "BadBlock",
    "BadEncoding",
    "BlobTx",
    "History",
    "IndexWrapper",
    "NotEnoughShares",
    "ServedSquare",
    "Square",
    "SquareApplication",
    "SquareBuilder",
    "SquareClient",
    "SquareLayer",
    "SquareParams",
    "account_address",
    "blob_in_shares",
    "build_square",
    "check_blob_format",
    "check_blob_namespace",
    "check_blob_tx",
    "choose_cells",
    "confidence",
    "construct_square",
    "data_root",
    "decode_bad_encoding",
    "decode_blob_tx",
    "decode_index_wrapper",
    "encode_bad_encoding",
    "encode_blob_tx",
    "encode_index_wrapper",
    "make_blob_tx",
    "max_proof_bytes",
    "parse_blobs",
    "parse_transactions",
    "prove_axis",
    "prove_bad_encoding",
    "proven_placement",
    "samples_needed",
    "share_commitment",
    "shares_at",
    "shares_needed",
    "split_blob",
    "split_transactions",
    "subtree_roots",
    "verify_bad_encoding",
    "verify_blob_proof",
    "verify_cell",
    "verify_header",
    "verify_history",
    "verify_namespace_data",
    "verify_share_proof",
]
