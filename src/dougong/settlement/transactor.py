"""Sends one key's transactions to an Ethereum node and sees each through to its receipt.

    transactor = await Transactor.connect(rpc, key)
    receipt = await transactor.send(contract, data, value=10**18)
    receipt = await transactor.send(contract, data, sidecar=sidecar, note=keep, earlier=kept)

1. Gas is estimated (a call that would revert is `Rejected` here, with the contract's reason, and costs nothing).
2. Fees come from the node (fees.py).
3. Nonces are given out one at a time, under a lock; a transaction that the node refuses takes none. Nodes keep blob transactions
   in a pool of their own and let an account have transactions in one pool only: those of the other kind wait.
4. The receipt is awaited. A transaction that stays out for `stuck_after` seconds is sent again with the same nonce and higher
   fees, so one of them, and only one, takes effect. One that stands behind an earlier nonce is sent again as it was.

What was sent can outlive the process: `note` is told of every offer before the node is, and the last one, given back as
`earlier`, is taken up again: its receipt is looked for, and what is sent now gets its nonce, so that not both can take effect.
It is outbid only while the node has it, and as often as in one process: who starts again and again does not bid without end.

`Rejected`: it had no effect. `Unavailable`: it may or may not have had; ask the contract before trying again.

The node is the operator's own, or believed like one: it names prices, and without a `budget` they are paid. What a lying one
can never do is make two transactions of one nonce take effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dougong.codec.blob_transaction import network_form
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidInput, Rejected, Unavailable
from dougong.net.jsonrpc import JsonRpc, RpcError, data, quantity
from dougong.settlement.fees import Fees, read_market
from dougong.settlement.logs import Log
from dougong.settlement.signing import Unsigned, sign
from dougong.types import GAS_PER_BLOB, BlobSidecar

__all__ = ["Note", "Offer", "Receipt", "Transactor"]

MAX_BUMPS = 12
MAX_BLOB_BUMPS = 6  # each doubles
FIRST_POLL, LONGEST_POLL = 0.01, 1.0
POOL_TAKEN = "already reserved"  # geth's word where the account has transactions in the other pool


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction that took effect. Price in wei a gas."""

    tx_hash: bytes
    block_number: int
    gas_used: int
    gas_price: int
    contract: bytes | None
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node was, or is about to be, sent under one nonce: the fees of the last one, and the hash of each."""

    nonce: int
    fees: Fees
    hashes: tuple[bytes, ...]


Note = Callable[[Offer], Awaitable[None]]


@dataclass(slots=True)
class _Sending:
    """One call of `send`: the transaction as it was last offered, the hashes of all offers, and the call that it makes."""

    tx: Unsigned
    request: dict[str, Any]
    sidecar: BlobSidecar | None
    budget: int | None
    note: Note | None
    hashes: list[bytes]

    @property
    def fees(self) -> Fees:
        return Fees(self.tx.max_priority_fee, self.tx.max_fee, self.tx.max_blob_fee)

    @property
    def blob_gas(self) -> int:
        return len(self.tx.blob_hashes) * GAS_PER_BLOB


class Transactor:
    """One key on one chain. Nobody else should send with this key meanwhile; if somebody does, nothing is lost but time."""

    def __init__(
        self, rpc: JsonRpc, key: Secp256k1Key, chain_id: int, *, stuck_after: float = 30.0, give_up_after: float = 300.0
    ) -> None:
        self.rpc = rpc
        self.address = key.address
        self.chain_id = chain_id
        self._key = key
        self._stuck_after = stuck_after
        self._give_up_after = give_up_after
        self._lock = asyncio.Lock()
        self._next_nonce = 0
        self._under_way = {"plain": 0, "blobs": 0}
        self._seen_through = asyncio.Event()

    @classmethod
    async def connect(
        cls, rpc: JsonRpc, key: Secp256k1Key, *, stuck_after: float = 30.0, give_up_after: float = 300.0
    ) -> Transactor:
        """Asks the node for its chain id. Raises `Unavailable`."""
        return cls(rpc, key, quantity(await rpc.call("eth_chainId")), stuck_after=stuck_after, give_up_after=give_up_after)

    async def send(
        self,
        to: bytes | None,
        calldata: bytes,
        value: int = 0,
        *,
        sidecar: BlobSidecar | None = None,
        budget: int | None = None,
        note: Note | None = None,
        earlier: Offer | None = None,
    ) -> Receipt:
        """Sends, and returns once it is in a block. `to` None deploys. With a sidecar it carries blobs. It costs at most
        `budget` wei (None: what it takes). The receipt may be the `earlier` offer's. Raises `Rejected` or `Unavailable`, as
        above, `Underpaid` when the budget does not reach."""
        request: dict[str, Any] = {"from": _hex(self.address), "data": _hex(calldata), "value": hex(value)}
        if to is not None:
            request["to"] = _hex(to)
        if earlier is not None and (done := await self._took_effect(earlier)) is not None:
            return done
        market = await read_market(self.rpc, blobs=sidecar is not None)
        blob_gas = 0 if sidecar is None else len(sidecar.versioned_hashes) * GAS_PER_BLOB
        if sidecar is not None:
            request["maxFeePerBlobGas"] = hex(2 * market.blob_base_fee)
            request["blobVersionedHashes"] = [_hex(one) for one in sidecar.versioned_hashes]
            # Not on top of what is pending: an earlier offer of this very transaction may be.
            estimate = quantity(await self.rpc.call("eth_estimateGas", request, "latest"))
        else:
            estimate = quantity(await self.rpc.call("eth_estimateGas", request))
        gas = estimate + estimate // 4  # others' transactions may come first and change what this one costs
        fees = market.offer(gas, blob_gas, budget=budget)
        kind = "plain" if sidecar is None else "blobs"
        async with self._lock:
            await self._other_pool_left(kind)
            nonce, hashes = await self._nonce(), []
            # Past the node's next nonce lies a gap: what was offered there cannot be mined, and nothing can take its place.
            if earlier is not None and earlier.nonce <= nonce and await self._mined() <= earlier.nonce:
                nonce, hashes = earlier.nonce, list(earlier.hashes)
                if await self._in_pool(hashes):
                    bids = [earlier.fees, fees]
                    if len(hashes) <= (MAX_BUMPS if sidecar is None else MAX_BLOB_BUMPS):
                        bids.insert(0, fees.outbid(earlier.fees))
                    fees = next(bid for bid in bids if budget is None or bid.cost(gas, blob_gas) <= budget)
            elif earlier is not None and (done := await self._took_effect(earlier)) is not None:
                return done  # mined between the two questions
            tx = Unsigned(
                chain_id=self.chain_id,
                nonce=nonce,
                max_priority_fee=fees.tip,
                max_fee=fees.cap,
                gas=gas,
                to=to,
                value=value,
                data=calldata,
                max_blob_fee=fees.blob_cap,
                blob_hashes=() if sidecar is None else sidecar.versioned_hashes,
            )
            sending = _Sending(tx, request, sidecar, budget, note, hashes)
            await self._offer(sending)
            self._next_nonce = max(self._next_nonce, nonce + 1)
            self._under_way[kind] += 1
        try:
            return await self._see_through(sending)
        except BaseException:
            # Nobody offers this one again, and the node may have forgotten it: what comes next must not queue behind a gap.
            self._next_nonce = 0
            raise
        finally:
            self._under_way[kind] -= 1
            self._seen_through.set()

    async def send_blobs(self, to: bytes, calldata: bytes, sidecar: BlobSidecar, *, budget: int | None = None) -> Receipt:
        """`send` of a blob transaction: a `BlobSender` (availability/ethereum)."""
        return await self.send(to, calldata, sidecar=sidecar, budget=budget)

    async def _took_effect(self, earlier: Offer) -> Receipt | None:
        """The receipt of one of the offers; None while there is none, and for one that reverted."""
        found = await self._receipt(earlier.hashes)
        return _parse_receipt(found) if found is not None and quantity(found.get("status")) == 1 else None

    async def _other_pool_left(self, kind: str) -> None:
        """Returns once nothing of the other kind is under way. Called under the lock, so nothing new of it begins."""
        other = "blobs" if kind == "plain" else "plain"
        while self._under_way[other]:
            self._seen_through.clear()
            await self._seen_through.wait()

    async def _nonce(self) -> int:
        known = quantity(await self.rpc.call("eth_getTransactionCount", _hex(self.address), "pending"))
        # Ahead of the node's count only while it has not heard of what was just sent. When nothing is under way the node is
        # right, even where it counts fewer: its chain was reorganised.
        return max(known, self._next_nonce) if any(self._under_way.values()) else known

    async def _offer(self, sending: _Sending) -> None:
        """Puts a transaction into the node's pool. Sending the same bytes twice is harmless, so it may be tried again."""
        raw = await self._signed(sending.tx, sending)
        try:
            await self._put(raw, sending.sidecar)
        except RpcError as error:
            # "Already known", or "nonce too low" because the answer to a first attempt was lost, or a replacement that is not
            # needed: then one of them is in.
            if await self._in_pool(sending.hashes):
                return
            self._next_nonce = 0  # the node's view of the nonce is the one that counts
            if POOL_TAKEN in str(error):
                raise Unavailable(f"{_hex(self.address)} has transactions of the other kind pending: {error}") from error
            raise

    async def _signed(self, tx: Unsigned, sending: _Sending) -> bytes:
        raw, tx_hash = sign(tx, self._key)
        if tx_hash not in sending.hashes:
            sending.hashes.append(tx_hash)
        sending.tx = tx
        if sending.note is not None:
            await sending.note(Offer(tx.nonce, sending.fees, tuple(sending.hashes)))
        return raw

    async def _put(self, raw: bytes, sidecar: BlobSidecar | None) -> None:
        if sidecar is not None:
            parts = sidecar.blobs, sidecar.commitments, sidecar.cell_proofs
            raw = await asyncio.to_thread(network_form, raw, *parts)
        await self.rpc.call("eth_sendRawTransaction", _hex(raw))

    async def _see_through(self, sending: _Sending) -> Receipt:
        clock = asyncio.get_running_loop().time
        started = bumped = clock()
        wait = FIRST_POLL
        refused: RpcError | None = None
        while True:
            try:
                found = await self._receipt(sending.hashes)
                if found is None and clock() - bumped > self._stuck_after:
                    bumped = clock()
                    mined = await self._mined()
                    if mined > sending.tx.nonce:
                        # Mined between the two questions, or the nonce was taken by a stranger with the same key.
                        found = await self._receipt(sending.hashes)
                        if found is None:
                            raise Rejected(f"another transaction of {_hex(self.address)} took nonce {sending.tx.nonce}")
                    else:
                        # Behind another nonce no price helps; but the node may have forgotten it.
                        await self._offer_again(sending, dearer=mined == sending.tx.nonce)
                if found is not None:
                    return await self._effect(found, sending.request)
            except Unavailable:
                if clock() - started > self._give_up_after:
                    raise
            except RpcError as error:
                refused = error  # of a question about it: it is out all the same
            if clock() - started > self._give_up_after:
                raise Unavailable(
                    f"the transaction 0x{sending.hashes[-1].hex()} (nonce {sending.tx.nonce}) is in no block after "
                    f"{self._give_up_after:.0f} s",
                    remedy="check that the settlement chain makes blocks, that the account can pay its fees, and that nothing "
                    "else of it is stuck at a lower nonce",
                ) from refused
            await asyncio.sleep(wait)
            wait = min(LONGEST_POLL, wait * 1.4)

    async def _receipt(self, hashes: Sequence[bytes]) -> Any:
        """Of whichever of these is in a block; another transaction's is none."""
        answers = await self.rpc.batch([("eth_getTransactionReceipt", [_hex(tx_hash)]) for tx_hash in hashes])
        for tx_hash, answer in zip(hashes, answers, strict=True):
            if isinstance(answer, dict) and answer.get("blockNumber") is not None:
                if data(answer.get("transactionHash"), 32) != tx_hash:
                    raise InvalidInput(f"{self.rpc.url} gave another transaction's receipt for {_hex(tx_hash)}")
                return answer
        return None

    async def _in_pool(self, hashes: Sequence[bytes]) -> bool:
        """Whether the node has one of these, in its pool or in a block."""
        return any(await self.rpc.batch([("eth_getTransactionByHash", [_hex(tx_hash)]) for tx_hash in hashes]))

    async def _mined(self) -> int:
        """How many transactions of the account are in blocks: the nonce of the next one."""
        return quantity(await self.rpc.call("eth_getTransactionCount", _hex(self.address), "latest"))

    async def _offer_again(self, sending: _Sending, *, dearer: bool) -> None:
        """Offers the same transaction at a higher price; as it was if not `dearer`, past the last bump, above the budget, or when
        the node declines."""
        before = sending.tx
        tx = before
        if dearer and len(sending.hashes) <= (MAX_BUMPS if sending.sidecar is None else MAX_BLOB_BUMPS):
            market = await read_market(self.rpc, blobs=sending.sidecar is not None)
            fees = market.offer(before.gas, sending.blob_gas).outbid(sending.fees)
            if sending.budget is None or fees.cost(before.gas, sending.blob_gas) <= sending.budget:
                tx = replace(before, max_priority_fee=fees.tip, max_fee=fees.cap, max_blob_fee=fees.blob_cap)
        raw = await self._signed(tx, sending)
        try:
            await self._put(raw, sending.sidecar)
        except RpcError:
            sending.tx = before  # an earlier one is being mined, or the account cannot pay more: keep waiting for those

    async def _effect(self, raw: dict[str, Any], request: dict[str, str]) -> Receipt:
        """The parsed receipt. Raises `Rejected` with the reason, found by running the call again, if it reverted."""
        receipt = _parse_receipt(raw)
        if quantity(raw.get("status")) == 1:
            return receipt
        reason = "reverted"
        try:
            await self.rpc.call("eth_call", request, hex(receipt.block_number))
        except RpcError as error:
            reason = error.reason or str(error)
        raise Rejected(f"the transaction 0x{receipt.tx_hash.hex()} failed in block {receipt.block_number}: {reason}")


def _parse_receipt(raw: dict[str, Any]) -> Receipt:
    try:
        created = raw.get("contractAddress")
        return Receipt(
            tx_hash=data(raw["transactionHash"], 32),
            block_number=quantity(raw["blockNumber"]),
            gas_used=quantity(raw["gasUsed"]),
            gas_price=quantity(raw["effectiveGasPrice"]),
            contract=None if created is None else data(created, 20),
            logs=tuple(Log.parse(entry) for entry in raw["logs"]),
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"not a transaction receipt: {raw!r:.120}") from error


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
