"""CometBFT's header and block id, bit for bit.

    header = Header.decode(signed.header)          # strict: other bytes never decode to the same header
    header.hash()                                  # what a commit signs

Source: CometBFT v0.38, spec/core/data_structures.md and spec/core/encoding.md. The hash is the RFC 6962 root over the
fourteen fields, each in protobuf (plain values inside their well-known wrapper, empty ones as an empty leaf).
"""

from __future__ import annotations

from dataclasses import dataclass

from dougong.codec.protobuf import Reader, Writer
from dougong.codec.timestamp import decode_time, encode_time
from dougong.crypto import merkle
from dougong.errors import InvalidHeader, InvalidInput
from dougong.types import ADDRESS_BYTES, HASH_BYTES

BLOCK_PROTOCOL = 11
MAX_CHAIN_ID_BYTES = 50


@dataclass(frozen=True, slots=True)
class BlockId:
    """A block's header hash, and the count and Merkle root of the 64 KiB parts that the whole block is cut into.

    The zero value stands for "no block" (before the first one, and in a vote for nil).
    """

    hash: bytes = b""
    parts_total: int = 0
    parts_hash: bytes = b""

    def encode(self) -> bytes:
        parts = Writer().uint(1, self.parts_total).bytes(2, self.parts_hash).done()
        return Writer().bytes(1, self.hash).message(2, parts, always=True).done()

    @classmethod
    def decode(cls, data: bytes) -> BlockId:
        reader = Reader(data, (1, 2))
        parts = Reader(reader.raw(2), (1, 2))
        block_id = cls(reader.raw(1), parts.uint(1), parts.raw(2))
        sizes = (len(block_id.hash), len(block_id.parts_hash))
        if sizes not in ((0, 0), (HASH_BYTES, HASH_BYTES)) or block_id.parts_total >> 32:
            raise InvalidInput("a block id holds a hash that is not 32 bytes")
        return block_id

    @property
    def is_zero(self) -> bool:
        return self == NO_BLOCK


NO_BLOCK = BlockId()


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header. `app_hash` and `last_results_hash` are the outcome of the block *before* this one."""

    chain_id: str
    height: int
    time_ns: int
    last_block_id: BlockId
    last_commit_hash: bytes
    data_hash: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    consensus_hash: bytes
    app_hash: bytes
    last_results_hash: bytes
    evidence_hash: bytes
    proposer_address: bytes
    app_version: int = 0
    block_version: int = BLOCK_PROTOCOL

    def _version(self) -> bytes:
        return Writer().uint(1, self.block_version).uint(2, self.app_version).done()

    def hash(self) -> bytes:
        def wrapped(value: bytes) -> bytes:
            return Writer().bytes(1, value).done()

        return merkle.root(
            [
                self._version(),
                Writer().string(1, self.chain_id).done(),
                Writer().uint(1, self.height).done(),
                encode_time(self.time_ns),
                self.last_block_id.encode(),
                wrapped(self.last_commit_hash),
                wrapped(self.data_hash),
                wrapped(self.validators_hash),
                wrapped(self.next_validators_hash),
                wrapped(self.consensus_hash),
                wrapped(self.app_hash),
                wrapped(self.last_results_hash),
                wrapped(self.evidence_hash),
                wrapped(self.proposer_address),
            ]
        )

    def encode(self) -> bytes:
        return (
            Writer()
            .message(1, self._version(), always=True)
            .string(2, self.chain_id)
            .uint(3, self.height)
            .message(4, encode_time(self.time_ns), always=True)
            .message(5, self.last_block_id.encode(), always=True)
            .bytes(6, self.last_commit_hash)
            .bytes(7, self.data_hash)
            .bytes(8, self.validators_hash)
            .bytes(9, self.next_validators_hash)
            .bytes(10, self.consensus_hash)
            .bytes(11, self.app_hash)
            .bytes(12, self.last_results_hash)
            .bytes(13, self.evidence_hash)
            .bytes(14, self.proposer_address)
            .done()
        )

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Raises `InvalidHeader` for bytes that are not the one encoding of a well-formed header."""
        try:
            reader = Reader(data, range(1, 15))
            version = Reader(reader.raw(1), (1, 2))
            header = cls(
                chain_id=reader.text(2),
                height=reader.sint(3),
                time_ns=decode_time(reader.raw(4)),
                last_block_id=BlockId.decode(reader.raw(5)),
                last_commit_hash=reader.raw(6),
                data_hash=reader.raw(7),
                validators_hash=reader.raw(8),
                next_validators_hash=reader.raw(9),
                consensus_hash=reader.raw(10),
                app_hash=reader.raw(11),
                last_results_hash=reader.raw(12),
                evidence_hash=reader.raw(13),
                proposer_address=reader.raw(14),
                app_version=version.uint(2),
                block_version=version.uint(1),
            )
        except InvalidInput as error:
            raise InvalidHeader(f"a header does not decode: {error}") from error
        header.check()
        if header.encode() != data:
            raise InvalidHeader("a header is not in its canonical encoding")
        return header

    def check(self) -> None:
        """The rules that a header keeps by itself. Raises `InvalidHeader`."""
        if self.block_version != BLOCK_PROTOCOL:
            raise InvalidHeader(f"a header has block protocol {self.block_version}, not {BLOCK_PROTOCOL}")
        if not 0 < len(self.chain_id.encode()) <= MAX_CHAIN_ID_BYTES:
            raise InvalidHeader(f"a header's chain id is not 1 to {MAX_CHAIN_ID_BYTES} bytes")
        if self.height < 1:
            raise InvalidHeader(f"a header has height {self.height}")
        if (self.height == 1) != self.last_block_id.is_zero:
            raise InvalidHeader(f"header {self.height} does not name its predecessor as it must")
        for name in ("last_commit", "data", "validators", "next_validators", "consensus", "last_results", "evidence"):
            if len(getattr(self, f"{name}_hash")) != HASH_BYTES:
                raise InvalidHeader(f"header {self.height}: {name}_hash is not {HASH_BYTES} bytes")
        if len(self.proposer_address) != ADDRESS_BYTES:
            raise InvalidHeader(f"header {self.height}: the proposer's address is not {ADDRESS_BYTES} bytes")
