"""A stack that offers celestia-node's API, with the token that the command prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from dougong.cli.auth import auth
from dougong.errors import ConfigError, InvalidInput
from dougong.stack.events import Event
from dougong.stack.reading import load
from dougong.stack.runtime import running

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
