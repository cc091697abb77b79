"""Framing: what is written is read, one way only, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dougong.availability.kzg import (
    DATA_BYTES_PER_BLOB,
    MAX_BLOBS_PER_FRAME,
    USABLE_BYTES_PER_BLOB,
    blobs_needed,
    claimed_head,
    frame,
    pack,
    read_head,
    unframe,
    unpack,
)
from dougong.availability.kzg.params import BLS_MODULUS, BYTES_PER_BLOB, BYTES_PER_CELL
from dougong.errors import InvalidBlob, InvalidInput
from dougong.types import Blob, Namespace

SENDER, STRANGER = b"\x5e" * 20, b"\x57" * 20
USER = Namespace.user(b"framed")


def data(size: int) -> bytes:
    return (sha256(size.to_bytes(8)).digest() * (size // 32 + 1))[:size]


def every_element(blob: bytes) -> list[int]:
    return [int.from_bytes(blob[at : at + 32]) for at in range(0, len(blob), 32)]


def test_the_head_is_where_the_specification_says() -> None:
    """docs/spec/blobs.md, by hand: two elements and two bytes of a third, each behind a zero byte."""
    (blob,) = frame(Blob(USER, b"\xda\xda", 1, SENDER))
    head = b"dougong\0" + USER.raw + bytes([1, 0, 1]) + (2).to_bytes(4) + SENDER
    assert len(head) == 64
    content = head + b"\xda\xda"
    assert blob[:96] == b"\0" + content[:31] + b"\0" + content[31:62] + b"\0" + content[62:].ljust(31, b"\0")
    assert not any(blob[96:])


@pytest.mark.parametrize(
    "size",
    [1, 31, DATA_BYTES_PER_BLOB - 1, DATA_BYTES_PER_BLOB, DATA_BYTES_PER_BLOB + 1, 3 * DATA_BYTES_PER_BLOB, 700_000],
)
@pytest.mark.parametrize("signer", [b"", SENDER])
def test_what_is_written_is_read(size: int, signer: bytes) -> None:
    blob = Blob(USER, data(size), int(bool(signer)), signer)
    blobs = frame(blob)
    assert len(blobs) == blobs_needed(size)
    assert all(len(one) == BYTES_PER_BLOB for one in blobs)
    assert all(element < BLS_MODULUS for one in blobs for element in every_element(one))
    assert unframe(blobs, SENDER) == blob
    assert unframe(blobs, STRANGER) == (None if signer else blob)
    for index, one in enumerate(blobs):
        head = read_head(one[:BYTES_PER_CELL])
        assert head is not None
        assert (head.namespace, head.index, head.count, head.length) == (USER, index, len(blobs), size)


def test_what_cannot_be_published_is_refused() -> None:
    largest = MAX_BLOBS_PER_FRAME * DATA_BYTES_PER_BLOB
    assert len(frame(Blob(USER, bytes(largest)))) == MAX_BLOBS_PER_FRAME
    for blob in (
        Blob(USER, b""),
        Blob(USER, bytes(largest + 1)),
        Blob(USER, b"x", 2),
        Blob(USER, b"x", 0, SENDER),
        Blob(USER, b"x", 1),
        Blob(USER, b"x", 1, SENDER[:19]),
        Blob(Namespace(bytes(29)), b"x"),
        Blob(Namespace(b"\xff" * 29), b"x"),
    ):
        with pytest.raises(InvalidBlob):
            frame(blob)


def test_only_all_of_them_in_order_are_a_blob() -> None:
    blobs = frame(Blob(USER, data(2 * DATA_BYTES_PER_BLOB + 5)))
    one, two, three = blobs
    others = frame(Blob(USER, data(2 * DATA_BYTES_PER_BLOB + 6)))
    for changed in (
        (),
        (one,),
        (one, two),
        (two, three),
        (two, one, three),
        (one, three, two),
        (one, one, two, three),
        (*blobs, one),
        (one, two, others[2]),
        (one, two, three[:-1]),
        (one, two, three + b"\0"),
    ):
        assert unframe(changed, SENDER) is None


@pytest.mark.parametrize("at", [0, 1, 7, 8, 9, 36, 37, 38, 39, 40, 43, 44, 63])
def test_a_changed_head_is_another_blob_or_none(at: int) -> None:
    """In share version 0 no byte of the head may change but the namespace's (and the length's, where padding allows it)."""
    (blob,) = frame(Blob(USER, b"\1"))
    content = unpack(blob)
    assert content is not None
    for value in range(256):
        if value != content[at]:
            changed = unframe([pack(content[:at] + bytes([value]) + content[at + 1 :])], SENDER)
            if at == 36:
                assert changed is None or changed == Blob(Namespace(USER.raw[:-1] + bytes([value])), b"\1")
            elif at == 43:
                assert changed is None or changed == Blob(USER, b"\1".ljust(value, b"\0"))
            elif at == 9:
                assert changed is None
            else:
                assert changed is None, f"byte {at} may be {value}"


def test_padding_and_top_bytes_must_be_zero() -> None:
    (blob,) = frame(Blob(USER, b"short"))
    for at in (32 * 3, 32 * 3 + 1, 32 * 64, BYTES_PER_BLOB - 32, BYTES_PER_BLOB - 1, 0, 32):
        assert unframe([blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]], SENDER) is None


def test_a_first_cell_says_whose_the_blobs_are() -> None:
    signed = frame(Blob(USER, data(DATA_BYTES_PER_BLOB + 1), 1, SENDER))
    cell = signed[0][:BYTES_PER_CELL]
    head = claimed_head(cell, 2, SENDER)
    assert head is not None
    assert head.namespace == USER
    assert claimed_head(cell, 1, SENDER) is None, "a transaction of one blob"
    assert claimed_head(cell, 2, STRANGER) is None, "copied by a stranger"
    assert claimed_head(signed[1][:BYTES_PER_CELL], 2, SENDER) is None, "the second blob is not the first"
    assert claimed_head(cell[:32], 2, SENDER) is None, "less than a head"


@given(st.binary(max_size=300), st.integers(0, 3))
def test_reading_is_total(raw: bytes, kind: int) -> None:
    starts = (b"", b"\0dougong\0", b"\0dougong\0" + USER.raw[:23] + b"\0" + USER.raw[23:], frame(Blob(USER, b"x"))[0][:70])
    read_head(starts[kind] + raw)
    read_head((starts[kind] + raw).ljust(BYTES_PER_CELL, b"\0")[:BYTES_PER_CELL])
    unframe([(starts[kind] + raw).ljust(BYTES_PER_BLOB, b"\0")], SENDER)
    unframe([raw], SENDER)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, USABLE_BYTES_PER_BLOB - 200), st.integers(0, 1))
def test_there_is_one_way_to_write_what_is_read(noise: bytes, at: int, version: int) -> None:
    """Whatever is read frames again to the same bytes."""
    (blob,) = frame(Blob(USER, b"\1" * 100_000, version, SENDER if version else b""))
    content = unpack(blob)
    assert content is not None
    noisy = [pack(content[:at] + noise + content[at + len(noise) :])]
    found = unframe(noisy, SENDER)
    assert found is None or list(frame(found)) == noisy


def test_packing() -> None:
    full = data(USABLE_BYTES_PER_BLOB)
    assert unpack(pack(full)) == full
    assert all(element < BLS_MODULUS for element in every_element(pack(b"\xff" * USABLE_BYTES_PER_BLOB)))
    with pytest.raises(InvalidInput):
        pack(full + b"\0")
    assert unpack(BLS_MODULUS.to_bytes(32)) is None
    assert unpack(bytes(33)) is None


def test_heads_encode_what_was_read() -> None:
    head = read_head(frame(Blob(USER, data(300_000)))[1])
    assert head is not None
    assert unpack(frame(Blob(USER, data(300_000)))[1][:96])[:64] == head.encode()  # type: ignore[index]
    assert replace(head, index=0).encode() != head.encode()
