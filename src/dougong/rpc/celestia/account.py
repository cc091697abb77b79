"""The modules `state` and `node`. Source: celestia-node `nodebuilder/state/state.go`, `nodebuilder/node/{node,admin}.go`."""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.celestia.shapes import read_square_blob
from dougong.availability.celestia.values import hex_text, read_integer, read_list
from dougong.availability.chain.cosmos_tx import DENOM, address_text, parse_address
from dougong.errors import InvalidInput
from dougong.rpc.celestia.node import Node, Rooms
from dougong.rpc.celestia.paying import TX_CONFIG, TxConfig, publish
from dougong.rpc.celestia.tokens import LEVELS, permissions_of, sign_token
from dougong.rpc.protocol import Param
from dougong.types import Blob

__all__ = ["API_VERSION", "add_account_methods", "add_admin_methods"]

API_VERSION = "v0.32.1"
"""The release of celestia-node whose API this is."""


def add_account_methods(rooms: Rooms, node: Node) -> None:
    account = node.account

    def read_blobs(value: object) -> list[Blob]:
        return [read_square_blob(one) for one in read_list(value, "blobs", node.limits.blobs)]

    async def address() -> str:
        return address_text(account.address)

    async def balance_of(owner: bytes) -> object:
        return {"denom": DENOM, "amount": str(await account.balance(owner))}

    async def balance() -> object:
        return await balance_of(account.address)

    async def submit(blobs: Sequence[Blob], config: TxConfig) -> object:
        published = await publish(node, blobs, config)
        return {"height": published.placements[0].height, "txhash": hex_text(published.tx_hash), "code": 0}

    rooms.add("state.AccountAddress", "read", address)
    rooms.add("state.Balance", "read", balance)
    rooms.add("state.BalanceForAddress", "read", balance_of, Param("addr", _read_address))
    rooms.add("state.SubmitPayForBlob", "write", submit, Param("blobs", read_blobs), TX_CONFIG)


def add_admin_methods(rooms: Rooms, node: Node) -> None:
    async def info() -> object:
        return {"type": "Bridge", "api_version": API_VERSION}

    async def ready() -> bool:
        return True

    async def verify(token: str) -> list[str]:
        return sorted(permissions_of(node.secret, token), key=LEVELS.index)

    async def new(permissions: Sequence[str]) -> str:
        return sign_token(node.secret, permissions)

    async def new_with_expiry(permissions: Sequence[str], nanoseconds: int) -> str:
        return sign_token(node.secret, permissions, seconds=nanoseconds / 10**9)

    levels = Param("perms", _read_levels)
    rooms.add("node.Info", "admin", info)
    rooms.add("node.Ready", "read", ready)
    rooms.add("node.AuthVerify", "admin", verify, Param("token", _read_text))
    rooms.add("node.AuthNew", "admin", new, levels)
    rooms.add("node.AuthNewWithExpiry", "admin", new_with_expiry, levels, Param("ttl", _read_duration))


def _read_address(value: object) -> bytes:
    return parse_address(_read_text(value))


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput("want a string")
    return value


def _read_levels(value: object) -> list[str]:
    return [_read_text(one) for one in read_list(value, "permissions", len(LEVELS))]


def _read_duration(value: object) -> int:
    """Nanoseconds, as Go's durations; at most some ten years."""
    return read_integer(value, "a duration", 1, 10 * 366 * 86_400 * 10**9)
