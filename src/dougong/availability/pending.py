"""Which sequence a waiting transaction must have: those of a signer follow upon each other without gaps or doubles.

    pending = PendingSequences()
    pending.admit(signer, 5, digest, committed=5)       # True; committed: the state's next sequence
    pending.expected(signer, committed=5)               # 6
    pending.new_block()                                 # now the engine asks again about all that wait
    pending.recheck(signer, 5, digest, committed=5)     # True

So nothing waits for a predecessor that never comes, and a mempool cannot be filled with what no block will take. A block
starts the count anew: the engine's rechecks, in the order of arrival, fill it again. Until they have, new transactions are
judged by the count before as well. What was admitted and then not kept by the engine is so forgotten after two blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Count:
    """What was admitted since a block: the end of each signer's run, and whose each sequence is."""

    ends: dict[bytes, int] = field(default_factory=dict)
    digests: dict[tuple[bytes, int], bytes] = field(default_factory=dict)

    def add(self, signer: bytes, sequence: int, digest: bytes) -> None:
        self.ends[signer] = max(self.ends.get(signer, 0), sequence + 1)
        self.digests[signer, sequence] = digest


class PendingSequences:
    """Each call takes constant time, however much waits."""

    def __init__(self) -> None:
        self._now, self._before = _Count(), _Count()
        self._rechecked: dict[bytes, int] = {}

    def expected(self, signer: bytes, committed: int) -> int:
        """The sequence of the signer's next new transaction."""
        return max(committed, self._now.ends.get(signer, 0), self._before.ends.get(signer, 0))

    def admit(self, signer: bytes, sequence: int, digest: bytes, committed: int) -> bool:
        """Whether a new transaction may wait; the same one again may."""
        if sequence != self.expected(signer, committed) and not self._knows(signer, sequence, digest, committed):
            return False
        self._now.add(signer, sequence, digest)
        return True

    def recheck(self, signer: bytes, sequence: int, digest: bytes, committed: int) -> bool:
        """Whether a transaction that waits may go on waiting after the last block."""
        expected = max(committed, self._rechecked.get(signer, 0))
        if sequence == expected:
            self._rechecked[signer] = sequence + 1
        elif sequence > expected or not self._knows(signer, sequence, digest, committed):
            return False
        self._now.add(signer, sequence, digest)
        return True

    def new_block(self) -> None:
        self._before, self._now, self._rechecked = self._now, _Count(), {}

    def _knows(self, signer: bytes, sequence: int, digest: bytes, committed: int) -> bool:
        place = signer, sequence
        return sequence >= committed and digest in (self._now.digests.get(place), self._before.digests.get(place))
