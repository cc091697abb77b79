"""An attestor signs what it has seen whole, once a height, also across restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dougong.availability.chain.attestor import TABLES, Attestor
from dougong.availability.chain.history import verify_history
from dougong.availability.square.layout import SquareBuilder
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.wire import BlobTx
from dougong.crypto.attestation import attestation_digest
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key, recover_address
from dougong.errors import Divergence, DougongError, InvalidHeader, InvalidInput, NotFound, StoreCorrupt
from dougong.store import Store, height_key
from dougong.types import Blob, Namespace, SquareHeader

KEY = Secp256k1Key(b"\3" * 32)
DA_ID, NEXT = sha256(b"genesis"), sha256(b"set")


def square(height: int, data: bytes = b"data") -> ServedSquare:
    builder = SquareBuilder(16)
    assert builder.append_blob_tx(BlobTx(b"signed %d" % height, (Blob(Namespace.user(b"alpha"), data * 500),)))
    return ServedSquare.extend(builder.square().data, height=height, time_ns=height)


@contextmanager
def opened(folder: Path) -> Iterator[Attestor]:
    store = Store(folder, TABLES)
    try:
        yield Attestor(store, KEY, DA_ID)
    finally:
        store.close()


def test_it_signs_the_history_that_it_has_seen(tmp_path: Path) -> None:
    squares = [square(height) for height in range(1, 6)]
    with opened(tmp_path) as attestor:
        for served in squares:
            attestor.observe(served.header, served.original())
        root = attestor.history.root(5)
        signature = attestor.sign(5, NEXT)
        assert recover_address(attestation_digest(DA_ID, 5, root, NEXT), signature) == attestor.address == KEY.address
        verify_history(root, 3, squares[2].header.data_root, attestor.history.prove(3, 5))
        with pytest.raises(NotFound):
            attestor.sign(6, NEXT)
    with opened(tmp_path) as attestor:
        assert attestor.height == 5
        assert attestor.sign(5, NEXT) == signature, "asked again, it says the same"
        with pytest.raises(Divergence, match="signed"):
            attestor.sign(5, sha256(b"another set"))


def test_it_never_takes_a_second_data_root_for_a_height(tmp_path: Path) -> None:
    one, other = square(1), square(1, b"other")
    with opened(tmp_path) as attestor:
        attestor.observe(one.header, one.original())
        attestor.observe(one.header, one.original())
        with pytest.raises(Divergence):
            attestor.observe(other.header, other.original())
    with opened(tmp_path) as attestor, pytest.raises(Divergence):
        attestor.observe(other.header, other.original())


def test_another_history_for_a_signed_height_is_not_signed(tmp_path: Path) -> None:
    one, other = square(1), square(1, b"other")
    with opened(tmp_path) as attestor:
        attestor.observe(one.header, one.original())
        attestor.sign(1, NEXT)
    store = Store(tmp_path, TABLES)
    with store.write() as txn:
        txn.put("attested_roots", height_key(1), other.header.data_root)  # someone tampers with what was seen
    store.close()
    with opened(tmp_path) as attestor, pytest.raises(Divergence):
        attestor.sign(1, NEXT)


def false_headers(honest: SquareHeader) -> list[SquareHeader]:
    rows, columns = honest.row_roots, honest.column_roots
    return [
        replace(honest, data_root=bytes(32)),
        replace(honest, row_roots=(rows[1], rows[0], *rows[2:])),
        replace(honest, row_roots=columns, column_roots=rows),
        replace(honest, row_roots=rows[:2], column_roots=columns[:2]),
        replace(honest, row_roots=(), column_roots=()),
    ]


def test_it_does_not_believe_a_header_without_its_data(tmp_path: Path) -> None:
    served, other = square(1), square(1, b"other")
    shares = served.original()
    with opened(tmp_path) as attestor:
        for header in false_headers(served.header):
            with pytest.raises(InvalidHeader):
                attestor.observe(header, shares)
        bad = [shares[:-1], [], [*shares, shares[-1]], other.original(), [shares[0][:-1], *shares[1:]], shares[::-1]]
        for offered in bad:
            with pytest.raises(InvalidHeader):
                attestor.observe(served.header, offered)
        for height in (2, 0, -1):
            with pytest.raises(DougongError):
                attestor.observe(replace(served.header, height=height), shares)
        assert attestor.height == 0
        attestor.observe(served.header, shares)
        with pytest.raises(InvalidInput, match="next height"):
            attestor.observe(square(3).header, square(3).original())


def test_a_gap_in_what_was_seen_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path, TABLES)
    with store.write() as txn:
        txn.put("attested_roots", height_key(2), bytes(32))
    store.close()
    with pytest.raises(StoreCorrupt, match="gap"), opened(tmp_path):
        pass
