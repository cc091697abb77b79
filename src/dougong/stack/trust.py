"""The few facts that everything else is checked against, as a file: `data_dir/trust.json`.

    trust = read_trust(Path("dougong-data/trust.json"))
    trust.availability["square"]                     # the genesis hash
    trust.rollup["alpha"].state                      # the hash of its genesis block

`dougong up` writes it. Whoever checks the stack must have got it from somebody that they believe; it holds no secrets, unless
a node's URL in stack.toml is one.
Addresses and hashes are hexadecimal without 0x.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from dougong.errors import ConfigError, NotFound

__all__ = ["BlobsTrust", "CelestiaTrust", "RollupTrust", "SettlementTrust", "Trust", "read_trust"]

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BlobsTrust(_Table):
    """Blobs of an Ethereum chain, whose consensus is not checked here. `url` answers its JSON-RPC, `beacon_url` has its blobs."""

    chain_id: int
    url: str
    beacon_url: str
    confirmations: Literal["finalized", "safe"] | int


class SettlementTrust(_Table):
    """`genesis` is None for an Ethereum node, whose consensus is not checked here; then `url` says where it is."""

    chain_id: int
    genesis: Hash | None
    url: str | None
    contract: Address
    attestations: dict[str, Address]


class RollupTrust(_Table):
    """`genesis` is the SHA-256 of its document, `state` the hash of its EVM's genesis block. `data_window`: how many DA heights
    below the last attested one a batch's data may lie when settlement takes it; 0: no bound. None for a sovereign rollup."""

    genesis: Hash
    state: Hash
    availability: str
    settlement: str | None
    rollup_id: int | None
    proof: str | None
    data_window: int | None = None


class CelestiaTrust(_Table):
    """A Celestia network: a node of it, which is not trusted, and a header, which is."""

    url: str
    chain_id: str
    height: int
    hash: Hash


class Trust(_Table):
    """`availability`: the genesis hash of each DA chain of squares; other DA layers stand in tables of their own. `peers`: URLs
    of other stacks' APIs that serve the same DA chains; hints, which need no trust."""

    availability: dict[str, Hash]
    settlement: dict[str, SettlementTrust]
    rollup: dict[str, RollupTrust]
    peers: tuple[Annotated[str, StringConstraints(pattern=r"^https?://", max_length=2_048)], ...] = ()
    celestia: dict[str, CelestiaTrust] = {}
    blobs: dict[str, BlobsTrust] = {}


def read_trust(path: Path) -> Trust:
    """Raises `NotFound` and `ConfigError`."""
    try:
        return Trust.model_validate_json(path.read_text())
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read: {error.strerror}",
            remedy="`dougong up` writes it into its data_dir; or name another with --trust",
        ) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not a trust file: {error}", remedy="take it again from where the stack was set up"
        ) from error
