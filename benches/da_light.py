"""What a light node's check of a block costs beside downloading the block: bytes received and milliseconds, through the node API,
its JSON and HTTP included, in one process.

Light: the header with its validators' signatures, the row and column roots, 16 random cells with their proofs, all verified.
Full: the same header and roots, all shares of the original square, extended and compared with every root.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.services.settled import NAMESPACE, USER, VALIDATOR, data_chain, serving

from dougong.availability.chain.blob_tx import make_blob_tx
from dougong.availability.square.sampling import DEFAULT_SAMPLES, choose_cells
from dougong.availability.square.shares import CONTINUATION_BYTES
from dougong.consensus.genesis import Genesis
from dougong.net.node import NodeClient
from dougong.rpc.node import availability_methods, chain_health, consensus_methods
from dougong.services.nodes.remote import REMOTE_TABLES, RemoteSquare
from dougong.store import Store
from dougong.types import Blob, Validator

SIZES, ROUNDS = (32, 64, 128), 5
START_NS = 1_767_323_045_000_000_000


async def light(square: RemoteSquare, height: int) -> None:
    header = await square.header(height)
    cells = await square.cells(height, choose_cells(header.square_size, DEFAULT_SAMPLES))
    assert None not in cells


async def full(square: RemoteSquare, height: int) -> None:
    shares = await square.shares(height)
    assert len(shares) == (await square.header(height)).square_size ** 2


async def cost(url: str, genesis: bytes, height: int, check: Callable[[RemoteSquare, int], Awaitable[None]]) -> tuple[int, float]:
    """Bytes received and seconds, of the best of several who begin with nothing but the genesis hash."""
    best = (0, float("inf"))
    for _ in range(ROUNDS):
        with TemporaryDirectory() as folder:
            store = Store(Path(folder), REMOTE_TABLES)
            async with NodeClient(url) as client:
                square = await RemoteSquare.open(client, genesis, store=store)
                before, start = client.bytes_received, time.perf_counter()
                await check(square, height)
                best = min(best, (client.bytes_received - before, time.perf_counter() - start), key=lambda found: found[1])
            store.close()
    return best


async def measure(k: int) -> dict[str, Any]:
    genesis = Genesis.create("bench-1", START_NS, [Validator(VALIDATOR.public_key, 10)], app_state={"max_square_size": k})
    with TemporaryDirectory() as folder:
        async with data_chain(Path(folder), genesis) as layer, serving() as server:
            methods = consensus_methods(genesis.raw, layer.chain).include(availability_methods(layer, layer.chain))
            server.mount("square", methods, chain_health(layer.chain))
            data = bytes(range(256)) * (k * k * 9 // 10 * CONTINUATION_BYTES // 256)
            await layer.broadcast(make_blob_tx(USER, genesis.chain_id, 0, [Blob(NAMESPACE, data)]))
            height, url = 1, server.url("square")
            while True:
                await layer.wait_for_height(height)
                if (await layer.header(height)).square_size == k:
                    break
                height += 1
            light_bytes, light_s = await cost(url, genesis.hash, height, light)
            full_bytes, full_s = await cost(url, genesis.hash, height, full)
    return {
        "bench": "light node's check",
        "k": k,
        "unit": "bytes",
        "ours": light_bytes,
        "peer_name": "downloading and extending the block",
        "peer": full_bytes,
        "ratio": round(full_bytes / light_bytes, 2),
        "ms": round(light_s * 1e3, 1),
        "peer_ms": round(full_s * 1e3, 1),
    }


def run() -> Iterator[dict[str, Any]]:
    for k in SIZES:
        yield asyncio.run(measure(k))
