"""Sidecars of blob transactions, each made once a session: their proofs are the slow part."""

from __future__ import annotations

from functools import cache

from dougong.availability.kzg.packing import pack
from dougong.availability.kzg.sidecar import sidecar_of
from dougong.types import BlobSidecar


@cache
def sidecar(*contents: bytes) -> BlobSidecar:
    """One blob for each of the contents."""
    return sidecar_of([pack(content) for content in contents])
