"""A rollup of a stack: sequencer, batcher and proposer over its DA layer and its settlement.

    context.supervisor.add("alpha", "opening", partial(open_rollup, context, "alpha", layer, base, closing))

Opening is a supervised service of the rollup's own group: what it adds runs beside it, and what it meets (a corrupt store, a
settlement node that is away) is this rollup's affair alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry

from dougong._native import Evm
from dougong.crypto.hashing import sha256
from dougong.errors import ConfigError, StoreCorrupt
from dougong.interfaces import DataAvailability
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from dougong.services.needed import NeededHeights
from dougong.services.rollup.ahead import PublishedAhead
from dougong.services.rollup.batcher import BATCHER_TABLES, Batcher, BatcherConfig
from dougong.services.rollup.batches import PublishedBlocks
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.follower import FOLLOWER_TABLES, Follower
from dougong.services.rollup.forwarding import Submit, forwarding, refuse
from dougong.services.rollup.from_snapshot import begin, has_chain
from dougong.services.rollup.inbox import Inbox
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.keeping import Keeping, KeepingConfig
from dougong.services.rollup.ledger import LEDGER_TABLES, Ledger
from dougong.services.rollup.proposer import PROPOSER_TABLES, Proposer, ProposerConfig
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.services.rollup.sources import BatchSource, SettledSource, SovereignSource
from dougong.services.rollup.standby import Standby
from dougong.services.supervisor import Supervisor
from dougong.services.threads import in_thread
from dougong.settlement.client import SettlementClient
from dougong.settlement.encoding import RollupConfig as Registration
from dougong.stack.blobs import Blobs
from dougong.stack.config import RollupConfig
from dougong.stack.context import Context
from dougong.stack.data_window import in_flight
from dougong.stack.events import Event
from dougong.stack.fees import rates
from dougong.stack.genesis import SPEC_VERSION
from dougong.stack.layers import Layer, Place
from dougong.stack.settlements import SettlementChain
from dougong.stack.trust import RollupTrust
from dougong.store import Store
from dougong.types import Namespace

__all__ = ["Books", "OpenRollup", "evm_genesis", "open_rollup", "register"]

SETTLEMENT_POLL_S = 0.4
STORE, TABLES = "services", (*FOLLOWER_TABLES, *BATCHER_TABLES, *PROPOSER_TABLES, *LEDGER_TABLES)


class Books(Protocol):
    """What a rollup earns and costs (`Ledger`)."""

    def facts(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class OpenRollup:
    """What the stack tells of a rollup that is up: what a node must know to check it, and what it earns and costs."""

    trust: RollupTrust
    ledger: Books


@dataclass(frozen=True, slots=True)
class _Ground:
    """What both kinds of rollup start with."""

    context: Context
    name: str
    config: RollupConfig
    home: Path
    evm: Evm
    chain: RollupChain
    journal: Journal
    store: Store
    layer: Layer
    ledger: Ledger
    registry: CollectorRegistry

    @property
    def namespace(self) -> Namespace:
        return Namespace.user(self.name.encode())


@dataclass(frozen=True, slots=True)
class _Services:
    inbox: Inbox | None
    sequencer: Sequencer
    batcher: Batcher
    proposer: Proposer | None
    ledger: Ledger
    standby: Standby | None

    @property
    def least_tip(self) -> Callable[[], int]:
        """What wallets are told: this sequencer's price, or the one's that transactions are handed on to."""
        return self.ledger.suggested_tip if self.standby is None else self.standby.least_tip

    async def _sequence(self) -> None:
        """Not before this node knows what the layers below hold: it may come back to a chain that went on without it."""
        await self.batcher.caught_up.wait()
        await self.sequencer.run()

    def start(self, supervisor: Supervisor, group: str) -> None:
        if self.standby is not None:
            supervisor.add(group, "standby", self.standby.run)
            return
        if self.inbox is not None:
            supervisor.add(group, "inbox", self.inbox.run)
        supervisor.add(group, "sequencer", self._sequence)
        supervisor.add(group, "batcher", self.batcher.run, trouble=lambda: self.batcher.unpaid)
        supervisor.add(group, "ledger", self.ledger.run)
        if self.proposer is not None:
            supervisor.add(group, "proposer", self.proposer.run)


async def open_rollup(
    context: Context, name: str, layer: Layer, base: SettlementChain | None, closing: AsyncExitStack
) -> OpenRollup:
    """Opens the stores, registers the rollup if need be, serves it at /name and adds its services. Whole or not at all: what it
    opened before an error is closed again; after success it closes with `closing`."""
    if base is not None:
        await _begin(context, name, base)
    async with AsyncExitStack() as opened:
        ground = await _open_ground(context, name, layer, opened)
        settled = None if base is None else await _settle(ground, base, closing)
        services = await _compose(ground, settled, opened)
        config = ground.config
        options = EthereumOptions(
            least_tip=services.least_tip, trace_seconds=config.trace_seconds, trace_bytes=config.trace_bytes
        )
        api = EthereumApi(services.standby or services.sequencer, options)
        opened.callback(api.close)
        context.server.mount(name, api.methods, api.health)
        closing.push_async_exit(opened.pop_all())
    context.metrics.join(ground.registry)
    services.start(context.supervisor, name)
    keeping = _keeping(ground)
    if not keeping.idle:
        service = Keeping(ground.chain, keeping, ground.home / "snapshots", log=context.log)
        context.supervisor.add(name, "keeping", service.run)
    trust = RollupTrust(
        genesis=sha256(context.documents.rollup[name]).hex(),
        state=ground.evm.genesis_hash.hex(),
        availability=layer.name,
        settlement=None if settled is None else settled.base.name,
        rollup_id=None if settled is None else settled.rollup_id,
        proof=ground.config.proof,
        data_window=None if settled is None else settled.data_window,
    )
    facts: dict[str, object] = {"layer": "rollup", "url": context.server.url(name), "chain_id": ground.evm.chain_id}
    context.report(Event("chain", name, facts | trust.model_dump()))
    return OpenRollup(trust, services.ledger)


def evm_genesis(context: Context, name: str) -> str:
    """The EVM's part of a rollup's document."""
    return json.dumps(json.loads(context.documents.rollup[name])["evm"])


async def _begin(context: Context, name: str, base: SettlementChain) -> None:
    """With the snapshot that stack.toml names, where there is no chain yet."""
    config, home = context.config.rollup[name], context.disk.home("rollup", name)
    if config.snapshot is None or config.snapshot_claim is None or await in_thread(has_chain, home):
        return
    position = await begin(
        home,
        evm_genesis(context, name),
        config.snapshot,
        SettlementClient(base.rpc, base.contract),
        base.deployment.known_rollup(name),
        bytes.fromhex(config.snapshot_claim[2:]),
        store=STORE,
        tables=TABLES,
    )
    context.log.info("begun with a snapshot", rollup=name, block=position.number, batch=position.index)


async def _open_ground(context: Context, name: str, layer: Layer, opened: AsyncExitStack) -> _Ground:
    home = context.disk.home("rollup", name)
    genesis = evm_genesis(context, name)
    evm = await in_thread(Evm, str(home / "evm"), genesis)
    opened.push_async_callback(in_thread, evm.close)
    journal = await Journal.open(home / "journal")
    opened.callback(journal.close)
    store = await in_thread(Store, home / STORE, TABLES)
    opened.callback(store.close)
    chain = await RollupChain.open(evm)
    registry = CollectorRegistry()
    da = layer.client(f"sequencer.{name}")
    ledger = await Ledger.open(
        chain,
        da.quote,
        rates(context.config, name),
        store,
        fee_recipient=_fee_recipient(genesis),
        name=name,
        registry=registry,
        log=context.log,
    )
    return _Ground(context, name, context.config.rollup[name], home, evm, chain, journal, store, layer, ledger, registry)


def _keeping(ground: _Ground) -> KeepingConfig:
    def window(blocks: int | str) -> int | None:
        return blocks if isinstance(blocks, int) else None

    config = ground.config
    return KeepingConfig(window(config.history), window(config.bodies), config.snapshot_interval)


def _no_price() -> int:
    return 0


def _fee_recipient(genesis: str) -> bytes:
    return bytes.fromhex(str(json.loads(genesis).get("coinbase", "0x" + "00" * 20))[2:])


async def _settle(ground: _Ground, base: SettlementChain, shared: AsyncExitStack) -> Place:
    rollup_id = await register(ground.context, ground.name, ground.layer, base, ground.evm.genesis_hash, shared)
    client = base.client(ground.context, f"sequencer.{ground.name}", observe=ground.ledger.observe)
    window = ground.context.documents.data_window(ground.name)
    registered = await client.rollup(rollup_id)
    if (registered.genesis_state, registered.data_window) != (ground.evm.genesis_hash, window):
        raise StoreCorrupt(
            f"rollup {rollup_id} on {base.name} was registered with another genesis or data window than {ground.name}'s",
            remedy="restore data_dir/deployment, or start anew with another data_dir",
        )
    return Place(base, client, rollup_id, window)


async def register(
    context: Context, name: str, layer: Layer, base: SettlementChain, genesis_state: bytes, shared: AsyncExitStack
) -> int:
    """The rollup's id on its settlement chain, where it is registered if need be, with its contracts."""
    config = context.config.rollup[name]
    if config.follows and not base.deployment.knows_rollup(name):
        raise ConfigError(
            f'[rollup.{name}] has sequencer = "follow", but this data_dir does not know it on {base.name}',
            remedy="copy keys, genesis and deployment from the data_dir of the stack that sequences it",
        )
    attestations = await layer.attestations_on(base, shared)
    proposer = context.keys.account(f"proposer.{name}").address
    registration = Registration(
        namespace=Namespace.user(name.encode()),
        attestations=attestations,
        da_id=layer.da_id,
        sequencer=context.keys.account(f"sequencer.{name}").address,
        verifier=await base.deployment.verifier(name, proposer, config.window),
        genesis_state=genesis_state,
        spec_version=SPEC_VERSION,
        force_delay=config.force_delay,
        sequencer_timeout=config.sequencer_timeout,
        data_window=context.documents.data_window(name),
    )
    return await base.deployment.rollup(name, registration)


