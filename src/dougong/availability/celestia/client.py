"""Celestia as `DataAvailability`, over any celestia-node's JSON-RPC: believed only as far as it proves itself.

    node = CelestiaNode("http://127.0.0.1:26658", token)
    da = CelestiaClient(node, headers, account)
    placement = await da.submit(Blob(namespace, data))

What is checked, for every answer:

1. the header, by whoever gives `headers` (services/nodes/celestia.py: signatures, from a header that one trusts by its hash), and
   that row and column roots hash to its data root;
2. cells, shares and namespaces under those roots (availability/square/proofs.py): a namespace comes with the proof that nothing
   was left out, or that there is nothing; a whole square is extended again.

So the node can withhold, say that there is nothing new, and pay more than was needed, up to the budget; it cannot make anything
up. The node signs and pays, with the account that `state.AccountAddress` names.

Prices: celestia-node's JSON-RPC has no gas price to ask for. A quote is Celestia's gas at a price that is configured; the node
bids what it estimates, at most the budget.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeVar

from dougong.availability.celestia.gas import MIN_GAS_PRICE, fee, gas_estimate
from dougong.availability.celestia.node import CelestiaNode
from dougong.availability.celestia.shapes import blob_json, read_cell, read_namespace_rows, read_original, read_range
from dougong.availability.celestia.values import namespace_text, read_integer
from dougong.availability.chain.attestor import check_square
from dougong.availability.chain.cosmos_tx import DENOM
from dougong.availability.square.namespaces import check_blob_namespace
from dougong.availability.square.nmt import covers
from dougong.availability.square.proofs import (
    placed_blobs,
    proven_placement,
    verify_cell,
    verify_header,
    verify_namespace_data,
    verify_share_proof,
)
from dougong.availability.square.reading import holds
from dougong.availability.square.shares import check_blob_format
from dougong.errors import InvalidBlob, InvalidInput, InvalidProof, NotFound, Unavailable, Underpaid
from dougong.types import Blob, Namespace, Placement, Quote, ShareProof, SquareCell, SquareHeader, SquareNamespaceData

__all__ = ["CelestiaClient", "CelestiaHeaders", "CelestiaOptions"]

T = TypeVar("T")

_KEPT_HEADERS = 512
_KEPT_PLACEMENTS = 4_096
_MEASURED_BLOCKS = 16
_PRICE_DIGITS = 10**9


class CelestiaHeaders(Protocol):
    """Where headers come from, checked."""

    async def latest(self) -> int:
        """The last height that the node has, whose header was verified."""
        ...

    async def header(self, height: int) -> SquareHeader:
        """Raises `NotFound`, `InvalidHeader`, `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class CelestiaOptions:
    """`max_blob_bytes`: of the largest blob to submit. `gas_price`: what a quote reckons with, in utia for a unit of gas;
    `max_gas_price`: the most that is bid where no budget says otherwise (None: as the node has it)."""

    max_blob_bytes: int = 1_500_000
    gas_price: Fraction = MIN_GAS_PRICE
    max_gas_price: Fraction | None = None


class CelestiaClient:
    """`DataAvailability` for the account of one node. `address` is the account's 20 bytes, which share version 1 names."""

    def __init__(
        self, node: CelestiaNode, headers: CelestiaHeaders, address: bytes, options: CelestiaOptions | None = None
    ) -> None:
        self.node = node
        self.address = address
        self._source = headers
        self._options = options or CelestiaOptions()
        self._headers: OrderedDict[int, SquareHeader] = OrderedDict()
        self._tip = 0
        self._given: OrderedDict[Placement, None] = OrderedDict()

    # --- publishing -------------------------------------------------------------------------------------------------

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        """`DataAvailability.submit`. A blob of share version 1 must name the node's account as its signer."""
        check_blob_namespace(blob.namespace)
        check_blob_format(blob)
        if len(blob.data) > self._options.max_blob_bytes:
            raise InvalidBlob(f"a blob of {len(blob.data)} bytes is over the limit of {self._options.max_blob_bytes}")
        if blob.share_version == 1 and blob.signer != self.address:
            raise InvalidBlob("a blob of share version 1 is signed by the node's account, and names another")
        config = self._tx_config(blob, budget)
        shape = await asyncio.to_thread(blob_json, blob)
        try:
            height = _read(read_integer, await self.node.submit("blob.Submit", [shape], config), "a height", 1)
        except Underpaid as error:  # the node does not say what would do
            least = fee(gas_estimate([blob]), self._options.gas_price)
            raise Underpaid(str(error), max(least, 2 * (budget or least)), remedy=error.remedy) from error
        return await self._find(blob, height)

    async def _find(self, blob: Blob, height: int) -> Placement:
        """Where the blob lies in the block that the node says it is in; each of several equal blobs has its own place."""
        try:
            found = await self.blobs(height, blob.namespace)
        except NotFound:  # the node tells of the transaction before it has the header
            await self.node.wait_for_height(height)
            found = await self.blobs(height, blob.namespace)
        for placed in found.blobs:
            if placed.blob == blob and placed.placement not in self._given:
                self._given[placed.placement] = None
                while len(self._given) > _KEPT_PLACEMENTS:
                    self._given.popitem(last=False)
                return placed.placement
        raise Unavailable(
            f"the node says that the blob is in block {height}, which provably does not hold it",
            remedy="ask another node; the blob may be in another block",
        )

    def _tx_config(self, blob: Blob, budget: int | None) -> dict[str, object]:
        """Raises `Underpaid` for a budget below the configured price."""
        options = self._options
        gas = gas_estimate([blob])
        if budget is None:
            limit = options.max_gas_price
            return {} if limit is None else {"max_gas_price": float(limit)}
        wanted = fee(gas, options.gas_price)
        if budget < wanted:
            raise Underpaid(f"publishing {len(blob.data)} bytes costs {wanted} utia, and the budget is {budget}", wanted)
        price = math.floor(Fraction(budget, gas) * _PRICE_DIGITS) / _PRICE_DIGITS
        if price == 0:  # to the node, no limit means its own
            return {"gas": gas, "gas_price": 0, "is_gas_price_set": True}
        return {"gas": gas, "max_gas_price": price}

    async def quote(self, size: int) -> Quote:
        if not 0 < size <= self._options.max_blob_bytes:
            raise InvalidBlob(f"blobs have 1 to {self._options.max_blob_bytes} bytes, not {size}")
        gas = gas_estimate([Blob(Namespace.user(b"quote"), bytes(size))])
        interval = await self._interval_ns()
        throughput = self._options.max_blob_bytes * 10**9 // interval
        return Quote(fee(gas, self._options.gas_price), DENOM, interval // 10**6, throughput)

    async def _interval_ns(self) -> int:
        """Nanoseconds between the latest blocks."""
        last = await self.latest()
        try:
            first = await self.header(max(1, last - _MEASURED_BLOCKS))
        except NotFound:  # below the trusted header
            return 10**9
        span = last - first.height
        return max(1, ((await self.header(last)).time_ns - first.time_ns) // span) if span else 10**9

    # --- reading ----------------------------------------------------------------------------------------------------

    async def latest(self) -> int:
        self._tip = max(self._tip, await self._source.latest())
        return self._tip

    async def header(self, height: int) -> SquareHeader:
        kept = self._headers.get(height)
        if kept is not None:
            return kept
        if height < 1 or (height > self._tip and height > await self.latest()):
            raise NotFound(f"there is no final block {height}")
        header = await self._source.header(height)
        await asyncio.to_thread(verify_header, header)
        self._headers[height] = header
        while len(self._headers) > _KEPT_HEADERS:
            self._headers.popitem(last=False)
        return header

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        header = await self.header(height)
        shape = await self.node.call("share.GetNamespaceData", height, namespace_text(namespace))
        return await asyncio.to_thread(_namespace_data, header, namespace, shape)

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        """From all blobs of the namespace, which are proven to be all: so what is not among them is not there."""
        if not holds(await self.header(placement.height), placement):
            return None
        found = await self.blobs(placement.height, namespace)
        return next((placed.blob for placed in found.blobs if placed.placement == placement), None)

    async def prove(self, placement: Placement) -> ShareProof:
        """Raises `Rejected` for shares of more than one namespace, which no celestia-node proves."""
        header = await self.header(placement.height)
        if not holds(header, placement):
            raise NotFound(f"block {placement.height} has no such shares")
        end = placement.start_share + placement.share_count
        shape = await self.node.call("share.GetRange", placement.height, placement.start_share, end)
        return await asyncio.to_thread(_share_proof, placement, shape)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        return (await self.samples(height, [(row, column)]))[0]

    async def samples(self, height: int, places: Sequence[tuple[int, int]]) -> list[SquareCell]:
        """Several cells in one call."""
        header = await self.header(height)
        width = len(header.row_roots)
        if any(not (0 <= row < width and 0 <= column < width) for row, column in places):
            raise NotFound(f"block {height} has {width} rows and columns")
        asked = [{"row": row, "col": column} for row, column in places]
        shapes = await self.node.call("share.GetSamples", height, asked)
        if not isinstance(shapes, list) or len(shapes) != len(places):
            raise InvalidProof(f"{len(places)} cells were asked for, and something else came")
        cells = [_read(read_cell, shape, *place) for shape, place in zip(shapes, places, strict=True)]
        for cell in cells:
            verify_cell(header, cell)
        return cells

    async def shares(self, height: int) -> Sequence[bytes]:
        """The original square, row by row; it was extended again and has the header's roots."""
        header = await self.header(height)
        shape = await self.node.call("share.GetEDS", height)

        def checked() -> list[bytes]:
            shares = _read(read_original, shape, header.square_size)
            check_square(header, shares)
            return shares

        return await asyncio.to_thread(checked)


def _namespace_data(header: SquareHeader, namespace: Namespace, shape: object) -> SquareNamespaceData:
    """Everything that the block has of a namespace. Raises `InvalidProof` if the answer does not prove that."""
    half = header.row_roots[: header.square_size]
    covering = [row for row, root in enumerate(half) if covers(root, namespace)]
    rows = _read(read_namespace_rows, shape, covering)
    data = SquareNamespaceData(header.height, namespace, placed_blobs(header, rows), rows)
    verify_namespace_data(header, data)
    return data


def _share_proof(placement: Placement, shape: object) -> ShareProof:
    proof = _read(read_range, shape, placement.data_root)
    verify_share_proof(proof)
    if proven_placement(placement.height, proof) != placement:
        raise InvalidProof("a proof of other shares than those asked for came")
    return proof


def _read(read: Callable[..., T], *arguments: object) -> T:
    """What a node sent and does not read proves nothing."""
    try:
        return read(*arguments)
    except InvalidProof:
        raise
    except InvalidInput as error:
        raise InvalidProof(f"the node's answer does not read: {error}") from error
