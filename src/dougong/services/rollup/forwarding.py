"""Hands transactions on to a rollup's sequencer: a node that gives no word of its own offers its users one all the same.

    forward = Forward(JsonRpc("https://sequencer.example/alpha"))
    tx_hash = await forward(raw)

The sequencer's refusal comes back in its own words. Nothing is kept here: what it has not acknowledged is not taken.
"""

from __future__ import annotations

from typing import Protocol

from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidTransaction, Rejected, Unavailable
from dougong.net.codes import SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError

__all__ = ["Forward", "Submit", "refuse"]

_METHOD = "eth_sendRawTransaction"


class Submit(Protocol):
    async def __call__(self, raw: bytes) -> bytes:
        """As `EvmBackend.submit`."""
        ...


class Forward:
    """A `Submit`."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

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


async def refuse(raw: bytes) -> bytes:
    """A `Submit` where no sequencer is known."""
    raise Rejected("a verifying node takes no transactions", remedy="send it to the rollup's sequencer")
