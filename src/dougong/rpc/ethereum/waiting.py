"""Sending and waiting in one call: `eth_sendRawTransactionSync`.

Source: EIP-7966; go-ethereum `internal/ethapi` for the code and the words. Deviations: a timeout that is over ours is ours (the
EIP: an invalid one is the default), and a transaction that waits behind a gap is answered at once with the EIP's code 5, which
geth does not use: nothing would come of waiting.

A caller who waits holds a place of the server's, so places are few, one client has a part of them (he could wait for transactions
that he has replaced himself), and one look at the head serves all who wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from dougong._native import decode_transactions
from dougong.errors import InvalidInput
from dougong.net.codes import LIMIT_EXCEEDED, NOT_READY, SYNC_TIMEOUT
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import hex_data, read_count, read_data
from dougong.rpc.protocol import Methods, Param
from dougong.rpc.throttle import Client

__all__ = ["waiting_methods"]

LOOK_SECONDS = 0.01
CLIENTS = 2  # who may wait for as many receipts as one client may


def waiting_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, backend, options = chain.evm, chain.backend, chain.options
    blocks = _Blocks(chain)
    own_places = max(1, options.sync_places // CLIENTS)

    async def receipt(tx_hash: bytes) -> orjson.Fragment | None:
        found = await chain.read(evm.receipt_json, tx_hash)
        return None if found is None else orjson.Fragment(found)

    async def until_included(tx_hash: bytes) -> orjson.Fragment:
        while True:
            head = backend.heads().latest
            found = await receipt(tx_hash)
            if found is not None:
                return found
            await blocks.beyond(head)

    async def send_sync(client: Client | None, raw: bytes, milliseconds: int | None) -> orjson.Fragment:
        seconds = min(milliseconds / 1_000 if milliseconds else options.sync_seconds, options.most_sync_seconds)
        if blocks.waiting >= options.sync_places:
            raise RpcError(LIMIT_EXCEEDED, f"more than {options.sync_places} callers wait for receipts: try again")
        if blocks.waiting_of[client] >= own_places:
            raise RpcError(LIMIT_EXCEEDED, f"{own_places} calls of yours wait for receipts: try again")
        with blocks.place(client):
            tx_hash = await backend.submit(raw)
            if await _is_gapped(chain, raw):
                raise RpcError(
                    NOT_READY,
                    "The transaction was added to the transaction pool but wasn't processed due to a missing nonce",
                    hex_data(tx_hash),
                )
            try:
                async with asyncio.timeout(seconds):
                    return await until_included(tx_hash)
            except TimeoutError as error:
                message = f"The transaction was added to the transaction pool but wasn't processed in {_in_words(seconds)}"
                raise RpcError(SYNC_TIMEOUT, message, hex_data(tx_hash)) from error

    parameters = Param("transaction", read_data), Param("timeout", read_milliseconds, None)
    methods.add("eth_sendRawTransactionSync", send_sync, *parameters, for_client=True)
    return methods


def read_milliseconds(value: object) -> int:
    milliseconds = read_count(value)
    if milliseconds >= 2**64:
        raise InvalidInput("want milliseconds of at most 64 bits")
    return milliseconds


def _in_words(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1_000:g}ms"


async def _is_gapped(chain: Chain, raw: bytes) -> bool:
    """Whether the transaction, which was taken, waits for another one of its sender's."""
    (info,) = await chain.read(decode_transactions, [raw])
    return (
        not isinstance(info, str)
        and chain.backend.pending_transaction(info.hash) is not None
        and info.nonce >= chain.backend.pending_nonce(info.sender)
    )


class _Blocks:
    """Tells those who wait of new blocks. Looks at the head while somebody does, and not otherwise."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._next: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self.waiting = 0
        self.waiting_of: Counter[Client | None] = Counter()

    @contextmanager
    def place(self, client: Client | None) -> Iterator[None]:
        self.waiting += 1
        self.waiting_of[client] += 1
        try:
            yield
        finally:
            self.waiting -= 1
            self.waiting_of[client] -= 1
            if not self.waiting_of[client]:
                del self.waiting_of[client]

    async def beyond(self, head: int) -> None:
        """Returns once the head is another one."""
        while self._chain.backend.heads().latest == head:
            if self._next is None:
                self._next = asyncio.get_running_loop().create_future()
                self._looking = asyncio.create_task(self._look(head))
            await asyncio.shield(self._next)

    async def _look(self, head: int) -> None:
        assert self._next is not None
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                if not self.waiting or self._chain.backend.heads().latest != head:
                    return
        finally:
            told, self._next = self._next, None
            told.set_result(None)
