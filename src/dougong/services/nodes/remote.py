"""A DA chain behind sockets, believed only as far as it proves itself from the genesis hash that one holds.

    async with NodeClient(url) as node, NodeClient(other) as another:
        square = await RemoteSquare.open([node, another], genesis_hash)
        placed = (await square.blobs(7, namespace)).blobs

What is checked, in this order, for every answer:

1. neither the height nor one below is rejected for ever (services/nodes/rejections.py), nor do peers prove that it must be
   (services/nodes/fraud_watch.py);
2. the genesis document has the hash that is trusted;
3. the header follows, by its validators' signatures, from the genesis document (consensus/light.py);
4. the data root is transaction 0 of that header's block;
5. row and column roots hash to the data root, and the time is the header's;
6. cells, shares and namespaces are proven under those roots (availability/square/proofs.py); a whole square is extended again.

A peer whose answer fails is charged for it and the next one is asked (services/nodes/peers.py); the caller sees an error when all
have failed. All of them together can withhold, and say that there is nothing new: they cannot make anything up. The highest
header that any peer can show is the latest; where peers show different headers for it that both verify, the chain has forked:
both are kept as evidence and the chain is rejected from there on.

With a `store` (holding `REMOTE_TABLES`) verified headers, dropped peers and rejections survive a restart.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog

from dougong.availability.chain.attestor import check_square
from dougong.availability.square.proofs import verify_header, verify_namespace_data
from dougong.availability.square.reading import blob_in_shares, holds, shares_at
from dougong.consensus import Genesis
from dougong.consensus.header import Header
from dougong.consensus.light import TABLE, Fork, LightClient, LightOptions, NotUpon, verify_transaction
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import Divergence, DougongError, InvalidHeader, InvalidInput, InvalidProof, NotFound, Rejected, Unavailable
from dougong.net.node import NodeClient
from dougong.services.nodes.fraud_watch import FraudWatch
from dougong.services.nodes.peers import GARBAGE, PEER_TABLE, Peer, PeerConfig, PeerSet
from dougong.services.nodes.rejections import REJECTED_TABLE, Rejections
from dougong.services.nodes.remote_account import RemoteAccount
from dougong.services.nodes.sampler import check_axis_cells, check_cell, check_cells
from dougong.services.threads import in_thread
from dougong.store import Store
from dougong.types import (
    Blob,
    MerkleProof,
    Namespace,
    Placement,
    Quote,
    ShareProof,
    SignedHeader,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)

__all__ = ["REMOTE_TABLES", "RemoteSquare", "trusted_genesis"]

REMOTE_TABLES = (TABLE, PEER_TABLE, REJECTED_TABLE)
T = TypeVar("T")
_KEPT_HEADERS = 512
_HIGHEST = 1 << 63
_HEADERS_AT_A_TIME = 16  # of 2k row and column roots each
_WHOLE_SQUARE_S = 60.0
_CELLS_AT_A_TIME = 64
_WITNESSES = 2


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
    """`DataAvailability` over peers that are not trusted. With a `key` it can submit, through the peer named first."""

    def __init__(
        self,
        peers: PeerSet,
        genesis: Genesis,
        *,
        store: Store | None = None,
        key: Secp256k1Key | None = None,
        options: LightOptions | None = None,
        poll_s: float = 0.1,
        hears: bool = True,
    ) -> None:
        """`hears` False: for who keeps proofs of bad encoding in a book of his own, and asks for them himself (full_node.py)."""
        self.peers = peers
        self.genesis = genesis
        self.rejections = Rejections(store)
        self._light = LightClient(genesis, peers.first.signed_header, store=store, options=options)
        self._headers: OrderedDict[int, SquareHeader] = OrderedDict()
        self._compared = 0
        self._watch = FraudWatch(peers, self.rejections, self._header_from, every_s=peers.config.watch_s) if hears else None
        self._account = None if key is None else RemoteAccount(peers.first, genesis, key, self, poll_s=poll_s)

    @classmethod
    async def open(
        cls,
        nodes: NodeClient | Sequence[NodeClient],
        genesis_hash: bytes,
        *,
        store: Store | None = None,
        key: Secp256k1Key | None = None,
        options: LightOptions | None = None,
        config: PeerConfig | None = None,
        hears: bool = True,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> RemoteSquare:
        """Raises `InvalidHeader` if no peer serves the chain of this genesis hash."""
        clients = [nodes] if isinstance(nodes, NodeClient) else nodes
        peers = await PeerSet.open(clients, store=store, config=config, log=log)
        genesis = await peers.ask(lambda node: trusted_genesis(node, genesis_hash))
        return await in_thread(lambda: cls(peers, genesis, store=store, key=key, options=options, hears=hears))

    @property
    def da_id(self) -> bytes:
        return self.genesis.hash

    # --- headers ----------------------------------------------------------------------------------------------------------

    async def header(self, height: int) -> SquareHeader:
        self.rejections.check(height)
        kept = self._headers.get(height)
        if kept is not None:
            return kept

        return self._keep(await self._ask(height, lambda node: self._header_from(node, height)))

    async def _header_from(self, node: NodeClient, height: int) -> SquareHeader:
        kept = self._headers.get(height)
        if kept is not None:
            return kept
        return (await self._proven_header_from(node, height))[0]

    async def _proven_header_from(self, node: NodeClient, height: int) -> tuple[SquareHeader, MerkleProof]:
        signed = await self._light.header(height, node.signed_header)
        found, proof = await node.data_header(height)
        await in_thread(_check_data_header, signed, found, proof)
        return found, proof

    async def proven_header(self, height: int) -> tuple[SquareHeader, MerkleProof]:
        """With the proof that its data root is transaction 0 of its block: what others are shown."""
        self.rejections.check(height)
        header, proof = await self._ask(height, lambda node: self._proven_header_from(node, height))
        return self._keep(header), proof

    def signed_header(self, height: int) -> SignedHeader:
        """The chain's own header with the signatures under it, if it was verified here. Raises `NotFound`."""
        return self._light.signed_header(height)

    async def headers(self, first: int, last: int) -> list[SquareHeader]:
        """Of every height from `first` to `last`, in a few round trips: signatures are checked on the last one only."""

        async def verified(node: NodeClient) -> list[SquareHeader]:
            signed = await self._light.run(first, last, node.signed_header, node.signed_headers)
            found: list[SquareHeader] = []
            for start in range(0, len(signed), _HEADERS_AT_A_TIME):
                part = signed[start : start + _HEADERS_AT_A_TIME]
                answers = await node.data_headers([header.height for header in part])
                if len(answers) != len(part):
                    raise InvalidHeader(f"{len(part)} data headers were asked for, {len(answers)} came")
                await in_thread(_check_data_headers, part, answers)
                found += [data_header for data_header, _ in answers]
            return found

        return [self._keep(header) for header in await self._ask(last, verified)]

    async def hear(self) -> None:
        """Asks every peer now which blocks are proven to be badly encoded, and settles what they show; every other question does
        so every few seconds."""
        await self._look(now=True)

    async def latest(self) -> int:
        """The highest height whose header any peer can show, and all that verifies."""
        said = await self.peers.survey(lambda node: node.latest())
        for height in sorted(set(said.values()), reverse=True):
            if height < 1:
                return 0
            claiming = [peer for peer, claim in said.items() if claim >= height]
            try:
                await self._ask(height, lambda node, height=height: self._light.header(height, node.signed_header), claiming)  # type: ignore[misc]
            except Divergence:
                raise
            except Unavailable as error:
                for peer in claiming:
                    stalled = not isinstance(error, NotFound)
                    await self.peers.bluffed(peer, f"it said that block {height} is there: {error}", stalled=stalled)
                if len(claiming) == len(said):
                    raise
                continue
            except InvalidHeader:  # charged already
                if len(claiming) == len(said):
                    raise
                continue
            await self._compare(height, claiming)
            return height
        return 0

    async def _compare(self, height: int, claiming: Sequence[Peer]) -> None:
        """Asks others for the header that one peer showed: two that verify are a fork."""
        if height <= self._compared or len(claiming) < 2:
            return

        async def examined(node: NodeClient) -> None:
            await self._light.examine(await node.signed_header(height), node.signed_header)

        witnesses = [peer for peer in self.peers.order() if peer in claiming][: _WITNESSES + 1]
        limit = self.peers.config.hedge_s
        found = await asyncio.gather(
            *(self.peers.attempt(peer, examined, timeout_s=limit) for peer in witnesses), return_exceptions=True
        )
        for error in found:
            if isinstance(error, Fork):
                raise await self.rejections.add_fork(error)
            if isinstance(error, BaseException) and not isinstance(error, DougongError):
                raise error
        self._compared = height

    async def _look(self, *, now: bool = False) -> None:
        if self._watch is not None:
            await self._watch.look(now=now)

    def _keep(self, header: SquareHeader) -> SquareHeader:
        self._headers[header.height] = header
        while len(self._headers) > _KEPT_HEADERS:
            self._headers.popitem(last=False)
        return header

    async def _ask(self, height: int, request: Callable[[NodeClient], Awaitable[T]], among: Sequence[Peer] | None = None) -> T:
        """Asks for something under headers up to `height`. Raises `ChainRejected`, now or when the answer brings a fork."""
        if not 1 <= height < _HIGHEST:
            raise NotFound(f"there is no block {height}")
        await self._look()
        self.rejections.check(height)

        async def watched(node: NodeClient) -> T:
            try:
                return await request(node)
            except NotUpon as error:  # a lie, or a fork at the header that this one does not follow upon
                await self._light.examine(await node.signed_header(error.height), node.signed_header)
                raise

        try:
            return await self.peers.ask(watched, among=among)
        except Fork as fork:
            raise await self.rejections.add_fork(fork) from fork

    # --- what lies under them ---------------------------------------------------------------------------------------------

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        header = await self.header(height)

        async def verified(node: NodeClient) -> SquareNamespaceData:
            found = await node.namespace(height, namespace)
            if found.namespace != namespace:
                raise InvalidProof(f"namespace {namespace.hex()} was asked for, {found.namespace.hex()} came")
            await in_thread(verify_namespace_data, header, found)
            return found

        return await self._ask(height, verified)

    async def prove(self, placement: Placement) -> ShareProof:
        header = await self.header(placement.height)
        if header.data_root != placement.data_root:
            raise InvalidProof(f"height {placement.height} has another data root than the placement")
        return (await self._proven(placement))[0]

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        if not holds(await self.header(placement.height), placement):
            return None
        return blob_in_shares((await self._proven(placement))[1], namespace)

    async def _proven(self, placement: Placement) -> tuple[ShareProof, list[bytes]]:
        async def verified(node: NodeClient) -> tuple[ShareProof, list[bytes]]:
            proof = await node.prove(placement)
            return proof, await in_thread(shares_at, placement, proof)

        return await self._ask(placement.height, verified)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        header = await self.header(height)

        async def verified(node: NodeClient) -> SquareCell:
            cell = await node.sample(height, row, column)
            check_cell(header, cell, row, column)
            return cell

        return await self._ask(height, verified)

    async def cells(self, height: int, places: Sequence[tuple[int, int]]) -> list[SquareCell | None]:
        """Many cells, each from the first peer that shows it; None where none does."""
        header = await self.header(height)
        found: dict[tuple[int, int], SquareCell] = {}

        async def verified(node: NodeClient) -> None:
            missing = [place for place in places if place not in found]
            for start in range(0, len(missing), _CELLS_AT_A_TIME):
                part = missing[start : start + _CELLS_AT_A_TIME]
                answers = await node.cells(height, part)
                await in_thread(check_cells, header, part, answers)
                found.update((place, cell) for place, cell in zip(part, answers, strict=True) if cell is not None)

        for peer in self.peers.order():
            with suppress(Unavailable, InvalidInput, Rejected):
                await self.peers.attempt(peer, verified, timeout_s=_WHOLE_SQUARE_S)
        return [found.get(place) for place in places]

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        """The second half of a row (`axis` 0) or column (1), each cell under the root of the axis that crosses."""
        header = await self.header(height)

        async def verified(node: NodeClient) -> Sequence[SquareCell]:
            cells = await node.axis_cells(height, axis, index)
            await in_thread(check_axis_cells, header, axis, index, cells)
            return cells

        return await self._ask(height, verified)

    async def shares(self, height: int) -> Sequence[bytes]:
        header = await self.header(height)

        async def verified(node: NodeClient) -> Sequence[bytes]:
            shares = await node.shares(height)
            await in_thread(check_square, header, shares)
            return shares

        # Of a badly encoded square an honest node has no better shares: it pays half as much as a liar.
        await self._look()
        self.rejections.check(height)
        return await self.peers.ask(verified, timeout_s=_WHOLE_SQUARE_S, points=GARBAGE)

    # --- what nothing proves ----------------------------------------------------------------------------------------------

    async def quote(self, size: int) -> Quote:
        """What a peer says: nothing proves a price before it is paid."""
        return await self.peers.first.quote(size)

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        if self._account is None:
            raise Rejected("this client of the DA layer only reads: it has no key")
        return await self._account.submit(blob, budget=budget)


def _check_data_headers(signed: Sequence[Header], answers: Sequence[tuple[SquareHeader, MerkleProof]]) -> None:
    for header, (found, proof) in zip(signed, answers, strict=True):
        _check_data_header(header, found, proof)


def _check_data_header(signed: Header, found: SquareHeader, proof: MerkleProof) -> None:
    """Raises `InvalidHeader` unless `found` is what the block of this (verified) header commits to."""
    height = signed.height
    if (found.height, found.time_ns) != (height, signed.time_ns):
        raise InvalidHeader(f"the data header of height {height} says height {found.height}, or another time than the block's")
    try:
        if proof.index != 0:
            raise InvalidProof("the data root is not transaction 0")
        verify_transaction(signed, found.data_root, proof)
    except InvalidProof as error:
        raise InvalidHeader(f"the data root of height {height} is not its block's: {error}") from error
    verify_header(found)