async def _compose(ground: _Ground, settled: Place | None, opened: AsyncExitStack) -> _Services:
    context, config, name = ground.context, ground.config, ground.name
    inbox = None
    if settled is not None:
        inbox = Inbox(settled.client, rollup_id=settled.rollup_id, poll_s=SETTLEMENT_POLL_S, log=context.log)
    ignored = frozenset(bytes.fromhex(address[2:]) for address in config.ignore_senders)
    sequencer = await Sequencer.open(
        ground.chain,
        inbox,
        ground.journal,
        SequencerConfig(
            block_time=config.block_time_ms / 1000,
            max_block_bytes=ground.layer.max_blob_bytes * 9 // 10,  # any block fits a blob, even an incompressible one
            ignore_senders=ignored,
        ),
        least_tip=ground.ledger.least_tip,
        name=name,
        registry=ground.registry,
        log=context.log,
    )
    role = f"sequencer.{name}"
    da = await ground.layer.publisher(role)
    published = PublishedBlocks(ground.journal.inbox_accumulator, ground.journal.set_inbox)
    source = _source(ground, settled, da)
    follower = await Follower.open(
        ground.chain,
        source,
        ground.store,
        own=published,
        requeue=sequencer.requeue,
        first_da_height=ground.layer.first_height,
        log=context.log,
    )
    batcher = Batcher(
        ground.chain,
        follower,
        published,
        ground.store,
        ground.layer.publishing(role, ground.namespace, settled, budget=config.blob_budget, bear=ground.ledger.spent),
        BatcherConfig(
            interval=config.batch_interval_ms / 1000,
            max_blob_bytes=ground.layer.max_blob_bytes,
            max_in_flight=in_flight(0 if settled is None else settled.data_window),
        ),
        ahead=None if settled is None else _ahead(ground, settled, da, follower, published, sequencer.requeue),
        on_published=ground.ledger.published,
        name=name,
        registry=ground.registry,
        log=context.log,
    )
    proposer = None if settled is None else await _proposer(ground, settled, follower)
    standby = None
    if config.follows:
        submit: Submit = refuse
        least_tip = _no_price
        if config.sequencer_url is not None:
            submit = forward = await opened.enter_async_context(forwarding(config.sequencer_url))
            least_tip = forward.least_tip
        standby = Standby(sequencer, batcher, submit, least_tip=least_tip, log=context.log)
    ground.layer.set_floor(name, NeededHeights(da, follower, published, proposer).lowest)
    return _Services(inbox, sequencer, batcher, proposer, ground.ledger, standby)


