"""Methods about blocks. Source: ethereum/execution-apis `src/eth/block.yaml`. An unknown block is null, not an error.
Uncles are of imported chains alone: blocks of our own have none."""

from __future__ import annotations

import orjson

from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import BlockId, quantity, read_block, read_bool, read_hash, read_quantity
from dougong.rpc.protocol import Methods, Param

__all__ = ["BLOCK", "HASH", "INDEX", "MAX_INDEX", "block_methods"]

BLOCK = Param("block", read_block)
INDEX = Param("index", read_quantity)
MAX_INDEX = 2**64 - 1
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
        return None if number is None else quantity(await chain.read(chain.evm.transaction_count, number))

    async def receipts(block: BlockId) -> orjson.Fragment | None:
        number = chain.find(block)
        return None if number is None else orjson.Fragment(await chain.read(chain.evm.block_receipts_json, number))

    async def uncle_count(block: BlockId) -> str | None:
        number = chain.find(block)
        return None if number is None else quantity(await chain.read(chain.evm.ommer_count, number))

    async def uncle(block: BlockId, index: int) -> orjson.Fragment | None:
        number = chain.find(block)
        found = None if number is None else await chain.read(chain.evm.ommer_json, number, min(index, MAX_INDEX))
        return None if found is None else orjson.Fragment(found)

    full = Param("full", read_bool, False)
    methods.add("eth_blockNumber", block_number)
    methods.add("eth_getBlockByNumber", get_block, BLOCK, full)
    methods.add("eth_getBlockByHash", get_block, HASH, full)
    methods.add("eth_getBlockTransactionCountByNumber", transaction_count, BLOCK)
    methods.add("eth_getBlockTransactionCountByHash", transaction_count, HASH)
    methods.add("eth_getBlockReceipts", receipts, BLOCK)
    methods.add("eth_getUncleCountByBlockNumber", uncle_count, BLOCK)
    methods.add("eth_getUncleCountByBlockHash", uncle_count, HASH)
    methods.add("eth_getUncleByBlockNumberAndIndex", uncle, BLOCK, INDEX)
    methods.add("eth_getUncleByBlockHashAndIndex", uncle, HASH, INDEX)
    return methods
