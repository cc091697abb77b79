"""The node API: what a light client, a verifying node and a batcher ask of a consensus-ordered chain and of a DA chain.

    methods = consensus_methods(genesis.raw, chain).include(availability_methods(layer, chain))
    server.mount("square", methods, chain_health(chain))

Spec: docs/spec/node-api.md. Values travel in the form of `dougong.net.codec`. Nothing here is to be believed by who asks: each
answer either is a proof or comes with one, down to the genesis document that the asker holds. What the asker can do is ask for
much: heights and places are checked before anything is computed, and what is large is encoded off the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import orjson

from dougong.errors import InvalidInput
from dougong.interfaces import Consensus
from dougong.net.codec import from_json, to_json
from dougong.net.codes import TRANSACTION_REJECTED
from dougong.rpc.errors import RpcError
from dougong.rpc.params import hex_data, read_address, read_data
from dougong.rpc.protocol import Methods, Param
from dougong.types import (
    NAMESPACE_BYTES,
    BadEncodingProof,
    BlobMarket,
    FeeAccount,
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

__all__ = [
    "AvailabilityNode",
    "FraudProofBook",
    "SquareNode",
    "availability_methods",
    "chain_health",
    "consensus_methods",
    "fraud_proof_methods",
    "header_methods",
    "square_methods",
]

MAX_HEIGHT = 2**63 - 1
MAX_WIDTH = 2**16
MAX_BLOB_BYTES = 2**40


class SquareNode(Protocol):
    """A node that holds a DA chain's squares. `NotFound` for what is not there, `Unavailable` for what is withheld."""

    async def latest(self) -> int: ...

    async def header(self, height: int) -> SquareHeader: ...

    async def data_root_proof(self, height: int) -> MerkleProof:
        """That transaction 0, the data root, lies under the consensus header's `data_hash`."""
        ...

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData: ...

    async def sample(self, height: int, row: int, column: int) -> SquareCell: ...

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        """The second half of a row (`axis` 0) or column (1), each cell under the root of the axis that crosses."""
        ...

    async def shares(self, height: int) -> Sequence[bytes]: ...

    async def prove(self, placement: Placement) -> ShareProof: ...


@runtime_checkable
class AvailabilityNode(SquareNode, Protocol):
    """One that also takes transactions, and knows what they cost."""

    async def quote(self, size: int) -> Quote: ...

    async def next_sequence(self, signer: bytes) -> int:
        """The sequence that the signer's next transaction needs."""
        ...

    async def account(self, address: bytes) -> FeeAccount:
        """What an account has and what it has waiting."""
        ...

    async def market(self) -> BlobMarket:
        """What the next block costs."""
        ...


class FraudProofBook(Protocol):
    """The bad-encoding proofs that a node has seen and checked."""

    async def proofs(self, height: int) -> Sequence[BadEncodingProof]:
        """Those of blocks from `height` on, lowest first; a few at most."""
        ...

    async def submit(self, proof: BadEncodingProof) -> bool:
        """Keeps a valid one; whether it is news. Raises `InvalidProof`, `NotFound` for a block that this node does not know."""
        ...


def header_methods(genesis: bytes, signed: Callable[[int], Awaitable[SignedHeader]]) -> Methods:
    """`genesis` is the document, byte for byte: its SHA-256 is what an asker compares. `signed` gives the header of a height."""
    methods = Methods()
    document = genesis.decode()

    async def genesis_document() -> str:
        return document

    async def signed_header(height: int) -> object:
        return to_json(await signed(height))

    methods.add("consensus_genesis", genesis_document)
    methods.add("consensus_signedHeader", signed_header, HEIGHT)
    return methods


def consensus_methods(genesis: bytes, chain: Consensus) -> Methods:
    """Headers as in `header_methods`, and the blocks."""
    methods = Methods()

    async def status() -> object:
        return to_json(await chain.status())

    async def block(height: int) -> orjson.Fragment:
        return await encoded(await chain.block(height))

    methods.add("consensus_status", status)
    methods.add("consensus_block", block, HEIGHT)
    return methods.include(header_methods(genesis, chain.signed_header))


