"""Sends one key's transactions to an Ethereum node and sees each through to its receipt.

    transactor = await Transactor.connect(rpc, key)
    receipt = await transactor.send(contract, data, value=10**18)

1. Gas is estimated (a call that would revert is `Rejected` here, with the contract's reason, and costs nothing).
2. Fees come from the node: twice the base fee plus its suggested tip, so that six full blocks in a row do not price it out.
3. Nonces are given out one at a time, under a lock; a transaction that the node refuses takes none.
4. The receipt is awaited. A transaction that stays out for `stuck_after` seconds is sent again with the same nonce and higher
   fees, so one of them, and only one, takes effect.

`Rejected`: it had no effect. `Unavailable`: it may or may not have had; ask the contract before trying again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidInput, Rejected, Unavailable
from dougong.net.jsonrpc import JsonRpc, RpcError, data, quantity
from dougong.settlement.logs import Log
from dougong.settlement.signing import Unsigned, sign

__all__ = ["Receipt", "Transactor"]

BUMP_PERCENT = 25  # nodes ask for 10 % before one transaction replaces another
MAX_BUMPS = 12
FIRST_POLL, LONGEST_POLL = 0.01, 1.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction that took effect. Price in wei a gas."""

    tx_hash: bytes
    block_number: int
    gas_used: int
    gas_price: int
    contract: bytes | None
    logs: tuple[Log, ...]


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
        self._under_way = 0

    @classmethod
    async def connect(
        cls, rpc: JsonRpc, key: Secp256k1Key, *, stuck_after: float = 30.0, give_up_after: float = 300.0
    ) -> Transactor:
        """Asks the node for its chain id. Raises `Unavailable`."""
        return cls(rpc, key, quantity(await rpc.call("eth_chainId")), stuck_after=stuck_after, give_up_after=give_up_after)

    async def send(self, to: bytes | None, calldata: bytes, value: int = 0) -> Receipt:
        """Sends, and returns once it is in a block. `to` None deploys. Raises `Rejected` or `Unavailable`, as above."""
        request: dict[str, str] = {"from": _hex(self.address), "data": _hex(calldata), "value": hex(value)}
        if to is not None:
            request["to"] = _hex(to)
        estimate = quantity(await self.rpc.call("eth_estimateGas", request))
        tip, max_fee = await self._fees()
        async with self._lock:
            tx = Unsigned(
                chain_id=self.chain_id,
                nonce=await self._nonce(),
                max_priority_fee=tip,
                max_fee=max_fee,
                gas=estimate + estimate // 4,  # others' transactions may come first and change what this one costs
                to=to,
                value=value,
                data=calldata,
            )
            raw, tx_hash = sign(tx, self._key)
            await self._offer(raw, tx_hash)
            self._next_nonce = tx.nonce + 1
            self._under_way += 1
        try:
            return await self._see_through(tx, [tx_hash], request)
        except BaseException:
            # Nobody offers this one again, and the node may have forgotten it: what comes next must not queue behind a gap.
            self._next_nonce = 0
            raise
        finally:
            self._under_way -= 1

    async def _fees(self) -> tuple[int, int]:
        """(tip, fee cap), in wei a gas."""
        block, tip = await asyncio.gather(
            self.rpc.call("eth_getBlockByNumber", "latest", False), self.rpc.call("eth_maxPriorityFeePerGas")
        )
        if not isinstance(block, dict) or "baseFeePerGas" not in block:
            raise Unavailable(f"{self.rpc.url} has no fee market (EIP-1559)")
        return quantity(tip), 2 * quantity(block["baseFeePerGas"]) + quantity(tip)

    async def _nonce(self) -> int:
        known = quantity(await self.rpc.call("eth_getTransactionCount", _hex(self.address), "pending"))
        # Ahead of the node's count only while it has not heard of what was just sent. When nothing is under way the node is
        # right, even where it counts fewer: its chain was reorganised.
        return max(known, self._next_nonce) if self._under_way else known

    async def _offer(self, raw: bytes, tx_hash: bytes) -> None:
        """Puts a transaction into the node's pool. Sending the same bytes twice is harmless, so it may be tried again."""
        try:
            await self.rpc.call("eth_sendRawTransaction", _hex(raw))
        except RpcError:
            # "Already known", or "nonce too low" because the answer to a first attempt was lost: then it is in.
            if await self.rpc.call("eth_getTransactionByHash", _hex(tx_hash)) is not None:
                return
            self._next_nonce = 0  # the node's view of the nonce is the one that counts
            raise

    async def _see_through(self, tx: Unsigned, hashes: list[bytes], request: dict[str, str]) -> Receipt:
        clock = asyncio.get_running_loop().time
        started = bumped = clock()
        wait = FIRST_POLL
        while True:
            try:
                found = await self._receipt(hashes)
                if found is None and clock() - bumped > self._stuck_after:
                    bumped = clock()
                    if await self._nonce_passed(tx.nonce):
                        # Mined between the two questions, or the nonce was taken by a stranger with the same key.
                        found = await self._receipt(hashes)
                        if found is None:
                            raise Rejected(f"another transaction of {_hex(self.address)} took nonce {tx.nonce}")
                    else:
                        tx = await self._bump(tx, hashes)
                if found is not None:
                    return await self._effect(found, request)
            except Unavailable:
                if clock() - started > self._give_up_after:
                    raise
            if clock() - started > self._give_up_after:
                raise Unavailable(
                    f"the transaction 0x{hashes[-1].hex()} (nonce {tx.nonce}) is in no block after {self._give_up_after:.0f} s",
                    remedy="check that the settlement chain makes blocks and that the account can pay its fees",
                )
            await asyncio.sleep(wait)
            wait = min(LONGEST_POLL, wait * 1.4)

    async def _receipt(self, hashes: list[bytes]) -> Any:
        answers = await self.rpc.batch([("eth_getTransactionReceipt", [_hex(tx_hash)]) for tx_hash in hashes])
        return next((answer for answer in answers if answer is not None and answer.get("blockNumber") is not None), None)

    async def _nonce_passed(self, nonce: int) -> bool:
        return quantity(await self.rpc.call("eth_getTransactionCount", _hex(self.address), "latest")) > nonce

    async def _bump(self, tx: Unsigned, hashes: list[bytes]) -> Unsigned:
        """The same transaction at a higher price, offered; or, past `MAX_BUMPS` or when the node declines, as it was."""
        tip, max_fee = await self._fees()
        dearer = Unsigned(
            chain_id=tx.chain_id,
            nonce=tx.nonce,
            max_priority_fee=max(tip, tx.max_priority_fee * (100 + BUMP_PERCENT) // 100 + 1),
            max_fee=max(max_fee, tx.max_fee * (100 + BUMP_PERCENT) // 100 + 1),
            gas=tx.gas,
            to=tx.to,
            value=tx.value,
            data=tx.data,
        )
        if len(hashes) > MAX_BUMPS:
            dearer = tx
        raw, tx_hash = sign(dearer, self._key)
        try:
            await self.rpc.call("eth_sendRawTransaction", _hex(raw))
        except RpcError:
            return tx  # an earlier one is being mined, or the account cannot pay more: keep waiting for those
        if tx_hash not in hashes:
            hashes.append(tx_hash)
        return dearer

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
