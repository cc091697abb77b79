"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dougong
from dougong.cli.ending import exit_code_of
from dougong.errors import ConfigError, StoreFull
from dougong.stack.reading import DEFAULT_TEXT


def dougong_command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from dougong.cli import main; main()", *arguments]
    return subprocess.run(program, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)


def test_help_lists_every_command() -> None:
    shown = dougong_command("--help")
    assert shown.returncode == 0
    for command in ("up", "new", "version"):
        assert f"\n  {command} " in shown.stdout


def test_help_loads_neither_the_core_nor_the_servers() -> None:
    program = "import sys\nfrom dougong.cli.app import app\nprint(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    for heavy in ("dougong._native", "pydantic", "uvicorn", "starlette", "httpx", "lmdb", "asyncio"):
        assert heavy not in loaded


def test_version() -> None:
    assert dougong_command("version").stdout.strip() == f"dougong {dougong.__version__}"


def test_new_writes_the_built_in_stack_once(tmp_path: Path) -> None:
    assert dougong_command("new", cwd=tmp_path).returncode == 0
    written = tmp_path / "stack.toml"
    assert written.read_text() == DEFAULT_TEXT
    written.write_text("mine")
    again = dougong_command("new", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert written.read_text() == "mine"


def test_new_where_nothing_can_be_written(tmp_path: Path) -> None:
    refused = dougong_command("new", str(tmp_path / "missing" / "stack.toml"))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


def test_a_wrong_stack_toml_ends_in_two_lines(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(DEFAULT_TEXT.replace('proof = "none"', 'proof = "fraud"', 1))
    refused = dougong_command("up", str(path))
    assert refused.returncode == 2
    assert refused.stdout == ""
    first, second = refused.stderr.splitlines()
    assert first == f'dougong: {path}, line 26: [rollup.alpha] proof = "fraud" is not built yet'
    assert second == '  → allowed: "none"'


def test_an_unknown_command_is_wrong_usage() -> None:
    assert dougong_command("upp").returncode == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (ConfigError("a"), 2),
        (StoreFull("b", remedy="c"), 1),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [StoreFull("b")])]), 1),
        (ValueError("a bug of ours"), None),
    ],
)
def test_exit_codes(error: BaseException, code: int | None) -> None:
    assert exit_code_of(error) == code
