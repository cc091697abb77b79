"""Where a stack keeps what, and the few files that are its own.

    disk = Disk(config.data_dir)
    with disk.locked():
        disk.write(disk.genesis("rollup", "alpha"), document)

Files are written whole or not at all: to a draft, synced, renamed, and the folder synced. Services keep their stores in the
folders that `home` names.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dougong.errors import Rejected, StoreError
from dougong.store.files import write_durably

__all__ = ["Disk"]


class Disk:
    """Paths under `data_dir`, made when they are asked for."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir

    def home(self, layer: str, name: str, part: str = "") -> Path:
        """The folder of a chain or service, such as `rollup/alpha/evm`."""
        path = self.root / layer / name / part
        with _translated(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def genesis(self, layer: str, name: str) -> Path:
        return self.root / "genesis" / f"{layer}.{name}.json"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def running(self) -> Path:
        """Where a running stack says how to reach it."""
        return self.root / "running.json"

    @property
    def trust(self) -> Path:
        """What whoever checks the stack starts from; see `dougong.stack.trust`."""
        return self.root / "trust.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held while a stack runs on this folder; the kernel lets go of it when the process dies. Raises `Rejected`."""
        path = self.root / "lock"
        with _translated(path):
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Rejected(
                    f"another dougong runs on {self.root}", remedy="stop it, or give this stack another data_dir"
                ) from error
            yield
        finally:
            os.close(descriptor)

    def read(self, path: Path) -> bytes | None:
        """None for a file that is not there."""
        with _translated(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, path: Path, content: bytes) -> None:
        """Durable when it returns; after a crash in it, the old content or the new."""
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, content)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", remedy="check the path, its rights and the disk's room") from error
