"""The block, its parts and the hashes that its header takes from its content.

    header = replace(header, data_hash=data_hash(txs))
    block_id = block_id_of(header, encode_block(header, txs, last_commit))

Source: CometBFT v0.38, types/block.go, types/part_set.go, types/tx.go, types/results.go, types/params.go. Blocks carry
no evidence of double signing: one validator has no peer to accuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dougong.codec.protobuf import Reader, Writer
from dougong.consensus.commit import Commit
from dougong.consensus.header import BlockId, Header
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput
from dougong.types import TxResult

PART_BYTES = 65536
MAX_BLOCK_BYTES = 100 << 20
EVIDENCE_HASH = merkle.EMPTY_ROOT

# What a block may weigh besides its transactions, as CometBFT reckons it.
_OVERHEAD_BYTES, _HEADER_BYTES, _COMMIT_BYTES, _COMMIT_SIG_BYTES = 11, 626, 94, 111


@dataclass(frozen=True, slots=True)
class ConsensusParams:
    """The limits that the header commits to. `max_bytes` bounds a block; `max_gas` -1 means no limit.

    The other fields of CometBFT's parameters are at its defaults in every genesis document that we write, and what they rule
    (evidence, vote extensions) does not arise with one validator.
    """

    max_bytes: int = 22_020_096
    max_gas: int = -1
    app_version: int = 0

    def hash(self) -> bytes:
        return sha256(Writer().uint(1, self.max_bytes).uint(2, self.max_gas).done())

    def max_tx_bytes(self, validators: int) -> int:
        """What a block's transactions may weigh together, with two to five bytes of protobuf around each."""
        limit = MAX_BLOCK_BYTES if self.max_bytes == -1 else self.max_bytes
        return limit - _OVERHEAD_BYTES - _HEADER_BYTES - _COMMIT_BYTES - _COMMIT_SIG_BYTES * validators


def tx_weight(tx: bytes) -> int:
    """The bytes that a transaction takes in a block: itself, a tag and its length."""
    return 1 + (max(len(tx).bit_length(), 1) + 6) // 7 + len(tx)


def tx_hash(tx: bytes) -> bytes:
    return sha256(tx)


def data_hash(txs: Iterable[bytes]) -> bytes:
    """The RFC 6962 root whose leaves are the transactions' SHA-256 hashes."""
    return merkle.root([sha256(tx) for tx in txs])


def results_hash(results: Iterable[TxResult]) -> bytes:
    """The RFC 6962 root over the deterministic part (code, data, gas) of each result."""
    return merkle.root(
        [
            Writer().uint(1, result.code).bytes(2, result.data).uint(5, result.gas_wanted).uint(6, result.gas_used).done()
            for result in results
        ]
    )


def encode_results(results: Iterable[TxResult], app_hash: bytes) -> bytes:
    """A block's outcome as stored: ResponseFinalizeBlock with its transaction results (2) and app hash (5)."""
    writer = Writer()
    for result in results:
        writer.message(
            2,
            Writer()
            .uint(1, result.code)
            .bytes(2, result.data)
            .string(3, result.log)
            .uint(5, result.gas_wanted)
            .uint(6, result.gas_used)
            .done(),
            always=True,
        )
    return writer.bytes(5, app_hash).done()


def decode_results(data: bytes) -> tuple[tuple[TxResult, ...], bytes]:
    """(results, app hash). Raises `InvalidInput`."""
    outer = Reader(data, (2, 5), repeated=(2,))
    results = []
    for entry in outer.many(2):
        reader = Reader(entry, (1, 2, 3, 5, 6))
        results.append(TxResult(reader.uint(1), reader.raw(2), reader.text(3), reader.sint(5), reader.sint(6)))
    return tuple(results), outer.raw(5)


def encode_block(header: Header, txs: Sequence[bytes], last_commit: Commit) -> bytes:
    data = Writer()
    for tx in txs:
        data.message(1, tx, always=True)
    return (
        Writer()
        .message(1, header.encode(), always=True)
        .message(2, data.done(), always=True)
        .message(3, b"", always=True)
        .message(4, last_commit.encode(), always=True)
        .done()
    )


def decode_block(data: bytes) -> tuple[Header, tuple[bytes, ...], Commit]:
    """Raises `InvalidInput` for anything that `encode_block` does not write."""
    reader = Reader(data, range(1, 5))
    if reader.raw(3):
        raise InvalidInput("a block carries evidence")
    txs = Reader(reader.raw(2), (1,), repeated=(1,)).many(1)
    return Header.decode(reader.raw(1)), tuple(txs), Commit.decode(reader.raw(4))


def block_id_of(header: Header, block: bytes) -> BlockId:
    """The id of an encoded block: its header's hash, and the count and root of its 64 KiB parts."""
    parts = [block[start : start + PART_BYTES] for start in range(0, len(block), PART_BYTES)]
    return BlockId(header.hash(), len(parts), merkle.root(parts))
