"""What a block is made without: transactions that turned out to be invalid in their places, which the pool cannot know.

aside = Aside()
chosen = pool.select(gas_limit, among=aside)
aside.put(chosen, built.skipped)
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.execution.evm.pool import PooledTransaction

__all__ = ["Aside", "Skipped", "faults"]


class Skipped(Exception):
    """Transactions, by their places, that are invalid there: (index, reason). Never leaves the sequencer."""

    def __init__(self, why: Sequence[tuple[int, str]]) -> None:
        super().__init__(f"{len(why)} transactions are invalid in their places")
        self.why = why


def faults(chosen: Sequence[PooledTransaction], skipped: Sequence[tuple[int, str]], room: int) -> list[tuple[int, str]]:
    """Those that were not skipped for want of gas: a block that ends with so much `room` had had it."""
    return [(index, reason) for index, reason in skipped if chosen[index].gas_limit <= room]


class Aside:
    """Every transaction but those set aside while a block is made: what the pool may choose among."""

    def __init__(self) -> None:
        self.txs: dict[bytes, tuple[PooledTransaction, str]] = {}

    def put(self, chosen: Sequence[PooledTransaction], skipped: Sequence[tuple[int, str]]) -> None:
        """Each sender's first: those that follow it are out of turn, not at fault."""
        senders: set[bytes] = set()
        for tx, reason in ((chosen[index], reason) for index, reason in skipped):
            if tx.sender not in senders:
                senders.add(tx.sender)
                self.txs[tx.hash] = (tx, reason)

    def __contains__(self, tx_hash: object) -> bool:
        return tx_hash not in self.txs
