"""Kill -9 at any moment: nothing acknowledged is lost, nothing is ordered twice, and the headers still verify."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from dougong.consensus import Genesis, LightClient, Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key
from dougong.testing import KeyValue
from dougong.testing.consensus import running
from dougong.types import Validator

KEY = Ed25519Key(b"\7" * 32)
PROGRAM = Path(__file__).parent / "solo_under_load.py"
KILLS = 6


def acknowledged_until_killed(folder: Path, name: str, lines: int) -> list[bytes]:
    """Runs the program, kills it once it has acknowledged so many transactions, and returns all that it acknowledged."""
    command = [sys.executable, str(PROGRAM), str(folder), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = []
        for line in process.stdout:
            found.append(line)
            if len(found) == lines:
                process.kill()
        errors = process.stderr.read().decode()
    assert len(found) >= lines, errors
    return [line.strip() for line in found if line.endswith(b"\n")]


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    genesis = Genesis.create("crash-1", 1_767_323_045_000_000_000, [Validator(KEY.public_key, 1)])
    (tmp_path / "genesis.json").write_bytes(genesis.raw)
    points = random.Random(5)
    acknowledged: list[bytes] = []
    for kill in range(KILLS):
        acknowledged += await asyncio.to_thread(acknowledged_until_killed, tmp_path, str(kill), points.randint(1, 600))
    async with KeyValue.open(tmp_path / "app") as app:
        chain = await Solo.open(tmp_path / "chain", genesis, KEY, app, SoloOptions(block_time=0.001))
        try:
            async with running(chain):
                await chain.wait_for_height((await chain.status()).height + 2)
            last = (await chain.status()).height
            ordered = [tx for height in range(1, last + 1) for tx in (await chain.block(height)).txs]
            light = LightClient(genesis, chain.signed_header)
            for height in range(1, last + 1):
                await light.header(height)
            assert light.height == last
        finally:
            await chain.close()
        assert len(set(ordered)) == len(ordered), "nothing is ordered twice"
        assert set(acknowledged) <= set(ordered), "everything acknowledged is ordered"
        assert all(app.get(tx.partition(b"=")[0]) == b"x" for tx in acknowledged), "and executed"
