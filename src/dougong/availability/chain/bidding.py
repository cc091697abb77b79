"""Bids for a place in a block: one policy for the client in this process and for the one behind a socket.

    bidder = Bidder(door, key)
    published = await bidder.publish([blob], budget=20_000)

A transaction's life here:

1. *quoted*: the price that the node says, never above the budget;
2. *sent* with the account's next sequence. A transaction of this account that waits already with the same blobs (from before a
   restart) is taken up instead of sending another;
3. *watched*: still in the pool after `patience` blocks, or pushed out of it, it is sent again **under the same sequence** at a
   higher price. So whatever is replaced, one of them at most takes effect;
4. *published*, or dead, when another transaction of the account took the sequence. Only then is another one signed.

`Underpaid` says what would have been enough. What was sent may still wait then, and get in when prices fall: asked for the same
blobs again, step 2 finds it. What a node says of prices and of what waits is not proven: a lying one can have the whole budget
spent, and nothing above it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dougong.availability.chain.admission import CROWDED, INVALID, TOO_LARGE, UNDERPAID, UNFUNDED, WRONG_SEQUENCE, wanted_of
from dougong.availability.chain.blob_tx import blobs_gas, content_id, make_blob_tx
from dougong.availability.chain.cosmos_tx import MAX_AMOUNT, account_address, address_text
from dougong.availability.chain.door import Door
from dougong.availability.chain.fees import NANO, base_cost
from dougong.availability.square.layout import SquareBuilder
from dougong.availability.square.wire import decode_blob_tx
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidBlob, Rejected, Unavailable, Underpaid
from dougong.types import Blob, CheckTxResult, FeeAccount, Placement, Quote

_TRIES = 32


class BlobDoor(Door, Protocol):
    """A node of the chain, as a bidder needs it."""

    async def quote(self, size: int) -> Quote: ...

    async def published(self, height: int, blobs: Sequence[Blob], sent: Mapping[bytes, bytes]) -> Published | None:
        """Where the blobs lie in block `height`, if one of the transactions in `sent` (by hash, see `Flight`) brought them."""
        ...


@dataclass(frozen=True, slots=True)
class BidPolicy:
    """`budget`: utia for a transaction where the caller names none; without one, `ceiling` times what it costs at the
    chain's floor. `patience`: blocks that a bid waits before it is raised, by `raise_percent` at least. `sign_anew`: whether
    a transaction whose sequence another one took is signed again; where the node is not trusted that would let it take a
    budget each time."""

    budget: int | None = None
    ceiling: int = 1_000
    patience: int = 2
    raise_percent: int = 10
    sign_anew: bool = True


@dataclass(frozen=True, slots=True)
class Published:
    """Where the blobs of one transaction lie, and its hash as Celestia counts it: SHA-256 of the signed part, without blobs."""

    placements: tuple[Placement, ...]
    tx_hash: bytes


@dataclass(slots=True)
class Flight:
    """What was sent for the same blobs under one sequence. `sent`: by hash of the whole, the hash of the signed part (empty
    where a process before this one sent it). `after`: no block up to there holds it; `bid_at`: when the last bid was made."""

    sequence: int
    fee: int
    after: int
    bid_at: int
    sent: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Want:
    """What is to be published, and for how much at most."""

    blobs: tuple[Blob, ...]
    gas: int
    limit: int


class Bidder:
    """One account at one door; one bidder for each key."""

    def __init__(self, door: BlobDoor, key: Secp256k1Key, policy: BidPolicy | None = None) -> None:
        self.address = account_address(key.public_key)
        self._door = door
        self._key = key
        self._policy = policy or BidPolicy()
        self._turn = asyncio.Lock()
        self._flying: set[int] = set()

    async def publish(self, blobs: Sequence[Blob], *, budget: int | None = None) -> Published:
        """Raises as `DataAvailability.submit`."""
        want = await asyncio.to_thread(self._want, tuple(blobs), budget)
        while True:
            flight = await self._launch(want)
            try:
                found = await self._follow(flight, want)
            finally:
                self._flying.discard(flight.sequence)
            if found is not None:
                return found
            if not self._policy.sign_anew:
                raise Unavailable("another transaction took the account's sequence: this one did not publish the blob")

    def _want(self, blobs: tuple[Blob, ...], budget: int | None) -> _Want:
        """Raises `InvalidBlob` or `InvalidNamespace` before anything is sent."""
        raw = make_blob_tx(self._key, self._door.chain_id, 0, blobs, fee=MAX_AMOUNT)
        inner, params = decode_blob_tx(raw), self._door.params
        if len(raw) > params.max_tx_bytes:
            raise InvalidBlob(f"a transaction is at most {params.max_tx_bytes} bytes, not {len(raw)}")
        if inner is None or not SquareBuilder(params.max_square_size).append_blob_tx(inner):
            size, width = sum(len(blob.data) for blob in blobs), params.max_square_size
            raise InvalidBlob(f"a blob of {size} bytes does not fit a square of {width} x {width} shares")
        gas, policy = blobs_gas(blobs), self._policy
        limit = policy.budget if budget is None else budget
        return _Want(blobs, gas, policy.ceiling * base_cost(params.min_base_fee, gas) if limit is None else limit)

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _launch(self, want: _Want) -> Flight:
        """Sends it for the first time, or finds it waiting. Raises `Underpaid`, `Rejected`, `InvalidBlob`."""
        async with self._turn:
            least, verdict = 0, CheckTxResult()
            for _ in range(_TRIES):
                after = await self._door.latest()
                account = await self._door.account(self.address)
                waiting = await self._adopt(account, want, after)
                if waiting is not None:
                    return waiting
                sequence = account.next_sequence
                while sequence in self._flying:  # pushed out of the pool: whoever sent it sends it again
                    sequence += 1
                flight = Flight(sequence, min(max(await self._fee(want), least), want.limit), after, after)
                verdict = await self._offer(flight, flight.fee, want)
                if verdict.accepted:
                    self._flying.add(sequence)
                    return flight
                if verdict.code == CROWDED or sequence != account.next_sequence:
                    await self._door.wait_for_height(after + 1)
                elif verdict.code == UNFUNDED or (verdict.code == UNDERPAID and await self._is_free(sequence)):
                    least = self._affordable(verdict, want)
                # Else someone else signs with the same key and was faster.
        raise Rejected(f"the DA layer refuses the transaction: {verdict.log}", remedy="let one process alone use the key")

    async def _adopt(self, account: FeeAccount, want: _Want, after: int) -> Flight | None:
        unknown = [tx for tx in account.pending if tx.content and tx.sequence not in self._flying]
        content = await asyncio.to_thread(content_id, want.blobs) if unknown else b""
        for tx in unknown:
            if tx.content == content:
                self._flying.add(tx.sequence)
                return Flight(tx.sequence, tx.fee, after, after, {tx.digest: b""})
        return None

    async def _is_stranded(self, flight: Flight) -> bool:
        """Whether the account's line ends before this flight, and nobody here is about to go on with it."""
        following = (await self._door.account(self.address)).next_sequence
        return following < flight.sequence and following not in self._flying

    async def _is_free(self, sequence: int) -> bool:
        return (await self._door.account(self.address)).next_sequence == sequence

    def _affordable(self, verdict: CheckTxResult, want: _Want) -> int:
        """The fee that a refusal asks for. Raises `Underpaid` when it is above the budget, or the account is empty."""
        wanted = wanted_of(verdict)
        if wanted is None:
            raise Rejected(f"the DA layer refuses the transaction: {verdict.log}")
        if verdict.code == UNFUNDED:
            raise Underpaid(verdict.log, wanted, remedy=f"send utia to {address_text(self.address)}")
        if wanted > want.limit:
            raise _too_little(wanted, want.limit)
        return wanted

    async def _offer(self, flight: Flight, fee: int, want: _Want) -> CheckTxResult:
        """Raises `InvalidBlob`."""
        raw = await asyncio.to_thread(make_blob_tx, self._key, self._door.chain_id, flight.sequence, want.blobs, fee=fee)
        verdict = await self._door.broadcast(raw)
        if verdict.code in (INVALID, TOO_LARGE):
            raise InvalidBlob(f"the DA layer refuses the blob: {verdict.log}")
        if verdict.accepted:
            inner = decode_blob_tx(raw)
            flight.sent[sha256(raw)] = sha256(b"" if inner is None else inner.tx)
            flight.fee = fee
        return verdict

    async def _fee(self, want: _Want) -> int:
        """What gets it into the next block, as the node sees it."""
        size = sum(len(blob.data) for blob in want.blobs)
        quote = await self._door.quote(size)
        if len(want.blobs) == 1:
            return quote.price
        # Blobs that share a transaction share its fixed part, and each has shares of its own: the same price for another gas.
        single = blobs_gas([Blob(want.blobs[0].namespace, bytes(size), 1, self.address)])
        return -(-(quote.price * NANO // single + 1) * want.gas // NANO) if quote.price else 0

    # --- watching ---------------------------------------------------------------------------------------------------

    async def _follow(self, flight: Flight, want: _Want) -> Published | None:
        """Until it is published; None when another transaction took its sequence, so that it never will be. Raises
        `Underpaid`."""
        height = flight.after
        while True:
            # The order matters: whatever moved the sequence on is in a block up to `last`.
            account = await self._door.account(self.address)
            last = await self._door.latest()
            while height < last:
                height += 1
                found = await self._door.published(height, want.blobs, flight.sent)
                if found is not None:
                    return found
            if account.sequence > flight.sequence:
                return None
            waits = any(tx.digest in flight.sent for tx in account.pending)
            if not waits or last - flight.bid_at >= self._policy.patience:
                await self._raise(flight, want, waits=waits)
                flight.bid_at = last
            await self._door.wait_for_height(last + 1)

    async def _raise(self, flight: Flight, want: _Want, *, waits: bool) -> None:
        """Bids more under the same sequence, if the budget allows it."""
        asked = await self._fee(want)
        least = -(-flight.fee * (100 + self._policy.raise_percent) // 100) + 1 if waits else flight.fee
        for _ in range(_TRIES):
            fee = max(asked, least)
            if waits and fee > want.limit:
                if asked > want.limit > 0:  # who may pay nothing, where nothing is charged, waits its turn
                    raise _too_little(asked, want.limit)
                return  # it can do no better, and what it bid is enough by the node's word
            verdict = await self._offer(flight, min(fee, want.limit), want)
            if verdict.code == WRONG_SEQUENCE and await self._is_stranded(flight):
                raise Unavailable("a transaction of the account that was to come before this one was pushed out and given up")
            if verdict.code not in (UNDERPAID, UNFUNDED):
                return  # taken; or the account has moved on, which whoever watches will see
            if waits and (verdict.code == UNFUNDED or (wanted_of(verdict) or 0) > want.limit):
                return
            least = self._affordable(verdict, want)


def _too_little(wanted: int, limit: int) -> Underpaid:
    return Underpaid(
        f"publishing costs {wanted} utia now, and the budget is {limit} utia",
        wanted,
        remedy="raise the budget, or wait until the price falls",
    )
