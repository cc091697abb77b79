"""Small files that must be there after a crash: keys, genesis documents, records of what was deployed."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_durably"]


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
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
