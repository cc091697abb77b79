"""What is built is what the sources say, once, and a change anywhere in a contract is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dougong.contracts import BUILD, artifact
from dougong.contracts.__main__ import SOURCES, closure, content_key, contracts, main
from dougong.errors import NotFound


def test_every_contract_is_built_and_up_to_date() -> None:
    assert main(check=True) == 0, "run `make contracts`"
    names = {path.stem for path in contracts()}
    assert {"Settlement", "Attestations", "PermissionedVerifier", "Outbox", "Token", "Exchange"} <= names
    for name in names:
        built = artifact(name)
        assert 0 < len(built.runtime) <= 24_576
        assert built.bytecode.endswith(built.runtime) or built.runtime in built.bytecode


def test_modules_belong_to_what_imports_them(tmp_path: Path) -> None:
    for path in SOURCES.glob("*.vy*"):
        shutil.copy(path, tmp_path)
    assert {path.name for path in closure(tmp_path / "Attestations.vy")} == {"Attestations.vy", "IAttestations.vyi", "merkle.vy"}
    keys = {name: content_key(tmp_path / f"{name}.vy", "0.4.3") for name in ("Attestations", "Settlement", "Outbox")}
    merkle = tmp_path / "merkle.vy"
    merkle.write_text(merkle.read_text() + "\n")
    changed = {name for name, key in keys.items() if content_key(tmp_path / f"{name}.vy", "0.4.3") != key}
    assert changed == {"Attestations", "Settlement"}
    assert content_key(tmp_path / "Outbox.vy", "0.4.4") != keys["Outbox"], "another compiler is a change"


def test_an_unknown_contract_names_the_remedy() -> None:
    with pytest.raises(NotFound, match="no compiled contract Nothing") as caught:
        artifact("Nothing")
    assert "make contracts" in caught.value.remedy
    assert BUILD.is_dir()
