"""What the checking commands make of their options, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from dougong.cli.ending import exit_code_of
from dougong.cli.nodes import Sampling, locate
from dougong.errors import ConfigError, Divergence, NotFound, Unavailable
from dougong.services.nodes.light_node import LightConfig, Withheld
from dougong.services.nodes.rejections import ChainRejected, Rejection
from dougong.stack.trust import Trust


def test_sampling_as_the_command_line_says_it() -> None:
    assert Sampling().config() == LightConfig()
    assert Sampling(samples=40).config().samples_of(64) == 40
    assert Sampling(confidence=0.99).config().samples_of(64) == 16
    assert Sampling(confidence=0.999999).config().samples_of(64) > 40
    assert Sampling(window_days=0.5).config().window_s == 43_200
    for wrong in (Sampling(confidence=1.0), Sampling(confidence=0.0), Sampling(confidence=0.9, samples=3)):
        with pytest.raises(ConfigError):
            wrong.config()


def test_peers_join_those_of_the_trust_file(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text(Trust(availability={}, settlement={}, rollup={}, peers=("http://one:1",)).model_dump_json())
    url, trust = locate(None, "http://own:1/", path, ["https://two:2"])
    assert (url, trust.peers) == ("http://own:1", ("http://one:1", "https://two:2"))
    with pytest.raises(ConfigError, match="is not a URL"):
        locate(None, "http://own:1/", path, ["two:2"])
    path.write_text(
        Trust(availability={}, settlement={}, rollup={}).model_dump_json().replace('"peers":[]', '"peers":["file:///x"]')
    )
    with pytest.raises(ConfigError):
        locate(None, "http://own:1/", path)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Withheld(3, ((0, 1),), "nobody shows it"), 3),
        (ChainRejected(Rejection(3, "fork", "two headers", {})), 4),
        (ExceptionGroup("services", [ChainRejected(Rejection(3, "fork", "two headers", {}))]), 4),
        (Divergence("two histories"), 1),
        (Unavailable("away"), 1),
        (NotFound("not there"), 1),
        (ConfigError("no such key"), 2),
    ],
)
def test_the_exit_code_says_what_was_found(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code
