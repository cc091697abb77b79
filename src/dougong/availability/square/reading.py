"""What a settled reference reads as: shares at a place that someone else named, and the one blob that they may be.

    shares = shares_at(placement, proof)            # exactly the placement's, under its data root; raises InvalidProof
    blob = blob_in_shares(shares, namespace)        # None: not one well-formed blob, so a batch counts as empty

Everything here is pure and total over bytes from outside. Source: docs/spec/derivation.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.square.nmt import leaf_node, verify_range
from dougong.availability.square.shares import parse_blobs
from dougong.crypto import merkle
from dougong.errors import InvalidProof
from dougong.types import NAMESPACE_BYTES, Blob, Namespace, Placement, ShareProof, SquareHeader

_ROOTS_A_SIDE = 4  # a data root commits to 2k row roots and 2k column roots


def holds(header: SquareHeader, placement: Placement) -> bool:
    """Whether the placement names shares that the square under this (checked) header has."""
    capacity = header.capacity(placement.data_root)
    start, count = placement.start_share, placement.share_count
    return capacity is not None and start >= 0 and count > 0 and start + count <= capacity


def shares_at(placement: Placement, proof: ShareProof) -> list[bytes]:
    """The shares at `placement`, in order. Raises `InvalidProof` unless they are all there, in their places, under its data root.

    A run may cross into another namespace (a hostile reference can say so): each share is hashed under its own.
    """
    if proof.data_root != placement.data_root or not proof.rows:
        raise InvalidProof("a share proof is about another data root, or about nothing")
    total = proof.rows[0].row_proof.total
    width = total // _ROOTS_A_SIDE
    if width * _ROOTS_A_SIDE != total or width == 0 or width & (width - 1):
        raise InvalidProof(f"a data root over {total} roots is not a square's")
    at, end = placement.start_share, placement.start_share + placement.share_count
    shares: list[bytes] = []
    for row in proof.rows:
        number, column = divmod(at, width)
        stop = min(width, column + end - at)
        if number >= width or (row.row, row.nmt_proof.start, row.nmt_proof.end) != (number, column, stop):
            raise InvalidProof(f"a share proof shows row {row.row} where shares {column} to {stop} of row {number} are due")
        if (row.row_proof.index, row.row_proof.total) != (number, total):
            raise InvalidProof("a row root is proven at another place than its row's")
        merkle.verify(proof.data_root, row.row_root, row.row_proof)
        leaves = [leaf_node(share[:NAMESPACE_BYTES], share) for share in row.shares]
        verify_range(row.row_root, leaves, row.nmt_proof, 2 * width)
        shares += row.shares
        at += stop - column
    if at != end:
        raise InvalidProof(f"a share proof ends at share {at} of {end}")
    return shares


def blob_in_shares(shares: Sequence[bytes], namespace: Namespace) -> Blob | None:
    """The blob that these shares hold, whole and alone; None if they are not one well-formed blob of `namespace`."""
    found = parse_blobs(shares)
    if len(found) != 1 or (found[0].start, found[0].count) != (0, len(shares)) or found[0].blob.namespace != namespace:
        return None
    return found[0].blob
