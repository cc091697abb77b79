"""Shares that come with their proof: nothing that a DA layer says about a placement is believed without it.

proven = await prove_shares(da, placement)
proven.shares                                   # exactly the placement's, under its data root
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dougong.availability.nmt import leaf_node, verify_range
from dougong.crypto import merkle
from dougong.errors import InvalidProof
from dougong.interfaces import DataAvailability
from dougong.services.threads import in_thread
from dougong.types import NAMESPACE_BYTES, Placement, ShareProof

__all__ = ["ProvenShares", "check_shares", "prove_shares"]

_ROOTS_A_SIDE = 4  # a data root commits to 2k row roots and 2k column roots


@dataclass(frozen=True, slots=True)
class ProvenShares:
    proof: ShareProof
    shares: Sequence[bytes]


async def prove_shares(da: DataAvailability, placement: Placement) -> ProvenShares:
    """Asks for the placement's shares and checks them. Raises `InvalidProof` when they are not proven."""
    proof = await da.prove(placement)
    return ProvenShares(proof, await in_thread(check_shares, placement, proof))


def check_shares(placement: Placement, proof: ShareProof) -> list[bytes]:
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
