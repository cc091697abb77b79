"""Which waiting transactions make the next block: best bids first, as many as a square and a block hold.

    chosen, square = choose(list(pool.by_bid(base_fee)), width=64, room=max_tx_bytes)

One that does not fit is passed over, so that a big low bid cannot block small ones; its signer's later ones wait with it. In a
block transfers stand before blob transactions (the square's order), so a transfer that follows a blob transaction of the same
signer waits for the next block.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.chain.pool import Entry
from dougong.availability.square.layout import Square, SquareBuilder
from dougong.availability.square.shares import delimited_size
from dougong.availability.square.wire import decode_blob_tx

_MISSES = 512  # so many that did not fit, and the square counts as full


def choose(entries: Sequence[Entry], *, width: int, room: int) -> tuple[list[bytes], Square]:
    """The block's transactions in its order, and their square. `room` bounds their bytes in a block together: each has a tag and
    its length before it."""
    builder = SquareBuilder(width)
    plain: list[bytes] = []
    with_blobs: list[bytes] = []
    publishing: set[bytes] = set()
    stopped: set[bytes] = set()
    for entry in entries:
        signer, raw = entry.offer.signer, entry.raw
        if signer in stopped:
            continue
        weight = 1 + delimited_size(len(raw))
        blob_tx = decode_blob_tx(raw) if weight <= room else None
        if weight > room or (blob_tx is None and signer in publishing):
            fits = False
        else:
            fits = builder.append_tx(raw) if blob_tx is None else builder.append_blob_tx(blob_tx)
        if not fits:
            stopped.add(signer)
            if len(stopped) >= _MISSES:
                break
            continue
        room -= weight
        if blob_tx is None:
            plain.append(raw)
        else:
            with_blobs.append(raw)
            publishing.add(signer)
    return plain + with_blobs, builder.square()
