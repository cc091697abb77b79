"""The square layer, on solo, keeps the law of `DataAvailability`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dougong.availability
from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.square.shares import CONTINUATION_BYTES, FIRST_BYTES
from dougong.consensus import Genesis, Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.interfaces import DataAvailability
from dougong.testing import check_availability
from dougong.testing.consensus import running
from dougong.types import Validator

VALIDATOR = Ed25519Key(b"\1" * 32)
GENESIS = Genesis.create(
    "square-1", 1_767_323_045_000_000_000, [Validator(VALIDATOR.public_key, 10)], app_state={"max_square_size": 16}
)
# Of 16 x 16 shares one is the transaction's, and three may be padding before a blob of subtree width 4.
LARGEST = FIRST_BYTES + (256 - 1 - 3 - 1) * CONTINUATION_BYTES


async def test_the_square_layer_keeps_the_law(tmp_path: Path) -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[DataAvailability]:
        app = await SquareApplication.open(tmp_path / "app")
        chain = await Solo.open(tmp_path / "chain", GENESIS, VALIDATOR, app, SoloOptions(block_time=0.02))
        try:
            layer = SquareLayer(chain, app)
            async with running(layer.chain):
                yield SquareClient(layer, Secp256k1Key(b"\1" * 32))
        finally:
            await chain.close()
            await app.close()

    await check_availability(make, dougong.availability, max_blob_bytes=LARGEST)
