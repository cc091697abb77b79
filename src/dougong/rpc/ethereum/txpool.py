"""What waits for a block: `txpool_content`, `txpool_contentFrom`, `txpool_inspect`, `txpool_status`.

Source: go-ethereum `internal/ethapi/api.go` (TxPoolAPI); ethereum/execution-apis `src/txpool`. Addresses have EIP-55's checksum,
nonces are decimal. Deviation: where the pool holds more than `MOST_BYTES` of transactions the whole of it is refused, one
sender's never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from dougong._native import keccak256
from dougong.execution.evm.pool import PooledTransaction
from dougong.net.codes import LIMIT_EXCEEDED
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.pending import pending_json
from dougong.rpc.params import quantity, read_address
from dougong.rpc.protocol import Methods, Param

__all__ = ["checksummed", "txpool_methods"]

MOST_BYTES = 8 << 20
Show = Callable[[PooledTransaction], object]


def txpool_methods(chain: Chain) -> Methods:
    methods = Methods()
    pool = chain.backend.pool

    def waiting(address: bytes | None = None) -> tuple[Sequence[PooledTransaction], Sequence[PooledTransaction]]:
        if pool is None:
            return (), ()
        if address is None and pool.total_bytes > MOST_BYTES:
            raise RpcError(LIMIT_EXCEEDED, f"{len(pool)} transactions wait: ask for one sender's (txpool_contentFrom)")
        return pool.waiting(address)

    async def content() -> orjson.Fragment:
        return await chain.read(_grouped, waiting(), _whole)

    async def inspect() -> orjson.Fragment:
        return await chain.read(_grouped, waiting(), _summary)

    async def content_from(address: bytes) -> orjson.Fragment:
        return await chain.read(_of_one, waiting(address))

    async def status() -> dict[str, str]:
        gapped = 0 if pool is None else pool.gapped()
        return {"pending": quantity(0 if pool is None else len(pool) - gapped), "queued": quantity(gapped)}

    methods.add("txpool_content", content)
    methods.add("txpool_contentFrom", content_from, Param("address", read_address))
    methods.add("txpool_inspect", inspect)
    methods.add("txpool_status", status)
    return methods


def _whole(tx: PooledTransaction) -> object:
    fields = pending_json(tx.raw)
    return None if fields is None else {"blockTimestamp": None} | fields


def _summary(tx: PooledTransaction) -> str:
    fields = pending_json(tx.raw) or {}
    to, value = fields.get("to"), int(fields.get("value", "0x0"), 16)
    target = "contract creation" if to is None else checksummed(bytes.fromhex(to[2:]))
    return f"{target}: {value} wei + {tx.gas_limit} gas \u00d7 {tx.max_fee} wei"


def _grouped(waiting: tuple[Sequence[PooledTransaction], Sequence[PooledTransaction]], show: Show) -> orjson.Fragment:
    parts: list[dict[str, dict[str, object]]] = []
    for txs in waiting:
        senders: dict[str, dict[str, object]] = {}
        for tx in txs:
            senders.setdefault(checksummed(tx.sender), {})[str(tx.nonce)] = show(tx)
        parts.append(senders)
    return orjson.Fragment(orjson.dumps({"pending": parts[0], "queued": parts[1]}))


def _of_one(waiting: tuple[Sequence[PooledTransaction], Sequence[PooledTransaction]]) -> orjson.Fragment:
    ready, gapped = ({str(tx.nonce): _whole(tx) for tx in txs} for txs in waiting)
    return orjson.Fragment(orjson.dumps({"pending": ready, "queued": gapped}))


def checksummed(address: bytes) -> str:
    """An address as EIP-55 writes it."""
    digits = address.hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, marks, strict=False))
