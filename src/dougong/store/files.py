"""Small files that must be there after a crash: keys, genesis documents, records of what was deployed."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["make_folder_durably", "sync_folder", "write_durably"]


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Durable when it returns; after a crash in it, the old content or the new. Nobody without the rights of `mode` ever sees
    the content. Raises `OSError`."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)


def make_folder_durably(path: Path) -> None:
    """The folder is there, also after a crash, when this returns. Raises `OSError`."""
    if not path.is_dir():
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """What was renamed or made in the folder is so after a crash too."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
