"""A whole settled rollup in a test: a DA chain under solo, the contracts on anvil, an attestor, and a rollup's services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dougong._native import Evm
from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.attestor import TABLES as ATTESTOR_TABLES
from dougong.availability.chain.attestor import Attestor
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.layer import SquareLayer
from dougong.consensus import Genesis, Solo, SoloOptions
from dougong.crypto.attestation import attestors_hash
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.execution.evm.app import EvmApplication
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.execution.evm.ordered import OrderedEvm
from dougong.interfaces import DataAvailability
from dougong.net.jsonrpc import JsonRpc
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.node import AvailabilityNode, availability_methods, chain_health, consensus_methods
from dougong.rpc.server import RpcServer
from dougong.services.attesting import AttestorService, DataRootHistory
from dougong.services.nodes.verifying_node import VerifyingNode
from dougong.services.relayer import Relayer, RelayerConfig
from dougong.services.rollup.batcher import BATCHER_TABLES, Batcher, BatcherConfig
from dougong.services.rollup.batches import BatchState, PublishedBlocks
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.fixing import SettledFix
from dougong.services.rollup.follower import FOLLOWER_TABLES, Follower
from dougong.services.rollup.inbox import Inbox
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.proposer import PROPOSER_TABLES, Proposer, ProposerConfig
from dougong.services.rollup.publishing import SubmitThenFix
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.services.rollup.sources import BatchSource, SettledSource, SovereignSource
from dougong.settlement.attestations import AttestationsClient
from dougong.settlement.client import SettlementClient
from dougong.settlement.deployment import deploy_attestations, deploy_permissioned_verifier, deploy_settlement
from dougong.settlement.encoding import RollupConfig
from dougong.settlement.transactor import Transactor
from dougong.store import Store
from dougong.types import Attestation, Namespace, Validator
from dougong.types import Attestor as AttestorKey
from tests.engines import ANVIL_KEY, anvil
from tests.services.world import GENESIS_TIME, USERS, genesis, transfers

VALIDATOR = Ed25519Key(b"\x51" * 32)
NAMESPACE = Namespace.user(b"alpha")
DA_GENESIS = Genesis.create(
    "square-1", 1_767_323_045_000_000_000, [Validator(VALIDATOR.public_key, 10)], app_state={"max_square_size": 32}
)
DEPLOYER = Secp256k1Key(ANVIL_KEY)
SEQUENCER, PROPOSER, RELAYER, USER, ATTESTOR = (Secp256k1Key(keccak256(b"role %d" % n)) for n in range(5))

ATTESTORS = (AttestorKey(ATTESTOR.address, 10),)


@asynccontextmanager
async def running(*services: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs services beside a test; one that fails fails the test."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service()) for service in services]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def data_chain(folder: Path, genesis: Genesis = DA_GENESIS) -> AsyncIterator[SquareLayer]:
    app = await SquareApplication.open(folder / "app")
    chain = await Solo.open(folder / "chain", genesis, VALIDATOR, app, SoloOptions(block_time=0.08))
    try:
        async with running(chain.run):
            yield SquareLayer(chain, app)
    finally:
        await chain.close()
        await app.close()


EMBEDDED_GENESIS = make_genesis(
    9_001, {DEPLOYER.address: GenesisAccount(balance=10**24)}, timestamp=GENESIS_TIME, gas_limit=60_000_000
)
BASE_GENESIS = Genesis.create(
    "base-1", GENESIS_TIME * 10**9, [Validator(VALIDATOR.public_key, 10)], app_state=json.loads(EMBEDDED_GENESIS)
)


@asynccontextmanager
async def serving() -> AsyncIterator[RpcServer]:
    server = RpcServer.bind("127.0.0.1", 0)
    async with running(server.run):
        yield server


@asynccontextmanager
async def embedded(folder: Path, server: RpcServer) -> AsyncIterator[str]:
    """Our own settlement chain: the EVM application under solo, behind JSON-RPC."""
    app = await EvmApplication.open(folder / "evm", BASE_GENESIS.app_state.decode())
    chain = await Solo.open(
        folder / "chain", BASE_GENESIS, VALIDATOR, app, SoloOptions(block_time=0.02, create_empty_blocks=False)
    )
    api = EthereumApi(OrderedEvm(app, chain))
    try:
        server.mount("base", api.methods.include(consensus_methods(BASE_GENESIS.raw, chain)), api.health)
        async with running(chain.run):
            yield server.url("base")
    finally:
        api.close()
        await chain.close()
        await app.close()


@dataclass(slots=True)
class World:
    """The layers below a rollup, and how to reach them."""

    folder: Path
    layer: SquareLayer
    server: RpcServer
    rpc: JsonRpc
    deployer: Transactor
    settlement: bytes
    attestations: bytes
    rollup_id: int
    attestor: AttestorService
    relayer: Relayer
    data_window: int

    async def attest(self, height: int | None = None) -> int:
        """Brings the history up to `height` (None: of all that there is) to settlement by hand, where no relayer runs."""
        height = await self.layer.latest() if height is None else height
        await self.layer.chain.wait_for_height(height)
        while await asyncio.sleep(0.01, self.attestor.height < height):
            pass
        following = attestors_hash(ATTESTORS)
        root, signature = await self.attestor.history_root(height), await self.attestor.signature(height, following)
        contract = AttestationsClient(self.rpc, self.attestations, self.deployer)
        await contract.attest(Attestation(DA_GENESIS.hash, height, root, following, ATTESTORS, (signature,)))
        return height

    async def client(self, key: Secp256k1Key) -> SettlementClient:
        return SettlementClient(self.rpc, self.settlement, await Transactor.connect(self.rpc, key))

    async def pass_time(self, seconds: int) -> None:
        """On anvil."""
        await self.rpc.call("evm_increaseTime", seconds)
        await self.rpc.call("evm_mine")

    def da(self, key: Secp256k1Key) -> SquareClient:
        return SquareClient(self.layer, key)

    def source(self, settlement: SettlementClient | None = None, da: DataAvailability | None = None) -> SettledSource:
        return SettledSource(
            settlement or SettlementClient(self.rpc, self.settlement),
            da or self.da(USER),
            rollup_id=self.rollup_id,
            da_id=DA_GENESIS.hash,
            namespace=NAMESPACE,
        )


def mount_square(server: RpcServer, layer: SquareLayer, serving: AvailabilityNode | None = None) -> str:
    """Serves the DA chain; `serving` in the layer's place is a node that misbehaves."""
    methods = consensus_methods(DA_GENESIS.raw, layer.chain).include(availability_methods(serving or layer, layer.chain))
    server.mount("square", methods, chain_health(layer.chain))
    return server.url("square")


