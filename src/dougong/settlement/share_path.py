"""From a range proof to the path of its first share, which is all that the contract looks at.

A `ShareProof` shows a run of shares under a row root with the nodes beside the run. The contract wants one share and its siblings
from the leaf up; those inside the run follow from the shares. Source: celestiaorg/nmt v0.24, hasher.go, with
IgnoreMaxNamespace on.
"""

from __future__ import annotations

from collections.abc import Iterator

from dougong.crypto.hashing import sha256
from dougong.errors import InvalidProof
from dougong.types import NAMESPACE_BYTES, Placement, ShareProof, ShareRowProof

__all__ = ["first_share_path"]

NODE_BYTES = 2 * NAMESPACE_BYTES + 32
PARITY = b"\xff" * NAMESPACE_BYTES


def first_share_path(placement: Placement, proof: ShareProof) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """(share, row path, square path): the placement's first share, its siblings up to the row root (90 bytes each,
    concatenated), and the row root's up to the data root. Raises `InvalidProof` if the proof is for another place."""
    if proof.data_root != placement.data_root:
        raise InvalidProof("the share proof is for another data root")
    if not proof.rows or not proof.rows[0].shares:
        raise InvalidProof("the share proof holds no share")
    row = proof.rows[0]
    width = row.row_proof.total // 4
    if row.row_proof.total != 4 * width or width == 0 or width & (width - 1):
        raise InvalidProof(f"no square has {row.row_proof.total} row and column roots")
    if row.row * width + row.nmt_proof.start != placement.start_share or row.row_proof.index != row.row:
        raise InvalidProof(f"the share proof does not start at share {placement.start_share}")
    if row.nmt_proof.end - row.nmt_proof.start != len(row.shares) or row.nmt_proof.end > width:
        raise InvalidProof("the share proof's range and shares differ in number")
    if any(len(node) != NODE_BYTES for node in row.nmt_proof.nodes):
        raise InvalidProof(f"a namespaced tree's node is {NODE_BYTES} bytes")
    path: list[bytes] = []
    beside = iter(row.nmt_proof.nodes)
    root = _fold(row, 0, 2 * width, beside, path)
    if root != row.row_root or next(beside, None) is not None:
        raise InvalidProof("the share proof leads to another row root")
    return row.shares[0], b"".join(path), row.row_proof.siblings


def _fold(row: ShareRowProof, low: int, high: int, beside: Iterator[bytes], path: list[bytes]) -> bytes:
    """The root over leaves [low, high); `path` gathers the siblings on the way from the first share up."""
    start, end = row.nmt_proof.start, row.nmt_proof.end
    if high <= start or low >= end:
        node = next(beside, None)
        if node is None:
            raise InvalidProof("the share proof is too short")
        return node
    if high - low == 1:
        share = row.shares[low - start]
        namespace = share[:NAMESPACE_BYTES]
        return namespace + namespace + sha256(b"\0", namespace, share)
    middle = (low + high) // 2
    left = _fold(row, low, middle, beside, path)
    right = _fold(row, middle, high, beside, path)
    if low <= start < high:
        path.append(right if start < middle else left)
    return _node(left, right)


def _node(left: bytes, right: bytes) -> bytes:
    highest = left if right[:NAMESPACE_BYTES] == PARITY else right
    return left[:NAMESPACE_BYTES] + highest[NAMESPACE_BYTES : 2 * NAMESPACE_BYTES] + sha256(b"\1", left, right)
