"""A DA chain behind a socket, believed only as far as it proves itself from the genesis hash that one holds.

    async with NodeClient(url) as node:
        square = await RemoteSquare.open(node, genesis_hash)
        placed = (await square.blobs(7, namespace)).blobs

What is checked, in this order, for every answer:

1. the genesis document has the hash that is trusted;
2. the header follows, by its validators' signatures, from the genesis document (consensus/light.py);
3. the data root is transaction 0 of that header's block;
4. row and column roots hash to the data root, and the time is the header's;
5. cells, shares and namespaces are proven under those roots (availability/proofs.py); a whole square is extended again.

So the node can withhold, and say that there is nothing new: it cannot make anything up. With a `store` (table `trusted`) verified
headers survive a restart.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from dougong.availability.attestor import check_square
from dougong.availability.proofs import verify_cell, verify_header, verify_namespace_data
from dougong.availability.reading import blob_in_shares, holds, shares_at
from dougong.consensus import Genesis
from dougong.consensus.header import Header
from dougong.consensus.light import TABLE, LightClient, LightOptions, verify_transaction
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidHeader, InvalidProof, NotFound, Rejected
from dougong.net.node import NodeClient
from dougong.services.remote_account import RemoteAccount
from dougong.services.threads import in_thread
from dougong.store import Store
from dougong.types import Blob, Namespace, Placement, Quote, ShareProof, SquareCell, SquareHeader, SquareNamespaceData

__all__ = ["REMOTE_TABLES", "RemoteSquare", "trusted_genesis"]

REMOTE_TABLES = (TABLE,)
_KEPT_HEADERS = 512


async def trusted_genesis(node: NodeClient, genesis_hash: bytes) -> Genesis:
    """The chain's genesis document. Raises `InvalidHeader` unless it is the one that is trusted."""
    document = await node.genesis()
    found = sha256(document)
    if found != genesis_hash:
        raise InvalidHeader(
            f"{node.url} serves a chain whose genesis hash is {found.hex()}, not {genesis_hash.hex()}",
            remedy="check the url and the genesis hash",
        )
    return Genesis.parse(document)


class RemoteSquare:
    """`DataAvailability` over one node that is not trusted. With a `key` it can submit."""

    def __init__(
        self,
        node: NodeClient,
        genesis: Genesis,
        *,
        store: Store | None = None,
        key: Secp256k1Key | None = None,
        options: LightOptions | None = None,
        poll_s: float = 0.1,
    ) -> None:
        self.node = node
        self.genesis = genesis
        self._light = LightClient(genesis, node.signed_header, store=store, options=options)
        self._verifying = asyncio.Lock()
        self._headers: OrderedDict[int, SquareHeader] = OrderedDict()
        self._account = None if key is None else RemoteAccount(node, genesis, key, self, poll_s=poll_s)

    @classmethod
    async def open(
        cls,
        node: NodeClient,
        genesis_hash: bytes,
        *,
        store: Store | None = None,
        key: Secp256k1Key | None = None,
        options: LightOptions | None = None,
    ) -> RemoteSquare:
        genesis = await trusted_genesis(node, genesis_hash)
        return await in_thread(lambda: cls(node, genesis, store=store, key=key, options=options))

    @property
    def da_id(self) -> bytes:
        return self.genesis.hash

    async def consensus_header(self, height: int) -> Header:
        """The verified header of the chain itself."""
        if height < 1:
            raise NotFound(f"there is no block {height}")
        async with self._verifying:
            return await self._light.header(height)

    async def header(self, height: int) -> SquareHeader:
        kept = self._headers.get(height)
        if kept is not None:
            return kept
        signed = await self.consensus_header(height)
        found, proof = await self.node.data_header(height)
        if (found.height, found.time_ns) != (height, signed.time_ns):
            raise InvalidHeader(
                f"the data header of height {height} says height {found.height}, or another time than the block's"
            )
        try:
            if proof.index != 0:
                raise InvalidProof("the data root is not transaction 0")
            verify_transaction(signed, found.data_root, proof)
        except InvalidProof as error:
            raise InvalidHeader(f"the data root of height {height} is not its block's: {error}") from error
        await in_thread(verify_header, found)
        self._headers[height] = found
        while len(self._headers) > _KEPT_HEADERS:
            self._headers.popitem(last=False)
        return found

    async def latest(self) -> int:
        """The height that the node says is the last, once its header has been verified."""
        height = await self.node.latest()
        if height > 0:
            await self.consensus_header(height)
        return height

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        header = await self.header(height)
        found = await self.node.namespace(height, namespace)
        if found.namespace != namespace:
            raise InvalidProof(f"namespace {namespace.hex()} was asked for, {found.namespace.hex()} came")
        await in_thread(verify_namespace_data, header, found)
        return found

    async def prove(self, placement: Placement) -> ShareProof:
        header = await self.header(placement.height)
        if header.data_root != placement.data_root:
            raise InvalidProof(f"height {placement.height} has another data root than the placement")
        proof = await self.node.prove(placement)
        await in_thread(shares_at, placement, proof)
        return proof

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        if not holds(await self.header(placement.height), placement):
            return None
        shares = await in_thread(shares_at, placement, await self.node.prove(placement))
        return blob_in_shares(shares, namespace)

    async def quote(self, size: int) -> Quote:
        """What the node says: nothing proves a price before it is paid."""
        return await self.node.quote(size)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        header = await self.header(height)
        cell = await self.node.sample(height, row, column)
        check_cell(header, cell, row, column)
        return cell

    async def shares(self, height: int) -> Sequence[bytes]:
        header = await self.header(height)
        shares = await self.node.shares(height)
        await in_thread(check_square, header, shares)
        return shares

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        if self._account is None:
            raise Rejected("this client of the DA layer only reads: it has no key")
        return await self._account.submit(blob, budget=budget)


def check_cell(header: SquareHeader, cell: SquareCell, row: int, column: int) -> None:
    """Raises `InvalidProof` unless the cell is the one that was asked for, proven under the header."""
    if (cell.row, cell.column) != (row, column):
        raise InvalidProof(f"cell ({row}, {column}) was asked for, ({cell.row}, {cell.column}) came")
    verify_cell(header, cell)