@asynccontextmanager
async def settled_world(
    folder: Path,
    *,
    window: int = 0,
    own_chain: bool = False,
    patience: int = 3_600,
    data_window: int = 0,
    relaying: bool = True,
) -> AsyncIterator[World]:
    """`own_chain`: settle on the embedded chain instead of anvil. `patience` in seconds: after it a message is overdue, and after
    twice that anyone may append. `data_window` as registered. Without `relaying` nobody runs the relayer."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving())
        if own_chain:
            url = await stack.enter_async_context(embedded(folder / "base", server))
        else:
            url = stack.enter_context(anvil(folder))
        layer = await stack.enter_async_context(data_chain(folder / "da"))
        mount_square(server, layer)
        rpc = await stack.enter_async_context(JsonRpc(url))
        deployer = await Transactor.connect(rpc, DEPLOYER)
        for key in (SEQUENCER, PROPOSER, RELAYER, USER):
            await deployer.send(key.address, b"", 100 * 10**18)
        attestations = await deploy_attestations(deployer, DA_GENESIS.hash, ATTESTORS)
        settlement = await deploy_settlement(deployer)
        verifier = await deploy_permissioned_verifier(deployer, settlement, PROPOSER.address, window)
        probe = Evm(str(folder / "probe"), genesis())
        config = RollupConfig(
            namespace=NAMESPACE,
            attestations=attestations,
            da_id=DA_GENESIS.hash,
            sequencer=SEQUENCER.address,
            verifier=verifier,
            genesis_state=probe.genesis_hash,
            spec_version=1,
            force_delay=patience,
            sequencer_timeout=patience,
            data_window=data_window,
        )
        probe.close()
        rollup_id = await SettlementClient(rpc, settlement, deployer).register(config)
        store = Store(folder / "attestor", ATTESTOR_TABLES)
        stack.callback(store.close)
        service = AttestorService(Attestor(store, ATTESTOR, DA_GENESIS.hash), SquareClient(layer, ATTESTOR), poll_s=0.02)
        relayer = Relayer(
            AttestationsClient(rpc, attestations, await Transactor.connect(rpc, RELAYER)),
            ATTESTORS,
            {ATTESTOR.address: service},
            DA_GENESIS.hash,
            RelayerConfig(interval=0.1, poll_s=0.02),
        )
        world = World(folder, layer, server, rpc, deployer, settlement, attestations, rollup_id, service, relayer, data_window)
        services = [service.run, relayer.run] if relaying else [service.run]
        await stack.enter_async_context(running(*services))
        yield world


@dataclass(slots=True)
class Rollup:
    """A rollup's services over one folder; `down` is what a kill -9 leaves of them."""

    chain: RollupChain
    inbox: Inbox
    sequencer: Sequencer
    follower: Follower
    published: PublishedBlocks
    batcher: Batcher
    proposer: Proposer | None
    fix: SettledFix | None
    closing: AsyncExitStack

    async def down(self) -> None:
        await self.closing.aclose()

    async def resume(self) -> None:
        """What `Batcher.run` begins with, and every unfinished batch to its end."""
        await self.batcher.load()
        await self.follower.catch_up()
        await self.batcher.prune()
        for record in list(self.published.records):
            if record.state is not BatchState.PUBLISHED:
                await self.batcher.publish(record)
        while await self.batcher.fix_next():
            pass


