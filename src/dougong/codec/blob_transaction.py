"""A blob transaction as nodes pass it on: with its blobs beside it, which lie in no block.

    network = network_form(raw, sidecar.blobs, sidecar.commitments, sidecar.cell_proofs)

Source: EIP-4844, "Networking"; EIP-7594, "Networking" (wrapper version 1: cell proofs).
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.codec import rlp

__all__ = ["network_form"]

_WRAPPER_VERSION = 1


def network_form(raw: bytes, blobs: Sequence[bytes], commitments: Sequence[bytes], cell_proofs: Sequence[bytes]) -> bytes:
    """Of a signed transaction `raw` (EIP-2718): type byte, then [transaction, version, blobs, commitments, cell proofs]."""
    beside = (_WRAPPER_VERSION, blobs, commitments, cell_proofs)
    return raw[:1] + rlp.wrapped(raw[1:] + b"".join(rlp.encode(item) for item in beside))
