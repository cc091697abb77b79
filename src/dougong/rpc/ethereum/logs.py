"""Event logs. Source: ethereum/execution-apis `src/eth/filter.yaml`, `src/schemas/filter.yaml`."""

from __future__ import annotations

from typing import Any

import orjson

from dougong.errors import InvalidInput
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED, SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import LATEST, BlockId, hex_data, read_address, read_block, read_hash, read_object
from dougong.rpc.protocol import Methods, Param

__all__ = ["log_methods"]

MAX_TOPICS = 4
MAX_CHOICES = 1_000  # addresses, or alternatives for one topic


def log_methods(chain: Chain) -> Methods:
    methods = Methods()
    options = chain.options

    def span(given: dict[str, Any]) -> tuple[int, int]:
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
        last = min(last, latest)
        if last - first >= options.log_blocks:
            raise RpcError(LIMIT_EXCEEDED, f"the range is {last - first + 1} blocks: the limit is {options.log_blocks}")
        return first, last

    async def get_logs(given: dict[str, Any]) -> object:
        unknown = given.keys() - {"fromBlock", "toBlock", "blockHash", "address", "topics"}
        if unknown:
            raise RpcError(INVALID_PARAMS, f"unknown field {min(unknown)[:40]} in the filter")
        wanted = orjson.dumps(_criteria(given)).decode()
        first, last = span(given)
        if first > last:
            return []
        try:
            return orjson.Fragment(await chain.call(chain.evm.logs_json, wanted, first, last, options.logs))
        except InvalidInput as error:  # the criteria are good: there are too many
            raise RpcError(LIMIT_EXCEEDED, f"query returned more than {options.logs} results: ask for fewer blocks") from error

    methods.add("eth_getLogs", get_logs, Param("filter", read_object))
    return methods


def _criteria(given: dict[str, Any]) -> dict[str, object]:
    """Address and topics, checked. Raises `InvalidInput`."""
    address = given.get("address")
    addresses = [] if address is None else address if isinstance(address, list) else [address]
    topics = given.get("topics") or []
    if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
        raise InvalidInput(f"topics are an array of at most {MAX_TOPICS}")
    choices = [topic if isinstance(topic, list) else [topic] for topic in topics]
    if max(map(len, [addresses, *choices])) > MAX_CHOICES:
        raise InvalidInput(f"at most {MAX_CHOICES} addresses or alternatives for a topic")
    criteria: dict[str, object] = {
        # null, and an empty list, match any topic
        "topics": [None if not some or None in some else [hex_data(read_hash(topic)) for topic in some] for some in choices]
    }
    if addresses:
        criteria["address"] = [hex_data(read_address(one)) for one in addresses]
    return criteria