class Crash(BaseException):
    """A kill at a crash point: nothing in the services may catch it."""


class CrashAt:
    """Kills when the nth crash point is passed, and counts them."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.passed: list[str] = []

    def __call__(self, step: str) -> None:
        self.passed.append(step)
        if len(self.passed) == self.at:
            raise Crash(step)


async def rollup_up(
    folder: Path,
    da: DataAvailability,
    source: BatchSource,
    *,
    signer: bytes,
    world: World | None = None,
    settlement: SettlementClient | None = None,
    crash: CrashAt | None = None,
    config: SequencerConfig | None = None,
) -> Rollup:
    """Opens (or opens again) the services of a rollup. `world` None: a sovereign one."""
    closing = AsyncExitStack()
    evm = Evm(str(folder / "evm"), genesis())
    closing.callback(evm.close)
    journal = await Journal.open(folder / "journal")
    closing.callback(journal.close)
    closing.push_async_callback(journal.flush)
    stores = {name: Store(folder / name, tables) for name, tables in TABLES.items()}
    for store in stores.values():
        closing.callback(store.close)
    chain = await RollupChain.open(evm)
    inbox = Inbox(settlement, rollup_id=world.rollup_id) if world is not None and settlement is not None else None
    sequencer = await Sequencer.open(chain, inbox, journal, config or SequencerConfig())
    published = PublishedBlocks(journal.inbox_accumulator, journal.set_inbox)
    follower = await Follower.open(chain, source, stores["follower"], own=published, requeue=sequencer.requeue)
    fix: SettledFix | None = None
    proposer = None
    crash = crash or CrashAt()
    if world is not None and settlement is not None:
        attested = AttestationsClient(world.rpc, world.attestations)
        history = DataRootHistory(da)
        fix = SettledFix(
            settlement,
            attested,
            world.da(SEQUENCER),
            history,
            rollup_id=world.rollup_id,
            data_window=world.data_window,
            poll_s=0.02,
        )
        proposing = await world.client(PROPOSER)
        proposer_config = ProposerConfig(
            world.deployer.chain_id, world.settlement, world.rollup_id, evm.genesis_hash, claim_interval=0.0, poll_s=0.02
        )
        proposer = await Proposer.open(proposing, follower, stores["proposer"], proposer_config, crash_point=crash)
    publishing = SubmitThenFix(da, NAMESPACE, signer, fix=fix)
    batcher_config = BatcherConfig(interval=0.05, poll_s=0.02)
    batcher = Batcher(chain, follower, published, stores["batcher"], publishing, batcher_config, crash_point=crash)
    return Rollup(chain, inbox, sequencer, follower, published, batcher, proposer, fix, closing)  # type: ignore[arg-type]


TABLES = {"follower": FOLLOWER_TABLES, "batcher": BATCHER_TABLES, "proposer": PROPOSER_TABLES}


async def settled_rollup(
    world: World,
    *,
    crash: CrashAt | None = None,
    config: SequencerConfig | None = None,
    da: DataAvailability | None = None,
    folder: str = "alpha",
) -> Rollup:
    settlement = await world.client(SEQUENCER)
    own = world.da(SEQUENCER)
    used: DataAvailability = da or own
    source = world.source(settlement, used)
    path = world.folder / folder
    return await rollup_up(path, used, source, signer=own.address, world=world, settlement=settlement, crash=crash, config=config)


async def sovereign_rollup(layer: SquareLayer, folder: Path, *, crash: CrashAt | None = None) -> Rollup:
    da = SquareClient(layer, SEQUENCER)
    source = SovereignSource(da, da_id=DA_GENESIS.hash, namespace=NAMESPACE, sequencer=da.address)
    return await rollup_up(folder, da, source, signer=da.address, crash=crash)


async def make_blocks(rollup: Rollup, first_nonce: int, count: int) -> None:
    for nonce in range(first_nonce, first_nonce + count):
        await rollup.sequencer.submit(transfers(USERS[0], nonce, 1)[0])
        assert await rollup.sequencer.make_block() is not None


async def agree(world: World, rollup: Rollup, name: str = "verifier") -> None:
    """A node that saw only DA and settlement has the rollup's blocks, those too that are published and not settled yet."""
    node = await VerifyingNode.open(world.folder / name, genesis(), world.source())
    await node.catch_up()
    latest = node.chain.latest
    assert latest.number >= rollup.follower.position.number
    assert latest.hash == (await rollup.chain.header(latest.number)).hash
    await node.close()


async def settle(rollup: Rollup) -> None:
    """One batch of all that is there, to the end."""
    record = await rollup.batcher.close_batch(now=True)
    assert record is not None
    await rollup.batcher.publish(record)
    assert await rollup.batcher.fix_next()
