"""Users may build on Dougong under Apache-2.0: nothing that it links or imports is under the GPL or AGPL."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPYLEFT = re.compile(r"\bA?GPL|GNU (AFFERO )?GENERAL PUBLIC", re.IGNORECASE)
# Expressions that offer a choice are fine as long as one way is free of it.
CHOICE = re.compile(r"\bOR\b|/", re.IGNORECASE)


def copyleft_only(licence: str) -> bool:
    """Whether every way that the licence expression offers is (A)GPL. The LGPL is a licence of its own."""
    return bool(licence) and all(COPYLEFT.search(way) for way in CHOICE.split(licence.replace("LGPL", "Lesser")))


def python_licence(package: Distribution) -> str:
    metadata = package.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classified = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    if classified:
        return " OR ".join(line.rsplit("::", 1)[-1].strip() for line in classified)
    return metadata["License"].split("\n")[0] if "License" in metadata else ""


def test_the_check_itself() -> None:
    assert copyleft_only("GPL-3.0-only")
    assert copyleft_only("AGPL-3.0")
    assert copyleft_only("GNU General Public License v2 (GPLv2)")
    assert not copyleft_only("MIT OR GPL-2.0")
    assert not copyleft_only("LGPL-3.0")


def test_python_packages() -> None:
    found = {package.metadata["Name"]: python_licence(package) for package in distributions()}
    assert not {name: licence for name, licence in found.items() if copyleft_only(licence)}


def test_rust_crates() -> None:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", str(ROOT / "rust/Cargo.toml")]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["packages"]
    assert len(packages) > 3
    assert not {p["name"]: p["license"] for p in packages if copyleft_only(p["license"] or "")}
