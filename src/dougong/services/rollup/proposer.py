"""Claims what a rollup's batches lead to, and makes the claims final when their verifier says so.

    proposer = await Proposer.open(settlement, follower, store, config)
    await proposer.run()

A claim is a statement about state that this node derived itself: the proposer takes the `Follower`'s record after the last
batch, checks that the node's chain still holds exactly that block, and writes the claim down before it posts it, so that after
a crash it posts the same one or none. Claims rest on one another in the order in which they were posted; spec:
docs/spec/claim.md.

With `proof = "none"` the contract takes the registered proposer's word: a false claim would be believed once its window has
passed. Verifying nodes compare every claim with their own state and say so (verifying_node.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from dougong.errors import Divergence, Rejected
from dougong.interfaces import Settlement
from dougong.services.records import pack, unpack
from dougong.services.rollup.follower import Follower
from dougong.services.threads import in_thread
from dougong.settlement.encoding import claim_id
from dougong.store import Store, height_key
from dougong.types import ZERO_HASH, Claim, ClaimStatus

__all__ = ["PROPOSER_TABLES", "Proposer", "ProposerConfig"]

PROPOSER_TABLES = ("claims",)


class ClaimContract(Settlement, Protocol):
    """Settlement, and the claims that it holds."""

    async def final_claim(self, rollup_id: int) -> bytes:
        """The id of the rollup's last final claim; zero before the first."""
        ...

    async def claim(self, identity: bytes) -> Claim:
        """The whole of a posted claim, checked against its id."""
        ...


@dataclass(frozen=True, slots=True)
class ProposerConfig:
    """Which rollup it claims for, as the contract knows it; `claim_interval` and `poll_s` in seconds."""

    chain_id: int
    contract: bytes
    rollup_id: int
    genesis_state: bytes
    spec_version: int = 1
    claim_interval: float = 5.0
    poll_s: float = 0.5


