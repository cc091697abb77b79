"""Blobs from a beacon node, which alone has them: the execution chain knows their hashes.

    async with Beacon("http://127.0.0.1:3500") as beacon:
        blobs = await beacon.blobs(block, rows=[3])     # unverified, in whatever order and number the node gave
        cells = await beacon.column(block, 0)           # unverified too; None: the node does not serve columns

Asked in this order: `GET /eth/v1/beacon/blobs/{block_id}`; before Fulu, `blob_sidecars/{block_id}`; and, where a node keeps
columns only, `GET /eth/v1/debug/beacon/data_column_sidecars/{block_id}`, of which 64 recover everything. A block's slot
follows from its time (`/eth/v1/config/spec`, `/eth/v1/beacon/genesis`); a node without slots, such as anvil, is asked by
block hash. Nothing here is believed: whoever gives a wrong slot or blob gives what does not have the block's versioned
hashes. Source: beacon-APIs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import httpx
import orjson

from dougong.availability.ethereum.block import EthereumBlock
from dougong.availability.kzg.params import BYTES_PER_BLOB, NUMBER_OF_COLUMNS
from dougong.availability.kzg.proofs import verify_column
from dougong.availability.kzg.recovery import recover_blobs
from dougong.errors import InvalidInput, NotFound, Unavailable
from dougong.net.jsonrpc import BUSY, data
from dougong.types import KzgCell

__all__ = ["Beacon", "BlobSource"]

MISSING = frozenset({404, 405, 410, 501})
DEFAULT_MAX_BYTES = 256 << 20
UINT64 = 1 << 64


class BlobSource(Protocol):
    """Where blobs are read from. What it gives is compared with the versioned hashes by whoever asked."""

    async def blobs(self, block: EthereumBlock, rows: Sequence[int]) -> list[bytes]:
        """Blobs of the block, those of these rows among them. Raises `Unavailable` (also when they were pruned)."""
        ...

    async def column(self, block: EthereumBlock, column: int) -> list[KzgCell] | None:
        """One cell of each blob; None if columns are not to be had here."""
        ...


class Beacon:
    """One beacon node. `timeout` in seconds for each attempt; `max_bytes` bounds an answer."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 20.0,
        attempts: int = 4,
        max_bytes: int = DEFAULT_MAX_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._attempts = attempts
        self._max_bytes = max_bytes
        self._http = httpx.AsyncClient(timeout=timeout, transport=transport, verify=url.startswith("https"))
        self._clock: tuple[int, int] | None = None
        self._clock_read = False

    async def __aenter__(self) -> Beacon:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def blobs(self, block: EthereumBlock, rows: Sequence[int]) -> list[bytes]:
        hashes = block.versioned_hashes
        block_id = await self._block_id(block)
        wanted = {hashes[row] for row in rows}
        if wanted != set(hashes):
            some = await self._plain_blobs(block_id, sorted(wanted))
            # A node that does not know the filter, or only half of it, is asked for everything.
            if some is not None and len(some) >= len(wanted):
                return some
        found = await self._plain_blobs(block_id, ())
        if not found:  # a node that keeps columns only may know the path, and have nothing there
            found = await self._sidecars(block_id)
        if not found:
            found = await self._recovered(block, block_id)
        if found is None:
            raise Unavailable(
                f"{self.url} has no blobs of block {block.header.height}",
                remedy="set beacon_url to a beacon node that keeps all columns, for blobs older than 4,096 epochs to an archive",
            )
        return found

    async def column(self, block: EthereumBlock, column: int) -> list[KzgCell] | None:
        found = await self._columns(await self._block_id(block), f"?indices={column}")
        return found.get(column)

    async def _plain_blobs(self, block_id: str, hashes: Sequence[bytes]) -> list[bytes] | None:
        query = "&".join(f"versioned_hashes=0x{one.hex()}" for one in hashes)
        path = f"/eth/v1/beacon/blobs/{block_id}" + (f"?{query}" if query else "")
        answer = await self._get(path, "application/octet-stream;q=1.0,application/json;q=0.9")
        if answer is None:
            return None
        kind, body = answer
        if kind.startswith("application/octet-stream"):  # SSZ of a list whose members have one size: one behind the other
            if len(body) % BYTES_PER_BLOB:
                raise Unavailable(f"{self.url} answered with {len(body)} bytes, which are no blobs")
            return [body[at : at + BYTES_PER_BLOB] for at in range(0, len(body), BYTES_PER_BLOB)]
        return [self._bytes(blob) for blob in self._data(body)]

    async def _sidecars(self, block_id: str) -> list[bytes] | None:
        answer = await self._get(f"/eth/v1/beacon/blob_sidecars/{block_id}")
        if answer is None:
            return None
        sidecars = self._data(answer[1])
        ordered = sorted(sidecars, key=lambda sidecar: self._index(sidecar))
        return [self._bytes(sidecar.get("blob")) for sidecar in ordered]

    async def _recovered(self, block: EthereumBlock, block_id: str) -> list[bytes] | None:
        columns = await self._columns(block_id, "")
        return await asyncio.to_thread(_recover, block, columns)

    async def _columns(self, block_id: str, query: str) -> dict[int, list[KzgCell]]:
        answer = await self._get(f"/eth/v1/debug/beacon/data_column_sidecars/{block_id}{query}")
        if answer is None:
            return {}
        found: dict[int, list[KzgCell]] = {}
        for sidecar in self._data(answer[1]):
            index = self._index(sidecar)
            parts = [sidecar.get(name) for name in ("column", "kzg_commitments", "kzg_proofs")]
            if not all(isinstance(part, list) for part in parts) or len({len(part) for part in parts}) != 1:
                raise Unavailable(f"{self.url} gave a column whose cells, commitments and proofs are not equally many")
            found[index] = [
                KzgCell(row, index, *(self._bytes(value) for value in values))
                for row, values in enumerate(zip(*parts, strict=True))
            ]
        return found

    async def _block_id(self, block: EthereumBlock) -> str:
        if not self._clock_read:
            self._clock = await self._read_clock()
            self._clock_read = True
        if self._clock is None:
            return "0x" + block.block_hash.hex()
        genesis, slot_ms = self._clock
        return str((block.timestamp - genesis) * 1000 // slot_ms)

    async def _read_clock(self) -> tuple[int, int] | None:
        """(genesis time in seconds, slot in milliseconds); None for a node without slots."""
        spec = await self._get("/eth/v1/config/spec")
        genesis = None if spec is None else await self._get("/eth/v1/beacon/genesis")
        if spec is None or genesis is None:
            return None
        try:
            config, start = orjson.loads(spec[1])["data"], orjson.loads(genesis[1])["data"]
            slot_ms = int(config.get("SLOT_DURATION_MS") or 1000 * int(config["SECONDS_PER_SLOT"]))
            genesis_time = int(start["genesis_time"])
            if not (0 < slot_ms < UINT64 and 0 <= genesis_time < UINT64):
                raise ValueError("no slot has such a time")
            return genesis_time, slot_ms
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable(f"{self.url} does not say when its slots are", remedy="check that it is a beacon node") from error

    def _data(self, body: bytes) -> list[Any]:
        try:
            found = orjson.loads(body)["data"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Unavailable(f"{self.url} did not answer as a beacon node does") from error
        if not isinstance(found, list) or len(found) > max(NUMBER_OF_COLUMNS, self._max_bytes // BYTES_PER_BLOB):
            raise Unavailable(f"{self.url} did not answer with a list")
        return found

    def _bytes(self, value: object) -> bytes:
        try:
            return data(value)
        except InvalidInput as error:
            raise Unavailable(f"{self.url} did not answer with bytes: {error}") from error

    def _index(self, sidecar: object) -> int:
        try:
            index = int(sidecar["index"])  # type: ignore[index]
        except (TypeError, KeyError, ValueError) as error:
            raise Unavailable(f"{self.url} did not answer with sidecars") from error
        if not 0 <= index < NUMBER_OF_COLUMNS:
            raise Unavailable(f"{self.url} answered with a sidecar {index}")
        return index

    async def _get(self, path: str, accept: str = "application/json") -> tuple[str, bytes] | None:
        """(content type, body); None if the node does not have this (resource or endpoint). Raises `Unavailable`."""
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._get_once(path, accept)
            except NotFound:
                return None
            except Unavailable:
                if attempt == self._attempts:
                    raise
            await asyncio.sleep(0.05 * 2**attempt * random.uniform(0.5, 1.5))
        raise AssertionError("not reached")

    async def _get_once(self, path: str, accept: str) -> tuple[str, bytes]:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream("GET", self.url + path, headers={"accept": accept, "accept-encoding": "identity"}) as response,
            ):
                if response.headers.get("content-encoding", "identity") != "identity":  # a little may become a lot
                    raise Unavailable(f"{self.url} compressed its answer, which nobody asked for")
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > self._max_bytes:
                        raise Unavailable(f"{self.url} answered with more than {self._max_bytes} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unavailable(
                f"{self.url} did not answer: {str(error) or type(error).__name__}",
                remedy="check the beacon url and that the node is running",
            ) from error
        status = response.status_code
        if status in MISSING:
            raise NotFound(f"{self.url} does not have {path.partition('?')[0]}")
        if status != httpx.codes.OK:
            why = "is not serving now" if status in BUSY else "refuses"
            raise Unavailable(f"{self.url} {why}: HTTP status {status}")
        return response.headers.get("content-type", ""), bytes(body)


def _recover(block: EthereumBlock, columns: dict[int, list[KzgCell]]) -> list[bytes] | None:
    """Everything, from half of the columns; None if there are too few that are right."""
    right: dict[int, list[KzgCell]] = {}
    for index, cells in columns.items():
        try:
            verify_column(block.header, index, cells)
        except InvalidInput:
            continue
        right[index] = cells
    return recover_blobs(block.header, right) if 2 * len(right) >= NUMBER_OF_COLUMNS else None
