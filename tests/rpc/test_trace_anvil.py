"""The same transactions on anvil and on the embedded chain, traced: what differs is named here.

Where they may differ we follow go-ethereum:

- Struct logs: anvil shows `refund` where it is 0, storage with every SLOAD and SSTORE alike, a creation's gas as its cost, and
  errors as its engine's own names.
- `callTracer`: the outermost `gas` is the transaction's (anvil: less what it cost to begin); errors are geth's, with their
  numbers. A log's `index` is its place in the block; there is one transaction a block here, so it is the same.
- `prestateTracer`: anvil has no `codeHash`, and shows accounts and slots of access lists that nobody touched.
- Base fees and so balances are each chain's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.testing.wallet import GWEI
from tests.embedded import embedded
from tests.engines import anvil
from tests.rpc.test_anvil import FUNDED, PROGRAMS, Pair, add
from tests.rpc.tracing import CODES, DEEP, ECHO, HOARDER, INNER, LOGGER, MAKER, OUTER, OVERFLOW, PROXY, REVERTER
from tests.rpc.world import CHAIN_ID

SENDER = FUNDED.address.lower()


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    options = ("--chain-id", str(CHAIN_ID), "--gas-limit", "60000000", "--base-fee", str(GWEI), "--steps-tracing")
    with anvil(tmp_path_factory.mktemp("anvil"), *options) as theirs, embedded(bytes.fromhex(FUNDED.address[2:])) as ours:
        yield theirs, ours.url


@pytest.fixture
async def pair(urls: tuple[str, str]) -> AsyncIterator[Pair]:
    async with JsonRpc(urls[0]) as theirs, JsonRpc(urls[1]) as ours:
        made = Pair(theirs, ours)
        counts = await made.ask("eth_getTransactionCount", FUNDED.address, "latest")
        assert counts[0] == counts[1]
        made.nonce = int(counts[0], 16)
        yield made


async def deployed(pair: Pair, code: str) -> bytes:
    """Puts runtime code on both chains, at the same address."""
    size = len(code) // 2
    init = f"61{size:04x}600c5f3961{size:04x}5ff3"  # copies what follows these 12 bytes
    assert len(init) == 24
    theirs, ours = await pair.send(data=bytes.fromhex(init + code))
    assert theirs["contractAddress"] == ours["contractAddress"]
    return bytes.fromhex(ours["contractAddress"][2:])


async def traced(pair: Pair, fields: dict[str, Any], tracer: dict[str, Any]) -> tuple[Any, Any]:
    theirs, ours = await pair.send(**fields)
    assert theirs["transactionHash"] == ours["transactionHash"]
    return await pair.ask("debug_traceTransaction", ours["transactionHash"], tracer)


@pytest.fixture
async def subjects(pair: Pair) -> dict[str, dict[str, Any]]:
    """Transactions of all kinds: our contracts, deployed with each other's addresses, and programs as init code."""
    places: dict[bytes, bytes] = {}
    for name in (INNER, REVERTER, LOGGER, MAKER, PROXY, DEEP, HOARDER, ECHO, OVERFLOW, OUTER):
        code = CODES[name]
        for old, new in places.items():
            code = code.replace(old.hex(), new.hex())
        places[name] = await deployed(pair, code)
    await pair.send(to=places[OUTER], value=10)
    await pair.send(to=places[MAKER], value=10)
    calls: dict[str, dict[str, Any]] = {
        f"a call of {CODES[name][:12]}": {"to": place, "gas": 200_000} for name, place in places.items()
    }
    data: dict[str, dict[str, Any]] = {
        "a call with data": {"to": places[PROXY], "data": add(7)},
        "out of gas": {"to": places[OUTER], "gas": 23_000},
    }
    programs: dict[str, dict[str, Any]] = {
        name: {"data": bytes.fromhex(code), "gas": 1_000_000} for name, code in PROGRAMS.items()
    }
    return {**calls, **data, **programs, "a transfer": {"to": b"\x0a" * 20, "value": 5, "gas": 21_000}}


STEP = ("pc", "op", "gas", "depth", "stack", "memory")


def frames(frame: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield frame
    for inner in frame.get("calls", []):
        yield from frames(inner)


async def test_call_trees_are_the_same(pair: Pair, subjects: dict[str, dict[str, Any]]) -> None:
    tracer = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
    count = 0
    for name, fields in subjects.items():
        theirs, ours = await traced(pair, fields, tracer)
        assert not isinstance(theirs, RpcError), (name, theirs)
        assert not isinstance(ours, RpcError), (name, ours)
        assert ours["gas"] == hex(fields.get("gas", 3_000_000))
        theirs["gas"] = ours["gas"]
        for one, other in zip(frames(theirs), frames(ours), strict=True):
            count += 1
            if " " not in one.get("error", " ") or " (" in other.get("error", "") or ":" in other.get("error", ""):
                one["error"] = other["error"]  # anvil has the engine's own name for it, or says less
            pair.differ(f"{name}: {one['type']}", *({k: v for k, v in f.items() if k != "calls"} for f in (one, other)))
    assert count > 100
    assert pair.differences == {}


async def test_struct_logs_are_the_same(pair: Pair, subjects: dict[str, dict[str, Any]]) -> None:
    count = 0
    for name, fields in subjects.items():
        theirs, ours = await traced(pair, fields, {"enableMemory": True})
        assert not isinstance(theirs, RpcError), (name, theirs)
        assert not isinstance(ours, RpcError), (name, ours)
        pair.differ(name, *({key: trace[key] for key in ("gas", "failed")} for trace in (theirs, ours)))
        for place, (one, other) in enumerate(zip(theirs["structLogs"], ours["structLogs"], strict=True)):
            count += 1
            if one["op"] == "Unknown":  # anvil names no opcode that is none
                one["op"] = other["op"]
            if not one.get("memory"):
                one.pop("memory", None)
            pair.differ(f"{name}: step {place}, {one['op']}", *({k: step.get(k) for k in STEP} for step in (one, other)))
            if "error" not in other and not one["op"].startswith("CREATE"):
                assert one["gasCost"] == other["gasCost"], (name, place, one, other)
    assert count > 1_000
    assert pair.differences == {}


async def test_differences_are_the_same(pair: Pair, subjects: dict[str, dict[str, Any]]) -> None:
    tracer = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    for name, fields in subjects.items():
        theirs, ours = await traced(pair, fields, tracer)
        assert not isinstance(theirs, RpcError), (name, theirs)
        assert not isinstance(ours, RpcError), (name, ours)
        for side in ("pre", "post"):
            found = []
            for trace in (theirs[side], ours[side]):
                for account in trace.values():
                    account.pop("balance", None)
                    account.pop("codeHash", None)
                found.append({address: account for address, account in trace.items() if any(account.values())})
            pair.differ(f"{side} of {name}", *found)
    assert pair.differences == {}
