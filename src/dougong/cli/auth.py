"""`dougong auth`: tokens for the Celestia API of a DA chain."""

from __future__ import annotations

from pathlib import Path

from dougong.errors import ConfigError
from dougong.rpc.celestia import make_token
from dougong.stack.config import SquareAvailability
from dougong.stack.disk import Disk
from dougong.stack.keys import Keyring
from dougong.stack.reading import load
from dougong.stack.squares import token_role

__all__ = ["auth"]


def auth(level: str, stack: Path | None, chain: str | None, seconds: int) -> None:
    """Raises `ConfigError` where stack.toml has no such API, `InvalidInput` for a level that does not exist."""
    config = load(stack)
    layers = config.availability.items()
    served = [name for name, layer in layers if isinstance(layer, SquareAvailability) and layer.celestia_api is not None]
    if chain is None and len(served) == 1:
        chain = served[0]
    if chain is None or chain not in served:
        remedy = "set celestia_api in its table of stack.toml" if stack else "name the stack.toml that sets celestia_api"
        raise ConfigError(
            "no DA chain with a Celestia API was named" if chain is None else f"{chain} has no Celestia API",
            remedy=f"name one with --chain: {', '.join(served)}" if served else remedy,
        )
    keys = Keyring.open(Disk(config.data_dir).keys, dev=config.dev)
    print(make_token(keys.secret(token_role(chain)), level, seconds=seconds))
