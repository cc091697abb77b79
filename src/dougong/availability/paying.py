"""Sends utia from one account to another.

    height = await pay(door, key, recipient, 5_000_000)         # returns once it is in a block

One payment of a key at a time: nobody else may sign with it meanwhile.
"""

from __future__ import annotations

from typing import Protocol

from dougong.availability.admission import UNFUNDED, wanted_of
from dougong.availability.cosmos_tx import account_address, address_text
from dougong.availability.fees import base_cost
from dougong.availability.transfer import TRANSFER_GAS, make_transfer
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import Rejected, Underpaid
from dougong.types import BlobMarket, CheckTxResult, FeeAccount

_TRIES = 8


class Cashier(Protocol):
    """A node of the chain, as someone who pays needs it."""

    @property
    def chain_id(self) -> str: ...

    async def latest(self) -> int: ...

    async def wait_for_height(self, height: int) -> None: ...

    async def account(self, address: bytes) -> FeeAccount: ...

    async def market(self) -> BlobMarket: ...

    async def broadcast(self, raw: bytes) -> CheckTxResult: ...


async def pay(door: Cashier, key: Secp256k1Key, recipient: bytes, amount: int) -> int:
    """The fee that was paid. Bids twice the base fee, so that it gets in before blobs at the floor. Raises `Underpaid` when the
    account does not hold it, `Rejected` with the chain's reason."""
    payer = account_address(key.public_key)
    wanted = base_cost(2 * (await door.market()).base_fee, TRANSFER_GAS)
    for _ in range(_TRIES):
        sequence = (await door.account(payer)).next_sequence
        verdict = await door.broadcast(make_transfer(key, door.chain_id, sequence, recipient, amount, fee=wanted))
        if verdict.accepted:
            break
        if verdict.code == UNFUNDED:
            raise Underpaid(verdict.log, amount + wanted, remedy=f"send utia to {address_text(payer)}")
        wanted = max(wanted, wanted_of(verdict) or 0)
    else:
        raise Rejected(f"the DA layer refuses the payment: {verdict.log}")
    while (await door.account(payer)).sequence <= sequence:
        await door.wait_for_height(await door.latest() + 1)
    return wanted
