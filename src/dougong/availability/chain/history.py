"""The history of data roots: an RFC 6962 tree with one leaf a height, which attestors sign.

    history = History()
    history.append(data_root)                   # of height 1, then 2, ...
    root = history.root(120)
    proof = history.prove(100, 120)             # that height 100 lies under the root at 120
    verify_history(root, 100, data_root, proof)

Source: docs/spec/attestation.md; RFC 6962, section 2.1. Complete subtrees are kept by level: an append makes two nodes on
average, a root takes about log N hashes and a proof log² N, and a height takes about 64 bytes.
"""

from __future__ import annotations

from dougong.crypto import merkle
from dougong.crypto.merkle import inner_hash, leaf_hash
from dougong.errors import InvalidInput, InvalidProof, NotFound
from dougong.types import HASH_BYTES, MerkleProof


def history_leaf(height: int, data_root: bytes) -> bytes:
    """The leaf of a height: 32 bytes of height, big-endian, and the data root."""
    if len(data_root) != HASH_BYTES or not 0 < height < 1 << 64:
        raise InvalidInput(f"a history leaf takes a height and a data root of {HASH_BYTES} bytes")
    return height.to_bytes(32) + data_root


def verify_history(root: bytes, height: int, data_root: bytes, proof: MerkleProof) -> None:
    """Raises `InvalidProof` unless `data_root` is that of `height` under an attested `root`."""
    if proof.index != height - 1:
        # The index fixes the path; the leaf holds the height as well, so neither can stand for another.
        raise InvalidProof(f"the proof is for height {proof.index + 1}, not {height}")
    merkle.verify(root, history_leaf(height, data_root), proof)


class History:
    """An append-only tree over the data roots of heights 1, 2, 3, … Not for concurrent writers."""

    def __init__(self) -> None:
        # levels[n][i] is the node over leaves [i * 2**n, (i + 1) * 2**n); only complete ones are kept.
        self._levels: list[list[bytes]] = [[]]

    def __len__(self) -> int:
        """The last height."""
        return len(self._levels[0])

    def append(self, data_root: bytes) -> int:
        """Adds the next height's data root; returns the height."""
        height = len(self) + 1
        node = leaf_hash(history_leaf(height, data_root))
        for level in range(height.bit_length()):
            if level == len(self._levels):
                self._levels.append([])
            nodes = self._levels[level]
            nodes.append(node)
            if len(nodes) % 2:
                break
            node = inner_hash(nodes[-2], nodes[-1])
        return height

    def root(self, height: int) -> bytes:
        """The root over heights 1 to `height`. Raises `NotFound` beyond the last."""
        self._check(height)
        return self._node(0, height)

    def prove(self, height: int, at: int) -> MerkleProof:
        """The proof of `height` under the root at `at`. Raises `NotFound` beyond the last."""
        self._check(at)
        if not 1 <= height <= at:
            raise NotFound(f"height {height} is not in a history up to {at}")
        siblings: list[bytes] = []
        start, end, index = 0, at, height - 1
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                siblings.append(self._node(middle, end))
                end = middle
            else:
                siblings.append(self._node(start, middle))
                start = middle
        return MerkleProof(height - 1, at, tuple(reversed(siblings)))

    def _check(self, height: int) -> None:
        if not 1 <= height <= len(self):
            raise NotFound(f"the history of data roots ends at {len(self)}: no root at {height}")

    def _node(self, start: int, end: int) -> bytes:
        """The node over leaves [start, end); `start` is a multiple of the next power of two of the width."""
        width = end - start
        if width & (width - 1) == 0:
            return self._levels[width.bit_length() - 1][start // width]
        middle = start + _split(width)
        return inner_hash(self._node(start, middle), self._node(middle, end))


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1
