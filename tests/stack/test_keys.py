"""Keys are made once, kept private, and never silently replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from dougong.errors import StoreCorrupt, StoreError
from dougong.stack.keys import DEV_ACCOUNTS, Keyring


def test_a_key_survives_a_restart_and_nobody_else_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = Keyring.open(folder, dev=False).account("sequencer.alpha")
    assert Keyring.open(folder, dev=False).account("sequencer.alpha").secret == first.secret
    assert (folder / "sequencer.alpha.key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_roles_have_keys_of_their_own(tmp_path: Path) -> None:
    for dev in (False, True):
        keys = Keyring.open(tmp_path, dev=dev)
        roles = ("sequencer.alpha", "sequencer.beta", "proposer.alpha", "attestor.square")
        assert len({keys.account(role).address for role in roles}) == len(roles)


def test_dev_keys_are_the_same_everywhere_and_touch_no_disk(tmp_path: Path) -> None:
    keys = Keyring.open(tmp_path / "keys", dev=True)
    assert keys.validator("square").seed == Keyring.open(tmp_path / "other", dev=True).validator("square").seed
    assert not (tmp_path / "keys").exists()


def test_the_first_dev_account_is_the_one_that_everybody_knows() -> None:
    assert DEV_ACCOUNTS[0].address.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert DEV_ACCOUNTS[9].address.hex() == "a0ee7a142d267c1f36714e4a8f75612f20a79720"
    assert len({key.address for key in DEV_ACCOUNTS}) == 10


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Keyring.open(tmp_path, dev=False).account("proposer.alpha")
    (tmp_path / "proposer.alpha.key").chmod(0o644)
    with pytest.raises(StoreError, match="others on this machine") as caught:
        Keyring.open(tmp_path, dev=False).account("proposer.alpha")
    assert caught.value.remedy.startswith("chmod 600")


@pytest.mark.parametrize("content", ["", "00" * 31, "zz" * 32, "00" * 33])
def test_a_damaged_key_is_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "proposer.alpha.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StoreCorrupt):
        Keyring.open(tmp_path, dev=False).account("proposer.alpha")
    assert path.read_text() == content


def test_a_draft_left_by_a_crash_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "proposer.alpha.draft").write_text("half a k")
    key = Keyring.open(tmp_path, dev=False).account("proposer.alpha")
    assert Keyring.open(tmp_path, dev=False).account("proposer.alpha").secret == key.secret


def test_a_role_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a role"):
        Keyring.open(tmp_path, dev=False).account("../../etc.passwd")
