"""DA layers as a node meets them that only knows a trust file: over sockets, everything checked.

layer = await remote_layer(api, trust, "square", folder, meter, closing)
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from dougong.availability.celestia import CelestiaClient, CelestiaNode
from dougong.availability.ethereum.beacon import Beacon
from dougong.availability.ethereum.layer import EthereumBlobs
from dougong.availability.ethereum.reading import BlobReader
from dougong.availability.kzg import da_id
from dougong.availability.kzg.params import BYTES_PER_BLOB
from dougong.availability.square.shares import SHARE_BYTES
from dougong.consensus.light import TrustedHeader
from dougong.interfaces import DataAvailability
from dougong.net.jsonrpc import JsonRpc
from dougong.net.node import Meter, NodeClient
from dougong.services.nodes.celestia import HEADER_TABLES, VerifiedHeaders
from dougong.services.nodes.remote import REMOTE_TABLES, RemoteSquare
from dougong.services.threads import in_thread
from dougong.stack.genesis import celestia_id
from dougong.stack.trust import BlobsTrust, CelestiaTrust, Trust
from dougong.store import Store

__all__ = ["RemoteLayer", "chain_clients", "remote_blobs", "remote_layer"]


class RemoteLayer(Protocol):
    """`share_bytes` is the size of what its placements count, `bytes_received` what came in past the meter."""

    @property
    def da(self) -> DataAvailability: ...

    @property
    def da_id(self) -> bytes: ...

    @property
    def share_bytes(self) -> int: ...

    @property
    def bytes_received(self) -> int: ...

    async def hear(self) -> None:
        """Asks for proofs against its blocks."""
        ...

    def check(self, height: int) -> None:
        """Raises `ChainRejected` if a block up to this height is proven bad."""
        ...


class RemoteSquares:
    """A `RemoteLayer` of squares."""

    share_bytes = SHARE_BYTES

    def __init__(self, square: RemoteSquare) -> None:
        self.da = square
        self.da_id = square.da_id

    @property
    def bytes_received(self) -> int:
        return self.da.peers.bytes_received

    async def hear(self) -> None:
        await self.da.hear()

    def check(self, height: int) -> None:
        self.da.rejections.check(height)


class RemoteCelestia:
    """A `RemoteLayer` of a Celestia network. celestia-node has no fraud proofs to tell of."""

    share_bytes = SHARE_BYTES

    def __init__(self, da: CelestiaClient, da_id: bytes, node: CelestiaNode) -> None:
        self.da = da
        self.da_id = da_id
        self._node = node

    @property
    def bytes_received(self) -> int:
        return self._node.bytes_received

    async def hear(self) -> None:
        pass

    def check(self, height: int) -> None:
        pass


class RemoteBlobs:
    """A `RemoteLayer` of an Ethereum chain's blobs. A blob is checked against its commitment and cannot be badly encoded: there
    is nothing to hear."""

    share_bytes = BYTES_PER_BLOB
    bytes_received = 0

    def __init__(self, da: EthereumBlobs, chain_id: int) -> None:
        self.da = da
        self.da_id = da_id(chain_id)

    async def hear(self) -> None:
        pass

    def check(self, height: int) -> None:
        pass


async def chain_clients(closing: AsyncExitStack, api: str, trust: Trust, chain: str) -> list[NodeClient]:
    """The chain's nodes: the stack's own first. With several, it is the set of peers that tries again."""
    urls = list(dict.fromkeys(f"{url.rstrip('/')}/{chain}" for url in (api, *trust.peers)))
    attempts = 4 if len(urls) == 1 else 1
    return [await closing.enter_async_context(NodeClient(url, attempts=attempts)) for url in urls]


async def remote_layer(
    api: str, trust: Trust, name: str, folder: Path, meter: Meter, closing: AsyncExitStack, celestia_token: str = ""
) -> RemoteLayer:
    """Squares come from the stack at `api` and its peers, blobs and Celestia's squares from their networks' own nodes."""
    if name in trust.blobs:
        return await remote_blobs(trust.blobs[name], meter, closing)
    if name in trust.celestia:
        return await _celestia(trust.celestia[name], folder, closing, celestia_token)
    nodes = await chain_clients(closing, api, trust, name)
    store = await in_thread(Store, folder / "square", REMOTE_TABLES)
    closing.callback(store.close)
    return RemoteSquares(await RemoteSquare.open(nodes, bytes.fromhex(trust.availability[name]), store=store))


async def remote_blobs(blobs: BlobsTrust, meter: Meter, closing: AsyncExitStack) -> RemoteBlobs:
    rpc = await closing.enter_async_context(JsonRpc(blobs.url, transport=meter))
    beacon = await closing.enter_async_context(Beacon(blobs.beacon_url, transport=meter))
    return RemoteBlobs(EthereumBlobs(BlobReader(rpc, beacon, finality=blobs.confirmations)), blobs.chain_id)


async def _celestia(network: CelestiaTrust, folder: Path, closing: AsyncExitStack, token: str) -> RemoteLayer:
    """Read only: nobody here signs."""
    node = await closing.enter_async_context(CelestiaNode(network.url, token))
    store = await in_thread(Store, folder / "celestia", HEADER_TABLES)
    closing.callback(store.close)
    start = TrustedHeader(network.chain_id, network.height, bytes.fromhex(network.hash))
    headers = await in_thread(lambda: VerifiedHeaders(node, start, store=store))
    return RemoteCelestia(CelestiaClient(node, headers, b""), celestia_id(network.chain_id), node)
