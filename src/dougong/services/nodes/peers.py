"""Several nodes of one chain, none of them trusted: who is asked, who is asked next, and who is not asked any more.

    peers = await PeerSet.open([NodeClient(url) for url in urls], store=store)

    async def verified(node: NodeClient) -> SquareHeader:
        return check(await node.data_header(7))           # raises InvalidHeader or InvalidProof when it is a lie

    header = await peers.ask(verified)

`ask` hands the question to the peer with the best score. A peer that has not answered within `hedge_s` gets company: the next one
is asked beside it, and the first answer that verifies wins. What can go wrong with a peer, and what it costs:

1. it sends what does not verify or cannot be a proof (`InvalidInput` and its family): 100 points;
2. it sends no JSON-RPC, or more than an answer can have: 50 points; a claim that it does not keep (`bluffed`): 20,
   or 5 while it only does not answer;
3. it is slow, away, busy, or does not have what was asked for: no points, for an honest node can be all that. It is asked later,
   after a pause that doubles from `backoff_s` up to a minute, and one good answer gives it its place back.

Points halve every hour. A peer with 100 is dropped: it is not asked for `ban_s`, twice as long each time, also after a restart.
Only when every peer is dropped are they asked again, the least guilty first: nobody else is there, and answers are verified.

What the set protects against: any peers that lie, withhold or stall, as long as one is honest and reachable. What it does not
protect against: that all of them belong to one adversary (an eclipse), who can then withhold, and hide what is new. Even so
nothing false can be proven.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from dougong.crypto.hashing import sha256
from dougong.errors import Divergence, DougongError, InvalidHeader, InvalidInput, InvalidProof, NotFound, StoreError, Unavailable
from dougong.net.jsonrpc import AnswerTooLarge, LimitExceeded, NotJsonRpc
from dougong.net.node import BadRequest, NodeClient
from dougong.services.records import pack, unpack
from dougong.services.threads import in_thread
from dougong.store import Store

__all__ = ["PEER_TABLE", "Peer", "PeerConfig", "PeerReport", "PeerSet"]

PEER_TABLE = "peers"
T = TypeVar("T")
Request = Callable[[NodeClient], Awaitable[T]]

FINAL = (Divergence, StoreError)  # not a peer's doing, or true whatever others say

LIE, GARBAGE, BLUFF, STALL = 100.0, 50.0, 20.0, 5.0
_DROPPED_AT = 100.0
_HALF_LIFE_S = 3_600.0
_LONGEST_BAN_S = 7 * 86_400.0
_LONGEST_BACKOFF_S = 60.0
_SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """Seconds: `timeout_s` for an answer, `hedge_s` before another peer is asked beside, `backoff_s` the first pause after a
    failure, `ban_s` how long a peer is dropped the first time, `watch_s` between two questions for proofs of bad encoding."""

    timeout_s: float = 10.0
    hedge_s: float = 1.0
    backoff_s: float = 1.0
    ban_s: float = 3_600.0
    watch_s: float = 2.0


@dataclass(slots=True, eq=False)
class Peer:
    """A node and what is held against it. `latency` in seconds, smoothed; times are seconds since 1970."""

    node: NodeClient
    points: float = 0.0
    points_at: float = 0.0
    banned_until: float = 0.0
    bans: int = 0
    failures: int = 0
    not_before: float = 0.0
    latency: float = 0.0
    asked: int = 0
    cut_off: bool = False
    why: str = ""

    @property
    def url(self) -> str:
        return self.node.url


@dataclass(frozen=True, slots=True)
class PeerReport:
    """`why`: the last thing that was wrong with its answers."""

    url: str
    asked: int
    bytes_received: int
    points: float
    dropped: bool
    why: str


class PeerSet:
    """One or more peers. With one, it is asked whatever it did: there is nobody else."""

    def __init__(
        self,
        nodes: Sequence[NodeClient],
        *,
        store: Store | None = None,
        config: PeerConfig | None = None,
        clock: Callable[[], float] = time.time,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """With a `store` (holding the table `peers`) it is remembered who was dropped; `open` reads it."""
        if not nodes:
            raise InvalidInput("a set of peers needs at least one", remedy="name a node's URL")
        self.peers = [Peer(node) for node in nodes]
        self.config = config or PeerConfig()
        self._store = store
        self._clock = clock
        self._log = log or structlog.get_logger()

    @classmethod
    async def open(
        cls,
        nodes: Sequence[NodeClient],
        *,
        store: Store | None = None,
        config: PeerConfig | None = None,
        clock: Callable[[], float] = time.time,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> PeerSet:
        made = cls(nodes, store=store, config=config, clock=clock, log=log)
        await in_thread(made._read)
        return made

    @property
    def first(self) -> NodeClient:
        """The node that was named first: who has an account submits through it."""
        return self.peers[0].node

    @property
    def url(self) -> str:
        return ", ".join(peer.url for peer in self.peers)

    @property
    def bytes_received(self) -> int:
        return sum(peer.node.bytes_received for peer in self.peers)

    def report(self) -> tuple[PeerReport, ...]:
        return tuple(
            PeerReport(
                peer.url, peer.asked, peer.node.bytes_received, round(self._points(peer), 1), self._dropped(peer), peer.why
            )
            for peer in self.peers
        )

    # --- asking ---------------------------------------------------------------------------------------------------------

    def order(self) -> list[Peer]:
        """Who is to be asked, best first. Peers that are about equally good take turns at random, so that none sees it all."""
        now = self._clock()
        present = [peer for peer in self.peers if not self._dropped(peer)]
        if not present:
            return sorted(self.peers, key=self._points)

        def score(peer: Peer) -> tuple[bool, float]:
            return peer.not_before > now, (0.05 + peer.latency) * (1 + peer.failures) * random.uniform(0.5, 1.5)

        return sorted(present, key=score)

    def ready(self) -> list[Peer]:
        """Those of `order` that have not failed of late and are quick, if there are any: who is asked first."""
        now = self._clock()
        present = self.order()
        well = [peer for peer in present if peer.not_before <= now]
        return [peer for peer in well if peer.latency <= self.config.hedge_s] or well or present

    async def ask(
        self,
        request: Request[T],
        *,
        timeout_s: float | None = None,
        among: Collection[Peer] | None = None,
        points: float = LIE,
    ) -> T:
        """The first answer that verifies: `request` asks one node and checks what it says, and must bear being cancelled. What
        does not verify costs `points`. Raises what the peers' errors come to: `Unavailable` if one of them may yet answer, else
        a lie (`InvalidProof`, `InvalidHeader`) if there was one, else `NotFound`."""
        queue = [peer for peer in self.order() if among is None or peer in among]
        errors: list[DougongError] = []
        running: dict[asyncio.Task[T], Peer] = {}
        try:
            while queue or running:
                if queue:
                    peer = queue.pop(0)
                    running[asyncio.create_task(self.attempt(peer, request, timeout_s=timeout_s, points=points))] = peer
                patience = self.config.hedge_s if queue else None
                done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, DougongError) or isinstance(error, FINAL):
                        raise error
                    errors.append(error)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        raise _verdict(errors)

    async def survey(self, request: Request[T]) -> dict[Peer, T]:
        """What each peer says, of those that have not just failed and that answer in time: within `hedge_s` of the one before.
        Who was cut off the last time has all the time that an answer may take: else quick peers would silence a slow one for
        ever, and what it alone tells. Raises as `ask` does when none answers."""
        now, present = self._clock(), self.order()
        well = [peer for peer in present if peer.not_before <= now] or present
        tasks = {asyncio.create_task(self.attempt(peer, request)): peer for peer in well}
        answers: dict[Peer, T] = {}
        errors: list[DougongError] = []
        waiting = set(tasks)
        try:
            while waiting:
                waits = not answers or any(tasks[task].cut_off for task in waiting)
                patience = None if waits else self.config.hedge_s
                done, waiting = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    tasks[task].cut_off = False
                    error = task.exception()
                    if error is None:
                        answers[tasks[task]] = task.result()
                    elif isinstance(error, DougongError):
                        errors.append(error)
                    else:
                        raise error
                if not done:
                    for task in waiting:
                        tasks[task].cut_off = True
                    break
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if not answers:
            raise _verdict(errors)
        return answers

    async def attempt(self, peer: Peer, request: Request[T], *, timeout_s: float | None = None, points: float = LIE) -> T:
        """Asks one peer and settles what its answer costs it. Raises what `request` raises, `Unavailable` after the timeout."""
        started = self._clock()
        limit = timeout_s or self.config.timeout_s
        peer.asked += 1
        try:
            async with asyncio.timeout(limit):
                answer = await request(peer.node)
        except TimeoutError:
            error = Unavailable(f"{peer.url} did not answer within {limit:g} s", remedy="ask another node too")
            self._failed(peer, str(error))
            raise error from None
        except asyncio.CancelledError:  # another was faster, or nobody waits any more
            self._measure(peer, started)
            raise
        except DougongError as error:
            await self._settle(peer, error, points)
            raise
        self._measure(peer, started)
        peer.failures, peer.not_before = 0, 0.0
        return answer

    async def bluffed(self, peer: Peer, why: str, *, stalled: bool = False) -> None:
        """It said that it had something and did not show it; or has not yet (`stalled`), as who is flooded by others does too."""
        await self._blame(peer, STALL if stalled else BLUFF, why)

    # --- what is held against them --------------------------------------------------------------------------------------

    async def _settle(self, peer: Peer, error: DougongError, points: float) -> None:
        if isinstance(error, InvalidInput) and not isinstance(error, BadRequest):
            await self._blame(peer, points, str(error))
        elif isinstance(error, (AnswerTooLarge, NotJsonRpc)):
            await self._blame(peer, GARBAGE, str(error))
            self._failed(peer, str(error))
        elif isinstance(error, LimitExceeded):
            peer.not_before = self._clock() + error.retry_after
        elif not isinstance(error, (NotFound, BadRequest, *FINAL)):
            self._failed(peer, str(error))

    def _failed(self, peer: Peer, why: str) -> None:
        pause = min(self.config.backoff_s * 2.0 ** min(peer.failures, 10), _LONGEST_BACKOFF_S)
        peer.failures += 1
        peer.not_before = self._clock() + pause
        peer.why = why

    async def _blame(self, peer: Peer, points: float, why: str) -> None:
        now = self._clock()
        peer.points, peer.points_at, peer.why = self._points(peer) + points, now, why
        if peer.points >= _DROPPED_AT and not self._dropped(peer):
            peer.banned_until = now + min(self.config.ban_s * 2.0**peer.bans, _LONGEST_BAN_S)
            peer.bans = min(peer.bans + 1, 16)
            self._log.warning("a peer is dropped", peer=peer.url, why=why, until=peer.banned_until)
        await in_thread(self._write, peer)

    def _points(self, peer: Peer) -> float:
        halvings = max(0.0, self._clock() - peer.points_at) / _HALF_LIFE_S
        return peer.points * float(0.5**halvings)

    def _dropped(self, peer: Peer) -> bool:
        return peer.banned_until > self._clock()

    def _measure(self, peer: Peer, started: float) -> None:
        took = max(0.0, self._clock() - started)
        peer.latency += _SMOOTHING * (took - peer.latency) if peer.latency else took

    # --- memory ---------------------------------------------------------------------------------------------------------

    def _write(self, peer: Peer) -> None:
        if self._store is None:
            return
        record = {
            "url": peer.url,
            "points": peer.points,
            "points_at": peer.points_at,
            "banned_until": peer.banned_until,
            "bans": peer.bans,
            "why": peer.why[:500],
        }
        with self._store.write() as txn:
            txn.put(PEER_TABLE, sha256(peer.url.encode()), pack(record))

    def _read(self) -> None:
        if self._store is None:
            return
        for peer in self.peers:
            raw = self._store.get(PEER_TABLE, sha256(peer.url.encode()))
            if raw is not None:
                record = unpack(raw)
                peer.points, peer.points_at = record["points"], record["points_at"]
                peer.banned_until, peer.bans, peer.why = record["banned_until"], record["bans"], record["why"]


def _verdict(errors: Sequence[DougongError]) -> DougongError:
    """What the errors of all peers come to. Whoever is away may have it: only that is worth trying again."""
    away = [error for error in errors if isinstance(error, Unavailable) and not isinstance(error, NotFound)]
    absent = [error for error in errors if isinstance(error, NotFound)]
    lies = [error for error in errors if isinstance(error, (InvalidHeader, InvalidProof))]
    return next(iter([*away, *lies, *absent, *errors]), Unavailable("there is no peer to ask"))
