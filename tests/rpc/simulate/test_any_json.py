"""Any JSON that callers may write of simulations and of overrides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dougong.net.codes import INTERNAL_ERROR
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from tests.rpc.simulate.world import (
    ADD_1_TO_SLOT_1,
    ALLOC,
    ECRECOVER,
    ETHER,
    IDENTITY,
    LOOP,
    REVERTS,
    SELFBALANCE,
    SHA256,
    SLOAD_1,
    A,
    B,
    C,
    Caller,
    word,
)
from tests.rpc.world import CHAIN_ID, running

SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-1, 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=8)),
    st.sampled_from(["0x", "0x0", "0x1", "0x00", "0xff", hex(2**64 - 1), hex(2**256 - 1), A, B, SHA256, word(1), LOOP, "latest"]),
)


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    odd = {name: st.one_of(value, SCALARS) for name, value in fields.items()}
    return st.one_of(st.fixed_dictionaries({}, optional=fields), st.fixed_dictionaries({}, optional=odd))


AMOUNTS = st.one_of(st.integers(0, 2**24).map(hex), st.sampled_from([hex(2**64 - 1), hex(2**96), hex(2**256 - 1)]))
ADDRESSES = st.sampled_from([A, B, C, ECRECOVER, SHA256, IDENTITY, ETHER])
CODES = st.sampled_from(["0x", LOOP, REVERTS, SELFBALANCE, SLOAD_1, ADD_1_TO_SLOT_1, "0xef0100" + A[2:], "0x5f5f5f5f6001335af1"])
SLOTS = st.dictionaries(st.integers(0, 3).map(word), st.integers(0, 3).map(word), max_size=3)
BLOCK_OVERRIDES = objects(
    dict.fromkeys(("number", "time", "gasLimit", "difficulty", "baseFeePerGas", "blobBaseFee"), AMOUNTS)
    | {"feeRecipient": ADDRESSES, "prevRandao": st.just(word(7)), "beaconRoot": st.just(word(7))}
    | {"withdrawals": st.lists(objects({"address": ADDRESSES, "amount": AMOUNTS, "index": AMOUNTS}), max_size=2)}
)
ACCOUNT = objects(
    {
        **{"balance": AMOUNTS, "nonce": AMOUNTS, "code": CODES, "state": SLOTS, "stateDiff": SLOTS},
        "movePrecompileToAddress": ADDRESSES,
    }
)
STATE_OVERRIDES = st.dictionaries(ADDRESSES, ACCOUNT, max_size=3)
CALL = objects(
    {"from": ADDRESSES, "to": st.one_of(ADDRESSES, st.none()), "input": CODES}
    | dict.fromkeys(("gas", "value", "nonce", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "maxFeePerBlobGas"), AMOUNTS)
    | {"accessList": st.lists(objects({"address": ADDRESSES, "storageKeys": st.lists(st.just(word(1)))}), max_size=2)}
    | {"blobVersionedHashes": st.lists(st.just("0x01" + "00" * 31), max_size=2), "chainId": st.just(hex(CHAIN_ID))}
)
BLOCK = objects({"blockOverrides": BLOCK_OVERRIDES, "stateOverrides": STATE_OVERRIDES, "calls": st.lists(CALL, max_size=3)})
PAYLOAD = objects(
    {
        "blockStateCalls": st.lists(BLOCK, min_size=1, max_size=3),
        **dict.fromkeys(("traceTransfers", "validation", "returnFullTransactions"), st.booleans()),
    }
)
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3))


def test_any_json_is_answered_or_refused(tmp_path: Path) -> None:
    """Nothing that a caller writes is our fault: never an internal error, never a panic."""
    with asyncio.Runner() as runner:
        context = running(tmp_path, ALLOC, run=False)
        world = runner.run(context.__aenter__())
        api = EthereumApi(world.backend, EthereumOptions(gas_cap=300_000, simulate_seconds=5.0))
        caller = Caller(api)
        answered = 0

        @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.one_of(PAYLOAD, PAYLOAD, ANY), STATE_OVERRIDES, BLOCK_OVERRIDES, CALL)
        def ask(payload: object, state: object, block: object, call: object) -> None:
            nonlocal answered
            for method, params in (
                ("eth_simulateV1", [payload]),
                ("eth_call", [call, "latest", state, block]),
                ("eth_estimateGas", [call, "latest", state, block]),
            ):
                reply = runner.run(caller.reply(method, *params))
                answered += "result" in reply
                if "error" in reply:
                    known = "nonce has max value" in reply["error"]["message"]  # geth's code for it
                    assert reply["error"]["code"] != INTERNAL_ERROR or known, (method, params, reply)

        try:
            ask()
            assert answered > 50
        finally:
            api.close()
            runner.run(context.__aexit__(None, None, None))
