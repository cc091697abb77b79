"""Rebuilds a rollup from what the layers below have fixed, and holds its claims to the result.

    node = await VerifyingNode.open(path, genesis_json, source, claims=ClaimWatch(settlement, rollup_id=1))
    await node.run()                                # until cancelled
    node.heads()

It takes nothing from the sequencer: batches and inbox come from the settlement contract (folded to its accumulators), their
bytes from the DA layer (proven under the data roots), and a sovereign rollup's from its namespace alone (with the proof that
nothing was left out). It derives every block itself, in a store of its own, and compares what each claim says with what it
has: a claim that says something else raises an alarm that names both. It serves JSON-RPC as a sequencer does, and hands
transactions on to one if it is told of one.

Its heads: *finalized* is what settlement has fixed, *safe* what the sequencer has published besides (`Ahead`), *latest* the
same, or with `soft` (soft_blocks.py) what the sequencer says and this node has executed. What it derived and no layer below holds
any more, because one was reorganised, is taken back before anything else is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, Gauge

from dougong._native import Evm
from dougong.errors import Divergence, Unavailable
from dougong.net.jsonrpc import JsonRpc
from dougong.services.nodes.soft_blocks import SoftBlocks
from dougong.services.rollup.ahead import Messages, Namespaces, PublishedAhead
from dougong.services.rollup.batches import BatchRecord, PublishedBlocks
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.follower import FOLLOWER_TABLES, Follower
from dougong.services.rollup.forwarding import Forwarding, Submit, refuse
from dougong.services.rollup.sources import BatchSource
from dougong.services.threads import in_thread
from dougong.settlement.encoding import claim_id
from dougong.store import Store
from dougong.types import ZERO_HASH, Claim, Heads, Namespace

__all__ = ["Ahead", "ClaimReader", "ClaimWatch", "Soft", "VerifyingNode"]

MOST_POSITIONS = 4_096  # of the inbox whose accumulators are remembered


class ClaimReader(Protocol):
    """The part of settlement/client.py that tells of claims."""

    async def claims(self, rollup_id: int, first_block: int) -> tuple[Sequence[Claim], int]:
        """Claims posted from block `first_block` on, in order, and the next block to ask from."""
        ...


@dataclass(slots=True)
class ClaimWatch:
    """Claims of one rollup as they are posted, and those whose batches are not derived yet."""

    settlement: ClaimReader
    rollup_id: int
    genesis_state: bytes = b""
    next_block: int = 0
    waiting: list[Claim] = field(default_factory=list)
    checked: int = 0

    async def read(self) -> None:
        found, self.next_block = await self.settlement.claims(self.rollup_id, self.next_block)
        self.waiting += found

    def check(self, follower: Follower) -> list[Divergence]:
        """Compares every claim whose batches are derived; returns one error for each that says something else. Blocking."""
        alarms: list[Divergence] = []
        later: list[Claim] = []
        for claim in self.waiting:
            if claim.batch_end > follower.position.index:
                later.append(claim)
                continue
            if claim.batch_start < follower.base:
                continue  # on what was taken up with a snapshot, and not derived here
            self.checked += 1
            difference = self._difference(claim, follower)
            if difference:
                alarms.append(
                    Divergence(
                        f"claim {claim_id(claim).hex()} on batches {claim.batch_start} to {claim.batch_end}: {difference}",
                        remedy="do not act on this claim; tell the rollup's users before its window closes",
                    )
                )
        self.waiting = later
        return alarms

    def _difference(self, claim: Claim, follower: Follower) -> str:
        """What the claim says and what was derived, or nothing where they agree."""
        if not 0 <= claim.batch_start < claim.batch_end:
            return f"no contract takes a claim on batches {claim.batch_start} to {claim.batch_end}: the settlement node lies"
        before_state = self.genesis_state
        if claim.batch_start:
            before_state = follower.record(claim.batch_start - 1)[1].state
        after = follower.record(claim.batch_end - 1)[1]
        compared = (
            ("pre-state", claim.pre_state, before_state),
            ("post-state", claim.post_state, after.state),
            ("outbox root", claim.outbox_root, after.outbox_root),
            ("batch accumulator", claim.batch_accumulator, after.accumulator),
            ("inbox accumulator", claim.inbox_accumulator, after.inbox_accumulator),
        )
        return "; ".join(f"it says {name} {said.hex()}, derived is {own.hex()}" for name, said, own in compared if said != own)


@dataclass(frozen=True, slots=True)
class Ahead:
    """Where batches lie before settlement has fixed them, and who publishes them (see `PublishedAhead`)."""

    da: Namespaces
    contract: Messages
    rollup_id: int
    namespace: Namespace
    signer: bytes


@dataclass(frozen=True, slots=True)
class Soft:
    """Whose word is followed, and where the inbox messages of its blocks come from (see `SoftBlocks`)."""

    rpc: JsonRpc
    contract: Messages | None
    rollup_id: int = 0


class VerifyingNode(Forwarding):
    """One rollup, one folder. An `EvmBackend` (rpc/backend.py)."""

    def __init__(
        self,
        chain: RollupChain,
        follower: Follower,
        claims: ClaimWatch | None,
        *,
        published: PublishedBlocks | None = None,
        ahead: PublishedAhead | None = None,
        soft: SoftBlocks | None = None,
        submit: Submit = refuse,
        name: str = "",
        poll_s: float = 0.5,
        registry: CollectorRegistry | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`ahead` with `published` (which the follower knows as its own): what is not fixed yet is followed too."""
        self._published = published or PublishedBlocks(lambda index: None, lambda index, accumulator: None)
        self._ahead = ahead
        self.soft = soft
        super().__init__(submit)
        self.chain = chain
        self.follower = follower
        self.claims = claims
        self.alarms: list[Divergence] = []
        self._opened = AsyncExitStack()
        self._poll_s = poll_s
        self._log = (log or structlog.get_logger()).bind(rollup=name)
        registry = registry or CollectorRegistry()
        self._m_batches = Gauge("dougong_derived_batches", "Batches derived", ("rollup",), registry=registry).labels(name)
        self._m_alarms = Gauge("dougong_claim_alarms", "Claims that are not true", ("rollup",), registry=registry).labels(name)

    @classmethod
    async def open(
        cls,
        path: Path,
        genesis_json: str,
        source: BatchSource,
        *,
        claims: ClaimWatch | None = None,
        ahead: Ahead | None = None,
        soft: Soft | None = None,
        submit: Submit = refuse,
        first_da_height: int = 1,
        name: str = "",
        poll_s: float = 0.5,
        registry: CollectorRegistry | None = None,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> VerifyingNode:
        """Opens or creates the node's folder. `claims` None: a sovereign rollup. `ahead` None: only what is fixed is followed.
        `soft` None: no word of the sequencer is."""
        await in_thread(path.mkdir, parents=True, exist_ok=True)
        async with AsyncExitStack() as opened:
            evm = await in_thread(Evm, str(path / "evm"), genesis_json)
            opened.push_async_callback(in_thread, evm.close)
            store = await in_thread(Store, path / "follower", FOLLOWER_TABLES)
            opened.push_async_callback(in_thread, store.close)
            chain = await RollupChain.open(evm)
            published = None if ahead is None and soft is None else PublishedBlocks(*_inbox_memory())
            follower = await Follower.open(
                chain, source, store, own=published, first_da_height=first_da_height, poll_s=poll_s, log=log
            )
            if claims is not None and not claims.genesis_state:
                claims.genesis_state = evm.genesis_hash
            reading = None
            if ahead is not None and published is not None:
                reading = PublishedAhead(
                    chain,
                    follower,
                    published,
                    ahead.da,
                    ahead.contract,
                    rollup_id=ahead.rollup_id,
                    namespace=ahead.namespace,
                    signer=ahead.signer,
                    first_height=first_da_height,
                    store=store,
                    log=log,
                )
            saying = None
            if soft is not None and published is not None:
                saying = SoftBlocks(chain, published, soft.rpc, soft.contract, rollup_id=soft.rollup_id, log=log)
            node = cls(
                chain,
                follower,
                claims,
                published=published,
                ahead=reading,
                soft=saying,
                submit=submit,
                name=name,
                poll_s=poll_s,
                registry=registry,
                log=log,
            )
            node._opened = opened.pop_all()
            return node

    async def run(self) -> None:
        """Follows until cancelled. A node below that is away is waited for; what is wrong with the inputs stops it."""
        failures = 0
        while True:
            try:
                await self.catch_up()
                failures = 0
            except Unavailable as error:
                failures += 1
                if failures == 1:
                    self._log.warning("a layer below does not answer; waiting for it", error=str(error))
            await asyncio.sleep(min(30.0, self._poll_s * 2.0 ** min(failures, 10)))

    async def catch_up(self) -> int:
        """Derives every batch that is fixed by now and checks every claim on them; returns the number of new batches."""
        applied = await self.follower.catch_up()
        self._published.records = await self._in_line()
        if self._ahead is not None:
            await self._ahead.catch_up(self._keep)
        await self._take_back()
        self._m_batches.set(self.follower.position.index)
        if self.claims is not None:
            await self.claims.read()
            for alarm in await in_thread(self.claims.check, self.follower):
                self._log.error("a claim is not true", error=str(alarm))
                self.alarms.append(alarm)
            self._m_alarms.set(len(self.alarms))
        return applied

    async def _keep(self, record: BatchRecord, data: bytes) -> None:
        self._published.records.append(record)

    async def _in_line(self) -> list[BatchRecord]:
        """The published batches that still follow from what is fixed."""
        kept: list[BatchRecord] = []
        tip = self.follower.position.state
        for record in self._published.records:
            if record.parent_hash == tip and await self.chain.is_canonical(record.last, record.last_hash):
                kept.append(record)
                tip = record.last_hash
        return kept

    async def _take_back(self) -> None:
        """What the layers below do not hold is no block here; what they hold is safe."""
        held = self._published.records[-1].last if self._published.records else self.follower.position.number
        if self.soft is not None:
            if self.chain.safe != held:
                await self.chain.set_heads(safe=held)
            await self.soft.watch_word(held)
        if self.chain.latest.number > held and not (self.soft is not None and await self.soft.still_said(held)):
            self._log.warning("blocks are taken back", first=held + 1, last=self.chain.latest.number)
            await self.chain.rollback(held)
        if self.chain.safe != held:
            await self.chain.set_heads(safe=held)
        if self.soft is not None:
            await self.soft.catch_up(held)

    # --- as the JSON-RPC sees it --------------------------------------------------------------------------------------

    @property
    def evm(self) -> Evm:
        return self.chain.evm

    def heads(self) -> Heads:
        return self.chain.heads()

    def watch(self, on_change: Callable[[], None]) -> None:
        self.chain.watch_heads(on_change)

    async def close(self) -> None:
        await self._opened.aclose()


def _inbox_memory() -> tuple[Callable[[int], bytes | None], Callable[[int, bytes], None]]:
    """The inbox accumulators at the last positions that were met: what a sequencer's journal remembers."""
    met: dict[int, bytes] = {0: ZERO_HASH}

    def remember(index: int, accumulator: bytes) -> None:
        met[index] = accumulator
        while len(met) > MOST_POSITIONS:
            del met[next(iter(met))]

    return met.get, remember
