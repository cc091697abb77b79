"""Share commitments: 32 bytes that a blob's payer signs, which do not depend on where the blob lies in the square.

    >>> from dougong.types import Namespace
    >>> commitment(Blob(Namespace.user(b"alpha"), b"hello")).hex()[:16]
    '50947a56c6beb3df'

Source: celestia-app ADR-013 and go-square `inclusion/`. The shares are cut into a range of perfect trees of at most
`subtree_width` leaves; the commitment is the RFC 6962 root over their namespaced roots. A blob starts at a multiple of that
width (`next_share_index`), so each of these roots is a node of some row's tree and can be proven under the data root.
"""

from __future__ import annotations

from math import isqrt

from dougong.availability.square.nmt import leaf_node, root_of_nodes
from dougong.availability.square.shares import split_blob
from dougong.crypto import merkle
from dougong.errors import InvalidInput
from dougong.types import Blob

SUBTREE_ROOT_THRESHOLD = 64


def round_up_power_of_two(value: int) -> int:
    return 1 if value <= 1 else 1 << (value - 1).bit_length()


def min_square_size(share_count: int) -> int:
    """The width of the smallest square that `share_count` shares fit in."""
    root = _ceil_sqrt(share_count)
    return round_up_power_of_two(root)


def subtree_width(share_count: int, threshold: int = SUBTREE_ROOT_THRESHOLD) -> int:
    """Leaves of the largest tree of a blob's commitment. Raises `InvalidInput` for a threshold that is not positive."""
    if threshold <= 0:
        raise InvalidInput(f"a subtree root threshold is positive, not {threshold}")
    return min(round_up_power_of_two(-(-share_count // threshold)), min_square_size(share_count))


def subtree_sizes(share_count: int, width: int) -> list[int]:
    """The Merkle mountain range: as many trees of `width` as fit, then ever smaller powers of two."""
    sizes = [width] * (share_count // width)
    rest = share_count % width
    while rest:
        sizes.append(1 << (rest.bit_length() - 1))
        rest -= sizes[-1]
    return sizes


def next_share_index(cursor: int, share_count: int, threshold: int = SUBTREE_ROOT_THRESHOLD) -> int:
    """The first place at or after `cursor` where a blob of `share_count` shares may start."""
    width = subtree_width(share_count, threshold)
    return -(-cursor // width) * width


def subtree_roots(blob: Blob, threshold: int = SUBTREE_ROOT_THRESHOLD) -> list[bytes]:
    """The 90-byte roots that the commitment is over. Raises `InvalidBlob`."""
    nodes = [leaf_node(blob.namespace.raw, share) for share in split_blob(blob)]
    roots, at = [], 0
    for size in subtree_sizes(len(nodes), subtree_width(len(nodes), threshold)):
        roots.append(root_of_nodes(nodes[at : at + size]))
        at += size
    return roots


def commitment(blob: Blob, threshold: int = SUBTREE_ROOT_THRESHOLD) -> bytes:
    """Raises `InvalidBlob`."""
    return merkle.root(subtree_roots(blob, threshold))


def _ceil_sqrt(value: int) -> int:
    return isqrt(value - 1) + 1 if value > 0 else 0
