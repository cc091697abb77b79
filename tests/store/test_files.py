"""Small durable files: whole or not at all, and private where they must be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dougong.store.files import write_durably


def test_the_new_content_takes_the_old_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_durably(path, b"old")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record"]


def test_a_private_file_is_private_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "key"
    (tmp_path / "key.draft").write_text("left by a crash, readable by all")
    write_durably(path, b"secret", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_crash_before_the_rename_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record"
    write_durably(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    write_durably(path, b"newer")
    assert path.read_bytes() == b"newer"
