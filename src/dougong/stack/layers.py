"""What a rollup needs of its DA layer, whichever family it is of.

da = layer.client("sequencer.alpha")
attestations = await layer.attestations_on(base, closing)     # zero where the settlement chain carries the data itself
publishing = layer.publishing("sequencer.alpha", namespace, place)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from dougong.interfaces import DataAvailability
from dougong.services.archiving import Floor
from dougong.services.rollup.batches import Publish
from dougong.settlement.client import SettlementClient
from dougong.stack.settlements import SettlementChain
from dougong.types import Namespace

__all__ = ["Bear", "Layer", "Place"]

Bear = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Place:
    """A rollup's place on its settlement chain; `client` sends as its sequencer. `data_window` as it is registered."""

    base: SettlementChain
    client: SettlementClient
    rollup_id: int
    data_window: int


class Layer(Protocol):
    """One DA layer of a stack."""

    @property
    def name(self) -> str: ...

    @property
    def da_id(self) -> bytes:
        """What a batch reference calls it (32 bytes)."""
        ...

    @property
    def first_height(self) -> int:
        """Where rollups on it begin."""
        ...

    @property
    def max_blob_bytes(self) -> int:
        """The most bytes that a batch may have."""
        ...

    def client(self, role: str) -> DataAvailability:
        """The layer for one account. One client a role: it counts what the account sends."""
        ...

    async def publisher(self, role: str) -> DataAvailability:
        """The same, once the account can pay for what it publishes, as far as that is ours to see to."""
        ...

    def signer(self, role: str) -> bytes:
        """What the layer calls that account (20 bytes): the signer of its blobs."""
        ...

    async def attestations_on(self, settlement: SettlementChain, closing: AsyncExitStack) -> bytes:
        """The address of the contract that knows the layer's data roots, deployed and served from now on; zero where a rollup
        needs none."""
        ...

    def publishing(
        self, role: str, namespace: Namespace, place: Place | None, *, budget: int | None, bear: Bear = lambda wei: None
    ) -> Publish:
        """How batches get there and, for a rollup that settles, to its contract. `budget`: what one may cost, in the layer's
        unit (None: as the layer has it). `bear` is told of the rollup's share, in the settlement chain's wei, of what is spent
        for all of them there."""
        ...

    def set_floor(self, rollup: str, floor: Floor) -> None:
        """Called once a rollup can say which heights it may yet need."""
        ...
