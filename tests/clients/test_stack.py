"""A client against a whole stack as its user starts it with `dougong up`: on the rollup where the known accounts have money."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from dougong.contracts import BUILD
from dougong.stack.keys import DEV_ACCOUNTS
from tests.stacks import BASE, SETTLED, SQUARE, ready, rollup, stack_toml, up, write_stack

STACK = stack_toml(
    SQUARE,
    BASE,
    rollup("alpha", **SETTLED, batch_interval_ms=300),
    rollup("free", batch_interval_ms=300),
)


async def test_viem_trades_on_a_rollup_of_a_stack(tmp_path: Path) -> None:
    async with up(write_stack(tmp_path, text=STACK)) as process:
        url = (await ready(process))["free"]["url"]
        program = str(Path(__file__).parent / "viem.mjs")
        command = ("node", program, url, "0x" + DEV_ACCOUNTS[5].secret.hex(), str(BUILD))
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        async with asyncio.timeout(90):
            printed, errors = await client.communicate()
        assert client.returncode == 0, errors.decode()[-3_000:] + printed.decode()[-1_000:]
        steps = {line["step"]: line["value"] for line in map(json.loads, printed.splitlines())}
        assert steps["revert: call"] == ["ContractFunctionExecutionError", "too late"]
        assert steps["7702: storage"] == "0x5"
        assert steps["a transaction as it comes"] == [True, True]
        assert len(steps) >= 40
