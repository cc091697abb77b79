"""Which shares are a batch: one well-formed blob, or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.availability.square.layout import SquareBuilder
from dougong.availability.square.reading import blob_in_shares, shares_at
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.shares import padding_share, split_blob
from dougong.availability.square.wire import BlobTx
from dougong.errors import InvalidProof
from dougong.services.rollup.derivation import signed_batches
from dougong.types import Blob, Namespace, PlacedBlob, Placement, SquareNamespaceData

ALPHA, BETA = Namespace.user(b"alpha"), Namespace.user(b"beta")
SIGNER = b"\x05" * 20


@given(st.binary(min_size=1, max_size=3_000), st.sampled_from([0, 1]))
def test_one_whole_blob_is_read_back(data: bytes, version: int) -> None:
    blob = Blob(ALPHA, data, version, SIGNER if version else b"")
    shares = split_blob(blob)
    assert blob_in_shares(shares, ALPHA) == blob
    assert blob_in_shares(shares, BETA) is None
    assert blob_in_shares(shares[:-1], ALPHA) is None
    assert blob_in_shares([*shares, *shares], ALPHA) is None
    assert blob_in_shares([*shares, padding_share(ALPHA)], ALPHA) is None


@given(st.lists(st.binary(min_size=0, max_size=600), max_size=4))
def test_any_bytes_are_an_answer(shares: list[bytes]) -> None:
    blob_in_shares(shares, ALPHA)
    blob_in_shares([share.ljust(512, b"\0")[:512] for share in shares], ALPHA)


def test_shares_of_two_namespaces_are_no_batch() -> None:
    one, other = split_blob(Blob(ALPHA, b"a" * 900)), split_blob(Blob(BETA, b"b" * 900))
    assert blob_in_shares([one[0], *other[1:]], ALPHA) is None


def test_only_the_sequencers_signed_blobs_are_batches_in_order_of_place() -> None:
    def placed(start: int, blob: Blob) -> PlacedBlob:
        return PlacedBlob(blob, Placement(7, bytes(32), start, 1))

    second, first = placed(9, Blob(ALPHA, b"b", 1, SIGNER)), placed(2, Blob(ALPHA, b"a", 1, SIGNER))
    others = (placed(1, Blob(ALPHA, b"c")), placed(3, Blob(ALPHA, b"d", 1, bytes(20))))
    found = SquareNamespaceData(7, ALPHA, (second, *others, first), ())
    assert signed_batches(found, SIGNER) == (first, second)


def test_a_run_across_namespaces_is_proven_all_the_same() -> None:
    builder = SquareBuilder(max_size=16)
    for blob in (Blob(ALPHA, b"a" * 900), Blob(BETA, b"b" * 900)):
        assert builder.append_blob_tx(BlobTx(b"signed", (blob,)))
    square = ServedSquare.extend(builder.square().data, height=7, time_ns=0)
    placement = Placement(7, square.header.data_root, 0, square.header.square_size**2)
    proof = square.prove(placement)
    assert shares_at(placement, proof) == list(square.original())
    with pytest.raises(InvalidProof):
        shares_at(replace(placement, share_count=placement.share_count - 1), proof)
    with pytest.raises(InvalidProof):
        shares_at(replace(placement, start_share=1, share_count=placement.share_count - 1), proof)
    with pytest.raises(InvalidProof):
        shares_at(placement, replace(proof, rows=proof.rows[:-1]))
    with pytest.raises(InvalidProof):
        shares_at(placement, replace(proof, rows=()))
