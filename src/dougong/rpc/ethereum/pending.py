"""The JSON of a transaction that is in no block yet.

Sources: ethereum/execution-apis `src/schemas/transaction.yaml`; EIP-2718, 2930, 1559 and 7702 for the order of the fields.
The bytes come out of a pool, so the Rust core has checked them: this reads, and judges nothing.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from dougong._native import decode_transactions
from dougong.rpc.params import hex_data, quantity

__all__ = ["pending_json"]

Rlp: TypeAlias = "bytes | list[Rlp]"

_FIELDS = {
    0: ("nonce", "gasPrice", "gas", "to", "value", "input", "v", "r", "s"),
    1: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "input", "accessList", "yParity", "r", "s"),
    2: (
        *("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input", "accessList"),
        *("yParity", "r", "s"),
    ),
    4: (
        *("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input", "accessList"),
        *("authorizationList", "yParity", "r", "s"),
    ),
}


def pending_json(raw: bytes) -> dict[str, Any] | None:
    """None for bytes that are not a transaction."""
    info = decode_transactions([raw])[0]
    if isinstance(info, str):
        return None
    payload = raw if info.tx_type == 0 else raw[1:]
    values, _ = _read(payload, 0)
    fields: dict[str, Any] = {
        "blockHash": None,
        "blockNumber": None,
        "transactionIndex": None,
        "hash": hex_data(info.hash),
        "from": hex_data(info.sender),
        "type": quantity(info.tx_type),
    }
    for name, value in zip(_FIELDS[info.tx_type], values, strict=True):
        fields[name] = _field(name, value)
    if "yParity" in fields:
        fields["v"] = fields["yParity"]
    elif info.chain_id is not None:
        fields["chainId"] = quantity(info.chain_id)
    if "maxFeePerGas" in fields:
        fields["gasPrice"] = fields["maxFeePerGas"]
    return fields


def _field(name: str, value: Any) -> Any:
    if name == "to":
        return hex_data(value) if value else None
    if name == "input":
        return hex_data(value)
    if name == "accessList":
        return [{"address": hex_data(address), "storageKeys": [hex_data(slot) for slot in slots]} for address, slots in value]
    if name == "authorizationList":
        names = ("chainId", "address", "nonce", "yParity", "r", "s")
        return [
            {key: hex_data(part) if key == "address" else _number(part) for key, part in zip(names, parts, strict=True)}
            for parts in value
        ]
    return _number(value)


def _number(value: bytes) -> str:
    return quantity(int.from_bytes(value))


def _read(data: bytes, start: int) -> tuple[Any, int]:
    """The RLP item at `start`, and where the next one begins."""
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    is_list, short = (True, first - 0xC0) if first >= 0xC0 else (False, first - 0x80)
    begin = start + 1
    length = short
    if short > 55:
        begin += short - 55
        length = int.from_bytes(data[start + 1 : begin])
    end = begin + length
    if not is_list:
        return data[begin:end], end
    items: list[Rlp] = []
    while begin < end:
        item, begin = _read(data, begin)
        items.append(item)
    return items, end
