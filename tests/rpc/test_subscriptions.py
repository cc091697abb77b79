"""Who subscribes is told of everything, once, in order; who does not read, or wants too much, troubles nobody else."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from eth_typing import HexStr
from web3 import AsyncWeb3, WebSocketProvider
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED, METHOD_NOT_FOUND, SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.sessions import SocketLimits
from dougong.rpc.throttle import ClientLimits
from tests.rpc.rollup import ALICE, BOB, LOGGERS, Rollup, Socket, opened, rolling


def topic(value: int) -> str:
    return f"0x{value:064x}"


async def settled(rollup: Rollup, socket: Socket) -> None:
    """Once everything that happened has been told: the chain's events are told in order."""
    name = await socket.subscribe("newHeads")
    block_hash = await rollup.block([])
    async with asyncio.timeout(20):
        while not any(head["hash"] == "0x" + block_hash.hex() for head in socket.events.get(name, [])):
            await socket.read()
    assert await socket.call("eth_unsubscribe", name) is True


async def test_new_heads_are_told_with_their_headers(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as socket:
        name = await socket.subscribe("newHeads")
        hashes = [await rollup.logs(1), await rollup.block([]), await rollup.logs(2, 3)]
        heads = await socket.until(name, 3)
        assert [head["hash"] for head in heads] == ["0x" + one.hex() for one in hashes]
        block = await socket.call("eth_getBlockByNumber", "0x3", False)
        shown = {key: value for key, value in block.items() if key not in ("transactions", "uncles", "withdrawals", "size")}
        assert heads[2] == shown


async def test_every_method_and_batches_work_over_the_socket(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as socket:
        assert await socket.call("eth_chainId") == "0x10cd"
        assert (await socket.call("eth_nothing"))["code"] == METHOD_NOT_FOUND
        batch = [
            {"jsonrpc": "2.0", "id": 7, "method": "eth_subscribe", "params": ["newHeads"]},
            {"jsonrpc": "2.0", "id": 8, "method": "eth_blockNumber"},
            {"jsonrpc": "2.0", "method": "eth_blockNumber"},
        ]
        await socket.connection.send(json.dumps(batch))
        replies = {reply["id"]: reply["result"] for reply in await socket.read()}
        assert set(replies) == {7, 8}
        assert replies[8] == "0x0"
        await rollup.block([])
        assert (await socket.until(replies[7], 1))[0]["number"] == "0x1"
        await socket.connection.send("{")
        assert (await socket.read())["error"]["code"] == -32700


async def test_logs_are_told_to_those_who_want_them(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as socket:
        every = await socket.subscribe("logs", {})
        one = await socket.subscribe("logs", {"address": "0x" + LOGGERS[1].hex()})
        some = await socket.subscribe("logs", {"topics": [[topic(1), topic(3)]]})
        both = await socket.subscribe("logs", {"address": ["0x" + LOGGERS[0].hex()], "topics": [topic(3)]})
        longer = await socket.subscribe("logs", {"topics": [None, topic(3)]})
        bounded = await socket.subscribe("logs", {"fromBlock": "0x2", "toBlock": "0x2"})
        await rollup.logs(1, 2, 3)
        await rollup.logs(3, 4, logger=LOGGERS[1])
        await settled(rollup, socket)
        names = (every, one, some, both, longer, bounded)
        told = {name: [log["topics"] for log in socket.events.get(name, [])] for name in names}
        assert told[every] == [[topic(n)] for n in (1, 2, 3, 3, 4)]
        assert told[one] == told[bounded] == [[topic(3)], [topic(4)]]
        assert told[some] == [[topic(n)] for n in (1, 3, 3)]
        assert told[both] == [[topic(3)]]
        assert told[longer] == []
        stored = await socket.call("eth_getLogs", {"fromBlock": "0x0"})
        assert socket.events[every] == stored


async def test_transactions_that_wait_are_told_by_hash_or_whole(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as socket:
        hashes = await socket.subscribe("newPendingTransactions")
        whole = await socket.subscribe("newPendingTransactions", True)
        raw = ALICE.transfer(BOB.address, 5, nonce=0)
        sent = await socket.call("eth_sendRawTransaction", "0x" + raw.hex())
        assert await socket.until(hashes, 1) == [sent]
        (shown,) = await socket.until(whole, 1)
        assert (shown["hash"], shown["value"], shown["blockHash"]) == (sent, "0x5", None)
        assert await socket.until(await socket.subscribe("syncing"), 1) == [False]


async def test_a_reorg_takes_logs_back_and_tells_the_new_chain(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as socket:
        heads = await socket.subscribe("newHeads")
        logs = await socket.subscribe("logs", {})
        for number in range(4):
            await rollup.logs(10 + number, 20 + number)
        await socket.until(logs, 8)
        await rollup.back(2)
        await rollup.logs(99)
        told = await socket.until(logs, 13)
        assert [(log["topics"][0], log["removed"]) for log in told[8:]] == [
            (topic(23), True),
            (topic(13), True),
            (topic(22), True),
            (topic(12), True),
            (topic(99), False),
        ]
        for before, after in zip(told[4:8], reversed(told[8:12]), strict=True):
            assert {**before, "removed": True} == after
        assert [head["number"] for head in await socket.until(heads, 5)] == ["0x1", "0x2", "0x3", "0x4", "0x3"]


async def test_a_storm_of_reorgs_leaves_every_listener_with_the_chain_as_it_is(tmp_path: Path) -> None:
    """Whoever adds what is told and takes out what is removed has the chain's logs: no gap, no double, at any speed."""
    chance = random.Random(4)
    async with rolling(tmp_path) as rollup, opened(rollup) as socket, opened(rollup) as late:
        logs, heads = await socket.subscribe("logs", {}), await socket.subscribe("newHeads")
        async with JsonRpc(rollup.url) as node:
            name = await node.call("eth_newFilter", {})
            block_name = await node.call("eth_newBlockFilter")
            polled: list[dict[str, Any]] = []
            blocks: list[str] = []
            for turn in range(120):
                number = rollup.chain.latest.number
                if chance.random() < 0.35 and number:
                    await rollup.back(chance.randrange(max(0, number - 6), number))
                await rollup.logs(*(chance.randrange(9) for _ in range(chance.randrange(3))))
                if chance.random() < 0.1:
                    polled += await node.call("eth_getFilterChanges", name)
                    blocks += await node.call("eth_getFilterChanges", block_name)
                if turn == 60:
                    late_logs = await late.subscribe("logs", {})
            await settled(rollup, socket)
            polled += await node.call("eth_getFilterChanges", name)
            blocks += await node.call("eth_getFilterChanges", block_name)
            stored = await node.call("eth_getLogs", {"fromBlock": "0x0"})
            head = await node.call("eth_getBlockByNumber", "latest", False)
        assert rebuilt(socket.events[logs]) == rebuilt(polled) == stored
        assert blocks[-1] == head["hash"]
        assert len(set(blocks)) == len(blocks)
        assert socket.events[heads][-1]["hash"] == head["hash"]
        canonical: dict[str, str] = {}
        for one in socket.events[heads]:
            canonical[one["number"]] = one["hash"]
            parent = canonical.get(hex(int(one["number"], 16) - 1))
            assert parent in (None, one["parentHash"])
        await settled(rollup, late)
        assert rebuilt(late.events.get(late_logs, []), strict=False)[-1:] == stored[-1:]


def rebuilt(told: list[dict[str, Any]], *, strict: bool = True) -> list[dict[str, Any]]:
    """What is left when what is removed is taken out; it must be the last that is there."""
    there: list[dict[str, Any]] = []
    for log in told:
        if not log["removed"]:
            assert log not in there
            there.append(log)
        elif there or strict:
            assert there.pop() == {**log, "removed": False}
    return there


async def test_web3_subscribes(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, AsyncWeb3(WebSocketProvider(rollup.socket_url)) as web3:
        heads = await web3.eth.subscribe("newHeads")
        logs = await web3.eth.subscribe("logs", {"topics": [HexStr(topic(2))]})
        block_hash = await rollup.logs(1, 2)
        told: dict[str, Any] = {}
        async with asyncio.timeout(20):
            async for message in web3.socket.process_subscriptions():
                told[message["subscription"]] = message["result"]
                if len(told) == 2:
                    break
        assert bytes(told[heads]["hash"]) == bytes(told[logs]["blockHash"]) == block_hash
        assert await web3.eth.unsubscribe(heads) is True


async def test_no_one_ends_anothers_subscription(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as mine, opened(rollup) as other:
        name = await mine.subscribe("newHeads")
        assert await other.call("eth_unsubscribe", name) == {"code": SERVER_ERROR, "message": "subscription not found"}
        await rollup.block([])
        assert len(await mine.until(name, 1)) == 1
        assert await mine.call("eth_unsubscribe", name) is True
        assert (await mine.call("eth_unsubscribe", name))["code"] == SERVER_ERROR
        await rollup.block([])
        await settled(rollup, mine)
        assert len(mine.events[name]) == 1


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ([], INVALID_PARAMS),
        (["oldHeads"], METHOD_NOT_FOUND),
        ([5], INVALID_PARAMS),
        (["logs", {"topics": [["0x12"]]}], INVALID_PARAMS),
        (["logs", {"topics": [None] * 5}], INVALID_PARAMS),
        (["logs", {"address": ["0x" + "11" * 20] * 1_001}], INVALID_PARAMS),
        (["logs", {"blockHash": topic(1)}], INVALID_PARAMS),
        (["logs", {"fromBlock": "0x5", "toBlock": "0x4"}], INVALID_PARAMS),
        (["logs", {"fromBlock": 5}], INVALID_PARAMS),
        (["logs", [1]], INVALID_PARAMS),
        (["newPendingTransactions", "yes"], INVALID_PARAMS),
    ],
)
async def test_what_cannot_be_subscribed_to_is_refused(tmp_path: Path, params: list[object], code: int) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as socket:
        assert (await socket.call("eth_subscribe", *params))["code"] == code


async def test_http_has_no_notifications(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, JsonRpc(rollup.url) as node:
        with pytest.raises(RpcError, match="notifications not supported") as refused:
            await node.call("eth_subscribe", "newHeads")
        assert refused.value.code == METHOD_NOT_FOUND


async def test_five_thousand_subscriptions_are_told_of_a_block_and_leave_nothing_behind(tmp_path: Path) -> None:
    limits = ClientLimits(subscriptions=5_000, connections=50)
    async with rolling(tmp_path, clients=limits) as rollup:
        sockets: list[Socket] = []
        for _ in range(50):
            socket = Socket(await connect(rollup.socket_url, max_size=None, compression=None))
            for n in range(100):
                await socket.subscribe("newHeads") if n % 2 else await socket.subscribe("logs", {"topics": [topic(n)]})
            sockets.append(socket)
        with pytest.raises(InvalidStatus) as refused:
            await connect(rollup.socket_url)
        assert refused.value.response.status_code == 429
        assert (await sockets[0].call("eth_subscribe", "newHeads"))["code"] == LIMIT_EXCEEDED
        await rollup.logs(*range(0, 100, 2))
        async with JsonRpc(rollup.url) as node:  # who asks meanwhile is answered
            assert await node.call("eth_blockNumber") == "0x1"
        for socket in sockets:
            async with asyncio.timeout(60):
                while sum(map(len, socket.events.values())) < 100:
                    await socket.read()
            assert all(len(told) == 1 for told in socket.events.values())
        for socket in sockets:
            await socket.connection.close()
        await held(rollup, 0)
        async with opened(rollup) as socket:
            await socket.subscribe("newHeads")


@pytest.mark.parametrize("limits", [SocketLimits(unread_bytes=256 << 10), SocketLimits(unread_bytes_in_all=256 << 10)])
async def test_a_reader_that_never_reads_is_cut_off_and_costs_little(tmp_path: Path, limits: SocketLimits) -> None:
    async with rolling(tmp_path, sockets=limits) as rollup, opened(rollup) as reader:
        name = await reader.subscribe("newHeads")
        async with connect(rollup.socket_url, max_queue=1, compression=None) as deaf:
            for _ in range(400):
                await deaf.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}))
            deaf.transport.pause_reading()
            gc.collect()
            tracemalloc.start()
            for _ in range(60):
                await rollup.block([])
            heads = await reader.until(name, 60)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert [int(head["number"], 16) for head in heads] == list(range(1, 61))
            assert peak < 24 << 20  # 400 subscriptions of 60 heads are over 30 MB
            await held(rollup, 1)
            assert rollup.server._unread.total == 0
            deaf.transport.resume_reading()
            with pytest.raises(ConnectionClosed):
                while True:
                    await deaf.recv()


async def test_a_block_full_of_logs_ends_no_connection_that_reads(tmp_path: Path) -> None:
    async with rolling(tmp_path) as rollup, opened(rollup) as socket:
        names = [await socket.subscribe("logs", {}) for _ in range(20)]
        await rollup.logs(*range(1_000))
        for name in names:
            assert len(await socket.until(name, 1_000)) == 1_000
        await settled(rollup, socket)
        assert rollup.server._unread.total == 0


async def held(rollup: Rollup, connections: int) -> None:
    """Once the server has no more connections than that of ours."""
    client = rollup.server._throttle.client("127.0.0.1")
    async with asyncio.timeout(20):
        while client._held["connections"] > connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert client._held["subscriptions"] <= connections


async def test_criteria_of_the_largest_size_count_for_what_they_weigh(tmp_path: Path) -> None:
    largest: dict[str, Any] = {
        "address": [f"0x{n:040x}" for n in range(1_000)],
        "topics": [[topic(1_000 * place + n) for n in range(1_000)] for place in range(4)],
    }
    async with rolling(tmp_path, clients=ClientLimits(subscriptions=700, filters=700)) as rollup, opened(rollup) as socket:
        assert isinstance(await socket.call("eth_subscribe", "logs", largest), str)
        name = await socket.call("eth_subscribe", "logs", {**largest, "topics": largest["topics"][:3]})
        assert isinstance(name, str)
        assert (await socket.call("eth_subscribe", "logs", largest))["code"] == LIMIT_EXCEEDED
        assert await socket.call("eth_unsubscribe", name) is True
        assert isinstance(await socket.call("eth_newFilter", largest), str)
        assert isinstance(await socket.call("eth_newFilter", largest), str)
        assert (await socket.call("eth_newFilter", largest))["code"] == LIMIT_EXCEEDED
        assert await socket.call("eth_getLogs", {**largest, "fromBlock": "0x0"}) == []


async def test_connections_and_messages_are_bounded(tmp_path: Path) -> None:
    limits = SocketLimits(connections=2, message_bytes=1_000)
    async with rolling(tmp_path, sockets=limits, origins=("https://wallet.example",)) as rollup:
        async with opened(rollup), opened(rollup, origin="https://wallet.example") as socket:
            with pytest.raises(InvalidStatus) as refused:
                await connect(rollup.socket_url)
            assert refused.value.response.status_code == 503
            await socket.connection.send("x" * 1_001)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        with pytest.raises(InvalidStatus) as refused:
            await connect(rollup.socket_url, origin="https://elsewhere.example")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        with pytest.raises(InvalidStatus) as refused:
            await connect(rollup.socket_url.replace("alpha", "beta"))
        assert refused.value.response.status_code == 404
