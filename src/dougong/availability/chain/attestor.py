"""Attestors: they sign the history of data roots for settlement, once they have seen the data.

    attestor = Attestor(store, key, da_id)
    attestor.observe(header, shares)                    # downloaded; extended again and compared
    signature = attestor.sign(header.height, next_attestors_hash)

Source: docs/spec/attestation.md. Who might cheat: a node that serves shares which are not those of its header (they are extended
again and compared), one that serves two headers for a height (the first seen is kept on disk, the second raises
`Divergence`), and a crash between two signatures (what is signed is on disk before the signature leaves).
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong._native import ExtendedSquare
from dougong.availability.chain.history import History
from dougong.availability.square.served import ServedSquare
from dougong.crypto import merkle
from dougong.crypto.attestation import attestation_digest
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import Divergence, InvalidHeader, InvalidInput, StoreCorrupt
from dougong.store import Store, height_key
from dougong.types import HASH_BYTES, NAMESPACE_BYTES, SquareHeader

ROOTS, SIGNED = "attested_roots", "attested_signed"
TABLES = (ROOTS, SIGNED)


class Attestor:
    """One attestor's memory and key. Methods hash much and write to the disk: call them from a thread.

    `store` holds the tables in `TABLES`; `da_id` is the SHA-256 of the DA chain's genesis document.
    """

    def __init__(self, store: Store, key: Secp256k1Key, da_id: bytes) -> None:
        """Raises `StoreCorrupt` if the heights in the store have a gap."""
        self._store = store
        self._key = key
        self._da_id = da_id
        self._roots: list[bytes] = []
        self.history = History()
        for key_bytes, data_root in store.items(ROOTS):
            if int.from_bytes(key_bytes) != len(self.history) + 1 or len(data_root) != HASH_BYTES:
                raise StoreCorrupt("an attestor's data roots have a gap", remedy="remove its folder: it will download again")
            self._append(data_root)

    @property
    def address(self) -> bytes:
        return self._key.address

    @property
    def height(self) -> int:
        """The last height whose square was checked."""
        return len(self.history)

    def observe(self, header: SquareHeader, shares: Sequence[bytes]) -> None:
        """Takes the next height. Raises `InvalidHeader` if the shares do not extend to the header, `Divergence` if a height seen
        before now has another data root, `InvalidInput` for a height that is not the next."""
        if header.height <= self.height:
            if header.height < 1 or self._roots[header.height - 1] != header.data_root:
                raise Divergence(f"height {header.height} has data root {header.data_root.hex()} now, and had another")
            return
        if header.height != self.height + 1:
            raise InvalidInput(f"the next height to check is {self.height + 1}, not {header.height}")
        check_square(header, shares)
        self._accept(header)

    def _accept(self, header: SquareHeader) -> None:
        with self._store.write() as txn:
            txn.put(ROOTS, height_key(header.height), header.data_root)
        self._append(header.data_root)

    def sign(self, height: int, next_attestors_hash: bytes) -> bytes:
        """The signature (65 bytes) over the history up to `height`. The same again when asked again; `Divergence` when asked to
        sign anything else for a height that is signed. Raises `NotFound` for a height that was not checked yet."""
        digest = attestation_digest(self._da_id, height, self.history.root(height), next_attestors_hash)
        signature = self._key.sign_digest(digest)
        with self._store.write() as txn:
            kept = txn.get(SIGNED, height_key(height))
            if kept is not None and kept != digest:
                raise Divergence(f"height {height} is signed already: refusing to sign {digest.hex()} beside {kept.hex()}")
            txn.put(SIGNED, height_key(height), digest)
        return signature

    def _append(self, data_root: bytes) -> None:
        self._roots.append(data_root)
        self.history.append(data_root)


class SquareMismatch(InvalidHeader):
    """Shares that do not extend to a header: either its data root commits to no square, or whoever served the shares lied. Cells
    proven under its roots tell. `suspects` are the axes (0 for a row, 1 for a column; index) whose roots differ."""

    def __init__(self, message: str, suspects: tuple[tuple[int, int], ...]) -> None:
        super().__init__(message, remedy="ask for cells of those axes with proofs, or another node")
        self.suspects = suspects


def check_square(header: SquareHeader, shares: Sequence[bytes]) -> ServedSquare:
    """The extended square. Raises `InvalidHeader` unless `shares`, extended, have exactly the header's roots and those the data
    root; `SquareMismatch` where it is the roots that differ."""
    if len(shares) != header.square_size**2:
        raise InvalidHeader(f"block {header.height}: {len(shares)} shares are not a square of width {header.square_size}")
    try:
        square = ExtendedSquare(b"".join(shares))
    except ValueError as error:
        suspects = _disordered(header.square_size, shares)
        raise SquareMismatch(f"block {header.height}: its shares make no square: {error}", suspects) from error
    found = square.row_roots(), square.column_roots()
    suspects = tuple(
        (axis, index)
        for axis, roots in enumerate((header.row_roots, header.column_roots))
        for index, root in enumerate(roots)
        if found[axis][index] != root
    )
    if suspects:
        raise SquareMismatch(f"block {header.height}: its shares extend to other roots than its header has", suspects)
    if merkle.root([*header.row_roots, *header.column_roots]) != header.data_root:
        raise InvalidHeader(f"block {header.height}: its roots do not hash to its data root")
    return ServedSquare(header, square)


def _disordered(k: int, shares: Sequence[bytes]) -> tuple[tuple[int, int], ...]:
    """The rows and columns of an original square whose namespaces are out of order."""
    namespaces = [share[:NAMESPACE_BYTES] for share in shares]
    axes = {(0, row): namespaces[row * k : (row + 1) * k] for row in range(k)}
    axes |= {(1, column): namespaces[column::k] for column in range(k)}
    return tuple(axis for axis, found in axes.items() if found != sorted(found))