class Proposer:
    """One per rollup. `claims` are its own, in order; the first `final` of them are final."""

    def __init__(
        self,
        settlement: ClaimContract,
        follower: Follower,
        store: Store,
        config: ProposerConfig,
        claims: list[Claim],
        *,
        name: str = "",
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
        crash_point: Callable[[str], None] = lambda step: None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._settlement = settlement
        self._follower = follower
        self._store = store
        self._config = config
        self._clock = clock
        self._crash_point = crash_point
        self._log = (log or structlog.get_logger()).bind(rollup=name)
        self._last_claim: float | None = None
        self._changed = asyncio.Condition()
        self.claims = claims
        self.final = 0
        registry = registry or CollectorRegistry()
        self._m_claims = Counter("dougong_claims", "Claims posted", ("rollup",), registry=registry).labels(name)
        self._m_final = Gauge("dougong_final_claims", "Claims that are final", ("rollup",), registry=registry).labels(name)

    @classmethod
    async def open(
        cls,
        settlement: ClaimContract,
        follower: Follower,
        store: Store,
        config: ProposerConfig,
        *,
        name: str = "",
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
        crash_point: Callable[[str], None] = lambda step: None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> Proposer:
        entries = await in_thread(store.items, "claims")
        claims = [_unpack_claim(unpack(raw)) for _, raw in entries]
        return cls(
            settlement,
            follower,
            store,
            config,
            claims,
            name=name,
            registry=registry,
            clock=clock,
            crash_point=crash_point,
            log=log,
        )

    async def run(self) -> None:
        await self.resume()
        while True:
            await self.finalize_ready()
            if self._last_claim is None or self._clock() - self._last_claim >= self._config.claim_interval:
                await self.claim_next()
            await asyncio.sleep(self._config.poll_s)

    async def resume(self) -> None:
        """Takes over the final claims if this store does not know them (it was lost); posts a claim that was written down but did
        not arrive; forgets claims that the contract has rejected."""
        final = await self._settlement.final_claim(self._config.rollup_id)
        if final != ZERO_HASH and final not in map(claim_id, self.claims):
            await self._take_over(final)
        for number, claim in enumerate(self.claims):
            status = await self._settlement.claim_status(claim_id(claim))
            if status is ClaimStatus.NONE and await self._still_true(claim):
                await self._post(claim)
            elif status in (ClaimStatus.NONE, ClaimStatus.REJECTED):
                self._log.warning("claims from here on do not stand", batch_start=claim.batch_start)
                await in_thread(self._forget_from, number)
                del self.claims[number:]
                break
        self.final = min(self.final, len(self.claims))

    async def claim_next(self) -> Claim | None:
        """Claims every batch that is derived and not claimed yet; None if there is none."""
        position = self._follower.position
        parent = self.claims[-1] if self.claims else None
        start = parent.batch_end if parent else 0
        if position.index <= start:
            return None
        if not await self._follower.chain.is_canonical(position.number, position.state):
            raise Divergence(
                f"block {position.number} is no longer {position.state.hex()}, which batch {position.index} leads to"
            )
        claim = Claim(
            chain_id=self._config.chain_id,
            contract=self._config.contract,
            rollup_id=self._config.rollup_id,
            spec_version=self._config.spec_version,
            parent=claim_id(parent) if parent else ZERO_HASH,
            pre_state=parent.post_state if parent else self._config.genesis_state,
            post_state=position.state,
            batch_start=start,
            batch_end=position.index,
            batch_accumulator=position.accumulator,
            inbox_start=parent.inbox_end if parent else 0,
            inbox_end=position.inbox_end,
            inbox_accumulator=position.inbox_accumulator,
            outbox_root=position.outbox_root,
        )
        await in_thread(self._put, len(self.claims), claim)
        self.claims.append(claim)
        self._crash_point("written")
        await self._post(claim)
        return claim

    async def finalize_ready(self) -> int:
        """Finalizes, in order, every claim whose verifier allows it by now; returns how many became final."""
        done = 0
        while self.final < len(self.claims):
            identity = claim_id(self.claims[self.final])
            status = await self._settlement.claim_status(identity)
            if status is ClaimStatus.PENDING:
                try:
                    await self._settlement.finalize(identity)
                except Rejected:
                    last = claim_id(self.claims[self.final - 1]) if self.final else ZERO_HASH
                    if await self._settlement.final_claim(self._config.rollup_id) != last:
                        await self.resume()  # another claim became final; else its window is still open
                    break
                self._crash_point("finalized")
                done += 1
            elif status is not ClaimStatus.FINAL:
                await self.resume()
                break
            self.final += 1
            self._m_final.set(self.final)
            async with self._changed:
                self._changed.notify_all()
        return done

    async def wait_final(self, state: bytes) -> Claim:
        """Returns the own claim that leads to `state` once it is final."""
        async with self._changed:
            await self._changed.wait_for(lambda: any(claim.post_state == state for claim in self.claims[: self.final]))
            return next(claim for claim in self.claims if claim.post_state == state)

    async def _take_over(self, final: bytes) -> None:
        """The claims from the first to this final one in place of what is written down: whatever else there is, is dead."""
        taken: list[Claim] = []
        identity = final
        while identity != ZERO_HASH:
            taken.append(await self._settlement.claim(identity))
            identity = taken[-1].parent
        taken.reverse()
        if not await self._still_true(taken[-1]):
            raise Divergence(
                f"the final claim {final.hex()} says state {taken[-1].post_state.hex()} after batch {taken[-1].batch_end}, "
                "which this node does not derive",
                remedy="the rollup's last word on settlement is false: claim nothing on it, and tell its users",
            )
        self._log.warning("final claims taken over from settlement", claims=len(taken))
        await in_thread(self._replace, taken)
        self.claims[:] = taken
        self.final = len(taken)

    async def _post(self, claim: Claim) -> None:
        identity = await self._settlement.post_claim(claim)
        self._crash_point("posted")
        self._last_claim = self._clock()
        self._m_claims.inc()
        self._log.info(
            "claim posted", claim=identity.hex(), batches=(claim.batch_start, claim.batch_end), state=claim.post_state.hex()
        )

    async def _still_true(self, claim: Claim) -> bool:
        """Whether this node derives what the claim says, by now or by then."""
        if claim.batch_end > self._follower.position.index:
            await self._follower.catch_up()
        if not self._follower.base <= claim.batch_end <= self._follower.position.index:
            return False  # not derived here, or before the snapshot that this node began with
        after = (await in_thread(self._follower.record, claim.batch_end - 1))[1]
        said = (claim.batch_accumulator, claim.inbox_end, claim.inbox_accumulator, claim.post_state, claim.outbox_root)
        return said == (after.accumulator, after.inbox_end, after.inbox_accumulator, after.state, after.outbox_root)

    def _put(self, number: int, claim: Claim) -> None:
        with self._store.write() as txn:
            txn.put("claims", height_key(number), pack(asdict(claim)))

    def _replace(self, claims: list[Claim]) -> None:
        with self._store.write() as txn:
            for number, claim in enumerate(claims):
                txn.put("claims", height_key(number), pack(asdict(claim)))
            for number in range(len(claims), len(self.claims)):
                txn.delete("claims", height_key(number))

    def _forget_from(self, number: int) -> None:
        with self._store.write() as txn:
            for later in range(number, len(self.claims)):
                txn.delete("claims", height_key(later))


def _unpack_claim(record: dict[str, Any]) -> Claim:
    values: dict[str, Any] = {
        field.name: bytes.fromhex(record[field.name]) if field.type == "bytes" else record[field.name] for field in fields(Claim)
    }
    return Claim(**values)
