"""Votes and commits: what validators sign, and how a light client counts it.

    commit = Commit.decode(signed.commit)
    verify_commit(chain_id, validators, block_id, height, commit)        # raises InvalidHeader

Source: CometBFT v0.38, types/vote.go, types/canonical.go, types/block.go, types/validation.go. Not here: aggregated signatures,
which v0.38 does not have. Ed25519 is libsodium's, which refuses some non-canonical points and small-order keys that ZIP-215
accepts: no key or signature made by an honest signer is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

from dougong.codec.protobuf import Reader, Writer, delimited
from dougong.codec.timestamp import ZERO_TIME_NS, decode_time, encode_time
from dougong.consensus.header import NO_BLOCK, BlockId
from dougong.consensus.validators import total_power
from dougong.crypto import merkle
from dougong.crypto.keys import ed25519_address, ed25519_verify
from dougong.errors import InvalidHeader, InvalidInput
from dougong.types import ADDRESS_BYTES, Validator

PRECOMMIT = 2
MAX_COMMIT_SIGNATURES = 10_000


class BlockIdFlag(IntEnum):
    """Whom a commit's signature is for."""

    ABSENT = 1
    COMMIT = 2
    NIL = 3


@dataclass(frozen=True, slots=True)
class CommitSig:
    """One validator's precommit, as a commit keeps it. The zero value's fields belong to an absent one."""

    flag: BlockIdFlag = BlockIdFlag.ABSENT
    validator_address: bytes = b""
    time_ns: int = ZERO_TIME_NS
    signature: bytes = b""

    def encode(self) -> bytes:
        return (
            Writer()
            .uint(1, self.flag)
            .bytes(2, self.validator_address)
            .message(3, encode_time(self.time_ns), always=True)
            .bytes(4, self.signature)
            .done()
        )

    @classmethod
    def decode(cls, data: bytes) -> CommitSig:
        reader = Reader(data, range(1, 5))
        number = reader.uint(1)
        if number not in tuple(BlockIdFlag):
            raise InvalidInput(f"a commit's signature has the unknown flag {number}")
        found = cls(BlockIdFlag(number), reader.raw(2), decode_time(reader.raw(3)), reader.raw(4))
        if found.flag == BlockIdFlag.ABSENT:
            if found != cls():
                raise InvalidInput("an absent signature carries something")
        elif len(found.validator_address) != ADDRESS_BYTES or not 0 < len(found.signature) <= 64:
            raise InvalidInput("a commit's signature or its address has the wrong size")
        return found


@dataclass(frozen=True, slots=True)
class Commit:
    """The precommits that decided a block, one entry a validator in the set's order. The zero value precedes block 1."""

    height: int = 0
    round: int = 0
    block_id: BlockId = NO_BLOCK
    signatures: tuple[CommitSig, ...] = ()

    def encode(self) -> bytes:
        writer = Writer().uint(1, self.height).uint(2, self.round).message(3, self.block_id.encode(), always=True)
        for signature in self.signatures:
            writer.message(4, signature.encode(), always=True)
        return writer.done()

    @classmethod
    def decode(cls, data: bytes) -> Commit:
        """Raises `InvalidHeader` for bytes that are not the one encoding of a well-formed commit."""
        try:
            reader = Reader(data, range(1, 5), repeated=(4,))
            entries = reader.many(4)
            if len(entries) > MAX_COMMIT_SIGNATURES:
                raise InvalidInput(f"it holds more than {MAX_COMMIT_SIGNATURES} signatures")
            commit = cls(
                reader.sint(1), reader.sint(2), BlockId.decode(reader.raw(3)), tuple(CommitSig.decode(entry) for entry in entries)
            )
        except InvalidInput as error:
            raise InvalidHeader(f"a commit does not decode: {error}") from error
        if commit.height < 0 or not 0 <= commit.round < 1 << 31 or commit.encode() != data:
            raise InvalidHeader("a commit is not in its canonical encoding")
        return commit

    def hash(self) -> bytes:
        """`last_commit_hash` of the next header."""
        return merkle.root([signature.encode() for signature in self.signatures])


def vote_sign_bytes(chain_id: str, height: int, round: int, block_id: BlockId, time_ns: int) -> bytes:
    """What a validator signs as its precommit: the length-delimited CanonicalVote. A vote for nil leaves the block id out."""
    writer = Writer().uint(1, PRECOMMIT).sfixed64(2, height).sfixed64(3, round)
    if not block_id.is_zero:
        writer.message(4, block_id.encode(), always=True)
    return delimited(writer.message(5, encode_time(time_ns), always=True).string(6, chain_id).done())


def sign_bytes_of(chain_id: str, commit: Commit, index: int) -> bytes:
    entry = commit.signatures[index]
    block_id = commit.block_id if entry.flag == BlockIdFlag.COMMIT else NO_BLOCK
    return vote_sign_bytes(chain_id, commit.height, commit.round, block_id, entry.time_ns)


def verify_commit(chain_id: str, validators: Sequence[Validator], block_id: BlockId, height: int, commit: Commit) -> None:
    """Raises `InvalidHeader` unless signatures of more than two thirds of `validators` decided `block_id` at `height`.

    `validators` is the set whose hash the header holds. Signatures for nil count for nothing and are not checked: they
    cannot help a forger. Checking ends once the power is in, as CometBFT's light client does.
    """
    if len(commit.signatures) != len(validators):
        raise InvalidHeader(f"commit {height} has {len(commit.signatures)} entries for {len(validators)} validators")
    if commit.height != height or commit.block_id != block_id:
        raise InvalidHeader(f"the commit is for another block than header {height}")
    needed = total_power(validators) * 2 // 3
    power = 0
    for index, (validator, entry) in enumerate(zip(validators, commit.signatures, strict=True)):
        if entry.flag != BlockIdFlag.COMMIT:
            continue
        if entry.validator_address != ed25519_address(validator.public_key):
            raise InvalidHeader(f"commit {height}: entry {index} names another validator than the set does")
        if not ed25519_verify(validator.public_key, sign_bytes_of(chain_id, commit, index), entry.signature):
            raise InvalidHeader(f"commit {height}: the signature of validator {index} is wrong")
        power += validator.power
        if power > needed:
            return
    raise InvalidHeader(f"commit {height} carries power {power}, not more than {needed}")


def verify_commit_trusting(chain_id: str, trusted: Sequence[Validator], commit: Commit, level: Fraction) -> None:
    """Raises `InvalidHeader` unless more than `level` of the *trusted* set's power signed the commit's block.

    The commit may be of another set: entries are matched by address, and nobody counts twice.
    """
    by_address = {ed25519_address(validator.public_key): validator for validator in trusted}
    total = total_power(trusted)
    needed = total * level.numerator // level.denominator
    power = 0
    for index, entry in enumerate(commit.signatures):
        if entry.flag != BlockIdFlag.COMMIT:
            continue
        validator = by_address.pop(entry.validator_address, None)
        if validator is None:
            continue
        if not ed25519_verify(validator.public_key, sign_bytes_of(chain_id, commit, index), entry.signature):
            raise InvalidHeader(f"commit {commit.height}: the signature of entry {index} is wrong")
        power += validator.power
        if power > needed:
            return
    raise InvalidHeader(f"commit {commit.height} carries power {power} of the trusted set, not more than {needed}")
