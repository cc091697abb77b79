"""`trace_replayTransaction` with `stateDiff`: what a transaction changed, account by account, as the explorer Otterscan shows it.

    {"balance": {"*": {"from": "0x1", "to": "0x2"}}, "nonce": "=", "code": "=", "storage": {}}

Sources: OpenEthereum's `trace` module and erigon's `turbo/jsonrpc/trace_adhoc.go` for the shape: "=" unchanged, "*" changed, "+"
new, "-" gone. It is made from the difference that geth's prestateTracer finds. `vmTrace` and `trace` are not: who asks for them
is told as of a method that is not there (-32601, in the words that ethers looks for), which is how an explorer finds out what it
cannot show; `trace_transaction` has the calls.
"""

from __future__ import annotations

from typing import Any

import orjson

from dougong.errors import InvalidInput
from dougong.net.codes import METHOD_NOT_FOUND
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.transactions import HASH
from dougong.rpc.params import hex_data, quantity
from dougong.rpc.protocol import Methods, Param

__all__ = ["replaying_methods", "state_diff"]

DIFFERENCE = orjson.dumps({"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}).decode()
CALLS = orjson.dumps({"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}).decode()
KINDS = frozenset({"stateDiff", "trace", "vmTrace"})
ZERO = hex_data(bytes(32))

Account = dict[str, Any]


def replaying_methods(chain: Chain) -> Methods:
    methods = Methods()
    bounds = (chain.options.trace_seconds, chain.options.trace_bytes)

    async def replay(tx_hash: bytes, kinds: frozenset[str]) -> dict[str, object] | None:
        if kinds != {"stateDiff"}:
            raise RpcError(METHOD_NOT_FOUND, "the method trace_replayTransaction does not exist but for stateDiff alone")
        found = await chain.trace(chain.evm.trace_transaction, tx_hash, DIFFERENCE, *bounds)
        call = await chain.trace(chain.evm.trace_transaction, tx_hash, CALLS, *bounds)
        if found is None or call is None:
            return None
        changed = orjson.loads(found)
        output = orjson.loads(call).get("output", "0x")
        return {"output": output, "stateDiff": state_diff(changed["pre"], changed["post"]), "trace": [], "vmTrace": None}

    methods.add("trace_replayTransaction", replay, HASH, Param("traceTypes", _read_kinds))
    return methods


def _read_kinds(value: object) -> frozenset[str]:
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(kind, str) for kind in value)
        or not KINDS.issuperset(value)
    ):
        raise InvalidInput(f"want an array of {', '.join(sorted(KINDS))}")
    return frozenset(value)


def state_diff(pre: dict[str, Account], post: dict[str, Account]) -> dict[str, object]:
    """`pre` and `post` as prestateTracer's diffMode has them: an account that is in one alone was made or is gone; of the others
    `post` has the fields that changed, and either leaves out what is zero or empty."""
    return {address: _account(pre.get(address), post.get(address)) for address in sorted(pre.keys() | post.keys())}


def _account(before: Account | None, after: Account | None) -> dict[str, object]:
    if before is None or after is None:
        sign, only = ("+", after or {}) if before is None else ("-", before)
        return {
            **{name: {sign: value} for name, value in _fields(only).items()},
            "storage": {slot: {sign: value} for slot, value in sorted(only.get("storage", {}).items())},
        }
    old, new = _fields(before), _fields({**before, **after})
    slots = before.get("storage", {}).keys() | after.get("storage", {}).keys()
    was, is_now = before.get("storage", {}), after.get("storage", {})
    return {
        **{name: "=" if old[name] == new[name] else {"*": {"from": old[name], "to": new[name]}} for name in old},
        "storage": {slot: {"*": {"from": was.get(slot, ZERO), "to": is_now.get(slot, ZERO)}} for slot in sorted(slots)},
    }


def _fields(account: Account) -> dict[str, str]:
    return {
        "balance": account.get("balance", "0x0"),
        "code": account.get("code", "0x"),
        "nonce": quantity(account.get("nonce", 0)),
    }
