"""Every kind of wrong line gets an error that names the line, the fault and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dougong.errors import ConfigError
from dougong.stack.config import (
    Api,
    CelestiaAvailability,
    EmbeddedSettlement,
    EthereumBlobsAvailability,
    EthereumSettlement,
    FeesConfig,
    RollupConfig,
    SquareAvailability,
    StackConfig,
    Table,
    default_chain_id,
)
from dougong.stack.data_window import attest_every, data_window, in_flight
from dougong.stack.reading import DEFAULT_TEXT, line_of, load, parse

ROOT = Path(__file__).parents[2]


def read(text: str) -> StackConfig:
    return parse(text, source="stack.toml", base=Path("/stack"))


def changed(old: str, new: str) -> str:
    assert old in DEFAULT_TEXT
    return DEFAULT_TEXT.replace(old, new, 1)


def test_the_built_in_stack_is_two_rollups_and_a_sovereign_one() -> None:
    config = load(None)
    assert [name for name, rollup in config.rollup.items() if not rollup.sovereign] == ["alpha", "beta"]
    assert config.rollup["free"].sovereign
    assert config.data_dir == Path.cwd() / "dougong-data"
    assert (config.api.host, config.api.port) == ("127.0.0.1", 8545)


def test_the_example_is_the_built_in_stack() -> None:
    assert (ROOT / "examples/stack.toml").read_text() == DEFAULT_TEXT


def test_a_relative_data_dir_starts_at_the_file() -> None:
    assert read(DEFAULT_TEXT).data_dir == Path("/stack/dougong-data")
    assert read(changed('"dougong-data"', '"/elsewhere"')).data_dir == Path("/elsewhere")


def test_an_ethereum_node_settles_too() -> None:
    settlement = 'kind = "ethereum"\nurl = "http://127.0.0.1:8550"\nchain_id = 31337\n'
    text = re.sub(r"(?s)(\[settlement.base\]\s.*?\n).*?\n\n", rf"\1{settlement}\n", DEFAULT_TEXT, count=1)
    assert isinstance(read(text).settlement["base"], EthereumSettlement)


def test_a_chain_id_not_written_follows_from_the_name() -> None:
    config = read(changed("chain_id = 901\n", ""))
    assert config.chain_id("alpha") == default_chain_id("alpha") != default_chain_id("beta")


SQUARE = DEFAULT_TEXT.split("Celestia's formats\n", 1)[1].split("\n\n", 1)[0] + "\n"
BLOBS = 'kind = "ethereum-blobs"\nsettlement = "base"\n'

# (what stands in the built-in text, what is written instead, how the line at fault begins, message, remedy)
WRONG = [
    ('proof = "none"', 'proof = "fraud"', "proof", 'proof = "fraud" is not built yet', '"none"'),
    ('proof = "none"', 'proof = "validity"', "proof", "is not built yet", '"none"'),
    ('proof = "none"', 'proof = "hybrid"', "proof", "is not built yet", '"none"'),
    ('proof = "none"', 'proof = "trust me"', "proof", "is unknown", '"none"'),
    ('proof = "none"', "", "[rollup.alpha]", "proof is missing", '"none"'),
    ('kind = "square"', 'kind = "ethereum-blobs"', "[availability.square]", '"settlement" is missing', ""),
    (SQUARE, BLOBS.replace("base", "bass"), "settlement = ", "no [settlement.bass]", '"base"'),
    (SQUARE, BLOBS, "settlement = ", "carry no blobs", '"ethereum"'),
    (SQUARE, BLOBS + 'confirmations = "soon"\n', "confirmations", "confirmations", '"safe", 0 to 1000'),
    ('kind = "square"', 'kind = "cube"', "kind", "is unknown", '"square"'),
    ('kind = "square"', "", "[availability.square]", '"kind" is missing', '"square"'),
    ('kind = "evm"', 'kind = "evn"', "kind", "is unknown", '"ethereum"'),
    ('kind = "evm"', "", "[settlement.base]", '"kind" is missing', '"ethereum"'),
    ('kind = "evm" ', 'kind = "ethereum" ', "[settlement.base]", '"url" is missing', ""),
    ('consensus = "solo"', 'consensus = "cometbft"', "consensus", "is not built yet", '"solo"'),
    ('consensus = "solo"', 'consensus = "raft"', "consensus", "is unknown", '"solo"'),
    ('execution = "evm"', 'execution = "exchange"', "execution", "is not built yet", '"evm"'),
    ('settlement = "base"', 'settlement = "bass"', "settlement = ", "no [settlement.bass]", '"base"'),
    ('availability = "square"', 'availability = "round"', "availability = ", "no [availability.round]", '"square"'),
    ("block_time_ms", "blok_time_ms", "blok_time_ms", "unknown key", "block_time_ms"),
    ("dev = true", "devel = true", "devel", "unknown key", "dev"),
    ("[rollup.free]", "[rolup.free]", "[rolup.free]", "unknown key", "rollup"),
    ("block_time_ms = 500", 'block_time_ms = "500"', "block_time_ms", "valid integer", ""),
    ("block_time_ms = 500", "block_time_ms = 5", "block_time_ms", "greater than or equal to 50", ""),
    ("max_square_size = 64", "max_square_size = 63", "max_square_size", "power of two", ""),
    ("dev = true", "dev = 1", "dev", "valid boolean", ""),
    ('data_dir = "dougong-data"', "data_dir = 7", "data_dir", "a string", ""),
    ("127.0.0.1:8545", "somewhere:8545", "listen", "IP:PORT", ""),
    ("127.0.0.1:8545", "127.0.0.1:99999", "listen", "65535", ""),
    ("127.0.0.1:8545", "127.0.0.1", "listen", "IP:PORT", ""),
    ("chain_id = 902", "chain_id = 901", "chain_id = 901", "rollup.alpha's already", "replay"),
    ("chain_id = 902", "chain_id = 900", "chain_id = 900", "settlement.base's already", "replay"),
    ("chain_id = 902", "chain_id = 0", "chain_id = 0", "greater than or equal to 1", ""),
    ("chain_id = 903", 'proof = "none"', "proof", "means nothing without a settlement", "remove proof"),
    ("chain_id = 903", "challenge_window_s = 5", "challenge_window_s = 5", "means nothing without", "remove"),
    ("chain_id = 903", "data_window = 50", "data_window = 50", "means nothing without", "remove data_window"),
    ("chain_id = 902", "data_window = -1", "data_window", "greater than or equal to 0", ""),
    ("chain_id = 902", "data_window = 4294967297", "data_window", "less than or equal to 4294967296", ""),
    ("chain_id = 902", "data_window = 7", "data_window", "in so few heights", "8 or more, or 0"),
    ("chain_id = 902", f'fund = {{"0x{"12" * 20}" = 5}}', "fund", "no money of its own", "bridge"),
    ("chain_id = 903", 'fund = {"0x12" = 5}', "fund", "40 hexadecimal digits", ""),
    ("chain_id = 903", "fund = 5", "fund", "be a table", ""),
    ("[rollup.beta]", "[rollup.base]", "[rollup.base]", "[settlement.base]'s", "path"),
    ("[rollup.beta]", "[rollup.metrics]", "[rollup.metrics]", "the server's own", "path"),
    ("[rollup.beta]", "[rollup.Beta]", "[rollup.Beta]", "not a name", "a-z"),
    ("[rollup.beta]", "[rollup.elevenchars]", "[rollup.elevenchars]", "not a name", "10"),
]


# (what the DA chain's table says besides, the rollup's window if it says one, what comes of it: heights, or what is wrong)
WINDOWS: list[tuple[str, int | None, int | str]] = [
    ("", None, 0),
    ("", 0, 0),
    ("", 8, 8),
    ("", 2**32, 2**32),
    ("window_blocks = 16", None, 8),
    ("window_blocks = 1001", None, 500),
    ("window_blocks = 1001", 500, 500),
    ("window_blocks = 1001", 8, 8),
    ("window_blocks = 1001", 501, "keeps 1001 heights: half of them"),
    ("window_blocks = 1001", 0, "keeps 1001 heights: half of them"),
    ("window_blocks = 4503599627370495", None, 2**32),
    ("window_s = 3600", None, 3600),  # at 500 ms a height
    ("window_s = 3600", 3601, "keeps 7200 heights"),
    ("window_s = 3600\nwindow_blocks = 100", None, 3600),
    ("window_s = 3600\nwindow_blocks = 10000", None, 5000),
    ("window_s = 3600\nblock_time_ms = 60000", None, 30),
    ("window_s = 60\nblock_time_ms = 60000", None, "keeps 1 heights, too few"),
    ("window_s = 60\nblock_time_ms = 60000", 8, "keeps 1 heights, too few"),
]


@pytest.mark.parametrize(("layer", "window", "expected"), WINDOWS)
def test_old_data_stays_within_half_of_what_is_kept(layer: str, window: int | None, expected: int | str) -> None:
    text = changed('kind = "square"', f'kind = "square"\n{layer}')
    if "block_time_ms" in layer:
        text = text.replace("block_time_ms = 500", "", 1)
    if window is not None:
        text = text.replace("chain_id = 901", f"chain_id = 901\ndata_window = {window}", 1)
    if isinstance(expected, str):
        with pytest.raises(ConfigError, match=expected) as caught:
            read(text)
        assert "[rollup.alpha]" in str(caught.value)
        assert caught.value.remedy
    else:
        assert data_window(read(text), "alpha", written=None) == expected


def test_so_few_batches_are_under_way_that_publishing_them_again_takes_half_of_the_window() -> None:
    assert [in_flight(window) for window in (0, 8, 16, 31, 32, 2**32)] == [8, 2, 4, 7, 8, 8]


def test_no_window_stands_still_for_more_than_a_quarter_of_it() -> None:
    assert attest_every([0, 0], 500, at_most=30.0) == 30.0
    assert attest_every([0, 40, 100], 500, at_most=30.0) == 5.0
    assert attest_every([100_000], 500, at_most=30.0) == 30.0


def test_blobs_have_no_data_window() -> None:
    text = changed(SQUARE, BLOBS).replace("chain_id = 901", "chain_id = 901\ndata_window = 0", 1)
    text = re.sub(
        r"(?s)(\[settlement.base\]\s.*?\n).*?\n\n",
        '\\1kind = "ethereum"\nurl = "http://127.0.0.1:1"\nchain_id = 1\n\n',
        text,
        count=1,
    )
    with pytest.raises(ConfigError, match="data_window means nothing on Ethereum's blobs"):
        read(text)


@pytest.mark.parametrize(("old", "new", "where", "message", "remedy"), WRONG, ids=lambda value: str(value)[:28])
def test_a_wrong_line_is_named(old: str, new: str, where: str, message: str, remedy: str) -> None:
    text = changed(old, new)
    with pytest.raises(ConfigError) as caught:
        read(text)
    said = str(caught.value)
    assert message in said
    assert remedy in caught.value.remedy
    number = re.search(r"stack\.toml, line (\d+):", said)
    assert number, said
    line = text.splitlines()[int(number[1]) - 1].lstrip()
    assert line.startswith(where), f"{said} points at {line!r}"


def test_what_is_not_toml_says_where() -> None:
    with pytest.raises(ConfigError, match=r"stack.toml is not TOML: .*line 31"):
        read(changed("[rollup.beta]\n", "[rollup.beta\n"))


def test_a_stack_needs_a_da_layer() -> None:
    with pytest.raises(ConfigError, match='"availability" is missing'):
        read("dev = true\n")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "stack.toml")
    assert "No such file" in str(caught.value)
    assert "dougong new" in caught.value.remedy


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "stack.toml")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("t", "long"), 3),
        (("t", "after"), 7),
        (("t", "in line", "x"), 8),
        (("u",), 9),
        (("t", "absent"), 2),
        (("no",), 0),
    ],
)
def test_lines_are_found_in_any_toml(path: tuple[str, ...], line: int) -> None:
    text = 'a = 1\n[t]\nlong = """\n[u]\nafter = 1\n"""\nafter = [\n'.replace("after = [\n", "after = 2\n")
    text += '"in line" = { x = 1 }\n[u] # comment\n'
    assert line_of(text, path) == line


def documented(page: str, heading: str) -> dict[str, str]:
    """key -> default of the table under the heading."""
    section = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| ([^|]*?) \|", section, re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Top", StackConfig),
        ("`[api]`", Api),
        ('`[availability.NAME]` with `kind = "square"`', SquareAvailability),
        ('`[availability.NAME]` with `kind = "celestia"`', CelestiaAvailability),
        ('`[availability.NAME]` with `kind = "ethereum-blobs"`', EthereumBlobsAvailability),
        ('`[settlement.NAME]` with `kind = "evm"`', EmbeddedSettlement),
        ('`[settlement.NAME]` with `kind = "ethereum"`', EthereumSettlement),
        ("`[rollup.NAME]`", RollupConfig),
        ("`[rollup.NAME.fees]`", FeesConfig),
    ],
)
def test_the_page_describes_every_key(heading: str, model: type[Table]) -> None:
    rows = documented((ROOT / "docs/configuration.md").read_text(), heading)
    assert set(rows) == set(model.model_fields)
    for key, field in model.model_fields.items():
        if field.is_required():
            assert rows[key] == "required", key
        elif field.default is not None:
            assert rows[key] == f"`{_toml(field.default)}`", key


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Table | dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return f'"{value}"'
