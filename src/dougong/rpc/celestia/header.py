"""The module `header`: extended headers.

Source: celestia-node `header/header.go`, `nodebuilder/header/{header,service}.go`; go-header `interface.go`, `sync/syncer.go`.

Celestia's `header.data_hash` is the data root. In this chain's CometBFT header it is the root over the transactions, of which the
data root is the first, so the two cannot both be shown: `data_hash` here is the **data root**, as everything that is proven
by this API is proven under it, and `consensus` says what was signed: the header's own data hash, and the proof of the data root
under it. Whoever hashes the header puts `consensus.data_hash` in the place of `data_hash` first.
"""

from __future__ import annotations

from dataclasses import replace

from dougong.availability.celestia.shapes import merkle_proof_json, roots_json
from dougong.availability.celestia.values import hex_text, read_hex, read_integer, read_object
from dougong.codec.timestamp import ZERO_TIME_NS, format_time
from dougong.consensus.cometbft_json import commit_json, header_json, validators_json
from dougong.consensus.commit import Commit
from dougong.consensus.header import Header
from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput
from dougong.rpc.celestia.node import HEADER_NOT_FOUND, HEIGHT, Node, Rooms, encoded, failure
from dougong.rpc.protocol import Param
from dougong.types import HASH_BYTES

__all__ = ["HeaderShapes", "add_header_methods"]

HASH_WINDOW = 10_000


class HeaderShapes:
    """Extended headers as JSON values."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._heights: dict[bytes, int] = {}
        self._indexed = 0

    async def extended(self, height: int) -> dict[str, object]:
        """Of a final block. Fails as celestia-node does for others."""
        header = await self._node.header(height)
        signed = await self._node.layer.chain.signed_header(height)
        proof = await self._node.layer.data_root_proof(height)
        raw, commit = Header.decode(signed.header), Commit.decode(signed.commit)
        return {
            "header": header_json(replace(raw, data_hash=header.data_root)),
            "commit": commit_json(commit),
            "validator_set": validators_json(signed.validators, raw.proposer_address),
            "dah": roots_json(header.row_roots, header.column_roots),
            "consensus": {
                "data_hash": hex_text(raw.data_hash),
                "data_root_proof": merkle_proof_json(sha256(header.data_root), proof),
            },
        }

    async def raw(self, height: int) -> dict[str, object]:
        """The CometBFT header alone, as `blob.Subscribe` shows it: with integers as numbers."""
        header = await self._node.header(height)
        signed = await self._node.layer.chain.signed_header(height)
        return header_json(replace(Header.decode(signed.header), data_hash=header.data_root), plain=True)

    async def hash(self, height: int) -> bytes:
        return Commit.decode((await self._node.layer.chain.signed_header(height)).commit).block_id.hash

    async def height_of(self, block_hash: bytes) -> int | None:
        """Among the latest blocks (`HASH_WINDOW`)."""
        head = await self._node.layer.latest()
        self._indexed = max(self._indexed, head - HASH_WINDOW)
        while self._indexed < head:
            height = self._indexed + 1
            self._heights[await self.hash(height)] = height
            self._indexed = max(self._indexed, height)  # only now: a call that is given up here leaves none out
        while len(self._heights) > HASH_WINDOW:
            del self._heights[next(iter(self._heights))]
        return self._heights.get(block_hash)


def add_header_methods(rooms: Rooms, node: Node, shapes: HeaderShapes) -> None:
    layer = node.layer

    async def get_by_height(height: int) -> object:
        return await shapes.extended(height)

    async def get_by_hash(block_hash: bytes) -> object:
        height = await shapes.height_of(block_hash)
        if height is None:
            raise failure(HEADER_NOT_FOUND)
        return await shapes.extended(height)

    async def get_range(origin: tuple[int, bytes], to: int) -> object:
        """The headers behind `origin`, which must be one of this chain, and before `to`."""
        first, block_hash = origin
        if to <= first:
            raise failure("header/p2p: `from` must be less than `to`")
        if to == first + 1:
            raise failure("empty header range")
        if to > first + 1 + node.limits.range:
            raise failure("header/p2p: header limit per 1 request exceeded")
        await node.reach(to - 1)
        if await shapes.hash(first) != block_hash:
            raise failure(f"header {first} is not the one of this chain")
        found = [await shapes.extended(height) for height in range(first + 1, to)]
        return await encoded(lambda: found)

    async def wait_for_height(height: int) -> object:
        if height == 0:
            return await shapes.extended(0)
        await node.wait(height)
        return await shapes.extended(height)

    async def head() -> object:
        latest = await layer.latest()
        if latest == 0:
            await node.wait(1)
        return await shapes.extended(max(latest, 1))

    async def tail() -> object:
        return await shapes.extended(1)

    async def sync_state() -> object:
        """A node that makes or executes the blocks has nothing to catch up with."""
        latest = await layer.latest()
        block_hash = hex_text(await shapes.hash(latest)) if latest else ""
        zero = format_time(ZERO_TIME_NS)
        return {
            "id": 0,
            "height": latest,
            "from_height": latest,
            "to_height": latest,
            "from_hash": block_hash,
            "to_hash": block_hash,
            "start": zero,
            "end": zero,
        }

    async def sync_wait() -> None:
        return None

    rooms.add("header.GetByHeight", "read", get_by_height, HEIGHT)
    rooms.add("header.GetByHash", "read", get_by_hash, Param("hash", _read_hash))
    rooms.add("header.GetRangeByHeight", "read", get_range, Param("from", _read_origin), Param("to", HEIGHT.read))
    rooms.add("header.WaitForHeight", "read", wait_for_height, HEIGHT)
    rooms.add("header.LocalHead", "read", head)
    rooms.add("header.NetworkHead", "read", head)
    rooms.add("header.Tail", "read", tail)
    rooms.add("header.SyncState", "read", sync_state)
    rooms.add("header.SyncWait", "read", sync_wait)


def _read_hash(value: object) -> bytes:
    found = read_hex(value, "a hash")
    if len(found) != HASH_BYTES:
        raise InvalidInput(f"a hash is {HASH_BYTES} bytes, not {len(found)}")
    return found


def _read_origin(value: object) -> tuple[int, bytes]:
    """(height, hash) of an extended header."""
    shape = read_object(value, "an extended header")
    height = read_integer(read_object(shape.get("header"), "a header").get("height"), "a height", 1)
    block_id = read_object(read_object(shape.get("commit"), "a commit").get("block_id"), "a block id")
    return height, _read_hash(block_id.get("hash"))
