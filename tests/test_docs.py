"""README and docs are true: their Python runs, their TOML is a valid stack, their links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest

from dougong.stack.reading import load

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def snippets(language: str) -> list[object]:
    return [
        pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{page.read_text()[: match.start()].count(chr(10)) + 1}")
        for page in PAGES
        for match in FENCE.finditer(page.read_text())
        if match[1] == language
    ]


@pytest.mark.parametrize("source", snippets("python"))
def test_python_snippets_run(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = compile(source, "<snippet>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, {"__name__": "snippet"})
    if inspect.isawaitable(result):

        async def finish() -> None:
            await result

        asyncio.run(finish())


@pytest.mark.parametrize("source", snippets("toml"))
def test_toml_snippets_are_valid_stacks(source: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(source)
    assert load(path).rollup


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    """Paths in backticks that start in one of our folders."""
    for target in re.findall(r"`((?:src|rust|docs|tests|benches|examples)/[\w./-]+)`", page.read_text()):
        assert (ROOT / target).exists(), f"{page.name} names {target}, which is not there"
