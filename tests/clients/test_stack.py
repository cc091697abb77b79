"""A client against a whole stack as its user starts it with `dougong up`: on the rollup where the known accounts have money."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from dougong.cli.demo.stage import Process
from dougong.contracts import BUILD
from dougong.net.child import see_off
from dougong.stack.keys import DEV_ACCOUNTS

STACK = """
data_dir = "data"
dev = true
[api]
listen = "127.0.0.1:0"
[availability.square]
kind = "square"
consensus = "solo"
block_time_ms = 100
[settlement.base]
kind = "evm"
consensus = "solo"
block_time_ms = 100
[rollup.alpha]
execution = "evm"
availability = "square"
settlement = "base"
proof = "none"
batch_interval_ms = 300
[rollup.free]
execution = "evm"
availability = "square"
batch_interval_ms = 300
"""


async def test_viem_trades_on_a_rollup_of_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(STACK)
    process = await Process.start("stack", tmp_path, "up", str(path), "--json")
    try:
        url = ""
        async with asyncio.timeout(60):
            while (event := await process.event())["event"] != "ready" or event["name"]:
                url = event["url"] if event["name"] == "free" and "url" in event else url
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
    finally:
        if process.process.returncode is None:
            process.process.kill()
        await see_off(process.process)
