"""Filters tell what happened since the last question, end when nobody asks, and cost the same whether anybody does."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from dougong.errors import DougongError
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED, SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.ethereum import EthereumOptions
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.ethereum.criteria import Criteria
from dougong.rpc.ethereum.events import Events, Listener
from dougong.rpc.ethereum.filters import EXPIRY_SECONDS, Filters, net
from dougong.rpc.ethereum.following import WINDOW, Step
from dougong.rpc.throttle import ClientLimits, Throttle
from tests.rpc.rollup import ALICE, BOB, LOGGERS, Clock, Rollup, rolling


def topic(value: int) -> str:
    return f"0x{value:064x}"


@pytest_asyncio.fixture
async def rollup(tmp_path: Path) -> AsyncIterator[Rollup]:
    async with rolling(tmp_path, clients=ClientLimits(filters=20)) as made:
        yield made


@pytest_asyncio.fixture
async def node(rollup: Rollup) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(rollup.url) as made:
        yield made


async def failure(node: JsonRpc, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as refused:
        await node.call(method, *params)
    return refused.value.code, str(refused.value).removeprefix(f"{method}: ")


async def test_blocks_are_told_once(rollup: Rollup, node: JsonRpc) -> None:
    await rollup.block([])
    name = await node.call("eth_newBlockFilter")
    assert await node.call("eth_getFilterChanges", name) == []
    hashes = ["0x" + (await rollup.block([])).hex() for _ in range(3)]
    assert await node.call("eth_getFilterChanges", name) == hashes
    assert await node.call("eth_getFilterChanges", name) == []


async def test_logs_are_told_as_the_filter_says(rollup: Rollup, node: JsonRpc) -> None:
    await rollup.logs(1, 2)
    wanted = {"fromBlock": "0x0", "address": "0x" + LOGGERS[0].hex(), "topics": [[topic(1), topic(3)]]}
    name = await node.call("eth_newFilter", wanted)
    await rollup.logs(1, 2, 3)
    await rollup.logs(3, logger=LOGGERS[1])
    changes = await node.call("eth_getFilterChanges", name)
    assert [log["topics"] for log in changes] == [[topic(1)], [topic(3)]]
    everything = await node.call("eth_getFilterLogs", name)
    assert everything == await node.call("eth_getLogs", wanted)
    assert len(everything) == 3
    assert await node.call("eth_getFilterChanges", name) == []


async def test_what_a_reorg_takes_back_comes_first_and_what_came_and_went_never(rollup: Rollup, node: JsonRpc) -> None:
    name, blocks = await node.call("eth_newFilter", {}), await node.call("eth_newBlockFilter")
    await rollup.logs(1)
    await rollup.logs(2, 3)
    first = await node.call("eth_getFilterChanges", name)
    await node.call("eth_getFilterChanges", blocks)
    await rollup.logs(4)
    await rollup.back(1)
    await rollup.logs(5)
    await rollup.back(1)
    last = await rollup.logs(6)
    changes = await node.call("eth_getFilterChanges", name)
    assert [(log["topics"], log["removed"]) for log in changes] == [
        ([topic(3)], True),
        ([topic(2)], True),
        ([topic(6)], False),
    ]
    assert changes[:2] == [{**log, "removed": True} for log in reversed(first[1:])]
    assert await node.call("eth_getFilterChanges", blocks) == ["0x" + last.hex()]


async def test_waiting_transactions_are_told(rollup: Rollup, node: JsonRpc) -> None:
    name = await node.call("eth_newPendingTransactionFilter")
    sent = [
        await node.call("eth_sendRawTransaction", "0x" + ALICE.transfer(BOB.address, 1, nonce=nonce).hex()) for nonce in range(3)
    ]
    assert await node.call("eth_getFilterChanges", name) == sent
    assert await node.call("eth_getFilterChanges", name) == []


async def test_codes_are_geths(rollup: Rollup, node: JsonRpc) -> None:
    blocks = await node.call("eth_newBlockFilter")
    gone = (SERVER_ERROR, "filter not found")
    assert await failure(node, "eth_getFilterLogs", blocks) == gone
    assert await node.call("eth_uninstallFilter", blocks) is True
    assert await node.call("eth_uninstallFilter", blocks) is False
    assert await failure(node, "eth_getFilterChanges", blocks) == gone
    assert await failure(node, "eth_getFilterChanges", "0x1") == gone
    assert (await failure(node, "eth_getFilterChanges", 1))[0] == INVALID_PARAMS
    wrong: Any
    for wrong in ({"topics": [1]}, {"fromBlock": "0x2", "toBlock": "0x1"}, {"adress": []}, [], {"address": "0x12"}):
        assert (await failure(node, "eth_newFilter", wrong))[0] == INVALID_PARAMS


async def test_a_flood_of_filters_ends_at_the_clients_limit(rollup: Rollup, node: JsonRpc) -> None:
    names = [await node.call("eth_newBlockFilter") for _ in range(20)]
    assert len(set(names)) == 20
    assert (await failure(node, "eth_newBlockFilter"))[0] == LIMIT_EXCEEDED
    assert (await failure(node, "eth_newFilter", {}))[0] == LIMIT_EXCEEDED
    assert await node.call("eth_uninstallFilter", names[0]) is True
    assert isinstance(await node.call("eth_newFilter", {}), str)


async def test_an_answer_is_bounded_and_the_rest_comes_later(tmp_path: Path) -> None:
    async with rolling(tmp_path, options=EthereumOptions(logs=5)) as rollup, JsonRpc(rollup.url) as node:
        name = await node.call("eth_newFilter", {})
        for number in range(6):
            await rollup.logs(2 * number, 2 * number + 1)
        answers: list[list[Any]] = []
        while answers[-1:] != [[]]:
            answers.append(await node.call("eth_getFilterChanges", name))
        assert [len(answer) for answer in answers] == [4, 4, 4, 0]
        assert [log["topics"] for answer in answers for log in answer] == [[topic(number)] for number in range(12)]


async def test_filters_that_nobody_polls_cost_nothing_and_end(rollup: Rollup) -> None:
    clock = Clock(0.0)
    chain = Chain(rollup.sequencer, EthereumOptions())
    events = Events(chain)
    filters = Filters(chain, events, clock)
    try:
        names = [await filters.new_blocks(None) for _ in range(5_000)] + [await filters.new_logs(None, {}) for _ in range(5_000)]
        kept = await filters.new_waiting(None)
        await events.advance()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for turn in range(60):
            await rollup.logs(turn)
            await events.advance()
            clock.now += EXPIRY_SECONDS / 100
            await filters.changes(kept)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 2 << 20  # one object for each filter and block would be over 10 MB
        assert len(await _changes(filters, names[-1])) == 60
        clock.now += EXPIRY_SECONDS - 1
        await filters.changes(kept)
        assert len(filters) == 2
        clock.now += EXPIRY_SECONDS
        with pytest.raises(DougongError, match="filter not found"):
            await filters.changes(kept)
        assert (len(filters), events.users, events.log_users) == (0, 0, 0)
    finally:
        events.close()
        chain.close()


async def test_a_filter_keeps_what_it_means_and_not_what_was_sent(rollup: Rollup, node: JsonRpc) -> None:
    long = {"address": ["0x" + "AA" * 20] * 1_000, "topics": [[topic(1)] * 1_000, [None, *[topic(2)] * 999]]}
    await node.call("eth_newFilter", long)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(19):
        await node.call("eth_newFilter", {**long, "fromBlock": "latest"})
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 19 * 20_000
    for ends in ({"fromBlock": "a" * 100_000}, {"toBlock": "soon"}, {"blockHash": "a" * 100_000}):
        assert (await failure(node, "eth_newFilter", {**long, **ends}))[0] == INVALID_PARAMS


async def test_who_fell_too_far_behind_learns_it(rollup: Rollup) -> None:
    chain = Chain(rollup.sequencer, EthereumOptions())
    events = Events(chain)
    filters = Filters(chain, events)
    try:
        name = await filters.new_blocks(None)
        for _ in range(WINDOW + 1):
            events.following._note(Step(1, b"", False))
        with pytest.raises(DougongError, match="filter not found"):
            await filters.changes(name)
        assert len(filters) == 0
    finally:
        events.close()
        chain.close()


class Listening:
    """A connection's end that keeps what it is told."""

    def __init__(self) -> None:
        self.client = Throttle().client("203.0.113.1")
        self.told: list[Any] = []
        self.is_cut = False

    def notify(self, head: bytes, body: bytes, tail: bytes) -> None:
        self.told.append(orjson.loads(body))

    def cut(self) -> None:
        self.is_cut = True

    def at_end(self, call: Callable[[], None]) -> None:
        pass


