"""Submits blobs to a DA chain behind a socket, for one account.

    account = RemoteAccount(node, genesis, key, square)         # square reads and verifies what was published
    placement = await account.submit(blob, budget=20_000)

The node is not trusted: that a blob is published is believed when `square` has read it back with its proofs, and what the
node says of prices is believed up to the budget (`availability.chain.bidding`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from dougong.availability.chain.bidding import Bidder, BidPolicy, Published
from dougong.availability.chain.params import SquareParams
from dougong.consensus import Genesis
from dougong.crypto.keys import Secp256k1Key
from dougong.interfaces import DataAvailability
from dougong.net.node import NodeClient
from dougong.types import Blob, BlobMarket, CheckTxResult, FeeAccount, Placement, Quote

__all__ = ["RemoteAccount", "RemoteDoor"]


class RemoteAccount:
    """One per key: it counts the account's sequence. `policy.sign_anew` is off: the node's word is all that says it is needed."""

    def __init__(
        self,
        node: NodeClient,
        genesis: Genesis,
        key: Secp256k1Key,
        square: DataAvailability,
        *,
        poll_s: float,
        policy: BidPolicy | None = None,
    ) -> None:
        self._bidder = Bidder(RemoteDoor(node, genesis, square, poll_s), key, policy or BidPolicy(sign_anew=False))
        self.address = self._bidder.address

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        """`DataAvailability.submit`."""
        return (await self._bidder.publish([blob], budget=budget)).placements[0]


class RemoteDoor:
    """A `BlobDoor`, and a `Cashier`, that takes prices and what waits from one node, and blocks from `square`."""

    def __init__(self, node: NodeClient, genesis: Genesis, square: DataAvailability, poll_s: float) -> None:
        self._node = node
        self._square = square
        self._poll_s = poll_s
        self.chain_id = genesis.chain_id
        self.params = SquareParams.parse(genesis.app_state)

    async def latest(self) -> int:
        return await self._square.latest()

    async def wait_for_height(self, height: int) -> None:
        while True:
            if await self._square.latest() >= height:
                return
            await asyncio.sleep(self._poll_s)

    async def account(self, address: bytes) -> FeeAccount:
        return await self._node.account(address)

    async def market(self) -> BlobMarket:
        return await self._node.market()

    async def quote(self, size: int) -> Quote:
        return await self._node.quote(size)

    async def broadcast(self, raw: bytes) -> CheckTxResult:
        return await self._node.offer(raw)

    async def published(self, height: int, blobs: Sequence[Blob], sent: Mapping[bytes, bytes]) -> Published | None:
        """By the blobs themselves: whoever published the same ones, they are published."""
        placements: list[Placement] = []
        for blob in blobs:
            placed = (await self._square.blobs(height, blob.namespace)).blobs
            found = next((one.placement for one in placed if one.blob == blob and one.placement not in placements), None)
            if found is None:
                return None
            placements.append(found)
        return Published(tuple(placements), b"")
