"""The client's half of the node API.

    async with NodeClient("http://127.0.0.1:8545/square") as node:
        signed = await node.signed_header(7)
        header, proof = await node.data_header(7)
        cells = await node.samples(7, [(0, 3), (5, 1)])
    print(node.bytes_received)

Spec: docs/spec/node-api.md. Answers are parsed and **not verified**: what comes back has the right shape and may be a lie until
the caller has checked it against a header that it trusts. A malformed answer raises `InvalidInput` (a `BadRequest` is the node's
word that our question was), a thing that the node does not have `NotFound` (`Pruned`: not any more), one that it withholds or a
node that does not answer `Unavailable` (`LimitExceeded`: too much was asked of it), a refusal `Rejected`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from types import TracebackType
from typing import TypeVar

import httpx

from dougong.errors import InvalidInput, NotFound, Pruned, Rejected, Unavailable
from dougong.net.codec import from_json, to_json
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED, PRUNED, RESOURCE_NOT_FOUND, RESOURCE_UNAVAILABLE
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.types import (
    BadEncodingProof,
    BlobMarket,
    Block,
    ChainStatus,
    CheckTxResult,
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

__all__ = ["BadRequest", "Meter", "NodeClient"]

T = TypeVar("T")

# What an answer may take at most, in bytes of JSON: nobody fills our memory or our line with a number.
_SCALAR, _HEADER, _CELL, _FRAUD_PROOFS = 64 << 10, 2 << 20, 16 << 10, 16 << 20


class BadRequest(InvalidInput):
    """The node says that what it was asked makes no sense. That is about the question: a hostile reference may name anything."""


class NodeClient:
    """One chain of one node. `max_bytes` bounds an answer: a square of k = 128 is 17 MB in JSON."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 20.0,
        attempts: int = 4,
        max_bytes: int = 64 << 20,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        tls = url.startswith("https")  # reading the certificates costs 20 ms, for nothing without it
        self._meter = Meter(transport or httpx.AsyncHTTPTransport(verify=tls, limits=httpx.Limits(max_connections=64)))
        self._max_bytes = max_bytes
        self._rpc = JsonRpc(url, timeout=timeout, attempts=attempts, max_bytes=max_bytes, transport=self._meter)

    @property
    def url(self) -> str:
        return self._rpc.url

    @property
    def bytes_received(self) -> int:
        """Bytes of all answers so far, as they came over the wire, headers included."""
        return self._meter.received

    @property
    def bytes_sent(self) -> int:
        """Bytes of all requests' bodies so far."""
        return self._meter.sent

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._rpc.aclose()

    # --- consensus --------------------------------------------------------------------------------------------------

    async def genesis(self) -> bytes:
        """The genesis document: compare its SHA-256 with the hash that you trust."""
        return (await self._ask(str, "consensus_genesis")).encode()

    async def status(self) -> ChainStatus:
        return await self._ask(ChainStatus, "consensus_status", max_bytes=_SCALAR)

    async def signed_header(self, height: int) -> SignedHeader:
        return await self._ask(SignedHeader, "consensus_signedHeader", str(height), max_bytes=_HEADER)

    async def signed_headers(self, heights: Sequence[int]) -> list[SignedHeader]:
        """Many in one round trip. The first that is refused raises."""
        calls = [("consensus_signedHeader", [str(height)]) for height in heights]
        answers = await _translated(self._rpc.batch(calls, max_bytes=_bound(len(calls), _HEADER, self._max_bytes)))
        return [from_json(SignedHeader, answer) for answer in answers]

    async def block(self, height: int) -> Block:
        return await self._ask(Block, "consensus_block", str(height))

    # --- availability -----------------------------------------------------------------------------------------------

    async def latest(self) -> int:
        return await self._ask(int, "da_latest", max_bytes=_SCALAR)

    async def data_header(self, height: int) -> tuple[SquareHeader, MerkleProof]:
        """With the proof that the data root is transaction 0 under the consensus header's `data_hash`."""
        return self._data_header(await _translated(self._rpc.call("da_header", str(height), max_bytes=_HEADER)))

    async def data_headers(self, heights: Sequence[int]) -> list[tuple[SquareHeader, MerkleProof]]:
        """Many in one round trip. The first that is refused raises."""
        calls = [("da_header", [str(height)]) for height in heights]
        answers = await _translated(self._rpc.batch(calls, max_bytes=_bound(len(calls), _HEADER, self._max_bytes)))
        return [self._data_header(answer) for answer in answers]

    def _data_header(self, answer: object) -> tuple[SquareHeader, MerkleProof]:
        if not isinstance(answer, dict) or answer.keys() != {"header", "proof"}:
            raise InvalidInput(f"{self.url} answered da_header with something else")
        return from_json(SquareHeader, answer["header"]), from_json(MerkleProof, answer["proof"])

    async def namespace(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        return await self._ask(SquareNamespaceData, "da_namespace", str(height), to_json(namespace.raw))

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        return await self._ask(SquareCell, "da_sample", str(height), str(row), str(column), max_bytes=_SCALAR)

    async def samples(self, height: int, places: Sequence[tuple[int, int]]) -> list[SquareCell]:
        """Many cells, (row, column), in one round trip. The first that is withheld raises. The node sees which cells one asker
        wants together; who must not let it know asks for one at a time, through different connections."""
        answers = await _translated(
            self._rpc.batch(_sampling(height, places), max_bytes=_bound(len(places), _CELL, self._max_bytes))
        )
        return [from_json(SquareCell, answer) for answer in answers]

    async def cells(self, height: int, places: Sequence[tuple[int, int]]) -> list[SquareCell | None]:
        """As `samples`, with None in the place of each cell that the node does not show."""
        calls = _sampling(height, places)
        answers = await _translated(self._rpc.outcomes(calls, max_bytes=_bound(len(calls), _CELL, self._max_bytes)))
        return [None if isinstance(answer, RpcError) else from_json(SquareCell, answer) for answer in answers]

    async def axis_cells(self, height: int, axis: int, index: int) -> tuple[SquareCell, ...]:
        """The second half of a row (`axis` 0) or column (1), each cell under the root of the axis that crosses."""
        return await self._ask(tuple[SquareCell, ...], "da_axisCells", str(height), str(axis), str(index))

    async def shares(self, height: int) -> tuple[bytes, ...]:
        return await self._ask(tuple[bytes, ...], "da_shares", str(height))

    async def prove(self, placement: Placement) -> ShareProof:
        return await self._ask(ShareProof, "da_prove", to_json(placement))

    async def quote(self, size: int) -> Quote:
        """What a blob of so many bytes costs now: the node's word, to be believed as far as one is willing to pay."""
        return await self._ask(Quote, "da_quote", str(size), max_bytes=_SCALAR)

    async def offer(self, tx: bytes) -> CheckTxResult:
        """Hands in a signed transaction; accepted, the node's mempool holds it durably. What the chain refuses comes back
        with the application's code and data. Raises `Rejected` where the node refuses for its own reasons (its mempool is
        full)."""
        try:
            await _translated(self._rpc.call("da_submit", to_json(tx), idempotent=False))
        except Rejected as error:
            refusal = _refusal(error.__cause__)
            if refusal is None:
                raise
            return refusal
        return CheckTxResult()

    async def submit(self, tx: bytes) -> None:
        """As `offer`, but raises `Rejected` with the chain's reason."""
        verdict = await self.offer(tx)
        if not verdict.accepted:
            raise Rejected(verdict.log)

    async def account(self, address: bytes) -> FeeAccount:
        """What an account (20 bytes) has and what it has waiting: the node's word."""
        return await self._ask(FeeAccount, "da_account", to_json(address))

    async def market(self) -> BlobMarket:
        """What the next block costs: the node's word."""
        return await self._ask(BlobMarket, "da_market")

    async def next_sequence(self, signer: bytes) -> int:
        """The sequence that the signer (20 bytes) must use next."""
        return await self._ask(int, "da_sequence", to_json(signer), max_bytes=_SCALAR)

    async def fraud_proofs(self, height: int) -> tuple[BadEncodingProof, ...]:
        """The bad-encoding proofs that the node holds against blocks from `height` on, lowest first: a few at most."""
        return await self._ask(tuple[BadEncodingProof, ...], "da_fraudProofs", str(height), max_bytes=_FRAUD_PROOFS)

    async def submit_fraud_proof(self, proof: BadEncodingProof) -> None:
        """Tells the node; which keeps it once it has checked it. Raises `BadRequest` if it does not find it valid."""
        await _translated(self._rpc.call("da_submitFraudProof", to_json(proof)))

    async def _ask(self, kind: type[T], method: str, *params: object, max_bytes: int | None = None) -> T:
        return from_json(kind, await _translated(self._rpc.call(method, *params, max_bytes=max_bytes)))


def _bound(count: int, each: int, most: int) -> int:
    return min(most, _SCALAR + count * each)


def _sampling(height: int, places: Sequence[tuple[int, int]]) -> list[tuple[str, Sequence[object]]]:
    return [("da_sample", [str(height), str(row), str(column)]) for row, column in places]


async def _translated(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except RpcError as error:
        if error.code == PRUNED:
            raise Pruned(str(error), remedy="ask an archive node") from error
        if error.code == RESOURCE_NOT_FOUND:
            raise NotFound(str(error)) from error
        if error.code in (RESOURCE_UNAVAILABLE, LIMIT_EXCEEDED):
            raise Unavailable(str(error)) from error
        if error.code == INVALID_PARAMS:
            raise BadRequest(str(error)) from error
        raise Rejected(str(error)) from error


def _refusal(error: BaseException | None) -> CheckTxResult | None:
    """The chain's verdict in an error's data. Raises `InvalidInput` where that is malformed."""
    if not isinstance(error, RpcError) or not isinstance(error.data, dict) or error.data.keys() != {"code", "detail"}:
        return None
    verdict = CheckTxResult(from_json(int, error.data["code"]), str(error), data=from_json(bytes, error.data["detail"]))
    if verdict.accepted:
        raise InvalidInput("a refusal with code 0")
    return verdict


class Meter(httpx.AsyncBaseTransport):
    """A transport that counts."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.received = 0
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        self.sent += int(request.headers.get("content-length", 0))
        self.received += sum(len(name) + len(value) + 4 for name, value in response.headers.raw)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _MeteredStream(response.stream, self)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _MeteredStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._meter.received += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