def square_methods(layer: SquareNode) -> Methods:
    """What a node shows of its squares."""
    methods = Methods()

    async def latest() -> object:
        return to_json(await layer.latest())

    async def header(height: int) -> object:
        found = await layer.header(height)
        return {"header": to_json(found), "proof": to_json(await layer.data_root_proof(height))}

    async def namespace(height: int, wanted: Namespace) -> orjson.Fragment:
        return await encoded(await layer.blobs(height, wanted))

    async def sample(height: int, row: int, column: int) -> object:
        return to_json(await layer.sample(height, row, column))

    async def axis_cells(height: int, axis: int, index: int) -> orjson.Fragment:
        return await encoded(tuple(await layer.axis_cells(height, axis, index)))

    async def shares(height: int) -> orjson.Fragment:
        return await encoded(tuple(await layer.shares(height)))

    async def prove(placement: Placement) -> orjson.Fragment:
        return await encoded(await layer.prove(placement))

    methods.add("da_latest", latest)
    methods.add("da_header", header, HEIGHT)
    methods.add("da_namespace", namespace, HEIGHT, Param("namespace", read_namespace))
    methods.add("da_sample", sample, HEIGHT, Param("row", read_place), Param("column", read_place))
    methods.add("da_axisCells", axis_cells, HEIGHT, Param("axis", read_axis), Param("index", read_place))
    methods.add("da_shares", shares, HEIGHT)
    methods.add("da_prove", prove, Param("placement", read_placement))
    return methods


def availability_methods(layer: AvailabilityNode, chain: Consensus) -> Methods:
    """The squares, and the market before them. `chain` orders the layer's transactions: `da_submit` goes to it."""
    methods = square_methods(layer)

    async def quote(size: int) -> object:
        return to_json(await layer.quote(size))

    async def submit(tx: bytes) -> None:
        verdict = await chain.broadcast(tx)
        if not verdict.accepted:
            raise RpcError(TRANSACTION_REJECTED, verdict.log, {"code": str(verdict.code), "detail": to_json(verdict.data)})

    async def account(address: bytes) -> object:
        return to_json(await layer.account(address))

    async def market() -> object:
        return to_json(await layer.market())

    async def sequence(signer: bytes) -> object:
        return to_json(await layer.next_sequence(signer))

    methods.add("da_quote", quote, Param("size", read_size))
    methods.add("da_submit", submit, Param("transaction", read_data))
    methods.add("da_sequence", sequence, Param("signer", read_address))
    methods.add("da_account", account, Param("address", read_address))
    methods.add("da_market", market)
    return methods


def fraud_proof_methods(book: FraudProofBook) -> Methods:
    """What full nodes and light nodes tell each other: proofs that blocks are badly encoded."""
    methods = Methods()

    async def fraud_proofs(height: int) -> orjson.Fragment:
        return await encoded(tuple(await book.proofs(height)))

    async def submit_fraud_proof(proof: BadEncodingProof) -> None:
        await book.submit(proof)

    methods.add("da_fraudProofs", fraud_proofs, HEIGHT)
    methods.add("da_submitFraudProof", submit_fraud_proof, Param("proof", read_fraud_proof))
    return methods


def chain_health(chain: Consensus) -> Callable[[], Awaitable[dict[str, object]]]:
    """For `RpcServer.mount`."""

    async def health() -> dict[str, object]:
        status = await chain.status()
        return {
            "kind": "consensus",
            "chainId": status.chain_id,
            "genesis": hex_data(status.genesis_hash),
            "latest": status.height,
            "time": status.time_ns // 10**9,
        }

    return health


async def encoded(value: object) -> orjson.Fragment:
    """JSON of something that may be megabytes."""
    return orjson.Fragment(await asyncio.to_thread(lambda: orjson.dumps(to_json(value))))


def read_height(value: object) -> int:
    return _read_within(value, 1, MAX_HEIGHT)


def read_size(value: object) -> int:
    return _read_within(value, 1, MAX_BLOB_BYTES)


def read_place(value: object) -> int:
    return _read_within(value, 0, MAX_WIDTH)


def read_axis(value: object) -> int:
    return _read_within(value, 0, 1)


def read_fraud_proof(value: object) -> BadEncodingProof:
    return from_json(BadEncodingProof, value)


def _read_within(value: Any, low: int, high: int) -> int:
    number = from_json(int, value)
    if not low <= number <= high:
        raise InvalidInput(f"want a number between {low} and {high}")
    return number


def read_namespace(value: object) -> Namespace:
    raw = read_data(value)
    if len(raw) != NAMESPACE_BYTES:
        raise InvalidInput(f"want a namespace of {NAMESPACE_BYTES} bytes, not {len(raw)}")
    return Namespace(raw)


def read_placement(value: object) -> Placement:
    placement = from_json(Placement, value)
    if not (0 < placement.height <= MAX_HEIGHT and 0 <= placement.start_share < 2**32 and 0 < placement.share_count < 2**32):
        raise InvalidInput("want a placement in a square")
    return placement


HEIGHT = Param("height", read_height)
