"""Judges a transaction by itself, before any state is asked: what it wants, what it pays, whether it is what it says.

    checker = Checker("square-1", params)
    offer = await checker.read(raw)                 # form and amounts: microseconds; raises Refused
    await checker.prove(offer, raw)                 # signature, commitments, whether a square holds it; raises Refused
    offer.signer, offer.sequence, offer.fee, offer.gas

The two steps stand apart so that what the state refuses (a low fee, an empty account, a wrong sequence) costs nobody a
signature check. A verdict never changes, so those of valid transactions are kept.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dougong.availability.chain.blob_tx import BlobPayment, read_blob_tx
from dougong.availability.chain.fees import base_cost, bytes_used, gas_needed, price_of
from dougong.availability.chain.params import SquareParams
from dougong.availability.chain.transfer import Transfer, read_transfer
from dougong.availability.square.layout import SquareBuilder
from dougong.availability.square.wire import decode_blob_tx
from dougong.crypto.hashing import sha256
from dougong.errors import DougongError, InvalidTransaction
from dougong.types import CheckTxResult

INVALID, WRONG_SEQUENCE, TOO_LARGE, UNDERPAID, UNFUNDED, CROWDED = 1, 2, 3, 4, 5, 6

_KEPT = 20_000
_AT_ONCE = 4096  # smaller ones take less time than a thread's turn


class Refused(Exception):
    """Why a transaction is not taken; never leaves the application. `wanted`: the fee that would do, if it is about that."""

    def __init__(self, code: int, log: str, wanted: int | None = None) -> None:
        super().__init__(log)
        self.code = code
        self.wanted = wanted

    def verdict(self) -> CheckTxResult:
        return CheckTxResult(self.code, str(self), data=b"" if self.wanted is None else encode_wanted(self.wanted))


@dataclass(frozen=True, slots=True)
class Offer:
    """A transaction as the market sees it. `gas` is what it needs, `used` its bytes of the square, `size` those of the
    block; `content` is what it publishes (empty for a transfer, which moves `amount` to `recipient`)."""

    digest: bytes
    signer: bytes
    sequence: int
    fee: int
    gas: int
    gas_limit: int
    size: int
    used: int
    content: bytes = b""
    recipient: bytes = b""
    amount: int = 0

    @property
    def price(self) -> int:
        """Nano-utia per gas: its bid."""
        return price_of(self.fee, self.gas)

    @property
    def spend(self) -> int:
        """What its signer must have."""
        return self.fee + self.amount

    def check_fee(self, base_fee: int) -> None:
        """Raises `Refused` below the base fee."""
        wanted = base_cost(base_fee, self.gas)
        if self.fee < wanted:
            # In the Cosmos SDK's words, which clients of Celestia's look for.
            raise Refused(UNDERPAID, f"insufficient fees; got: {self.fee}utia required: {wanted}utia: insufficient fee", wanted)


class Checker:
    """For one chain; its verdicts are kept, newest `_KEPT`."""

    def __init__(self, chain_id: str, params: SquareParams) -> None:
        self._chain_id = chain_id
        self._params = params
        self._proven: dict[bytes, Offer] = {}  # oldest first

    async def check(self, raw: bytes) -> Offer:
        """Both steps. Raises `Refused`."""
        offer = await self.read(raw)
        await self.prove(offer, raw)
        return offer

    async def read(self, raw: bytes) -> Offer:
        """Raises `Refused`. What comes back may be forged until `prove` returns."""
        digest = sha256(raw)
        known = self._proven.get(digest)
        if known is not None:
            return known
        if len(raw) > self._params.max_tx_bytes:
            raise Refused(TOO_LARGE, f"a transaction is at most {self._params.max_tx_bytes} bytes, not {len(raw)}")
        try:
            return self._read(raw, digest) if len(raw) < _AT_ONCE else await asyncio.to_thread(self._read, raw, digest)
        except DougongError as error:
            raise Refused(INVALID, str(error)) from None

    async def prove(self, offer: Offer, raw: bytes) -> None:
        """Raises `Refused`."""
        if offer.digest in self._proven:
            return
        try:
            if len(raw) < _AT_ONCE:
                self._prove(raw)
            else:
                await asyncio.to_thread(self._prove, raw)
        except DougongError as error:
            raise Refused(INVALID, str(error)) from None
        while len(self._proven) >= _KEPT:
            del self._proven[next(iter(self._proven))]
        self._proven[offer.digest] = offer

    def _read(self, raw: bytes, digest: bytes) -> Offer:
        tx = _open(raw)
        signed = tx.signed
        if isinstance(tx, BlobPayment):
            gas, used, content, recipient, amount = tx.gas, tx.used, tx.content, b"", 0
        else:
            gas, used, content = gas_needed(len(raw), 0), bytes_used(len(raw), 0), b""
            recipient, amount = tx.recipient, tx.amount
        if signed.gas_limit < gas:
            raise InvalidTransaction(f"out of gas: the limit is {signed.gas_limit}, and it needs {gas}")
        signer, limit = signed.signer, signed.gas_limit
        return Offer(digest, signer, signed.sequence, signed.fee, gas, limit, len(raw), used, content, recipient, amount)

    def _prove(self, raw: bytes) -> None:
        tx = _open(raw)
        if isinstance(tx, BlobPayment):
            blob_tx = decode_blob_tx(raw)
            width = self._params.max_square_size
            if blob_tx is None or not SquareBuilder(width).append_blob_tx(blob_tx):
                raise Refused(TOO_LARGE, f"it does not fit into an empty square of width {width}")
            tx.verify(self._chain_id)
        else:
            tx.signed.verify(self._chain_id)


def encode_wanted(wanted: int) -> bytes:
    """The fee that would do, as a refusal's `data` carries it."""
    return wanted.to_bytes((wanted.bit_length() + 7) // 8 or 1)


def wanted_of(verdict: CheckTxResult) -> int | None:
    """The fee that a refusal asks for, if it is about that. The node's word."""
    return int.from_bytes(verdict.data[:32]) if verdict.code in (UNDERPAID, UNFUNDED) and verdict.data else None


def _open(raw: bytes) -> BlobPayment | Transfer:
    payment = read_blob_tx(raw)
    return read_transfer(raw) if payment is None else payment
