"""Namespaced Merkle trees: a node says which namespaces lie under it, so a proof can show that nothing was left out.

    >>> ns = bytes(28) + b"a"
    >>> node = leaf_node(ns, b"share")
    >>> verify_range(node, [node], NmtProof(0, 1, ()), 1)

Source: celestiaorg/nmt with 29-byte namespaces, SHA-256 and `IgnoreMaxNamespace`. A node is `min[29] | max[29] | digest[32]`:
a leaf's digest is sha256(0x00 | namespace | share), an inner node's sha256(0x01 | left | right). The parity namespace, the
highest, does not count towards `max` unless it is all there is, so that a row root's range is that of its original shares.

Deviation: Celestia's verifier guesses the tree's size from the proof; here the caller must say how many leaves there are,
and the proof must have exactly the nodes that its range asks for in such a tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from dougong.availability.square.namespaces import PARITY
from dougong.errors import InvalidProof
from dougong.types import HASH_BYTES, NAMESPACE_BYTES, Namespace, NmtProof

NODE_BYTES = 2 * NAMESPACE_BYTES + HASH_BYTES
_MAX_END = 2 * NAMESPACE_BYTES


def min_namespace(node: bytes) -> bytes:
    return node[:NAMESPACE_BYTES]


def max_namespace(node: bytes) -> bytes:
    return node[NAMESPACE_BYTES:_MAX_END]


def leaf_node(namespace: bytes, share: bytes) -> bytes:
    return namespace + namespace + hashlib.sha256(b"\0" + namespace + share).digest()


def inner_node(left: bytes, right: bytes) -> bytes:
    """Raises `InvalidProof` if the children are not nodes in the order of their namespaces."""
    if min_namespace(right) < max_namespace(left):
        raise InvalidProof("sibling nodes are not ordered by namespace")
    highest = max_namespace(left) if min_namespace(right) == PARITY.raw else max_namespace(right)
    return min_namespace(left) + highest + hashlib.sha256(b"\1" + left + right).digest()


def root_of_nodes(nodes: Sequence[bytes]) -> bytes:
    """The root over leaf nodes whose count is a power of two. Raises `InvalidProof` if they are out of order."""
    level = list(nodes)
    while len(level) > 1:
        level = [inner_node(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def verify_range(root: bytes, nodes: Sequence[bytes], proof: NmtProof, leaf_count: int) -> None:
    """Raises `InvalidProof` unless leaf nodes `nodes` are leaves [proof.start, proof.end) of the tree of `leaf_count`
    leaves (a power of two) under `root`."""
    if leaf_count < 1 or leaf_count & (leaf_count - 1):
        raise InvalidProof(f"a tree of {leaf_count} leaves is not one of a square")
    if not 0 <= proof.start < proof.end <= leaf_count:
        raise InvalidProof(f"range [{proof.start}, {proof.end}) does not lie in a tree of {leaf_count} leaves")
    if len(nodes) != proof.end - proof.start:
        raise InvalidProof(f"{len(nodes)} leaves were given for {proof.end - proof.start} places")
    for node in (*nodes, *proof.nodes):
        _check_node(node)
    leaves, siblings = iter(nodes), iter(proof.nodes)
    if _root(0, leaf_count, proof, leaves, siblings) != root:
        raise InvalidProof("a range proof leads to another root")
    if next(siblings, None) is not None:
        raise InvalidProof("a range proof has more nodes than its range needs")


def verify_shares(root: bytes, namespace: Namespace, shares: Sequence[bytes], proof: NmtProof, leaf_count: int) -> None:
    """Inclusion: the shares, all of one namespace, are leaves [proof.start, proof.end). Raises `InvalidProof`."""
    if proof.leaf_hash:
        raise InvalidProof("an absence proof does not show inclusion")
    verify_range(root, [leaf_node(namespace.raw, share) for share in shares], proof, leaf_count)


def verify_namespace(root: bytes, namespace: Namespace, shares: Sequence[bytes], proof: NmtProof, leaf_count: int) -> None:
    """Completeness: the shares are all of the namespace's leaves under `root`; with none, that there is no such leaf though the
    root's range covers the namespace. Raises `InvalidProof`."""
    if not covers(root, namespace):
        raise InvalidProof("the root's namespace range does not cover the namespace; no proof is needed")
    if shares:
        verify_shares(root, namespace, shares, proof, leaf_count)
    else:
        if proof.end != proof.start + 1 or len(proof.leaf_hash) != NODE_BYTES:
            raise InvalidProof("an absence proof shows one leaf")
        if min_namespace(proof.leaf_hash) <= namespace.raw:
            raise InvalidProof("the leaf of an absence proof does not lie behind the namespace")
        verify_range(root, [proof.leaf_hash], proof, leaf_count)
    left = _left_count(proof.start)
    if any(max_namespace(node) >= namespace.raw for node in proof.nodes[:left]):
        raise InvalidProof("a node left of the range may hold more of the namespace")
    if any(min_namespace(node) <= namespace.raw for node in proof.nodes[left:]):
        raise InvalidProof("a node right of the range may hold more of the namespace")


def covers(root: bytes, namespace: Namespace) -> bool:
    """Whether a leaf of the namespace could lie under this node."""
    return min_namespace(root) <= namespace.raw <= max_namespace(root)


def _check_node(node: bytes) -> None:
    if len(node) != NODE_BYTES:
        raise InvalidProof(f"a node is {NODE_BYTES} bytes, not {len(node)}")
    if max_namespace(node) < min_namespace(node):
        raise InvalidProof("a node's namespace range is upside down")


def _left_count(start: int) -> int:
    """How many maximal subtrees make up [0, start)."""
    return start.bit_count()


def _root(begin: int, end: int, proof: NmtProof, leaves: Iterator[bytes], siblings: Iterator[bytes]) -> bytes:
    if end <= proof.start or begin >= proof.end:
        node = next(siblings, None)
        if node is None:
            raise InvalidProof("a range proof has fewer nodes than its range needs")
        return node
    if end - begin == 1:
        return next(leaves)
    middle = (begin + end) // 2
    return inner_node(_root(begin, middle, proof, leaves, siblings), _root(middle, end, proof, leaves, siblings))
