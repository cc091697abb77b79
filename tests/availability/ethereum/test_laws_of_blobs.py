"""Blobs of an Ethereum chain (anvil) keep the law of `DataAvailability`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dougong.availability.kzg
from dougong.availability.ethereum import Beacon, BlobReader, EthereumBlobs
from dougong.crypto.keys import Secp256k1Key
from dougong.interfaces import DataAvailability
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.transactor import Transactor
from dougong.testing import check_availability
from tests.engines import ANVIL_KEY, anvil

MAX_BLOBS = 2


async def test_blobs_of_an_ethereum_chain_keep_the_law(tmp_path: Path) -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[DataAvailability]:
        with anvil(tmp_path) as url:
            async with JsonRpc(url) as rpc, Beacon(url) as beacon:
                sender = await Transactor.connect(rpc, Secp256k1Key(ANVIL_KEY))
                yield EthereumBlobs(BlobReader(rpc, beacon, finality=0), sender, max_blobs=MAX_BLOBS)

    await check_availability(make, dougong.availability.kzg, max_blob_bytes=MAX_BLOBS * 126_912)
