"""Traces that would take for ever, or all memory: each ends with an error, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dougong._native import Evm
from dougong.errors import InvalidInput, InvalidTransaction, Rejected
from dougong.execution.evm.genesis import make_genesis
from dougong.net.codes import LIMIT_EXCEEDED, SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from tests.rpc.tracing import ALICE, ALLOC, DEEP, ECHO, HOARDER, OUTER, SPINNER, block_of, hexed, to
from tests.rpc.world import CHAIN_ID, World, running

GAS = 50_000_000
MIB = 1 << 20


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, ALLOC, run=False) as made:
        yield made


@pytest_asyncio.fixture
async def node(world: World) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(world.url) as made:
        yield made


@pytest.fixture
def evm(tmp_path: Path) -> Evm:
    """A chain whose one block is full of calls of each greedy contract."""
    evm = Evm(str(tmp_path / "greedy"), make_genesis(CHAIN_ID, ALLOC))
    greedy = (SPINNER, HOARDER, ECHO, DEEP)
    txs = [to(ALICE, address, nonce=nonce, gas=14_000_000) for nonce, address in enumerate(greedy)]
    evm.execute(1, txs, skip_invalid=False, beneficiary=bytes(20))
    evm.commit()
    return evm


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("contract", [SPINNER, HOARDER, ECHO])
@pytest.mark.parametrize("options", ['{"enableMemory": true}', '{"tracer": "callTracer"}', '{"tracer": "prestateTracer"}'])
def test_a_trace_ends_in_time_and_within_its_room(evm: Evm, contract: bytes, options: str) -> None:
    """Gas without end: gigabytes of memory snapshots, or of copied inputs."""
    request = f'{{"to": "{hexed(contract)}"}}'
    before = peak()
    with pytest.raises((InvalidTransaction, Rejected), match=r"execution timeout|over the .* bytes of an answer"):
        evm.trace_call(request, 1, 2**40, options, 0.3, 8 * MIB)
    assert peak() - before < 128 * MIB


def test_the_time_that_a_caller_names_is_not_more_than_the_nodes(evm: Evm) -> None:
    request = f'{{"to": "{hexed(SPINNER)}", "gas": "{hex(2**40)}"}}'
    with pytest.raises(InvalidTransaction, match=r"^execution timeout$"):
        evm.trace_call(request, 1, 2**40, '{"timeout": "1000h", "tracer": "noopTracer"}', 0.2, MIB)
    with pytest.raises(InvalidTransaction, match=r"^execution timeout$"):
        evm.trace_call(request, 1, 2**40, '{"timeout": "1ms", "tracer": "noopTracer"}', 1_000.0, MIB)
    with pytest.raises(InvalidTransaction, match=r"^execution timeout$"):
        evm.access_list_json(request, 1, 2**40, 0.2, MIB)


def test_the_whole_of_a_full_block_is_bounded(evm: Evm) -> None:
    with pytest.raises(Rejected, match="over the"):
        evm.trace_block(1, "{}", 60.0, 4 * MIB)
    with pytest.raises(InvalidTransaction, match="execution timeout"):
        evm.trace_block(1, '{"tracer": "noopTracer", "timeout": "10s"}', 0.05, MIB)
    assert evm.trace_block(1, '{"tracer": "noopTracer"}', 60.0, MIB).count(b'"result":{}') == 4


@pytest.mark.parametrize("tracer", ["callTracer", "flatCallTracer"])
def test_the_deepest_tree_is_told(evm: Evm, tracer: str) -> None:
    """1,024 frames within one another, however much gas there is."""
    request = f'{{"to": "{hexed(DEEP)}"}}'
    trace = evm.trace_call(request, 1, 2**50, f'{{"tracer": "{tracer}"}}', 60.0, 64 * MIB)
    assert trace.count(b'"type":"CALL"' if tracer == "callTracer" else b'"type":"call"') == 1_026  # and one that is refused
    assert trace.count(b"max call depth exceeded") == 1


def test_a_room_too_small_for_anything_is_refused(evm: Evm) -> None:
    request = f'{{"to": "{hexed(OUTER)}"}}'
    for options in ("{}", '{"tracer": "callTracer"}', '{"tracer": "prestateTracer"}', '{"tracer": "flatCallTracer"}'):
        for room in (0, 1, 40, 100):
            with pytest.raises(Rejected):
                evm.trace_call(request, 1, GAS, options, 10.0, room)


scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=4) | st.sampled_from(["5s", "-1h", "0x1"])
)
names = st.sampled_from(["callTracer", "prestateTracer", "flatCallTracer", "4byteTracer", "noopTracer", "muxTracer", "", "x"])
switches = st.sampled_from(["onlyTopCall", "withLog", "diffMode", "disableCode", "includeEmpty", "convertParityErrors", "x"])
configs = (
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(names | switches, scalars | st.dictionaries(switches, scalars))
)
options = st.fixed_dictionaries(
    {},
    optional={
        "tracer": names | scalars,
        "tracerConfig": configs,
        **dict.fromkeys(("timeout", "txIndex", "limit", "enableMemory", "disableStack"), scalars),
        **dict.fromkeys(("stateOverrides", "blockOverrides"), st.just({}) | scalars),
    },
)
sound = st.fixed_dictionaries(
    {},
    optional={
        "tracer": st.sampled_from(["callTracer", "prestateTracer", "flatCallTracer", "4byteTracer", "noopTracer"]),
        "tracerConfig": st.dictionaries(switches, st.booleans()),
        "timeout": st.sampled_from(["1s", "5s"]),
        "enableMemory": st.booleans(),
    },
)


def test_no_options_make_a_tracer_stumble(evm: Evm) -> None:
    told = 0

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(options | sound)
    def ask(asked: dict[str, object]) -> None:
        nonlocal told
        with contextlib.suppress(InvalidInput, Rejected):
            json.loads(evm.trace_call(f'{{"to": "{hexed(OUTER)}"}}', 1, GAS, json.dumps(asked), 1.0, MIB))
            told += 1

    ask()
    assert told > 50


def test_no_bytes_make_a_block_that_is_traced_stumble(tmp_path: Path) -> None:
    evm = Evm(str(tmp_path / "small"), make_genesis(CHAIN_ID, ALLOC))
    evm.execute(1, [to(ALICE, OUTER, nonce=0), to(ALICE, DEEP, nonce=1)], skip_invalid=False, beneficiary=bytes(20))
    evm.commit()
    whole = evm.block_rlp(1)
    told = 0

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(whole) - 1), st.binary(max_size=3), st.booleans())
    def ask(place: int, other: bytes, cut: bool) -> None:
        nonlocal told
        damaged = whole[:place] + other + (b"" if cut else whole[place + len(other) :])
        with contextlib.suppress(InvalidInput, Rejected):
            json.loads(evm.trace_block_rlp(damaged, '{"tracer": "noopTracer"}', 5.0, MIB))
            told += 1

    ask()
    assert json.loads(evm.trace_block_rlp(whole, '{"tracer": "noopTracer"}', 30.0, MIB))
    assert told > 0


async def test_others_are_served_while_traces_run(world: World, node: JsonRpc) -> None:
    await block_of(world, node, to(ALICE, OUTER, nonce=0))
    spin = {"to": hexed(SPINNER), "gas": hex(GAS)}
    greedy = [asyncio.create_task(_code(node, "debug_traceCall", spin, "latest", {"timeout": "2s"})) for _ in range(4)]
    await asyncio.sleep(0)
    request = {"to": hexed(OUTER), "from": hexed(ALICE.address)}
    answers = [await node.call("eth_call", request) for _ in range(5)]
    assert answers == ["0x"] * 5
    assert not all(task.done() for task in greedy)
    assert {*(await asyncio.gather(*greedy))} <= {SERVER_ERROR, LIMIT_EXCEEDED}


async def _code(node: JsonRpc, method: str, *params: object) -> int:
    try:
        await node.call(method, *params)
    except RpcError as error:
        return error.code
    return 0
