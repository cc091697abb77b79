"""Sends utia from one account to another.

    fee = await pay(door, key, recipient, 5_000_000)         # its fee, once it is in a block

One payment of a key at a time: nobody else may sign with it meanwhile.
"""

from __future__ import annotations

from typing import Protocol

from dougong.availability.chain.admission import UNFUNDED, WRONG_SEQUENCE, wanted_of
from dougong.availability.chain.cosmos_tx import account_address, address_text
from dougong.availability.chain.door import Door
from dougong.availability.chain.fees import base_cost
from dougong.availability.chain.transfer import TRANSFER_GAS, make_transfer
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import Rejected, Underpaid
from dougong.types import BlobMarket, CheckTxResult

CEILING = 1_000
_TRIES = 8


class Cashier(Door, Protocol):
    """A node of the chain, as someone who pays needs it."""

    async def market(self) -> BlobMarket: ...


async def pay(
    door: Cashier, key: Secp256k1Key, recipient: bytes, amount: int, *, limit: int | None = None, ceiling: int = CEILING
) -> int:
    """The fee, once it is in a block. Bids twice the base fee, so that it gets in before blobs at the floor, and again under the
    same sequence, for what the node then asks, if it was pushed out of the pool; never above `limit` utia, without one `ceiling`
    times what it costs at the chain's floor, whatever the node says. Raises `Underpaid` when that is not enough or the account
    does not hold it, `Rejected` with the chain's reason."""
    if limit is None:
        limit = ceiling * base_cost(door.params.min_base_fee, TRANSFER_GAS)
    payment = _Payment(door, key, recipient, amount, limit)
    payment.fee = min(base_cost(2 * (await door.market()).base_fee, TRANSFER_GAS), limit)
    while True:
        account, last = await door.account(payment.payer), await door.latest()
        if payment.sequence is not None and account.sequence > payment.sequence:
            return payment.fee
        if not any(tx.digest in payment.sent for tx in account.pending):
            await payment.send()
        await door.wait_for_height(last + 1)


class _Payment:
    """`sequence` is fixed when it is first taken, so that one of those `sent` at most takes effect."""

    def __init__(self, door: Cashier, key: Secp256k1Key, recipient: bytes, amount: int, limit: int) -> None:
        self.payer = account_address(key.public_key)
        self.fee = 0
        self.sequence: int | None = None
        self.sent: set[bytes] = set()
        self._door = door
        self._key = key
        self._recipient = recipient
        self._amount = amount
        self._limit = limit

    async def send(self) -> None:
        """Raises `Underpaid`, `Rejected`."""
        verdict = CheckTxResult()
        for _ in range(_TRIES):
            sequence = self.sequence
            if sequence is None:
                sequence = (await self._door.account(self.payer)).next_sequence
            raw = make_transfer(self._key, self._door.chain_id, sequence, self._recipient, self._amount, fee=self.fee)
            verdict = await self._door.broadcast(raw)
            if verdict.accepted:
                self.sequence = sequence
                self.sent.add(sha256(raw))
                return
            if verdict.code == UNFUNDED:
                remedy = f"send utia to {address_text(self.payer)}"
                raise Underpaid(verdict.log, self._amount + self.fee, remedy=remedy)
            wanted = wanted_of(verdict) or 0
            if wanted > self._limit:
                message = f"the payment costs {wanted} utia now, and may cost {self._limit} utia"
                raise Underpaid(message, wanted, remedy="allow more, or wait until the price falls")
            self.fee = max(self.fee, wanted)
            if self.sequence is not None and verdict.code == WRONG_SEQUENCE:
                return  # it is in a block, as the account will show
        raise Rejected(f"the DA layer refuses the payment: {verdict.log}")
