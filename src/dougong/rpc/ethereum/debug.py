"""Blocks, receipts and transactions as the chain hashes them. Source: ethereum/execution-apis `src/debug/getters.yaml`.

Of a block that is not there: as geth, nothing where it was named by number ("0x", for receipts null), an error where by hash.
"""

from __future__ import annotations

from dougong.rpc.ethereum.blocks import BLOCK
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.tracing import missing_block
from dougong.rpc.ethereum.transactions import HASH, raw_transaction
from dougong.rpc.params import BlockId, hex_data
from dougong.rpc.protocol import Methods

__all__ = ["debug_methods"]


def debug_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm = chain.evm

    def find(block: BlockId) -> int | None:
        number = chain.find(block)
        if number is None and block.hash is not None:
            raise missing_block(block)
        return number

    async def raw_header(block: BlockId) -> str:
        number = find(block)
        return "0x" if number is None else hex_data(await chain.read(evm.header_rlp, number))

    async def raw_block(block: BlockId) -> str:
        number = find(block)
        return "0x" if number is None else hex_data(await chain.read(evm.block_rlp, number))

    async def raw_receipts(block: BlockId) -> list[str] | None:
        number = find(block)
        return None if number is None else [hex_data(raw) for raw in await chain.read(evm.raw_receipts, number)]

    async def raw_tx(tx_hash: bytes) -> str:
        return await raw_transaction(chain, tx_hash) or "0x"

    methods.add("debug_getRawHeader", raw_header, BLOCK)
    methods.add("debug_getRawBlock", raw_block, BLOCK)
    methods.add("debug_getRawReceipts", raw_receipts, BLOCK)
    methods.add("debug_getRawTransaction", raw_tx, HASH)
    return methods
