"""A rollup in a process of its own: at the same path, and as hard to kill as one in the stack's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from dougong.cli.demo.stage import Process
from dougong.errors import ConfigError
from dougong.net.document import fetch_json
from dougong.net.jsonrpc import JsonRpc, RpcError, quantity
from dougong.rpc.socket_relaying import SERVICE_RESTART
from dougong.settlement.client import SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.stack.reading import load, parse
from dougong.stack.runtime import Stack, running
from dougong.testing.wallet import Wallet
from tests.rpc.rollup import Socket
from tests.stacks import BASE, SETTLED, SQUARE, events_until, kill, ready, rollup, stack_toml, up, write_stack

CHAIN_ID = 901
WALLET = Wallet.of("user", CHAIN_ID)
TEXT = stack_toml(
    SQUARE,
    BASE,
    rollup("alpha", **SETTLED, chain_id=CHAIN_ID, batch_interval_ms=200, claim_interval_ms=300, process=True),
)


@asynccontextmanager
async def stack(folder: Path) -> AsyncIterator[Stack]:
    config = parse(TEXT, source="stack.toml", base=folder)
    async with running(config, lambda event: None, structlog.get_logger()) as up:
        async with asyncio.timeout(60):
            await up.opened()
        yield up


def transfer(nonce: int) -> str:
    return "0x" + WALLET.transfer(b"\x11" * 20, 1, nonce=nonce).hex()


async def receipt(node: JsonRpc, tx_hash: str) -> dict[str, str]:
    async with asyncio.timeout(60):
        while (found := await node.call("eth_getTransactionReceipt", tx_hash)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return dict(found)


async def deposit(up: Stack, node: JsonRpc) -> None:
    """From settlement, through the inbox that the child reads over JSON-RPC."""
    trust = up.trust()
    base, rollup = trust.settlement["base"], trust.rollup["alpha"]
    assert rollup.rollup_id is not None
    async with JsonRpc(f"{up.url}/base") as settlement:
        giver = await Transactor.connect(settlement, DEV_ACCOUNTS[0])
        client = SettlementClient(settlement, bytes.fromhex(base.contract), giver)
        await client.deposit(rollup.rollup_id, WALLET.address, 10**18)
    async with asyncio.timeout(60):
        while not quantity(await node.call("eth_getBalance", "0x" + WALLET.address.hex(), "latest")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _until_final(node: JsonRpc, number: str) -> None:
    async with asyncio.timeout(90):
        while quantity((await node.call("eth_getBlockByNumber", "finalized", False))["number"]) < quantity(number):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_it_is_served_published_and_settled_and_survives_kill_9(tmp_path: Path) -> None:
    async with stack(tmp_path) as up:
        process = up.process("alpha")
        first = process.pid
        assert first is not None
        assert first != os.getpid()
        async with JsonRpc(f"{up.url}/alpha") as node:
            assert quantity(await node.call("eth_chainId")) == CHAIN_ID
            await deposit(up, node)
            taken = [await node.call("eth_sendRawTransaction", transfer(nonce)) for nonce in range(3)]
            assert (await receipt(node, taken[-1]))["status"] == "0x1"
            await _until_final(node, (await receipt(node, taken[-1]))["blockNumber"])
            # acknowledged, and killed at once
            taken += [await node.call("eth_sendRawTransaction", transfer(nonce)) for nonce in range(3, 6)]
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(60):
                while process.pid in (None, first) or (await _status(f"{up.url}/alpha")) != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            for tx_hash in taken:
                assert (await receipt(node, tx_hash))["status"] == "0x1"
            await _until_final(node, (await receipt(node, taken[-1]))["blockNumber"])
        info = await fetch_json(f"{up.url}/stack")
        services = {one["service"]: one for one in info["services"] if one["chain"] == "alpha"}
        assert {"process", "sequencer", "batcher", "proposer"} <= services.keys()
        assert services["process"]["restarts"] >= 1
        assert "alpha" in info["fees"]
        assert "alpha" in up.trust().rollup
        last = process.pid
        assert last is not None
    assert not _lives(last)  # stopped with its stack


async def test_while_it_is_away_callers_are_told_and_others_served(tmp_path: Path) -> None:
    async with stack(tmp_path) as up:
        pid = up.process("alpha").pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # it hangs
        os.kill(pid, signal.SIGKILL)
        async with httpx.AsyncClient() as http:
            call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
            async with asyncio.timeout(30):
                while (reply := await http.post(f"{up.url}/alpha", json=call)).status_code == 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            assert reply.status_code == 503
            assert reply.json()["error"]["code"] == -32002
            assert (await http.post(f"{up.url}/base", json=call)).status_code == 200


def test_a_killed_stack_leaves_no_orphan(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(TEXT)
    command = [sys.executable, "-c", "from dougong.cli import main; main()", "up", "stack.toml", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        for line in parent.stdout:
            if json.loads(line).get("event", json.loads(line).get("kind")) == "ready":
                break
        [child] = _children(parent.pid)
        parent.kill()
        parent.wait()
    for _ in range(400):
        if not _lives(child):
            break
        asyncio.run(asyncio.sleep(0.1))
    assert not _lives(child)
    assert load(tmp_path / "stack.toml").rollup["alpha"].process


async def test_its_websockets_are_at_the_stacks_own_path(tmp_path: Path) -> None:
    async with stack(tmp_path) as up:
        url = f"ws{up.url.removeprefix('http')}/alpha"
        async with connect(url) as connection:
            socket = Socket(connection)
            name = await socket.subscribe("newHeads")
            async with JsonRpc(f"{up.url}/alpha") as node:
                await deposit(up, node)
            assert quantity((await socket.until(name, 1))[0]["number"]) == 1
            assert quantity(await socket.call("eth_chainId")) == CHAIN_ID
            process = up.process("alpha")
            first = process.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == SERVICE_RESTART
        async with asyncio.timeout(60):
            while process.pid in (None, first) or (await _status(f"{up.url}/alpha")) != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        async with connect(url) as connection:
            socket = Socket(connection)
            name = await socket.subscribe("newHeads")
            await socket.call("eth_sendRawTransaction", transfer(0))
            assert quantity((await socket.until(name, 1))[0]["number"]) == 2


@pytest.mark.parametrize("process", [False, True], ids=["within", "alone"])
async def test_its_states_leave_their_window(tmp_path: Path, process: bool) -> None:
    """`history`, and a verifying node's `--history`, over the same blocks."""
    free = rollup("free", chain_id=CHAIN_ID, batch_interval_ms=200, history=128, process=process)
    path = write_stack(tmp_path, text=stack_toml(SQUARE, free) + f'fund = {{ "0x{WALLET.address.hex()}" = 1 }}\n')
    async with up(path) as stack_process:
        facts = await ready(stack_process)
        async with JsonRpc(facts["free"]["url"]) as node:
            last = 0
            for nonce in range(128 + 2 * 32):
                last = quantity((await receipt(node, await node.call("eth_sendRawTransaction", transfer(nonce))))["blockNumber"])
            await _until_final(node, hex(last))
            assert last >= 128 + 32
            gone = ["eth_getBalance", "0x" + WALLET.address.hex(), "0x1"]
            await _until_pruned(node, gone)
            assert quantity(await node.call("eth_getBalance", gone[1], hex(last - 127))) > 0
            assert (await node.call("eth_getBlockByNumber", "0x1", True))["transactions"]  # bodies stay
        trust = ("--api", facts[""]["url"].rstrip("/"), "--trust", str(tmp_path / "data/trust.json"))
        serving = ("--listen", "127.0.0.1:0", "--history", "128", "--json")
        folder = ("--folder", str(tmp_path / "node"))
        verifier = await Process.start("node", tmp_path, "verifying-node", "free", *folder, *serving, *trust)
        try:
            url = (await events_until(verifier, "listening", "free"))[-1]["url"]
            async with JsonRpc(url) as node:
                await _until_final(node, hex(last))
                await _until_pruned(node, gone)
                assert quantity(await node.call("eth_getBalance", gone[1], hex(last - 127))) > 0
        finally:
            await kill(verifier)


async def _until_pruned(node: JsonRpc, call: list[str]) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(RpcError, match="is not available") as gone:
            while True:
                await node.call(*call)
                await asyncio.sleep(0.1)
    assert gone.value.code == -32000


def test_what_cannot_have_a_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="process"):
        parse(TEXT.replace("process = true", "process = 1"), source="stack.toml", base=tmp_path)


async def _status(url: str) -> int:
    async with httpx.AsyncClient() as http:
        return (await http.get(url)).status_code


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
