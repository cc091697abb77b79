"""From what the layers below fixed to what the execution layer applies: the seam that docs/spec/derivation.md describes.

    batches = signed_batches(await da.blobs(height, namespace), sequencer)
    acc = fold_messages(acc, messages)

Everything here is pure and total over bytes from outside. Source: docs/spec/derivation.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from dougong.settlement.encoding import extend_batch_accumulator, extend_inbox_accumulator
from dougong.types import BatchReference, InboxMessage, NamespaceData, PlacedBlob

__all__ = [
    "accumulate_batches",
    "fold_messages",
    "signed_batches",
]


def signed_batches(found: NamespaceData, sequencer: bytes) -> tuple[PlacedBlob, ...]:
    """A sovereign rollup's batches in one block: its sequencer's signed blobs (share version 1), in order of start share.
    The signature itself is the availability layer's consensus rule: a version 1 share names who signed the blob's transaction."""
    mine = (placed for placed in found.blobs if placed.blob.share_version == 1 and placed.blob.signer == sequencer)
    return tuple(sorted(mine, key=lambda placed: placed.placement.start_share))


def accumulate_batches(accumulator: bytes, batches: Iterable[BatchReference]) -> list[bytes]:
    """The batch accumulator after one more batch, after two, and so on."""
    folded = []
    for batch in batches:
        accumulator = extend_batch_accumulator(accumulator, batch)
        folded.append(accumulator)
    return folded


def fold_messages(accumulator: bytes, messages: Iterable[InboxMessage]) -> bytes:
    """The inbox accumulator after more messages."""
    for message in messages:
        accumulator = extend_inbox_accumulator(accumulator, message)
    return accumulator
