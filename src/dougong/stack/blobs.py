"""An Ethereum chain's blobs as a stack's DA layer: nothing of it runs here but what reads and sends.

blobs = await open_blobs(context, "blobs", base, closing)
da = blobs.client("sequencer.alpha")

A rollup that settles on the same chain needs neither attestors nor a relayer: the transaction that carries a batch calls the
contract. A sovereign one signs its blobs by sending them.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from dougong.availability.ethereum.beacon import Beacon
from dougong.availability.ethereum.layer import EthereumBlobs
from dougong.availability.ethereum.reading import BlobReader
from dougong.availability.kzg import da_id
from dougong.availability.kzg.sidecar import make_sidecar
from dougong.errors import ConfigError
from dougong.services.archiving import Floor
from dougong.services.rollup.batches import Publish
from dougong.services.rollup.blob_inbox import BlobInbox
from dougong.services.rollup.publishing import SubmitThenFix
from dougong.stack.config import EthereumBlobsAvailability
from dougong.stack.context import Context
from dougong.stack.events import Event
from dougong.stack.layers import Bear, Place
from dougong.stack.settlements import SettlementChain
from dougong.stack.trust import BlobsTrust
from dougong.types import Namespace

__all__ = ["Blobs", "open_blobs"]


class Blobs:
    """A `Layer`."""

    def __init__(
        self, context: Context, name: str, config: EthereumBlobsAvailability, base: SettlementChain, reader: BlobReader
    ) -> None:
        self._context = context
        self._config = config
        self._base = base
        self._reader = reader
        self.name = name
        self.first_height = 1
        self.da_id = da_id(base.chain_id)
        self.max_blob_bytes = EthereumBlobs(reader).max_blob_bytes

    def client(self, role: str) -> EthereumBlobs:
        return EthereumBlobs(self._reader, self._base.transactor(self._context, role))

    async def publisher(self, role: str) -> EthereumBlobs:
        return self.client(role)

    def signer(self, role: str) -> bytes:
        return self._context.keys.account(role).address

    async def attestations_on(self, settlement: SettlementChain, closing: AsyncExitStack) -> bytes:
        if settlement.name != self._base.name:
            raise ConfigError(
                f"the blobs of {self._base.name}'s chain prove nothing to {settlement.name}",
                remedy=f'settle on "{self._base.name}"',
            )
        return bytes(20)

    def publishing(
        self, role: str, namespace: Namespace, place: Place | None, *, budget: int | None, bear: Bear = lambda wei: None
    ) -> Publish:
        if place is None:
            return SubmitThenFix(self.client(role), namespace, self.signer(role), fix=None, budget=budget)
        return BlobInbox(place.client, make_sidecar, namespace, rollup_id=place.rollup_id, budget=budget, log=self._context.log)

    def trust(self) -> BlobsTrust:
        config = self._config
        url = self._base.rpc.url
        return BlobsTrust(
            chain_id=self._base.chain_id,
            url=url,
            beacon_url=config.beacon_url or url,
            confirmations=config.confirmations,
        )

    def set_floor(self, rollup: str, floor: Floor) -> None:
        pass  # what the chain keeps, and for how long, is not ours to say


async def open_blobs(
    context: Context, name: str, config: EthereumBlobsAvailability, base: SettlementChain, closing: AsyncExitStack
) -> Blobs:
    """Reads through the node that settles, and a beacon node beside it: without `beacon_url` the same one, as with anvil."""
    beacon = await closing.enter_async_context(Beacon(config.beacon_url or base.rpc.url))
    reader = BlobReader(base.rpc, beacon, finality=config.confirmations)
    facts: dict[str, object] = {"layer": "availability", "url": base.rpc.url, "genesis": None, "chain_id": base.chain_id}
    context.report(Event("chain", name, facts))
    return Blobs(context, name, config, base, reader)
