"""Stacks that offer celestia-node's API, with the token that the command prints, and stacks whose DA layer is behind it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from dougong.availability.celestia import CelestiaNode
from dougong.cli.auth import auth
from dougong.codec import bech32
from dougong.errors import ConfigError, InvalidInput
from dougong.net.jsonrpc import JsonRpc
from dougong.rpc.celestia import make_token
from dougong.stack.events import Event
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.stack.nodes import verifying_node
from dougong.stack.reading import load
from dougong.stack.runtime import running
from dougong.stack.squares import token_role
from dougong.testing.wallet import Wallet

STACK = """
data_dir = "data"
[api]
listen = "127.0.0.1:0"
[availability.square]
kind = "square"
consensus = "solo"
block_time_ms = 50
celestia_api = "127.0.0.1:0"
"""


async def ask(url: str, token: str, method: str) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
        found: dict[str, Any] = (await http.post(url, json=request, headers={"Authorization": f"Bearer {token}"})).json()
        return found


async def test_the_command_prints_tokens_that_the_stack_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(STACK)
    auth("read", path, None, 0)
    read = capsys.readouterr().out.strip()
    auth("admin", path, "square", 60)
    admin = capsys.readouterr().out.strip()
    assert (tmp_path / "data/keys/tokens.square.key").stat().st_mode & 0o777 == 0o600
    events: list[Event] = []
    async with running(load(path), events.append, structlog.get_logger()) as stack:
        await stack.opened()
        url = str(stack.facts["square"]["celestia"])
        assert (await ask(url, read, "node.Ready"))["result"] is True
        assert "need 'admin'" in (await ask(url, read, "node.Info"))["error"]["message"]
        assert (await ask(url, admin, "node.Info"))["result"]["type"] == "Bridge"


def test_tokens_are_for_chains_that_have_the_api(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(STACK.replace('celestia_api = "127.0.0.1:0"\n', ""))
    with pytest.raises(ConfigError, match="no DA chain"):
        auth("read", path, None, 0)
    path.write_text(STACK)
    with pytest.raises(ConfigError, match="elsewhere has no"):
        auth("read", path, "elsewhere", 0)
    with pytest.raises(InvalidInput, match="root is not a level"):
        auth("root", path, None, 0)


# --- a stack on a Celestia network, which is the other stack -------------------------------------------------------------


NETWORK = """
data_dir = "rollups"
dev = true
[api]
listen = "127.0.0.1:0"
[availability.celestia]
kind = "celestia"
url = "{url}"
chain_id = "square-1"
account = "{account}"
start_height = {height}
trusted_height = {height}
trusted_hash = "{hash}"
token_file = "token"
[rollup.free]
execution = "evm"
availability = "celestia"
batch_interval_ms = 100
block_time_ms = 100
"""


async def described(url: str, token: str, height: int) -> dict[str, object]:
    """What the second stack.toml must say of the first stack."""
    async with CelestiaNode(url, token) as node:
        header = await node.call("header.WaitForHeight", height)
        account = await node.call("state.AccountAddress")
    return {"url": url, "account": account, "height": height, "hash": header["commit"]["block_id"]["hash"]}


@pytest.mark.parametrize("more", ["", "process = true\n"], ids=["within", "alone"])
async def test_a_sovereign_rollup_lives_on_another_stacks_celestia_api(tmp_path: Path, more: str) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(STACK)
    log = structlog.get_logger()
    seen: list[Event] = []
    async with running(load(path), seen.append, log) as network:
        await network.opened()
        secret = network.context.keys.secret(token_role("square"))
        (tmp_path / "token").write_text(make_token(secret, "write") + "\n")
        there = await described(str(network.facts["square"]["celestia"]), make_token(secret, "read"), 3)
        path = tmp_path / "rollups.toml"
        path.write_text(NETWORK.format(**there) + more)
        async with running(load(path), seen.append, log) as stack:
            await stack.opened()
            chain_id = int(str(stack.facts["free"]["chain_id"]))
            rich = Wallet(DEV_ACCOUNTS[0].secret, DEV_ACCOUNTS[0].address, chain_id)
            async with JsonRpc(f"{stack.url}/free") as wallet:
                for nonce in range(3):
                    await wallet.call("eth_sendRawTransaction", "0x" + rich.transfer(bytes(20), 1, nonce=nonce).hex())
                async with asyncio.timeout(30):
                    while (head := await wallet.call("eth_getBlockByNumber", "safe", False))["number"] == "0x0":  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
            assert stack.trust().celestia["celestia"].height == 3
            height = int(head["number"], 16)
            token = make_token(secret, "read")
            folder = tmp_path / "verifying"
            async with verifying_node(stack.url, stack.trust(), "free", folder, celestia_token=token) as node:
                await node.reach(height)
                assert "0x" + str((await node.report(height))["block_hash"]) == head["hash"]
                assert node.node.follower.position.da_height >= 3
            assert stack.trust().availability == {}


async def test_a_stack_says_why_it_cannot_be_on_a_network(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(STACK)
    log = structlog.get_logger()
    async with running(load(path), lambda event: None, log) as network:
        await network.opened()
        secret = network.context.keys.secret(token_role("square"))
        there = await described(str(network.facts["square"]["celestia"]), make_token(secret, "read"), 2)
        other = bech32.encode("celestia", bytes(20))
        write = make_token(secret, "write")
        wrong = {
            "another account": ("state.AccountAddress", NETWORK.format(**{**there, "account": other}), write),
            "another hash": ("trusted", NETWORK.format(**{**there, "hash": "00" * 32}), write),
            "no token": ("token", NETWORK.format(**there).replace('token_file = "token"', ""), ""),
            "a wrong token": ("token", NETWORK.format(**there), "nonsense"),
            "an empty token": ("token", NETWORK.format(**there), ""),
        }
        for name, (word, text, token) in wrong.items():
            (tmp_path / "token").write_text(token)
            path = tmp_path / "rollups.toml"
            path.write_text(text.replace('"rollups"', f'"{name}"'))
            told: list[Event] = []
            async with running(load(path), told.append, log) as stack:
                with contextlib.suppress(ConfigError):  # what cannot heal stops the stack
                    await stack.opened()
            errors = [f"{event.facts['error']} {event.facts['remedy']}" for event in told if event.kind in ("failed", "waiting")]
            assert any(word in error for error in errors), (name, errors)


SETTLED = """[settlement.base]
kind = "evm"
consensus = "solo"
[rollup.free]
settlement = "base"
proof = "none"
"""


@pytest.mark.parametrize(
    ("line", "instead", "word"),
    [
        ('chain_id = "square-1"', 'chain_id = ""', "chain_id"),
        ("start_height = 1", "start_height = 0", "start_height"),
        ('token_file = "token"', 'tokenfile = "token"', "token_file"),
        ("[rollup.free]", SETTLED, "attest"),
        ('account = "', 'account = "x', "celestia1"),
        ('trusted_hash = "', 'trusted_hash = "0x', "trusted_hash"),
        ('url = "http://', 'url = "ws://', "http"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, instead: str, word: str) -> None:
    path = tmp_path / "stack.toml"
    there = {"url": "http://127.0.0.1:26658", "account": bech32.encode("celestia", bytes(20)), "height": 1, "hash": "ab" * 32}
    text = NETWORK.format(**there)
    path.write_text(text)
    assert load(path).rollup["free"].sovereign
    assert line in text
    path.write_text(text.replace(line, instead))
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert word in f"{refused.value} {refused.value.remedy}"