@pytest.mark.parametrize(("window", "kept_bytes"), [(2, 1 << 20), (64, 1_000)])
async def test_who_would_miss_something_of_a_reorg_is_cut_off(rollup: Rollup, window: int, kept_bytes: int) -> None:
    """More blocks go than are remembered, or some whose logs are no longer kept."""
    chain = Chain(rollup.sequencer, EthereumOptions())
    events = Events(chain, window=window, kept_bytes=kept_bytes)
    filters = Filters(chain, events)
    logs, heads = Listening(), Listening()
    try:
        events.listen(Listener("0x1", logs, "logs", Criteria.read({})))
        events.listen(Listener("0x2", heads, "heads"))
        name = await filters.new_logs(None, {})
        for turn in range(5):
            await rollup.logs(turn)
            await events.advance()
        if window > 5:
            assert len(await _changes(filters, name)) == 5
        assert (len(logs.told), logs.is_cut, heads.is_cut) == (5, False, False)
        await rollup.back(1)
        await rollup.logs(9)
        await events.advance()
        assert logs.is_cut
        assert heads.is_cut is (window < 5)
        with pytest.raises(DougongError, match="filter not found"):
            await filters.changes(name)
        name = await filters.new_logs(None, {})  # and from there it goes on
        await rollup.logs(10)
        assert [log["topics"] for log in await _changes(filters, name)] == [[topic(10)]]
    finally:
        events.close()
        chain.close()


async def _changes(filters: Filters, name: str) -> list[Any]:
    return list(orjson.loads(orjson.dumps(await filters.changes(name))))


@given(st.lists(st.integers(0, 3)))
def test_what_is_left_of_a_way_leads_from_its_start_to_its_end(turns: list[int]) -> None:
    chain = [bytes([0, number]) for number in range(10)]
    start, steps = list(chain), []
    for turn, choice in enumerate(turns):
        if choice == 0 and chain:
            steps.append(Step(len(chain), chain.pop(), True))
        else:
            chain.append(turn.to_bytes(3))
            steps.append(Step(len(chain), chain[-1], False))
    went, came = net(steps)
    for step in went:
        assert start.pop() == step.hash
    assert start + [step.hash for _, step in came] == chain
    for place, step in came:  # a filter that was told so far goes on from there
        again, others = net(steps[place:])
        assert not again
        assert [one.hash for _, one in others] == [one.hash for at, one in came if at >= place]
        assert step.hash == others[0][1].hash
