"""The server against bytes that nobody should send, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dougong.errors import ConfigError, InvalidTransaction, Unavailable
from dougong.rpc.params import read_quantity
from dougong.rpc.protocol import Limits, Methods, Param, answer
from dougong.rpc.server import RpcServer

LIMITS = Limits(batch=10, request_bytes=10_000, reply_bytes=2_000, concurrent_calls=4)


def methods() -> Methods:
    made = Methods()

    async def add(left: int, right: int) -> str:
        return hex(left + right)

    async def fail(kind: str) -> None:
        raise {"tx": InvalidTransaction("nonce too low"), "gone": Unavailable("no peer"), "bug": KeyError("secret")}[kind]

    async def big() -> str:
        return "x" * 900

    async def number_too_big() -> int:
        return 2**200

    made.add("add", add, Param("left", read_quantity), Param("right", read_quantity, 1))
    made.add("fail", fail, Param("kind", str))
    made.add("big", big)
    made.add("tooBig", number_too_big)
    return made


async def healthy() -> dict[str, object]:
    return {"latest": 7}


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[RpcServer]:
    server = RpcServer.bind("127.0.0.1", 0, **{"limits": LIMITS, **options})
    server.mount("alpha", methods(), healthy)
    running = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        server.close()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with serving() as server, httpx.AsyncClient(base_url="http://{}:{}".format(*server.address)) as made:
        yield made


async def ask(body: object) -> Any:
    reply = await answer(methods(), body if isinstance(body, bytes) else orjson.dumps(body), LIMITS)
    return None if reply is None else orjson.loads(reply)


def call(method: object, params: object = None, request_id: object = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params if params is not None else []}


# --- the protocol ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        (b"", -32700),
        (b"\xff", -32700),
        (b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', -32700),
        (b"[" * 5_000, -32700),
        ([], -32600),
        (1, -32600),
        ({}, -32600),
        ({"jsonrpc": "2.0", "method": 1, "params": "bar"}, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "add"}, -32600),
        ({**call("add"), "id": {}}, -32600),
        ({**call("add"), "id": True}, -32600),
        (call("add", "bar"), -32600),
        (call("nothing"), -32601),
        (call("add"), -32602),
        (call("add", ["0x1", "0x1", "0x1"]), -32602),
        (call("add", ["0x01"]), -32602),
        (call("add", [1]), -32602),
        (call("add", {"left": "0x1", "middle": "0x1"}), -32602),
        (call("fail", ["tx"]), -32000),
        (call("fail", ["gone"]), -32002),
        (call("fail", ["bug"]), -32603),
        (call("tooBig"), -32603),
    ],
)
async def test_each_failure_has_its_code(request_body: object, code: int) -> None:
    reply = await ask(request_body)
    assert reply["error"]["code"] == code
    assert reply["jsonrpc"] == "2.0"
    assert "secret" not in str(reply)
    known = isinstance(request_body, dict) and code != -32600
    assert reply["id"] == (1 if known else reply["id"])


async def test_params_go_by_position_and_by_name() -> None:
    assert (await ask(call("add", ["0x1", "0x2"])))["result"] == "0x3"
    assert (await ask(call("add", ["0x1"])))["result"] == "0x2"
    assert (await ask(call("add", {"right": "0x5", "left": "0x1"})))["result"] == "0x6"


@pytest.mark.parametrize("request_id", [0, -1, 1.5, "one", "", None])
async def test_the_id_comes_back(request_id: object) -> None:
    reply = await ask(call("add", ["0x1"], request_id))
    assert reply == {"jsonrpc": "2.0", "id": request_id, "result": "0x2"}


async def test_notifications_are_not_answered_even_when_they_fail() -> None:
    for name in ("add", "nothing", "fail"):
        assert await ask({"jsonrpc": "2.0", "method": name}) is None
    assert await ask([{"jsonrpc": "2.0", "method": "add"}, {"jsonrpc": "2.0", "method": "add"}]) is None


async def test_a_batch_keeps_its_order_and_each_part_its_own_fate() -> None:
    replies = await ask([call("add", ["0x1"], 1), 1, {"jsonrpc": "2.0", "method": "add"}, call("nothing", [], 2)])
    assert [reply["id"] for reply in replies] == [1, None, 2]
    assert [reply.get("error", {}).get("code") for reply in replies] == [None, -32600, -32601]


async def test_a_batch_has_limits() -> None:
    assert (await ask([call("add")] * 11))["error"]["code"] == -32005
    replies = await ask([call("big", [], index) for index in range(10)])
    assert [reply["id"] for reply in replies] == list(range(10))
    assert 2 <= sum("result" in reply for reply in replies) <= 2 + LIMITS.concurrent_calls
    assert replies[-1]["error"]["code"] == -32005


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | json_values,
        "id": json_values,
        "method": st.sampled_from(["add", "fail", "big"]) | json_values,
        "params": json_values,
    },
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200) | (json_values | requests | st.lists(requests, max_size=4)).map(lambda value: dumps(value)))
def test_any_bytes_get_a_wellformed_reply_or_none(body: bytes) -> None:
    reply = asyncio.run(answer(methods(), body, LIMITS))
    if reply is None:
        return
    decoded = orjson.loads(reply)
    for part in decoded if isinstance(decoded, list) else [decoded]:
        assert part.keys() in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


# --- HTTP -----------------------------------------------------------------------------------------------------------


async def test_chains_health_and_metrics_have_their_paths(client: httpx.AsyncClient) -> None:
    assert (await client.post("/alpha", json=call("add", ["0x1"]))).json()["result"] == "0x2"
    assert (await client.get("/alpha")).json() == {"chain": "alpha", "healthy": True, "latest": 7}
    assert (await client.get("/")).json() == {"dougong": {"alpha": "/alpha"}}
    assert (await client.post("/beta", json=call("add"))).status_code == 404
    for name in ("x" * 50, "y" * 50):
        await client.post("/alpha", json=call(name))
    metrics = (await client.get("/metrics")).text
    assert 'dougong_rpc_calls_total{chain="alpha",method="add",outcome="ok"} 1.0' in metrics
    assert 'method="unknown",outcome="-32601"} 2.0' in metrics
    assert "xxx" not in metrics


async def test_many_large_requests_go_over_one_connection() -> None:
    limits = dataclasses.replace(LIMITS, request_bytes=1 << 20)
    async with serving(limits=limits) as server, httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as client:
        for size in (10, 70_000, 500_000, 100, 900_000):
            content = b" " * size + json.dumps(call("add", ["0x1"])).encode()
            reply = await client.post(server.url("alpha"), content=content, headers={"content-type": "application/json"})
            assert reply.json()["result"] == "0x2"


async def test_notifications_get_204(client: httpx.AsyncClient) -> None:
    reply = await client.post("/alpha", json={"jsonrpc": "2.0", "method": "add"})
    assert (reply.status_code, reply.content) == (204, b"")


async def test_an_oversize_body_is_refused_declared_or_not(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 1_000

    headers = {"content-type": "application/json"}
    for content in (b" " * 10_001, chunks()):
        reply = await client.post("/alpha", content=content, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, -32600)
    assert (await client.post("/alpha", content=b"{}", headers={"content-type": "text/plain"})).status_code == 415


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\nx: ",  # one header without end
        b"GET /",  # a path without end
        b"POST /alpha HTTP/1.1\r\n" + b"a: b\r\n" * 3_000,  # headers without end
        b"\0",  # no HTTP at all
    ],
)
async def test_a_head_without_end_is_cut_off(begin: bytes) -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        with contextlib.suppress(ConnectionError):
            writer.write(begin)
            for _ in range(200):
                writer.write(b"a" * 1_000)
                await writer.drain()
            await reader.read(1_000)
            assert await reader.read(1_000) == b""
        writer.close()
        async with httpx.AsyncClient() as client:
            assert (await client.get(server.url("alpha"))).status_code == 200


@pytest.mark.parametrize("sent", [b"", b"POST /alpha HTTP/1.1\r\nhost: a\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\nG"])
async def test_a_head_that_never_comes_is_not_waited_for(sent: bytes) -> None:
    limits = dataclasses.replace(LIMITS, head_seconds=0.05)
    async with serving(limits=limits) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(-1), 10)
        writer.close()


async def test_a_body_that_trickles_is_cut_off() -> None:
    limits = dataclasses.replace(LIMITS, body_seconds=0.05)
    async with serving(limits=limits) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"POST /alpha HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        reply = await asyncio.wait_for(reader.read(-1), 10)
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive" in reply
        writer.close()


async def test_browsers_of_any_origin_may_call(client: httpx.AsyncClient) -> None:
    asked = {
        "origin": "https://dapp.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    assert (await client.options("/alpha", headers=asked)).headers["access-control-allow-origin"] == "*"


async def test_pages_of_other_origins_are_refused_whatever_the_browser_thinks() -> None:
    async with serving(origins=("https://wallet.example",)) as server, httpx.AsyncClient() as client:
        for origin, status in (("https://wallet.example", 200), ("http://rebound.example:8545", 403), ("null", 403)):
            reply = await client.post(server.url("alpha"), json=call("add", ["0x1"]), headers={"origin": origin})
            assert reply.status_code == status
        assert (await client.post(server.url("alpha"), json=call("add", ["0x1"]))).status_code == 200  # no browser


async def test_a_chain_that_fails_says_so_and_leaves_the_others_alone() -> None:
    async with serving() as server, httpx.AsyncClient() as client:

        async def broken() -> dict[str, object]:
            raise Unavailable("the sequencer stopped", remedy="look at its log")

        server.mount("beta", methods(), broken)
        reply = await client.get(server.url("beta"))
        assert (reply.status_code, reply.json()["error"]) == (503, "the sequencer stopped")
        server.unmount("beta")
        assert (await client.get(server.url("beta"))).status_code == 404
        assert (await client.get(server.url("alpha"))).json()["healthy"]


async def test_more_requests_than_the_limit_get_503() -> None:
    async with serving(max_requests=2) as server:
        gate, inside = asyncio.Event(), asyncio.Semaphore(0)

        async def wait() -> str:
            inside.release()
            await gate.wait()
            return "done"

        slow = Methods()
        slow.add("wait", wait)
        server.mount("slow", slow, healthy)
        async with httpx.AsyncClient() as client:
            held = [asyncio.create_task(client.post(server.url("slow"), json=call("wait"))) for _ in range(2)]
            for _ in held:
                await inside.acquire()
            refused = await client.post(server.url("alpha"), json=call("add", ["0x1"]))
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, -32005)
            gate.set()
            assert [(await task).json()["result"] for task in held] == ["done", "done"]
            assert (await client.post(server.url("alpha"), json=call("add", ["0x1"]))).status_code == 200


async def test_a_call_under_way_is_answered_before_the_server_stops() -> None:
    server = RpcServer.bind("127.0.0.1", 0)
    gate, inside = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        inside.set()
        await gate.wait()
        return "done"

    slow = Methods()
    slow.add("wait", wait)
    server.mount("slow", slow, healthy)
    url = server.url("slow")
    running = asyncio.create_task(server.run())
    async with httpx.AsyncClient() as client:
        held = asyncio.create_task(client.post(url, json=call("wait")))
        await inside.wait()
        running.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert (await held).json()["result"] == "done"
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} is in use") as caught:
            RpcServer.bind("127.0.0.1", port)
    assert "another port" in caught.value.remedy


@pytest.mark.parametrize(("host", "port"), [("256.0.0.1", 1), ("127.0.0.1", 70_000), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_is_a_config_error(host: str, port: int) -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        RpcServer.bind(host, port)


@pytest.mark.parametrize("name", ["", "a/b", "metrics", "ü", "a b", "alpha"])
async def test_a_chain_name_is_one_free_path_segment(name: str) -> None:
    async with serving() as server:
        with pytest.raises(ConfigError):
            server.mount(name, methods(), healthy)


@pytest.mark.parametrize("path", ["alpha", "alpha/"])
async def test_pages_of_other_sites_and_programs_get_the_same_reply(path: str) -> None:
    async with serving() as server, httpx.AsyncClient() as client:
        url = server.url(path)
        program = await client.post(url, json=call("add", ["0x1"]))
        page = await client.post(url, json=call("add", ["0x1"]), headers={"origin": "https://elsewhere.example"})
        assert (program.status_code, program.content) == (page.status_code, page.content)
        assert {name: value for name, value in page.headers.items() if not name.startswith("access-control-")} == dict(
            program.headers
        )
        assert "access-control-allow-origin" in page.headers
        assert (await client.post(server.url("metrics"), json=call("add", ["0x1"]))).status_code == 404
        assert (await client.post(server.url("alpha/beta"), json=call("add", ["0x1"]))).status_code == 404
