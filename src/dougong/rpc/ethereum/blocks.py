"""Methods about blocks. Source: ethereum/execution-apis `src/eth/block.yaml`. An unknown block is null, not an error."""

from __future__ import annotations

import orjson

from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import BlockId, quantity, read_block, read_bool, read_hash
from dougong.rpc.protocol import Methods, Param

__all__ = ["block_methods"]

BLOCK = Param("block", read_block)
HASH = Param("blockHash", lambda value: BlockId(hash=read_hash(value)))


def block_methods(chain: Chain) -> Methods:
    methods = Methods()

    async def block_number() -> str:
        return quantity(chain.backend.heads().latest)

    async def get_block(block: BlockId, full: bool) -> orjson.Fragment | None:
        number = chain.find(block)
        return None if number is None else orjson.Fragment(await chain.read(chain.evm.block_json, number, full))

    async def transaction_count(block: BlockId) -> str | None:
        number = chain.find(block)
        return None if number is None else quantity(len(await chain.read(chain.evm.transactions, number)))

    async def receipts(block: BlockId) -> orjson.Fragment | None:
        number = chain.find(block)
        return None if number is None else orjson.Fragment(await chain.read(chain.evm.block_receipts_json, number))

    async def uncle_count(block: BlockId) -> str | None:
        return None if chain.find(block) is None else quantity(0)

    full = Param("full", read_bool, False)
    methods.add("eth_blockNumber", block_number)
    methods.add("eth_getBlockByNumber", get_block, BLOCK, full)
    methods.add("eth_getBlockByHash", get_block, HASH, full)
    methods.add("eth_getBlockTransactionCountByNumber", transaction_count, BLOCK)
    methods.add("eth_getBlockTransactionCountByHash", transaction_count, HASH)
    methods.add("eth_getBlockReceipts", receipts, BLOCK)
    methods.add("eth_getUncleCountByBlockNumber", uncle_count, BLOCK)
    methods.add("eth_getUncleCountByBlockHash", uncle_count, HASH)
    return methods
