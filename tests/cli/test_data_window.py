"""How old a batch's data may be: from stack.toml to the contract, and from there to whoever checks the stack."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from dougong.cli.demo.stage import PROGRAM, node_report
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.settlement.client import SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.stack.trust import read_trust
from tests.stacks import dougong, ready, up, write_stack

SOMEBODY = b"\x51" * 20
PRUNED = ('kind = "square"', 'kind = "square"\nwindow_blocks = 20000')


async def refusal(*arguments: str) -> str:
    """What is said by a command that fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*PROGRAM, *arguments, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode, out.decode()
    return " ".join((out + err).decode().split())


async def settled_block(base: JsonRpc, contract: bytes, alpha: JsonRpc) -> int:
    """Of a deposit that came through a batch."""
    transactor = Transactor(base, DEV_ACCOUNTS[0], quantity(await base.call("eth_chainId")))
    await SettlementClient(base, contract, transactor).deposit(1, SOMEBODY, 10**18)
    async with asyncio.timeout(60):
        while not quantity(await alpha.call("eth_getBalance", "0x" + SOMEBODY.hex(), "finalized")):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return quantity((await alpha.call("eth_getBlockByNumber", "finalized", False))["number"])


async def test_the_window_is_registered_proven_and_told(tmp_path: Path) -> None:
    path = write_stack(tmp_path, PRUNED)
    async with up(path) as stack:
        facts = await ready(stack)
        contract = bytes.fromhex(facts["base"]["settlement"][2:])
        async with JsonRpc(facts["base"]["url"]) as base, JsonRpc(facts["alpha"]["url"]) as alpha:
            assert (await SettlementClient(base, contract).rollup(1)).data_window == 10_000
            height = await settled_block(base, contract, alpha)
        file = tmp_path / "data/trust.json"
        trust = read_trust(file)
        assert (trust.rollup["alpha"].data_window, trust.rollup["free"].data_window) == (10_000, None)

        told = json.loads(await dougong("verify", str(path), "--json"))
        assert told["rollups"]["alpha"]["data_window"] == 10_000
        assert any("data lies more than 10000 DA heights below the last attested one" in line for line in told["verified"])
        assert any("rollup alpha: attestations keep up" in line for line in told["trusted"])
        api = facts[""]["url"].rstrip("/")
        (tmp_path / "node").mkdir()
        until = ("--until", str(height), "--api", api)
        store = ("--folder", str(tmp_path / "node/store"), "--trust", str(file))
        assert (await node_report("node", tmp_path / "node", "verifying-node", "alpha", *until, *store))["data_window"] == 10_000

        # A trust file that says something else than what is registered: each node finds it out.
        other = tmp_path / "other.json"
        other.write_text(file.read_text().replace("10000", "9999"))
        for command in (
            ("verify", "--api", api, "--trust", str(other)),
            ("verifying-node", "alpha", *until, "--folder", str(tmp_path / "misled"), "--trust", str(other)),
        ):
            said = await refusal(*command)
            assert "registered with a data window of 10000 heights" in said
    assert "keeps 19999 heights" in await refusal(
        "up", str(write_stack(tmp_path, (PRUNED[0], PRUNED[1].replace("20000", "19999"))))
    )


async def test_a_window_longer_than_the_da_chain_keeps_data_for_is_refused_at_the_start(tmp_path: Path) -> None:
    longer = ("challenge_window_s = 2", "challenge_window_s = 2\ndata_window = 10001")
    path = write_stack(tmp_path, PRUNED, longer)
    said = await refusal("up", str(path))
    assert "[rollup.alpha] data_window = 10001, but [availability.square] keeps 20000 heights" in said
    assert f"line {path.read_text().splitlines().index('data_window = 10001') + 1}:" in said
    assert not (tmp_path / "data/deployment").exists()


async def test_a_chain_that_is_kept_whole_is_said_to_be_trusted_to_be(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    async with up(path) as stack:
        facts = await ready(stack)
        contract = bytes.fromhex(facts["base"]["settlement"][2:])
        async with JsonRpc(facts["base"]["url"]) as base, JsonRpc(facts["alpha"]["url"]) as alpha:
            await settled_block(base, contract, alpha)
        told = await dougong("verify", str(path))
    assert "rollup alpha: somebody keeps all of its DA chain" in told
