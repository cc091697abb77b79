"""RFC 6962 trees: known roots, and proofs that show one leaf and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.crypto import merkle
from dougong.errors import InvalidProof

# The test tree of RFC 6962's reference implementation (certificate-transparency, merkletree tests).
RFC_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
RFC_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_of_the_reference_tree(count: int) -> None:
    assert merkle.root(RFC_LEAVES[:count]).hex() == RFC_ROOTS[count - 1]


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70), st.data())
def test_every_leaf_is_proven_at_its_place_only(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle.root(leaves), merkle.prove(leaves, index)
    merkle.verify(root, leaves[index], proof)
    with pytest.raises(InvalidProof):
        merkle.verify(root, leaves[index] + b"\0", proof)
    other = data.draw(st.integers(0, len(leaves) - 1))
    if leaves[other] != leaves[index]:
        with pytest.raises(InvalidProof):
            merkle.verify(root, leaves[index], replace(proof, index=other))


@given(st.lists(st.binary(min_size=1, max_size=8), min_size=2, max_size=40, unique=True), st.data())
def test_a_changed_sibling_or_shape_is_refused(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle.root(leaves), merkle.prove(leaves, index)
    place = data.draw(st.integers(0, len(proof.siblings) - 1))
    changed = bytes([proof.siblings[place][0] ^ 1]) + proof.siblings[place][1:]
    for bad in (
        replace(proof, siblings=(*proof.siblings[:place], changed, *proof.siblings[place + 1 :])),
        replace(proof, siblings=proof.siblings[:-1]),
        replace(proof, siblings=(*proof.siblings, bytes(32))),
        replace(proof, siblings=(b"short", *proof.siblings[1:])),
        replace(proof, index=proof.total),
        replace(proof, index=-1),
    ):
        with pytest.raises(InvalidProof):
            merkle.verify(root, leaves[index], bad)


def test_an_inner_node_is_not_a_leaf() -> None:
    """The second-preimage attack that the prefixes are there for."""
    leaves = [b"a", b"b", b"c", b"d"]
    left = merkle.leaf_hash(b"a") + merkle.leaf_hash(b"b")
    right = merkle.inner_hash(merkle.leaf_hash(b"c"), merkle.leaf_hash(b"d"))
    shorter = replace(merkle.prove([b"x", b"y"], 0), siblings=(right,))
    with pytest.raises(InvalidProof):
        merkle.verify(merkle.root(leaves), left, shorter)


def test_no_proof_for_a_leaf_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        merkle.prove([b"a"], 1)
