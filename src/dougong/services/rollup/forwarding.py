"""Hands transactions on to a rollup's sequencer: a node that gives no word of its own offers its users one all the same.

    async with forwarding("https://sequencer.example/alpha") as forward:
        tx_hash = await forward(raw)
        forward.least_tip()

The sequencer's refusal comes back in its own words. Nothing is kept here: what it has not acknowledged is not taken. Its price is
asked for now and then, so that wallets that ask here pay what they must there. It is believed in neither: a hash is computed
here, and a price above `MOST_TIP` is no price.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from dougong._native import Evm
from dougong.crypto.hashing import keccak256
from dougong.errors import DougongError, InvalidTransaction, Rejected, Unavailable
from dougong.net.codes import SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError, quantity

__all__ = ["Forward", "Forwarding", "Submit", "forwarding", "refuse"]

PRICE_S = 5.0
MOST_TIP = 10**13  # wei a gas: ten thousand gwei
_METHOD = "eth_sendRawTransaction"


class Submit(Protocol):
    async def __call__(self, raw: bytes) -> bytes:
        """As `EvmBackend.submit`."""
        ...


class Forward:
    """A `Submit`."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc
        self._tip = 0

    def least_tip(self) -> int:
        """What the sequencer last suggested, in wei a gas."""
        return self._tip

    async def ask_price(self) -> None:
        """Keeps the last one where the sequencer does not answer."""
        with suppress(DougongError):
            tip = quantity(await self._rpc.call("eth_maxPriorityFeePerGas"))
            self._tip = tip if tip <= MOST_TIP else self._tip

    async def follow_price(self) -> None:
        """Until cancelled."""
        while True:
            await self.ask_price()
            await asyncio.sleep(PRICE_S)

    async def __call__(self, raw: bytes) -> bytes:
        tx_hash = keccak256(raw)
        try:
            said = await self._rpc.call(_METHOD, "0x" + raw.hex())
        except RpcError as error:
            words = str(error).removeprefix(f"{_METHOD}: ")
            if error.code == SERVER_ERROR:
                raise InvalidTransaction(words) from error
            raise Rejected(words) from error
        if said != "0x" + tx_hash.hex():
            raise Unavailable(f"the sequencer at {self._rpc.url} answered with another transaction's hash")
        return tx_hash


class Forwarding(ABC):
    """What an `EvmBackend` answers of transactions that wait, where its node gives no word of its own: none wait here. What a
    former sequencer on the same folder had taken waits for its next start, and is nobody's to read until then."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    @property
    @abstractmethod
    def evm(self) -> Evm: ...

    async def submit(self, raw: bytes) -> bytes:
        return await self._submit(raw)

    def pending_nonce(self, address: bytes) -> int:
        return self.evm.account(address)[0]

    def pending_transaction(self, tx_hash: bytes) -> bytes | None:
        return None

    @property
    def pool(self) -> None:
        return None


@asynccontextmanager
async def forwarding(url: str) -> AsyncIterator[Forward]:
    async with JsonRpc(url) as rpc:
        forward = Forward(rpc)
        following = asyncio.create_task(forward.follow_price())
        try:
            yield forward
        finally:
            following.cancel()
            await asyncio.wait([following])


async def refuse(raw: bytes) -> bytes:
    """A `Submit` where no sequencer is known."""
    raise Rejected("a verifying node takes no transactions", remedy="send it to the rollup's sequencer")
