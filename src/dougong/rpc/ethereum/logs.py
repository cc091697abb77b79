"""Event logs. Source: ethereum/execution-apis `src/eth/filter.yaml`, `src/schemas/filter.yaml`. The store finds them by an index
(`rust/evm/src/index.rs`), so a range may be long; what comes of it is bounded in number, bytes and time."""

from __future__ import annotations

from typing import Any

import orjson

from dougong.errors import InvalidInput
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED, SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.criteria import Criteria
from dougong.rpc.params import LATEST, BlockId, read_block, read_hash, read_object
from dougong.rpc.protocol import Methods, Param
from dougong.rpc.throttle import Client

__all__ = ["LogReader", "log_methods"]


class LogReader:
    """Reads stored logs within what one request may cost."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._options = chain.options

    async def get(self, client: Client | None, given: dict[str, Any]) -> orjson.Fragment:
        """As `find`, with the criteria read from the same object."""
        return await self.find(client, Criteria.read(given), given)

    async def find(self, client: Client | None, criteria: Criteria, span: dict[str, Any]) -> orjson.Fragment:
        """Raises `RpcError`, also when there are too many, or they take too long to find."""
        chain, options = self._chain, self._options
        first, last = self._span(span)
        most = (options.logs, options.log_bytes)
        try:
            found = await chain.search(client, chain.evm.logs_json, criteria.json, first, last, *most, options.log_seconds)
        except InvalidInput as error:  # the criteria are good: there are too many
            raise RpcError(LIMIT_EXCEEDED, str(error)) from error
        return orjson.Fragment(found)

    def _span(self, given: dict[str, Any]) -> tuple[int, int]:
        chain, options = self._chain, self._options
        if given.get("blockHash") is not None:
            if given.get("fromBlock") is not None or given.get("toBlock") is not None:
                raise RpcError(INVALID_PARAMS, "cannot specify both blockHash and fromBlock/toBlock, choose one or the other")
            number = chain.find(BlockId(hash=read_hash(given["blockHash"])))
            if number is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            return number, number
        latest = chain.backend.heads().latest
        ends = [read_block(given[key]) if given.get(key) is not None else LATEST for key in ("fromBlock", "toBlock")]
        first, last = (end.number if end.number is not None else chain.need(end) for end in ends)
        if first > last:
            raise RpcError(INVALID_PARAMS, "invalid block range params: fromBlock is after toBlock")
        if last > latest:
            raise RpcError(INVALID_PARAMS, "block range extends beyond current head block")
        if last - first >= options.log_blocks:
            raise RpcError(LIMIT_EXCEEDED, f"the range is {last - first + 1} blocks: the limit is {options.log_blocks}")
        return first, last


def log_methods(chain: Chain) -> Methods:
    methods = Methods()
    methods.add("eth_getLogs", LogReader(chain).get, Param("filter", read_object), for_client=True)
    return methods
