"""A DA chain that makes no empty blocks comes to rest once nothing changes, and wakes for a blob."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dougong.availability import SquareApplication, SquareLayer
from dougong.availability.chain.client import SquareClient
from dougong.consensus import Genesis, Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.testing.consensus import running
from dougong.types import Blob, Namespace, Validator

VALIDATOR, ALICE = Ed25519Key(b"\1" * 32), Secp256k1Key(b"\1" * 32)
GENESIS = Genesis.create(
    "square-1", 1_767_323_045_000_000_000, [Validator(VALIDATOR.public_key, 10)], app_state={"max_square_size": 16}
)


async def test_a_chain_without_empty_blocks_comes_to_rest(tmp_path: Path) -> None:
    app = await SquareApplication.open(tmp_path / "app")
    options = SoloOptions(block_time=0.001, create_empty_blocks=False)
    chain = await Solo.open(tmp_path / "chain", GENESIS, VALIDATOR, app, options)
    async with running(chain):
        layer = SquareLayer(chain, app)
        await chain.wait_for_height(1)
        placed = await SquareClient(layer, ALICE).submit(Blob(Namespace.user(b"alpha"), b"data"))
        rest = placed.height + 1
        await chain.wait_for_height(rest)  # commits to what the blob changed
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(chain.wait_for_height(rest + 1), 0.3)
        status = await chain.status()
        again = await SquareClient(layer, ALICE).submit(Blob(Namespace.user(b"alpha"), b"more"))
        assert again.height == rest + 1, "it slept, and wakes for a blob"
        assert (await chain.status()).app_hash != status.app_hash
    await chain.close()
    await app.close()
