"""Blobs of Ethereum: how a namespaced blob is framed in field elements, and what a node says of a block."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from dougong.availability.ethereum.block import encode_transaction, read_block
from dougong.availability.kzg.frames import FrameHead, frame, read_head, unframe
from dougong.availability.kzg.packing import pack, unpack
from dougong.availability.kzg.params import BYTES_PER_BLOB, BYTES_PER_CELL
from dougong.types import Blob, Namespace
from fuzz.target import Target, accepted

SENDER = b"\5" * 20
SHORT = Blob(Namespace.user(b"alpha"), b"short")
SIGNED = Blob(Namespace.user(b"alpha"), b"signed", 1, SENDER)


def _check_frame(data: bytes) -> None:
    """The head of a blob whose rest is zero, and the blob behind it."""
    blob = data[:BYTES_PER_BLOB].ljust(BYTES_PER_BLOB, b"\0")
    head = read_head(blob[:BYTES_PER_CELL])
    if head is not None:
        assert isinstance(head, FrameHead)
        content = unpack(blob[:BYTES_PER_CELL])
        assert content is not None
        assert content.startswith(head.encode())
    found = unframe([blob], SENDER)
    if found is not None:
        assert frame(found) == (blob,), "a blob is read from two forms"
        assert found.signer in (b"", SENDER)
    content = unpack(blob)
    if content is not None:
        assert pack(content) == blob


def _frames() -> Iterator[bytes]:
    for blob in (SHORT, SIGNED):
        yield frame(blob)[0].rstrip(b"\0")


def _check_block(data: bytes) -> None:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    raw = accepted(lambda _: encode_transaction(value), data)
    assert raw is None or raw[0] in (1, 2, 3, 4) or raw[0] >= 0xC0
    block = accepted(lambda _: read_block(value), data)
    assert block is None, "a block was taken whose hash nobody computed"


def _blocks() -> Iterator[bytes]:
    word, address = "0x" + "11" * 32, "0x" + "22" * 20
    tx = {
        **dict.fromkeys(("chainId", "nonce", "gas", "value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"), "0x7"),
        **dict.fromkeys(("maxFeePerBlobGas", "r", "s", "v", "yParity"), "0x1"),
        "to": address,
        "input": "0xab",
        "accessList": [{"address": address, "storageKeys": [word]}],
        "authorizationList": [{"chainId": "0x1", "address": address, "nonce": "0x0", "yParity": "0x1", "r": "0x5", "s": "0x6"}],
        "blobVersionedHashes": ["0x01" + "11" * 31],
    }
    txs = [{**tx, "type": hex(kind)} for kind in range(5)]
    words = (
        "hash",
        "parentHash",
        "sha3Uncles",
        "stateRoot",
        "transactionsRoot",
        "receiptsRoot",
        "mixHash",
        "parentBeaconBlockRoot",
    )
    numbers = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas")
    header = {
        **dict.fromkeys(words, word),
        **dict.fromkeys(numbers, "0x0"),
        "miner": address,
        "logsBloom": "0x00",
        "extraData": "0x",
    }
    yield from (orjson.dumps(one) for one in txs)
    yield orjson.dumps({**header, "miner": address, "nonce": "0x0000000000000000", "transactions": txs})


TARGETS = (
    Target("frame", _check_frame, _frames, runs=5_000),
    Target("ethereum-block", _check_block, _blocks, max_bytes=8192),
)
