"""How fast a sequencer goes, and how much it takes.

config = SequencerConfig(block_time=0.05, max_waiting=20_000)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dougong.execution.evm.pool import PoolLimits

__all__ = ["SequencerConfig"]


@dataclass(frozen=True, slots=True)
class SequencerConfig:
    """Times in seconds, sizes in bytes.

    A block follows the first transaction that waits after `gather`, so that what arrives together goes together, and the block
    before it after `block_time` at the earliest: a quiet chain confirms at once, a busy one makes fewer and larger blocks. What
    waits for the base fee to fall is given an empty block every `fall_interval`. `max_interval` is the longest time without a
    block (None: an idle chain makes none). `max_block_bytes` bounds a block's own transactions, so that any block fits a blob.
    Above `max_backlog_bytes` of unpublished transactions no block is made.
    `ignore_senders` are not served, on purpose: for tests and the demo of forced inclusion.
    """

    block_time: float = 0.05
    gather: float = 0.005
    fall_interval: float = 0.25
    max_interval: float | None = None
    max_block_bytes: int = 1 << 20
    max_backlog_bytes: int = 64 << 20
    max_waiting: int = 20_000
    max_block_messages: int = 256
    pool: PoolLimits = field(default_factory=lambda: PoolLimits(evict=False))
    ignore_senders: frozenset[bytes] = frozenset()
