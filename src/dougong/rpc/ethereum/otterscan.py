"""What the explorer Otterscan asks for beyond Ethereum's own methods, as far as blocks and the index answer it.

Source: otterscan `docs/custom-jsonrpc.md`; erigon `turbo/jsonrpc` for shapes that it leaves open. What counts as an address's
transaction: `rust/evm/src/otterscan.rs`. What is about calls within a transaction is in `otterscan_traces.py`.
"""

from __future__ import annotations

import orjson

from dougong.errors import InvalidInput
from dougong.net.codes import SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import LATEST, BlockId, hex_data, read_address, read_block, read_count, read_hash
from dougong.rpc.protocol import Methods, Param
from dougong.rpc.throttle import Client

__all__ = ["otterscan_methods"]

API_LEVEL = 8
CREATIONS = (2, 3)  # CREATE and CREATE2, as ots_getInternalOperations numbers them
MOST_IN_PAGE = 500
ADDRESS = Param("address", read_address)


def otterscan_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, options = chain.evm, chain.options

    async def api_level() -> int:
        return API_LEVEL

    async def has_code(address: bytes, block: BlockId) -> bool:
        return bool(evm.code(address, chain.need(block)))

    async def header(block: BlockId) -> orjson.Fragment | None:
        number = chain.find(block)
        return None if number is None else orjson.Fragment(await chain.read(evm.header_json, number))

    async def details(block: BlockId) -> orjson.Fragment | None:
        number = chain.find(block)
        return None if number is None else orjson.Fragment(await chain.read(evm.block_details_json, number))

    async def block_transactions(block: BlockId, page: int, size: int) -> orjson.Fragment | None:
        number = chain.find(block)
        if number is None:
            return None
        return orjson.Fragment(await chain.call(evm.block_transactions_json, number, page, size))

    async def search(client: Client | None, address: bytes, block: int, size: int, *, forward: bool) -> orjson.Fragment:
        head = chain.backend.heads().latest
        try:
            found = await chain.search(
                client,
                evm.search_transactions_json,
                address,
                block,
                head,
                forward=forward,
                size=size,
                seconds=options.log_seconds,
            )
        except InvalidInput as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        return orjson.Fragment(found)

    async def before(client: Client | None, address: bytes, block: int, size: int) -> orjson.Fragment:
        return await search(client, address, block, size, forward=False)

    async def after(client: Client | None, address: bytes, block: int, size: int) -> orjson.Fragment:
        return await search(client, address, block, size, forward=True)

    async def by_nonce(sender: bytes, nonce: int) -> str | None:
        found = await chain.call(evm.transaction_by_nonce, sender, nonce, chain.backend.heads().latest)
        return None if found is None else hex_data(found)

    async def creator(address: bytes) -> dict[str, str] | None:
        found = await chain.call(evm.contract_creation, address, chain.backend.heads().latest)
        if found is None:
            return None
        _, txs = found
        for tx_hash, sender, made in txs:
            by = sender if made else await creator_in(tx_hash, address)
            if by is not None:
                return {"hash": hex_data(tx_hash), "creator": hex_data(by)}
        return None  # the genesis put it there

    async def creator_in(tx_hash: bytes, address: bytes) -> bytes | None:
        """Who created the contract within a transaction, which is executed again to see it."""
        shown = await chain.trace(evm.internal_operations_json, tx_hash, options.trace_seconds, options.trace_bytes)
        for operation in orjson.loads(shown or b"[]"):
            if operation["type"] in CREATIONS and operation["to"].lower() == hex_data(address):
                return bytes.fromhex(operation["from"][2:])
        return None

    block, number = Param("block", _block_or_number, LATEST), Param("blockNumber", _count)
    page, size = Param("pageNumber", _count), Param("pageSize", _page_size)
    methods.add("ots_getApiLevel", api_level)
    methods.add("ots_hasCode", has_code, ADDRESS, block)
    methods.add("erigon_getHeaderByNumber", header, block)
    methods.add("ots_getBlockDetails", details, Param("block", _block_or_number))
    methods.add("ots_getBlockDetailsByHash", details, Param("blockHash", lambda value: BlockId(hash=read_hash(value))))
    methods.add("ots_getBlockTransactions", block_transactions, Param("block", _block_or_number), page, size)
    methods.add("ots_searchTransactionsBefore", before, ADDRESS, number, size, for_client=True)
    methods.add("ots_searchTransactionsAfter", after, ADDRESS, number, size, for_client=True)
    methods.add("ots_getTransactionBySenderAndNonce", by_nonce, ADDRESS, Param("nonce", _count))
    methods.add("ots_getContractCreator", creator, ADDRESS)
    return methods


def _block_or_number(value: object) -> BlockId:
    """Otterscan sends numbers as JSON's own."""
    return BlockId(number=_count(value)) if isinstance(value, int) else read_block(value)


def _count(value: object) -> int:
    count = read_count(value)
    if count >= 2**63:
        raise InvalidInput("want a number below 2^63")
    return count


def _page_size(value: object) -> int:
    size = _count(value)
    if not 0 < size <= MOST_IN_PAGE:
        raise InvalidInput(f"want a page of 1 to {MOST_IN_PAGE} transactions")
    return size
