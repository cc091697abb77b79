"""RLP against Ethereum's published examples and an independent reading of the definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.codec.rlp import Item, encode


# ethereum/tests, RLPTests/rlptest.json
@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (b"", "80"),
        (b"\0", "00"),
        (b"\x7f", "7f"),
        (b"\x80", "8180"),
        (b"dog", "83646f67"),
        (0, "80"),
        (1, "01"),
        (1000, "8203e8"),
        (2**256, "a1010000000000000000000000000000000000000000000000000000000000000000"),
        ([], "c0"),
        ([b"dog", b"god", b"cat"], "cc83646f6783676f6483636174"),
        ([[[], []], []], "c4c2c0c0c0"),
        (
            b"Lorem ipsum dolor sit amet, consectetur adipisicing eli",
            "b7" + b"Lorem ipsum dolor sit amet, consectetur adipisicing eli".hex(),
        ),
        (
            b"Lorem ipsum dolor sit amet, consectetur adipisicing elit",
            "b838" + b"Lorem ipsum dolor sit amet, consectetur adipisicing elit".hex(),
        ),
        (b"\1" * 1024, "b90400" + "01" * 1024),
    ],
)
def test_published_examples(item: Item, expected: str) -> None:
    assert encode(item).hex() == expected


def decode(data: bytes) -> tuple[object, bytes]:
    """(item, what follows): the inverse, written from the yellow paper's definition."""
    head = data[0]
    if head < 0x80:
        return data[:1], data[1:]
    base = 0x80 if head < 0xC0 else 0xC0
    if head - base < 56:
        size, start = head - base, 1
    else:
        start = 1 + head - base - 55
        size = int.from_bytes(data[1:start])
    body, rest = data[start : start + size], data[start + size :]
    if base == 0x80:
        return body, rest
    items = []
    while body:
        item, body = decode(body)
        items.append(item)
    return items, rest


@given(st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6), max_leaves=30))
def test_nothing_is_lost(item: Item) -> None:
    assert decode(encode(item)) == (item, b"")
