"""A client written for celestia-node, in Go over celestia-node's own transport and libraries, works against ours unchanged."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.rpc.celestia.world import running

CLIENT = Path(__file__).parents[2] / "oracles/build/client"


async def test_a_client_written_for_celestia_node_works_unchanged(tmp_path: Path) -> None:
    if not CLIENT.exists():
        raise FileNotFoundError(f"{CLIENT} is missing: run `make oracles`")
    async with running(tmp_path) as world:
        process = await asyncio.create_subprocess_exec(
            str(CLIENT),
            world.url,
            world.token("admin"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert (process.returncode, output.decode().splitlines()[-1]) == (0, "all holds"), output.decode()[-2_000:]
