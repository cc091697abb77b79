"""Submits blobs to a DA chain behind a socket, for one account.

    account = RemoteAccount(node, genesis, key, square)         # square reads and verifies what was published
    placement = await account.submit(blob)

The node is not trusted: that a blob is published is believed when `square` has read it back with its proofs.
"""

from __future__ import annotations

import asyncio

from dougong.availability.blob_tx import account_address, make_blob_tx
from dougong.availability.layout import SquareBuilder
from dougong.availability.params import SquareParams
from dougong.availability.wire import decode_blob_tx
from dougong.consensus import Genesis
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidBlob, Unavailable
from dougong.interfaces import DataAvailability
from dougong.net.node import NodeClient
from dougong.services.threads import in_thread
from dougong.types import Blob, Placement

__all__ = ["RemoteAccount"]


class RemoteAccount:
    """One per key: it counts the account's sequence."""

    def __init__(self, node: NodeClient, genesis: Genesis, key: Secp256k1Key, square: DataAvailability, *, poll_s: float) -> None:
        self.address = account_address(key.public_key)
        self._node = node
        self._genesis = genesis
        self._key = key
        self._square = square
        self._poll_s = poll_s
        self._submitting = asyncio.Lock()
        self._next_sequence = 0

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        """`DataAvailability.submit`."""
        if blob.share_version == 1 and blob.signer != self.address:
            raise InvalidBlob("a blob of share version 1 is signed by the account that submits it")
        await in_thread(self._check_fits, blob)
        height = await self._square.latest() + 1
        async with self._submitting:  # a sequence is used up only by a transaction that was taken
            sequence = max(self._next_sequence, await self._node.next_sequence(self.address))
            raw = await in_thread(make_blob_tx, self._key, self._genesis.chain_id, sequence, [blob])
            self._next_sequence = 0  # unless it is taken, the node's count is the one that holds
            await self._node.submit(raw)
            self._next_sequence = sequence + 1
        while True:
            spent = await self._node.next_sequence(self.address) > sequence
            last = await self._square.latest()
            while height <= last:
                for placed in (await self._square.blobs(height, blob.namespace)).blobs:
                    if placed.blob == blob:
                        return placed.placement
                height += 1
            if spent:
                self._next_sequence = 0
                raise Unavailable("another transaction took the account's sequence: this one did not publish the blob")
            await asyncio.sleep(self._poll_s)

    def _check_fits(self, blob: Blob) -> None:
        """Raises `InvalidBlob` for a blob that the chain's largest square could not hold beside its own transaction."""
        wrapped = decode_blob_tx(make_blob_tx(self._key, self._genesis.chain_id, 0, [blob]))
        limit = SquareParams.parse(self._genesis.app_state).max_square_size
        if wrapped is None or not SquareBuilder(limit).append_blob_tx(wrapped):
            raise InvalidBlob(f"a blob of {len(blob.data)} bytes does not fit a square of {limit} x {limit} shares")
