"""A chain is its genesis document: written once, and no later stack.toml may describe another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dougong.consensus.genesis import Genesis
from dougong.contracts.predeploys import OUTBOX_ADDRESS
from dougong.crypto.hashing import sha256
from dougong.errors import ConfigError, Rejected, StoreCorrupt, StoreError
from dougong.stack.disk import Disk
from dougong.stack.genesis import Documents, operators, settle_genesis
from dougong.stack.keys import DEV_ACCOUNTS, Keyring
from dougong.stack.reading import DEFAULT_TEXT, parse


def settle(folder: Path, *changes: tuple[str, str]) -> Documents:
    text = DEFAULT_TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    config = parse(text, source="stack.toml", base=folder)
    disk = Disk(config.data_dir)
    return settle_genesis(config, disk, Keyring.open(disk.keys, dev=config.dev))


def alloc(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {address.lower(): account for address, account in document["alloc"].items()}


def test_a_second_start_finds_the_same_chains(tmp_path: Path) -> None:
    assert settle(tmp_path) == settle(tmp_path)


@pytest.mark.parametrize("dev", [True, False])
def test_two_stacks_are_two_sets_of_chains(tmp_path: Path, dev: bool) -> None:
    change = ("dev = true", f"dev = {str(dev).lower()}")
    one, other = settle(tmp_path / "one", change), settle(tmp_path / "other", change)
    assert one.da_id("square") != other.da_id("square")
    assert not set(one.rollup.values()) & set(other.rollup.values())


def test_what_may_change_without_another_chain(tmp_path: Path) -> None:
    before = settle(tmp_path)
    pace = ("block_time_ms = 500", "block_time_ms = 1000")
    assert settle(tmp_path, pace, ("127.0.0.1:8545", "127.0.0.1:0")) == before


def test_a_new_rollup_joins_a_running_stack(tmp_path: Path) -> None:
    before = settle(tmp_path)
    delta = ("[rollup.free]", '[rollup.delta]\nexecution = "evm"\navailability = "square"\n\n[rollup.free]')
    after = settle(tmp_path, delta)
    assert set(after.rollup) - set(before.rollup) == {"delta"}
    assert after.rollup["alpha"] == before.rollup["alpha"]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("chain_id = 901", "chain_id = 9011", r"\[rollup.alpha\].* evm.config.chainId 901 → 9011"),
        ("max_square_size = 64", "max_square_size = 32", r"\[availability.square\].*max_square_size 64 → 32"),
        ("chain_id = 900", "chain_id = 9000", r"\[settlement.base\].*chainId 900 → 9000"),
        ("challenge_window_s = 60", "challenge_window_s = 1", r"\[rollup.alpha\].*challenge_window_s 60 → 1"),
        ("dev = true", "dev = false", r"another chain"),
    ],
)
def test_another_chain_in_the_same_folder_is_refused(tmp_path: Path, old: str, new: str, named: str) -> None:
    before = settle(tmp_path)
    with pytest.raises(ConfigError, match=named) as caught:
        settle(tmp_path, (old, new))
    assert "data_dir" in caught.value.remedy
    assert settle(tmp_path) == before


def test_a_data_window_is_registered_once_and_the_da_chain_keeps_enough_for_it(tmp_path: Path) -> None:
    def keeping(blocks: int, *more: tuple[str, str]) -> Documents:
        return settle(tmp_path, ('kind = "square"', f'kind = "square"\nwindow_blocks = {blocks}'), *more)

    before = keeping(1000)
    assert [before.data_window(name) for name in ("alpha", "beta")] == [500, 500]
    assert json.loads(before.rollup["free"])["settled"] is None
    assert keeping(5000) == before, "more may be kept later on"
    assert settle(tmp_path) == before, "and everything"
    with pytest.raises(ConfigError, match=r"\[rollup.alpha\] data_window = 500, .*keeps 999 heights") as caught:
        keeping(999)
    assert "keep 1000 heights or more" in caught.value.remedy
    with pytest.raises(ConfigError, match=r"settled.data_window 500 → 400"):
        keeping(1000, ("chain_id = 901", "chain_id = 901\ndata_window = 400"))


def test_a_chain_that_was_to_be_kept_whole_is_not_pruned_later(tmp_path: Path) -> None:
    assert settle(tmp_path).data_window("alpha") == 0
    with pytest.raises(ConfigError, match=r"\[rollup.alpha\] data_window = 0, .*keeps 1000 heights") as caught:
        settle(tmp_path, ('kind = "square"', 'kind = "square"\nwindow_blocks = 1000'))
    assert "neither window_blocks nor window_s" in caught.value.remedy


def test_a_document_of_another_version_is_named_as_such(tmp_path: Path) -> None:
    settle(tmp_path)
    path = tmp_path / "dougong-data/genesis/rollup.alpha.json"
    document = json.loads(path.read_text())
    del document["settled"]["data_window"]
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"settled.data_window null → 0"):
        settle(tmp_path)


def test_who_holds_what_at_genesis(tmp_path: Path) -> None:
    documents = settle(tmp_path)
    config = parse(DEFAULT_TEXT, source="stack.toml", base=tmp_path)
    keys = Keyring.open(tmp_path / "keys", dev=True)
    dev = {"0x" + key.address.hex() for key in DEV_ACCOUNTS}
    base = alloc(json.loads(Genesis.parse(documents.settlement["base"]).app_state))
    assert dev | {"0x" + keys.account(role).address.hex() for role in operators(config, "base")} <= set(base)
    alpha = alloc(json.loads(documents.rollup["alpha"])["evm"])
    assert not dev & set(alpha), "money in a settled rollup came through the bridge"
    assert all(account["balance"] == "0x0" for account in alpha.values())
    assert "0x" + OUTBOX_ADDRESS.hex() in alpha
    assert dev <= set(alloc(json.loads(documents.rollup["free"])["evm"]))


def test_a_rollup_names_its_da_chain(tmp_path: Path) -> None:
    documents = settle(tmp_path)
    assert json.loads(documents.rollup["alpha"])["da_id"] == sha256(documents.availability["square"]).hex()


def test_a_damaged_document_is_not_replaced(tmp_path: Path) -> None:
    settle(tmp_path)
    path = tmp_path / "dougong-data/genesis/rollup.alpha.json"
    path.write_text("{")
    with pytest.raises(StoreCorrupt):
        settle(tmp_path)
    assert path.read_text() == "{"


def test_one_stack_a_folder(tmp_path: Path) -> None:
    with Disk(tmp_path).locked(), pytest.raises(Rejected, match="another dougong"), Disk(tmp_path).locked():
        pass
    with Disk(tmp_path).locked():
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"), Disk(tmp_path / "file" / "data").locked():
        pass


def test_a_write_replaces_whole_files(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    path = tmp_path / "a" / "b"
    assert disk.read(path) is None
    disk.write(path, b"one")
    disk.write(path, b"two")
    assert disk.read(path) == b"two"
    assert [file.name for file in path.parent.iterdir()] == ["b"]
