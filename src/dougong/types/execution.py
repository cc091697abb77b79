"""Values of the execution seam: a rollup's state and what a batch is applied with."""

from __future__ import annotations

from dataclasses import dataclass, field

from dougong.types.settlement import InboxMessage


@dataclass(frozen=True, slots=True)
class StateCommitment:
    """A rollup's state as settlement sees it: `state` is opaque (an EVM rollup's is its last block's hash)."""

    height: int
    state: bytes
    outbox_root: bytes
    inbox_end: int


@dataclass(frozen=True, slots=True)
class Heads:
    """Block numbers: `latest` the sequencer's word, `safe` published in a final DA block, `finalized` with final inputs."""

    latest: int
    safe: int
    finalized: int


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What a batch is applied with besides its own bytes, all of it fixed by the layer that ordered the batch.

    `messages` are the inbox messages from the current position up to `inbox_end`; `timestamp` in seconds.
    """

    timestamp: int
    inbox_end: int = 0
    messages: tuple[InboxMessage, ...] = field(default=())
