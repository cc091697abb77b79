"""The law suites of consensus and of applications, held against solo and the key-value application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dougong.consensus import Genesis, Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key
from dougong.testing import KeyValue, check_application, check_consensus
from dougong.types import Validator

KEY = Ed25519Key(b"\1" * 32)
GENESIS = Genesis.create("laws-1", 1_767_323_045_678_900_000, [Validator(KEY.public_key, 10)], app_state={"b": 1, "a": 2})


@asynccontextmanager
async def make(folder: Path) -> AsyncIterator[Solo]:
    async with KeyValue.open(folder / "app") as app:
        chain = await Solo.open(folder / "chain", GENESIS, KEY, app, SoloOptions(block_time=0.02))
        try:
            yield chain
        finally:
            await chain.close()


async def test_solo_keeps_the_laws_of_consensus(tmp_path: Path) -> None:
    await check_consensus(make, tmp_path)


async def test_key_value_keeps_the_laws_of_applications(tmp_path: Path) -> None:
    await check_application(KeyValue.open, tmp_path, txs=[b"a=1", b"b=2", b"c=3"], genesis=GENESIS.init_chain)
