"""The history of data roots against the plain RFC 6962 tree, and proofs that must not pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dougong.availability.chain.history import History, history_leaf, verify_history
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput, InvalidProof, NotFound

ROOTS = [sha256(number.to_bytes(4)) for number in range(130)]


def filled(count: int) -> History:
    history = History()
    for height, data_root in enumerate(ROOTS[:count], 1):
        assert history.append(data_root) == height
    return history


def test_roots_and_proofs_at_every_length_are_those_of_the_plain_tree() -> None:
    history = filled(len(ROOTS))
    leaves = [history_leaf(height, data_root) for height, data_root in enumerate(ROOTS, 1)]
    for at in range(1, len(ROOTS) + 1):
        root = history.root(at)
        assert root == merkle.root(leaves[:at])
        for height in {1, 2, at // 2 + 1, at - 1, at} - {0}:
            proof = history.prove(height, at) if height <= at else history.prove(at, at)
            assert proof == merkle.prove(leaves[:at], proof.index)
            verify_history(root, proof.index + 1, ROOTS[proof.index], proof)


def test_what_is_not_in_the_history_is_not_proven() -> None:
    history = filled(20)
    root, proof = history.root(20), history.prove(7, 20)
    verify_history(root, 7, ROOTS[6], proof)
    false = [
        (7, ROOTS[7], proof),
        (8, ROOTS[6], proof),
        (8, ROOTS[7], proof),
        (7, ROOTS[6], replace(proof, index=7)),
        (7, ROOTS[6], replace(proof, siblings=proof.siblings[:-1])),
        (7, ROOTS[6], replace(proof, siblings=(*proof.siblings, bytes(32)))),
        (7, ROOTS[6], history.prove(7, 19)),
        (7, ROOTS[6], replace(proof, total=2**70)),
        (1, ROOTS[6], replace(proof, index=0, total=1, siblings=())),
    ]
    for height, data_root, offered in false:
        with pytest.raises(InvalidProof):
            verify_history(root, height, data_root, offered)


def test_there_is_nothing_beyond_the_end() -> None:
    history = filled(5)
    for height, at in ((1, 6), (6, 6), (0, 5), (5, 4), (1, 0)):
        with pytest.raises(NotFound):
            history.prove(height, at)
    with pytest.raises(NotFound):
        History().root(0)
    with pytest.raises(InvalidInput):
        history.append(b"short")


def test_long_histories_are_quick_to_prove() -> None:
    history = History()
    for _ in range(100_000):
        history.append(ROOTS[0])
    for at in (99_999, 100_000, 65_537):
        proof = history.prove(31_337, at)
        assert len(proof.siblings) <= 17
        verify_history(history.root(at), 31_337, ROOTS[0], proof)
