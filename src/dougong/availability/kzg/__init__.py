"""The KZG family: EIP-4844 blobs, each committed to by a polynomial and extended by itself (EIP-7594, PeerDAS).

Pure functions over the Rust core's c-kzg. Writing and reading a namespaced blob: `frame`, `unframe`, `make_sidecar`.
Checking: the `verify_*` functions, which trust only a data root. Sampling and recovery: `choose_columns`, `verify_column`,
`recover_blobs`.
"""

from dougong.availability.kzg.columns import (
    choose_columns,
    column_confidence,
    columns_needed,
    compute_columns_for_custody_group,
    get_custody_groups,
    sampled_columns,
)
from dougong.availability.kzg.frames import (
    DATA_BYTES_PER_BLOB,
    MAX_BLOBS_PER_FRAME,
    FrameHead,
    blobs_needed,
    claimed_head,
    frame,
    read_head,
    unframe,
)
from dougong.availability.kzg.library import NotEnoughCells, cells_and_proofs, commit, recover, verify_cells
from dougong.availability.kzg.packing import USABLE_BYTES_PER_BLOB, pack, unpack
from dougong.availability.kzg.proofs import (
    check_blobs,
    placed_blob,
    verify_blob_proof,
    verify_cell,
    verify_column,
    verify_header,
    verify_namespace_data,
)
from dougong.availability.kzg.recovery import recover_blob, recover_blobs
from dougong.availability.kzg.roots import block_data_root, da_id, versioned_hash
from dougong.availability.kzg.sidecar import make_sidecar, sidecar_of

__all__ = [
    "DATA_BYTES_PER_BLOB",
    "MAX_BLOBS_PER_FRAME",
    "USABLE_BYTES_PER_BLOB",
    "FrameHead",
    "NotEnoughCells",
    "blobs_needed",
    "block_data_root",
    "cells_and_proofs",
    "check_blobs",
    "choose_columns",
    "claimed_head",
    "column_confidence",
    "columns_needed",
    "commit",
    "compute_columns_for_custody_group",
    "da_id",
    "frame",
    "get_custody_groups",
    "make_sidecar",
    "pack",
    "placed_blob",
    "read_head",
    "recover",
    "recover_blob",
    "recover_blobs",
    "sampled_columns",
    "sidecar_of",
    "unframe",
    "unpack",
    "verify_blob_proof",
    "verify_cell",
    "verify_cells",
    "verify_column",
    "verify_header",
    "verify_namespace_data",
    "versioned_hash",
]
