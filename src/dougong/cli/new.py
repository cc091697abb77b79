"""`dougong new`: the built-in stack as a file to change."""

from __future__ import annotations

from pathlib import Path

from dougong.errors import ConfigError, StoreError
from dougong.stack.reading import DEFAULT_TEXT

__all__ = ["new"]


def new(path: Path) -> None:
    """Raises `ConfigError` rather than overwrite."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(DEFAULT_TEXT)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists already", remedy="give another path, or remove it first") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", remedy="check the folder and its rights") from error
    print(f"Wrote {path}. Start it with: dougong up {path}")
