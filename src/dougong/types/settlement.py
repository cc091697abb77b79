"""Values of the settlement seam: attestations, the inbox, batches, claims, the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dougong.types.availability import Placement


@dataclass(frozen=True, slots=True)
class Attestor:
    """Who signs data roots for settlement: a secp256k1 address (20 bytes) and its power."""

    address: bytes
    power: int


@dataclass(frozen=True, slots=True)
class Attestation:
    """The attestors' word on the history of data roots up to `height`; see docs/spec/attestation.md.

    `root` is the RFC 6962 root over one leaf a height, 1 to `height`. `signatures` are 65 bytes (r, s, v), in the order of
    `attestors`, empty where one has not signed.
    """

    da_id: bytes
    height: int
    root: bytes
    next_attestors_hash: bytes
    attestors: tuple[Attestor, ...]
    signatures: tuple[bytes, ...]


class MessageKind(IntEnum):
    """What an inbox message asks of a rollup."""

    DEPOSIT = 0
    FORCED_TRANSACTION = 1


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A message from settlement to a rollup. Payload of a deposit: recipient (20 bytes) and amount in gwei (8 bytes,
    big-endian); of a forced transaction: the user's signed transaction."""

    index: int
    kind: MessageKind
    sender: bytes
    timestamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class BatchReference:
    """One entry of a rollup's batch accumulator: where the data lies and how far the inbox is consumed with it.

    `placement` is None for a batch that carries no data (anyone may append one after the sequencer's timeout).
    `timestamp` is the settlement block's time in seconds when it was appended: an upper bound for its blocks' times.
    """

    index: int
    da_id: bytes
    placement: Placement | None
    inbox_end: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The one statement that every rollup makes; see docs/spec/claim.md. It has exactly one true value, because the
    contract has fixed both ranges before anyone claims."""

    chain_id: int
    contract: bytes
    rollup_id: int
    spec_version: int
    parent: bytes
    pre_state: bytes
    post_state: bytes
    batch_start: int
    batch_end: int
    batch_accumulator: bytes
    inbox_start: int
    inbox_end: int
    inbox_accumulator: bytes
    outbox_root: bytes


class ClaimStatus(IntEnum):
    NONE = 0
    PENDING = 1
    FINAL = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message out of a rollup: a leaf of its outbox. Ether leaves with it when `value` (wei) is not zero."""

    index: int
    sender: bytes
    recipient: bytes
    value: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class OutboxProof:
    """A leaf's siblings in the outbox tree of depth 32, from the leaf up."""

    index: int
    siblings: tuple[bytes, ...]
