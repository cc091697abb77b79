"""The KZG family: EIP-4844 blobs, each committed to by a polynomial and extended by itself (EIP-7594, PeerDAS).

Pure functions over the Rust core's c-kzg. Writing and reading a namespaced blob: `frame`, `unframe`.
"""

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
from dougong.availability.kzg.packing import USABLE_BYTES_PER_BLOB, pack, unpack
from dougong.availability.kzg.roots import block_data_root, da_id, versioned_hash

__all__ = [
    "DATA_BYTES_PER_BLOB",
    "MAX_BLOBS_PER_FRAME",
    "USABLE_BYTES_PER_BLOB",
    "FrameHead",
    "blobs_needed",
    "block_data_root",
    "claimed_head",
    "da_id",
    "frame",
    "pack",
    "read_head",
    "unframe",
    "unpack",
    "versioned_hash",
]
