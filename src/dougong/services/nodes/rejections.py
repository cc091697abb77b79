"""What a node will never believe again: headers that were proven bad, and everything above them.

    rejections = Rejections(store)                      # reads what the folder remembers
    rejections.check(height)                            # raises ChainRejected
    await rejections.add(Rejection(7, "bad encoding", "row 3 ...", evidence))

Signatures of two thirds of the validators do not outweigh a proof. The first rejected height cuts the chain: blocks are built
one on another, so nothing above it is believed either. A record is durable before anybody is told, and nothing in the program
removes one: only whoever removes the folder does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dougong.consensus.light import Fork
from dougong.errors import Divergence
from dougong.net.codec import to_json
from dougong.services.records import pack, unpack
from dougong.services.threads import in_thread
from dougong.store import Store, height_key

__all__ = ["BAD_ENCODING", "FORK", "REJECTED_TABLE", "ChainRejected", "Rejection", "Rejections"]

REJECTED_TABLE = "rejected"
BAD_ENCODING, FORK = "bad encoding", "fork"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the header at `height` is rejected: its `kind` ("bad encoding" or "fork"), `why` in a sentence, and the `evidence`: a
    proof of bad encoding in hex, or both signed headers in the node API's JSON."""

    height: int
    kind: str
    why: str
    evidence: object


class ChainRejected(Divergence):
    """Nothing from `height` on is believed, for ever: the evidence is on disk."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(
            f"the chain is rejected from block {rejection.height} on ({rejection.kind}): {rejection.why}",
            remedy="do not use what was built on it; the evidence is in this node's folder",
        )
        self.rejection = rejection
        self.height = rejection.height


class Rejections:
    """Without a `store` they are forgotten with the process. `told` is called with each new one."""

    def __init__(self, store: Store | None = None, *, told: Callable[[Rejection], None] | None = None) -> None:
        self._store = store
        self.told = told
        self.all: dict[int, Rejection] = {}
        if store is not None:
            for key, raw in store.items(REJECTED_TABLE):
                record = unpack(raw)
                height = int.from_bytes(key)
                self.all[height] = Rejection(height, record["kind"], record["why"], record["evidence"])

    @property
    def first(self) -> Rejection | None:
        """The lowest: from it on nothing is believed."""
        return self.all[min(self.all)] if self.all else None

    def check(self, height: int) -> None:
        """Raises `ChainRejected` at and above the first rejected height."""
        first = self.first
        if first is not None and height >= first.height:
            raise ChainRejected(first)

    async def add(self, rejection: Rejection) -> None:
        """Durable when it returns. What is rejected already stays as it is, and what lies above the first adds nothing to it:
        validators who sign bad blocks without end do not fill the disk."""
        first = self.first
        if first is not None and rejection.height >= first.height:
            return
        await in_thread(self._write, rejection)
        self.all[rejection.height] = rejection
        if self.told is not None:
            self.told(rejection)

    async def add_fork(self, fork: Fork) -> ChainRejected:
        """Keeps both signed headers; returns the error to raise."""
        evidence = {"ours": to_json(fork.ours), "theirs": to_json(fork.theirs)}
        rejection = Rejection(fork.height, FORK, str(fork), evidence)
        await self.add(rejection)
        return ChainRejected(rejection)

    def _write(self, rejection: Rejection) -> None:
        if self._store is None:
            return
        record = {"kind": rejection.kind, "why": rejection.why, "evidence": rejection.evidence}
        with self._store.write() as txn:
            txn.put(REJECTED_TABLE, height_key(rejection.height), pack(record))
