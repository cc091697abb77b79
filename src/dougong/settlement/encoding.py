"""The bytes that the contract and its users must agree on: claim ids, accumulators, the registration of a rollup.

Source: docs/spec/claim.md, docs/spec/derivation.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode

from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput
from dougong.types import ZERO_HASH, BatchReference, Claim, InboxMessage, MessageKind, Namespace, Placement

__all__ = [
    "RollupConfig",
    "claim_id",
    "claim_tuple",
    "extend_batch_accumulator",
    "extend_inbox_accumulator",
    "parse_batch",
    "parse_claim",
    "parse_message",
]

CLAIM_TYPES = (
    *("uint256", "address", "uint256", "uint256", "bytes32"),
    *("bytes32", "bytes32"),
    *("uint256", "uint256", "bytes32"),
    *("uint256", "uint256", "bytes32"),
    "bytes32",
)


@dataclass(frozen=True, slots=True)
class RollupConfig:
    """What is registered of a rollup, for ever but for the sequencer. Addresses of 20 bytes, times in seconds.

    `force_delay`: after it a batch may no longer skip an inbox message; `sequencer_timeout`: that long after, anyone may append.
    `data_window`: how many DA heights below the last attested one a batch's data may lie when it is appended; 0: no bound.
    """

    namespace: Namespace
    attestations: bytes
    da_id: bytes
    sequencer: bytes
    verifier: bytes
    genesis_state: bytes
    spec_version: int
    force_delay: int
    sequencer_timeout: int
    data_window: int

    def to_tuple(self) -> tuple[Any, ...]:
        return (
            self.namespace.raw,
            self.attestations,
            self.da_id,
            self.sequencer,
            self.verifier,
            self.genesis_state,
            self.spec_version,
            self.force_delay,
            self.sequencer_timeout,
            self.data_window,
        )

    @classmethod
    def from_tuple(cls, fields: tuple[Any, ...]) -> RollupConfig:
        return cls(Namespace(fields[0]), *fields[1:])


def claim_tuple(claim: Claim) -> tuple[Any, ...]:
    return (
        claim.chain_id,
        claim.contract,
        claim.rollup_id,
        claim.spec_version,
        claim.parent,
        claim.pre_state,
        claim.post_state,
        claim.batch_start,
        claim.batch_end,
        claim.batch_accumulator,
        claim.inbox_start,
        claim.inbox_end,
        claim.inbox_accumulator,
        claim.outbox_root,
    )


def parse_claim(fields: tuple[Any, ...]) -> Claim:
    return Claim(*fields)


def claim_id(claim: Claim) -> bytes:
    """SHA-256 over the claim's ABI encoding (32 bytes)."""
    return sha256(encode(CLAIM_TYPES, claim_tuple(claim)))


def extend_batch_accumulator(accumulator: bytes, reference: BatchReference) -> bytes:
    """The accumulator after one more batch."""
    placement = reference.placement or Placement(height=0, data_root=ZERO_HASH, start_share=0, share_count=0)
    return sha256(
        accumulator,
        reference.da_id,
        placement.height.to_bytes(8),
        placement.data_root,
        placement.start_share.to_bytes(4),
        placement.share_count.to_bytes(4),
        reference.inbox_end.to_bytes(8),
        reference.timestamp.to_bytes(8),
    )


def extend_inbox_accumulator(accumulator: bytes, message: InboxMessage) -> bytes:
    """The accumulator after one more message."""
    leaf = sha256(
        bytes([message.kind]),
        message.index.to_bytes(8),
        message.timestamp.to_bytes(8),
        message.sender,
        sha256(message.payload),
    )
    return sha256(accumulator, leaf)


def parse_batch(event: dict[str, Any]) -> BatchReference:
    """A `BatchAppended` event. Height 0 is no DA block's: such a batch carries no data."""
    _require_below(event["height"], 64)
    _require_below(event["inbox_end"], 64)
    _require_below(event["timestamp"], 64)
    _require_below(event["start_share"], 32)
    _require_below(event["share_count"], 32)
    placement = None
    if event["height"]:
        placement = Placement(event["height"], event["data_root"], event["start_share"], event["share_count"])
    return BatchReference(event["index"], event["da_id"], placement, event["inbox_end"], event["timestamp"])


def parse_message(event: dict[str, Any]) -> InboxMessage:
    """A `MessageEnqueued` event."""
    _require_below(event["index"], 64)
    _require_below(event["timestamp"], 64)
    try:
        kind = MessageKind(event["kind"])
    except ValueError as error:
        raise InvalidInput(f"inbox message {event['index']} is of the unknown kind {event['kind']}") from error
    return InboxMessage(event["index"], kind, event["sender"], event["timestamp"], event["payload"])


def _require_below(value: int, bits: int) -> None:
    if value >> bits:
        raise InvalidInput(f"{value} does not fit {bits} bits")
