"""A DA chain of squares in another process of the stack, as a rollup in a process of its own has it: a `Layer` over the node API.

    layer = await open_square_elsewhere(context, "square", api, "sequencer.alpha", home, closing)

Everything that comes is checked against the chain's genesis hash, as by any node (services/nodes/remote.py): the two processes
trust each other with money and not with proofs. What only the stack's own process can do (fund the account, deploy the
attestations, run attestors and relayer) it has done before this one was started, and it is told what this one waits for.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from dougong.availability.chain.cosmos_tx import account_address
from dougong.consensus.genesis import Genesis
from dougong.interfaces import DataAvailability
from dougong.net.node import NodeClient
from dougong.services.archiving import Floor
from dougong.services.attesting import DataRootHistory
from dougong.services.nodes.remote import REMOTE_TABLES, RemoteSquare
from dougong.services.rollup.batches import Publish
from dougong.services.rollup.fixing import SettledFix
from dougong.services.rollup.publishing import SubmitThenFix
from dougong.services.threads import in_thread
from dougong.settlement.attestations import AttestationsClient
from dougong.stack.config import SquareAvailability
from dougong.stack.context import Context
from dougong.stack.layers import Bear, Place
from dougong.stack.settlements import SettlementChain
from dougong.stack.squares import FIX_POLL_S, blob_room
from dougong.store import Store
from dougong.types import Namespace

__all__ = ["SquareElsewhere", "open_square_elsewhere"]


class SquareElsewhere:
    """For one role. `wanted` is the height whose attestation it waits for (0: none), `floor` the lowest that it may need, and
    `bear` who hears of what is spent on settlement for all rollups."""

    first_height = 1

    def __init__(self, context: Context, name: str, config: SquareAvailability, role: str, square: RemoteSquare) -> None:
        self._context = context
        self._square = square
        self._role = role
        self.name = name
        self.da_id = square.da_id
        self.max_blob_bytes = blob_room(config.max_square_size)
        self.floor: Floor | None = None
        self.bear: Bear | None = None
        self._attestations = b""
        self._fix: SettledFix | None = None

    @property
    def wanted(self) -> int:
        return 0 if self._fix is None else self._fix.waiting_for

    def client(self, role: str) -> DataAvailability:
        assert role == self._role, f"this process publishes for {self._role} only"
        return self._square

    async def publisher(self, role: str) -> DataAvailability:
        return self.client(role)

    def signer(self, role: str) -> bytes:
        return account_address(self._context.keys.account(role).public_key)

    async def attestations_on(self, settlement: SettlementChain, closing: AsyncExitStack) -> bytes:
        """Raises `NotFound` where the stack's own process has deployed none."""
        self._attestations = settlement.deployment.known_attestations(self.name)
        return self._attestations

    def publishing(
        self, role: str, namespace: Namespace, place: Place | None, *, budget: int | None, bear: Bear = lambda wei: None
    ) -> Publish:
        if place is not None:
            base = place.base
            reader = AttestationsClient(base.rpc, self._attestations, base.transactor(self._context, role))
            self._fix = SettledFix(
                place.client,
                reader,
                self._square,
                DataRootHistory(self._square),
                rollup_id=place.rollup_id,
                data_window=place.data_window,
                poll_s=FIX_POLL_S,
                log=self._context.log,
            )
        self.bear = bear
        return SubmitThenFix(self._square, namespace, self.signer(role), fix=self._fix, budget=budget)

    def set_floor(self, rollup: str, floor: Floor) -> None:
        self.floor = floor


async def open_square_elsewhere(
    context: Context, name: str, api: str, role: str, home: Path, closing: AsyncExitStack
) -> SquareElsewhere:
    """`api` is the stack's server."""
    config = context.config.availability[name]
    assert isinstance(config, SquareAvailability), "only squares are reached from a process of a rollup's own"
    node = await closing.enter_async_context(NodeClient(f"{api}/{name}"))
    store = await in_thread(Store, home, REMOTE_TABLES)
    closing.callback(store.close)
    genesis = Genesis.parse(context.documents.availability[name])
    square = await RemoteSquare.open(node, genesis.hash, store=store, key=context.keys.account(role), log=context.log)
    return SquareElsewhere(context, name, config, role, square)
