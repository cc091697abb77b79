"""`eth_fillTransaction`: a transaction with what its sender left out, ready to be signed. No key is needed, none is kept.

    {"from": "0x…", "to": "0x…", "value": "0x1"}  ->  {"raw": "0x02…", "tx": {"type": "0x2", "nonce": …, "gas": …, …}}

Sources: ethereum/execution-apis `src/eth/fill.yaml`; go-ethereum `internal/ethapi/transaction_args.go`, whose order of checks and
words this follows: fees, nonce, data, recipient, gas, chain. `raw` and `hash` are those of the transaction with a signature of
zeros, as there. `type` is passed over there and here: what is given decides.

Deviations: with a gas price an access list is kept, as a transaction of type 1 (geth makes one of type 0 and drops the list
without a word); blobs are refused, since no transaction with blobs is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from dougong.codec import rlp
from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidInput
from dougong.net.codes import SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.fees import suggested_fees
from dougong.rpc.ethereum.state import reverted
from dougong.rpc.params import hex_data, quantity, read_address, read_data, read_hash, read_object, read_quantity
from dougong.rpc.protocol import Methods, Param

__all__ = ["filling_methods"]

LEGACY, ACCESS_LIST, DYNAMIC_FEE, SET_CODE = 0, 1, 2, 4
# geth's own signature of a transaction that has none: v or y parity, r and s.
UNSIGNED = (0, 0, 0)

Fields = dict[str, Any]


def filling_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, backend, options = chain.evm, chain.backend, chain.options

    async def fill(fields: Fields) -> dict[str, object]:
        head = backend.heads().latest
        if "blobs" in fields or "blobVersionedHashes" in fields:
            raise refused("transaction type not supported: type 3 rejected, this chain carries no blobs of its own")
        await fill_fees(fields, head)
        fields.setdefault("value", 0)
        sender = fields.get("from", bytes(20))
        if "nonce" not in fields:
            fields["nonce"] = backend.pending_nonce(sender)
        fields["input"] = the_data(fields)
        check_recipient(fields)
        if "gas" not in fields:
            request = orjson.dumps(_estimated(fields, sender)).decode()
            success, data, gas = await chain.call(evm.estimate_gas_json, request, head, options.gas_cap)
            if not success:
                raise reverted(data)
            fields["gas"] = gas
        if fields.setdefault("chainId", evm.chain_id) != evm.chain_id:
            raise refused(f"chainId does not match node's (have={fields['chainId']}, want={evm.chain_id})")
        return _filled(fields)

    async def fill_fees(fields: Fields, head: int) -> None:
        if fields.get("maxFeePerBlobGas") == 0:
            raise refused("maxFeePerBlobGas, if specified, must be non-zero")
        given = fields.keys() & {"maxFeePerGas", "maxPriorityFeePerGas"}
        if "gasPrice" in fields:
            if given:
                raise refused("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
            if "authorizationList" in fields:
                raise refused("both gasPrice and authorizationList specified")
            if fields["gasPrice"] == 0:
                raise refused("gasPrice must be non-zero after london fork")
            return
        if len(given) == 2 and fields["maxFeePerGas"] == 0:
            raise refused("maxFeePerGas must be non-zero")
        if len(given) < 2:
            _, tip = await chain.read(suggested_fees, chain, head)
            fields.setdefault("maxPriorityFeePerGas", tip)
            fields.setdefault("maxFeePerGas", fields["maxPriorityFeePerGas"] + 2 * evm.fees(head)[0])
        cap, tip = fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]
        if cap < tip:
            raise refused(f"maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})")
        if cap >= 2**256:
            raise refused("maxFeePerGas is above 256 bits")

    methods.add("eth_fillTransaction", fill, Param("transaction", _read_fields))
    return methods


def refused(words: str) -> RpcError:
    return RpcError(SERVER_ERROR, words)


def the_data(fields: Fields) -> bytes:
    data, given = fields.pop("data", None), fields.get("input")
    if data is not None and given is not None and data != given:
        raise refused('both "data" and "input" are set and not equal. Please use "input" to pass transaction call data')
    return bytes(given if given is not None else data or b"")


def check_recipient(fields: Fields) -> None:
    if "to" in fields:
        return
    if not fields["input"]:
        raise refused("contract creation without any data provided")
    if "authorizationList" in fields:
        # An empty list makes the type that cannot create either, so it is not let through as geth's check of the length would.
        raise refused('authorizationList provided for contract creation, but "to" field is missing')


def _estimated(fields: Fields, sender: bytes) -> dict[str, object]:
    """The call whose gas is estimated: nonce and chain are no part of it, as in geth."""
    names = ("to", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "input", "accessList", "authorizationList")
    return {"from": hex_data(sender), **{name: _json(name, fields[name]) for name in names if name in fields}}


# --- what is filled in: its type, JSON and bytes ----------------------------------------------------------------------------

_LAYOUT = {
    LEGACY: ("nonce", "gasPrice", "gas", "to", "value", "input"),
    ACCESS_LIST: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "input", "accessList"),
    DYNAMIC_FEE: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input", "accessList"),
}
_LAYOUT[SET_CODE] = (*_LAYOUT[DYNAMIC_FEE], "authorizationList")


def _type_of(fields: Fields) -> int:
    if "authorizationList" in fields:
        return SET_CODE
    if "gasPrice" in fields:
        return ACCESS_LIST if "accessList" in fields else LEGACY
    return DYNAMIC_FEE


def _filled(fields: Fields) -> dict[str, object]:
    tx_type = _type_of(fields)
    names = _LAYOUT[tx_type]
    whole = {"to": b"", "accessList": [], **fields}
    content = rlp.encode([*(_item(whole[name]) for name in names), *UNSIGNED])
    raw = content if tx_type == LEGACY else bytes([tx_type]) + content
    shown = {name: _json(name, whole[name]) for name in names}
    if tx_type == LEGACY:
        shown |= {"maxFeePerGas": None, "maxPriorityFeePerGas": None}
    else:
        shown |= {"yParity": "0x0"} | ({"gasPrice": None} if tx_type != ACCESS_LIST else {})
    shown |= {"type": quantity(tx_type), "v": "0x0", "r": "0x0", "s": "0x0", "hash": hex_data(keccak256(raw))}
    return {"raw": hex_data(raw), "tx": shown}


def _item(value: Any) -> rlp.Item:
    """Read values as RLP has them: an access list's and an authorization's entries in the order that they were read in."""
    if isinstance(value, dict):
        return [_item(part) for part in value.values()]
    return [_item(part) for part in value] if isinstance(value, list) else value


def _json(name: str, value: Any) -> Any:
    if isinstance(value, int):
        return quantity(value)
    if isinstance(value, bytes):
        return hex_data(value) if value or name != "to" else None
    if isinstance(value, dict):
        return {key: _json(key, part) for key, part in value.items()}
    return [_json("", part) for part in value]


# --- how the request is read ------------------------------------------------------------------------------------------------


def _read_uint64(value: object) -> int:
    number = read_quantity(value)
    if number >= 2**64:
        raise InvalidInput("want a quantity below 2^64")
    return number


def _read_parity(value: object) -> int:
    number = read_quantity(value)
    if number >= 2**8:
        raise InvalidInput("want a quantity below 2^8")
    return number


def _list_of(read: Callable[[object], object]) -> Callable[[object], list[object]]:
    def read_list(value: object) -> list[object]:
        if not isinstance(value, list):
            raise InvalidInput("want an array")
        return [read(one) for one in value]

    return read_list


def _object_of(readers: dict[str, Callable[[Any], object]]) -> Callable[[object], Fields]:
    """Every field is needed; they are kept in this order."""

    def read_fields(value: object) -> Fields:
        given = read_object(value)
        missing = [name for name in readers if given.get(name) is None]
        if missing:
            raise InvalidInput(f"missing required field '{missing[0]}'")
        return {name: read(given[name]) for name, read in readers.items()}

    return read_fields


_ACCESS = _object_of({"address": read_address, "storageKeys": _list_of(read_hash)})
_AUTHORIZATION = _object_of(
    {
        "chainId": read_quantity,
        "address": read_address,
        "nonce": _read_uint64,
        "yParity": _read_parity,
        "r": read_quantity,
        "s": read_quantity,
    }
)
_READERS: dict[str, Callable[[Any], object]] = {
    **dict.fromkeys(("from", "to"), read_address),
    **dict.fromkeys(("gas", "nonce"), _read_uint64),
    **dict.fromkeys(("gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "maxFeePerBlobGas", "value", "chainId"), read_quantity),
    **dict.fromkeys(("data", "input"), read_data),
    "accessList": _list_of(_ACCESS),
    "authorizationList": _list_of(_AUTHORIZATION),
    **dict.fromkeys(("blobs", "commitments", "proofs"), _list_of(read_data)),
    "blobVersionedHashes": _list_of(read_hash),
}


def _read_fields(value: object) -> Fields:
    """What is known of the request; null is as good as missing, and other fields are passed over, as in geth."""
    given = read_object(value)
    return {name: read(given[name]) for name, read in _READERS.items() if given.get(name) is not None}
