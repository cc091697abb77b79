"""`dougong pay`: sends utia on a DA chain of a running stack, so that an account can publish."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import orjson

from dougong.availability.chain.cosmos_tx import account_address, address_text, parse_address
from dougong.availability.chain.paying import pay as send
from dougong.cli.ending import run
from dougong.cli.nodes import locate
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import ConfigError
from dougong.net.node import NodeClient
from dougong.services.nodes.remote import RemoteSquare
from dougong.services.nodes.remote_account import RemoteDoor
from dougong.stack.disk import Disk
from dougong.stack.keys import Keyring
from dougong.stack.reading import load

__all__ = ["pay"]

_ROLE = re.compile(r"[a-z]+\.[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class _Payment:
    key: Secp256k1Key
    recipient: bytes
    amount: int
    max_fee: int | None


def pay(
    stack: Path | None,
    recipient: str,
    amount: int,
    payer: str,
    chain: str | None,
    *,
    max_fee: int | None = None,
    as_json: bool,
) -> None:
    """`recipient`: a role of this stack, or `celestia1…`; `payer`: a role, whose key lies in the data_dir. `max_fee` bounds what
    the node can make it cost."""
    config = load(stack)
    keys = Keyring.open(Disk(config.data_dir).keys, dev=config.dev)
    name = chain or next(iter(config.availability))
    if name not in config.availability:
        raise ConfigError(f"there is no [availability.{name}]", remedy=f"allowed: {', '.join(config.availability)}")
    role = payer or f"treasury.{name}"
    if not _ROLE.fullmatch(role):
        raise ConfigError(f"{role} is not a role", remedy="name one such as treasury.square")
    to = account_address(keys.account(recipient).public_key) if _ROLE.fullmatch(recipient) else parse_address(recipient)
    url, trust = locate(stack, None, None)
    genesis_hash = bytes.fromhex(trust.availability[name])
    fee = run(_send(f"{url}/{name}", genesis_hash, _Payment(keys.account(role), to, amount, max_fee)))
    facts = {"from": role, "to": address_text(to), "utia": amount, "fee": fee}
    if as_json:
        print(orjson.dumps(facts).decode())
    else:
        print(f"{amount} utia from {role} to {facts['to']}, for a fee of {fee} utia")


async def _send(url: str, genesis_hash: bytes, payment: _Payment) -> int:
    async with NodeClient(url) as node:
        square = await RemoteSquare.open(node, genesis_hash)
        door = RemoteDoor(node, square.genesis, square, poll_s=0.1)
        return await send(door, payment.key, payment.recipient, payment.amount, limit=payment.max_fee)