def _source(ground: _Ground, settled: Place | None, da: DataAvailability) -> BatchSource:
    """Where the rollup's batches are read from."""
    da_id, namespace = ground.layer.da_id, ground.namespace
    if settled is None:
        signer = ground.layer.signer(f"sequencer.{ground.name}")
        return SovereignSource(da, da_id=da_id, namespace=namespace, sequencer=signer)
    return SettledSource(settled.client, da, rollup_id=settled.rollup_id, da_id=da_id, namespace=namespace)


def _ahead(
    ground: _Ground,
    settled: Place,
    da: DataAvailability,
    follower: Follower,
    published: PublishedBlocks,
    give_back: Callable[[Sequence[bytes]], Awaitable[None]] | None,
) -> PublishedAhead | None:
    """None where publishing and fixing are one step."""
    if isinstance(ground.layer, Blobs):
        return None
    return PublishedAhead(
        ground.chain,
        follower,
        published,
        da,
        settled.client,
        rollup_id=settled.rollup_id,
        namespace=ground.namespace,
        signer=ground.layer.signer(f"sequencer.{ground.name}"),
        first_height=ground.layer.first_height,
        give_back=give_back,
        store=ground.store,
        log=ground.context.log,
    )


async def _proposer(ground: _Ground, settled: Place, follower: Follower) -> Proposer:
    context, name = ground.context, ground.name
    return await Proposer.open(
        settled.base.client(context, f"proposer.{name}", observe=ground.ledger.observe),
        follower,
        ground.store,
        ProposerConfig(
            chain_id=settled.base.chain_id,
            contract=settled.base.contract,
            rollup_id=settled.rollup_id,
            genesis_state=ground.evm.genesis_hash,
            spec_version=SPEC_VERSION,
            claim_interval=ground.config.claim_interval_ms / 1000,
        ),
        name=name,
        registry=ground.registry,
        log=context.log,
    )
