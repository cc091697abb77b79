"""A verifying node begins with a snapshot under a claim, beside a stack that runs, through sockets alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from dougong.cli.demo.stage import node_report
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.settlement.client import SettlementClient
from dougong.settlement.encoding import claim_id
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS
from tests.stacks import dougong, ready, up, write_stack

SOMEBODY = b"\x51" * 20


async def deposit(base: JsonRpc, contract: bytes) -> None:
    transactor = Transactor(base, DEV_ACCOUNTS[0], quantity(await base.call("eth_chainId")))
    await SettlementClient(base, contract, transactor).deposit(1, SOMEBODY, 10**18)


async def claimed_block(base: JsonRpc, contract: bytes, alpha: JsonRpc) -> tuple[bytes, int]:
    """The id of the last claim, and its last block."""
    settlement = SettlementClient(base, contract)
    async with asyncio.timeout(60):
        while not (claims := (await settlement.claims(1))[0]):  # noqa: ASYNC110  over a socket
            await asyncio.sleep(0.2)
    block = await alpha.call("eth_getBlockByHash", "0x" + claims[-1].post_state.hex(), False)
    return claim_id(claims[-1]), quantity(block["number"])


async def wait_for_wei(alpha: JsonRpc, wei: int) -> int:
    async with asyncio.timeout(60):
        while quantity(await alpha.call("eth_getBalance", "0x" + SOMEBODY.hex(), "finalized")) < wei:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return quantity((await alpha.call("eth_getBlockByNumber", "finalized", False))["number"])


async def test_a_node_begins_with_a_snapshot_and_derives_what_came_after(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    async with up(path) as stack:
        facts = await ready(stack)
        contract = bytes.fromhex(facts["base"]["settlement"][2:])
        async with JsonRpc(facts["base"]["url"]) as base, JsonRpc(facts["alpha"]["url"]) as alpha:
            await deposit(base, contract)
            await wait_for_wei(alpha, 10**18)
            trusted, number = await claimed_block(base, contract, alpha)
    file = tmp_path / "alpha.snapshot"
    told = json.loads(await dougong("snapshot", "export", str(file), "alpha", str(path), "--block", str(number), "--json"))
    assert told["number"] == number
    async with up(path) as stack:
        facts = await ready(stack)
        async with JsonRpc(facts["base"]["url"]) as base, JsonRpc(facts["alpha"]["url"]) as alpha:
            await deposit(base, contract)
            height = await wait_for_wei(alpha, 2 * 10**18)
            block = await alpha.call("eth_getBlockByNumber", hex(height), False)
        trust = ("--api", facts[""]["url"].rstrip("/"), "--trust", str(tmp_path / "data/trust.json"))
        begin = ("--snapshot", str(file), "--claim", "0x" + trusted.hex())
        (tmp_path / "node").mkdir()
        store = ("--folder", str(tmp_path / "node" / "store"), "--until", str(height))
        report = await node_report("node", tmp_path / "node", "verifying-node", "alpha", *store, *trust, *begin)
    assert number < height
    assert "0x" + report["block_hash"] == block["hash"]
