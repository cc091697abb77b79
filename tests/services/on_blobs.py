"""A rollup in a test whose batches lie in the blobs of the chain that it settles on: the contracts and the blobs on anvil."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dougong._native import Evm
from dougong.availability.ethereum.beacon import Beacon
from dougong.availability.ethereum.layer import EthereumBlobs
from dougong.availability.ethereum.reading import BlobReader
from dougong.availability.kzg import da_id
from dougong.availability.kzg.sidecar import make_sidecar
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.services.nodes.verifying_node import VerifyingNode
from dougong.services.rollup.batcher import Batcher, BatcherConfig
from dougong.services.rollup.batches import PublishedBlocks
from dougong.services.rollup.blob_inbox import BlobInbox
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.follower import Follower
from dougong.services.rollup.inbox import Inbox
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.services.rollup.sources import SettledSource
from dougong.settlement.client import SettlementClient
from dougong.settlement.deployment import deploy_permissioned_verifier, deploy_settlement
from dougong.settlement.encoding import RollupConfig
from dougong.settlement.transactor import Transactor
from dougong.store import Store
from tests.engines import anvil
from tests.services.settled import DEPLOYER, NAMESPACE, PROPOSER, SEQUENCER, TABLES, USER, CrashAt, Rollup
from tests.services.world import genesis


@dataclass(slots=True)
class BlobWorld:
    """A chain with the contracts, and one rollup registered on its blobs."""

    folder: Path
    rpc: JsonRpc
    beacon: Beacon
    chain_id: int
    settlement: bytes
    rollup_id: int

    def client(self, key: Any = SEQUENCER, *, stuck_after: float = 30.0) -> SettlementClient:
        return SettlementClient(self.rpc, self.settlement, Transactor(self.rpc, key, self.chain_id, stuck_after=stuck_after))

    def source(self, *, confirmations: int = 0, final_only: bool = False) -> SettledSource:
        da = EthereumBlobs(BlobReader(self.rpc, self.beacon, finality=confirmations))
        return SettledSource(
            SettlementClient(self.rpc, self.settlement),
            da,
            rollup_id=self.rollup_id,
            da_id=da_id(self.chain_id),
            namespace=NAMESPACE,
            final_only=final_only,
        )

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.rpc.call("evm_mine")

    async def pass_time(self, seconds: int) -> None:
        await self.rpc.call("evm_increaseTime", seconds)
        await self.mine()

    async def mining(self, *, at_once: bool) -> None:
        """Whether every transaction gets its block by itself."""
        await self.rpc.call("evm_setAutomine", at_once)

    async def pending(self) -> list[dict[str, Any]]:
        content = (await self.rpc.call("txpool_content"))["pending"]
        return [tx for by_nonce in content.values() for tx in by_nonce.values()]

    async def sent(self) -> int:
        """How many transactions of the sequencer are in blocks."""
        return quantity(await self.rpc.call("eth_getTransactionCount", "0x" + SEQUENCER.address.hex(), "latest"))


@asynccontextmanager
async def blob_world(folder: Path, *, patience: int = 3_600) -> AsyncIterator[BlobWorld]:
    """`patience` as in `settled_world`."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(anvil(folder))
        rpc = await stack.enter_async_context(JsonRpc(url))
        beacon = await stack.enter_async_context(Beacon(url))
        deployer = await Transactor.connect(rpc, DEPLOYER)
        for key in (SEQUENCER, PROPOSER, USER):
            await deployer.send(key.address, b"", 100 * 10**18)
        settlement = await deploy_settlement(deployer)
        verifier = await deploy_permissioned_verifier(deployer, settlement, PROPOSER.address, 0)
        probe = Evm(str(folder / "probe"), genesis())
        config = RollupConfig(
            namespace=NAMESPACE,
            attestations=bytes(20),
            da_id=da_id(deployer.chain_id),
            sequencer=SEQUENCER.address,
            verifier=verifier,
            genesis_state=probe.genesis_hash,
            spec_version=1,
            force_delay=patience,
            sequencer_timeout=patience,
            data_window=0,
        )
        probe.close()
        rollup_id = await SettlementClient(rpc, settlement, deployer).register(config)
        yield BlobWorld(folder, rpc, beacon, deployer.chain_id, settlement, rollup_id)


async def blob_rollup(
    world: BlobWorld, *, crash: CrashAt | None = None, budget: int | None = None, stuck_after: float = 30.0
) -> Rollup:
    """Opens (or opens again) the rollup's services."""
    folder = world.folder / "alpha"
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
    settlement = world.client(stuck_after=stuck_after)
    inbox = Inbox(settlement, rollup_id=world.rollup_id)
    sequencer = await Sequencer.open(chain, inbox, journal, SequencerConfig())
    published = PublishedBlocks(journal.inbox_accumulator, journal.set_inbox)
    follower = await Follower.open(chain, world.source(), stores["follower"], own=published, requeue=sequencer.requeue)
    publishing = BlobInbox(settlement, make_sidecar, NAMESPACE, rollup_id=world.rollup_id, budget=budget)
    config = BatcherConfig(interval=0.05, poll_s=0.02, unpaid_s=0.02)
    batcher = Batcher(chain, follower, published, stores["batcher"], publishing, config, crash_point=crash or CrashAt())
    return Rollup(chain, inbox, sequencer, follower, published, batcher, None, None, closing)


async def agrees(world: BlobWorld, rollup: Rollup, name: str = "verifier") -> None:
    """A node that saw only blobs and settlement has the rollup's blocks."""
    node = await VerifyingNode.open(world.folder / name, genesis(), world.source(final_only=True))
    await node.catch_up()
    assert node.chain.latest.hash == (await rollup.chain.header(rollup.follower.position.number)).hash
    await node.close()
