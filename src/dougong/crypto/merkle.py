"""RFC 6962 Merkle trees with SHA-256: CometBFT's and Celestia's tree for everything that is not namespaced.

    >>> leaves = [b"a", b"b", b"c"]
    >>> proof = prove(leaves, 1)
    >>> verify(root(leaves), b"b", proof)

Leaves are hashed with prefix 0x00 and inner nodes with 0x01; the split is the largest power of two below the count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dougong.errors import InvalidProof
from dougong.types import HASH_BYTES, MerkleProof

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


def inner_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    return root_of_hashes([leaf_hash(leaf) for leaf in leaves])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes. Pairing neighbours and carrying an odd last one up gives RFC 6962's split."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        paired = [inner_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def prove(leaves: Sequence[bytes], index: int) -> MerkleProof:
    return prove_hashes([leaf_hash(leaf) for leaf in leaves], index)


def prove_hashes(hashes: Sequence[bytes], index: int) -> MerkleProof:
    if not 0 <= index < len(hashes):
        raise IndexError(f"leaf {index} of {len(hashes)}")
    siblings: list[bytes] = []
    level, position = list(hashes), index
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):
            siblings.append(level[sibling])
        paired = [inner_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, position = paired, position // 2
    return MerkleProof(index, len(hashes), tuple(siblings))


def root_from_proof(leaf: bytes, proof: MerkleProof) -> bytes:
    """The root that the proof leads to. Raises `InvalidProof` if its shape does not fit its index and total."""
    if not 0 <= proof.index < proof.total:
        raise InvalidProof(f"leaf index {proof.index} is outside a tree of {proof.total}")
    digest, position, last = leaf_hash(leaf), proof.index, proof.total - 1
    siblings = iter(proof.siblings)
    while last > 0:
        if position % 2 or position < last:
            sibling = next(siblings, None)
            if sibling is None or len(sibling) != HASH_BYTES:
                raise InvalidProof("a Merkle proof is too short or holds a sibling that is not a hash")
            digest = inner_hash(sibling, digest) if position % 2 else inner_hash(digest, sibling)
        position, last = position // 2, last // 2
    if next(siblings, None) is not None:
        raise InvalidProof("a Merkle proof is longer than its tree is deep")
    return digest


def verify(expected_root: bytes, leaf: bytes, proof: MerkleProof) -> None:
    """Raises `InvalidProof` unless `leaf` is at `proof.index` of the tree under `expected_root`."""
    if root_from_proof(leaf, proof) != expected_root:
        raise InvalidProof("a Merkle proof leads to another root")
