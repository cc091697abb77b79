"""The listener: who may call, subscriptions by WebSocket, and callers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dougong.rpc.celestia import CelestiaLimits, allowed_by_level, make_token
from tests.rpc.celestia.test_methods import NS, blob_shape
from tests.rpc.celestia.world import SECRET, World, calling, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as found:
        yield found


@asynccontextmanager
async def socket(world: World, level: str = "read", **options: Any) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {world.token(level)}"} if level else {}
    url = world.url.replace("http", "ws", 1)
    async with connect(url, additional_headers=headers, max_size=64 << 20, **options) as opened:
        yield opened


async def ask(opened: ClientConnection, number: object, method: str, *params: object) -> None:
    await opened.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}))


async def hear(opened: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(opened.recv(), 10))
    return found


# --- who may ---------------------------------------------------------------------------------------------------------


async def test_each_level_may_what_it_may(world: World) -> None:
    calls: dict[str, tuple[str, list[object]]] = {
        "read": ("header.LocalHead", []),
        "write": ("blob.Submit", [[blob_shape(b"x")], None]),
        "admin": ("node.AuthNew", [["read"]]),
    }
    levels = ("", "public", "read", "write", "admin")
    for level in levels:
        async with calling(world, level) as caller:
            for needed, (method, params) in calls.items():
                found = await caller.answer(method, *params)
                if levels.index(level) >= levels.index(needed):
                    assert "error" not in found, (level, method, found)
                else:
                    name = method.partition(".")[2]
                    message = f"missing permission to invoke '{name}' (need '{needed}')"
                    assert found["error"] == {"code": 1, "message": message}, (level, method)


async def test_tokens_made_over_the_api_work(world: World) -> None:
    async with calling(world, "admin") as caller:
        token = await caller.call("node.AuthNew", ["public", "read"])
        assert await caller.call("node.AuthVerify", token) == ["public", "read"]
        assert (await caller.refused("node.AuthVerify", "nonsense"))["code"] == 1
        assert (await caller.refused("node.AuthNew", ["root"]))["code"] == 1
        short = await caller.call("node.AuthNewWithExpiry", ["read"], 60 * 10**9)
        assert await caller.call("node.AuthVerify", short) == ["read"]


@pytest.mark.parametrize(
    "authorization", ["Bearer nonsense", "Basic YWRtaW46YWRtaW4=", f"Bearer {make_token(b'x' * 32, 'admin')}", "Bearer"]
)
async def test_a_wrong_token_is_status_401_by_either_way(world: World, authorization: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "header.LocalHead", "params": []}
    async with httpx.AsyncClient() as http:
        response = await http.post(world.url, json=body, headers={"Authorization": authorization})
    assert (response.status_code, response.content) == (401, b"")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(world.url.replace("http", "ws", 1), additional_headers={"Authorization": authorization}):
            pass
    assert refused.value.response.status_code == 401


async def test_a_token_in_the_url_counts_for_nothing(world: World) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "header.LocalHead", "params": []}
    async with httpx.AsyncClient() as http:
        response = await http.post(f"{world.url}/?token={make_token(SECRET, 'admin')}", json=body)
    assert "missing permission" in response.json()["error"]["message"]


async def test_reads_can_be_opened_to_all(tmp_path: Path) -> None:
    async with running(tmp_path, without_token=allowed_by_level("read")) as world, calling(world, "") as caller:
        await caller.call("header.LocalHead")
        assert "need 'write'" in (await caller.refused("blob.Submit", [blob_shape(b"x")], None))["message"]


# --- subscriptions ---------------------------------------------------------------------------------------------------


async def test_headers_and_blobs_come_block_by_block(world: World) -> None:
    async with socket(world) as opened, calling(world) as caller:
        await ask(opened, 1, "header.Subscribe")
        assert await hear(opened) == {"jsonrpc": "2.0", "id": 1, "result": 1}
        values = [await hear(opened) for _ in range(3)]
        assert all(value["method"] == "xrpc.ch.val" and "id" not in value for value in values)
        heights = [int(value["params"][1]["header"]["height"]) for value in values]
        assert heights == list(range(heights[0], heights[0] + 3))
        await opened.send(json.dumps({"jsonrpc": "2.0", "method": "xrpc.cancel", "params": [1]}))
        while (value := await hear(opened))["method"] != "xrpc.ch.close":
            pass
        assert value["params"] == [1]

        await ask(opened, "two", "blob.Subscribe", NS)
        assert (await hear(opened))["result"] == 2
        height = await caller.call("blob.Submit", [blob_shape(b"news")], None)
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["Height"] < height:
            seen.append((await hear(opened))["params"][1])
        assert [one["Height"] for one in seen] == list(range(seen[0]["Height"], height + 1)), "no block is left out"
        assert all(one["Blobs"] is None for one in seen[:-1])
        assert seen[-1]["Blobs"][0]["data"] == blob_shape(b"news")["data"]
        assert seen[-1]["Header"]["height"] == height, "Go's own encoder writes it as a number"


async def test_calls_go_through_the_same_connection(world: World) -> None:
    async with socket(world) as opened:
        await ask(opened, 7, "header.GetByHeight", 1)
        assert (await hear(opened))["result"]["header"]["height"] == "1"
        await opened.send(b'[{"jsonrpc":"2.0","id":1,"method":"node.Ready","params":[]}]')
        assert json.loads(await opened.recv()) == [{"jsonrpc": "2.0", "id": 1, "result": True}]
        await opened.send("not JSON, though it says Subscribe")
        assert (await hear(opened))["error"]["code"] == -32700


async def test_subscriptions_have_limits(tmp_path: Path) -> None:
    async with running(tmp_path, limits=CelestiaLimits(subscriptions=2, connections=1), block_time=5.0) as world:
        async with socket(world) as opened:
            for number in range(3):
                await ask(opened, number, "header.Subscribe")
            answers = {(found := await hear(opened))["id"]: found for _ in range(3)}
            assert sum("error" in found for found in answers.values()) == 1
            with pytest.raises(InvalidStatus):
                async with socket(world):
                    pass
        async with socket(world, "public") as opened:
            await ask(opened, 1, "header.Subscribe")
            assert "need 'read'" in (await hear(opened))["error"]["message"]
        async with socket(world) as opened:
            wrong: list[tuple[str, list[object]]] = [
                ("header.Subscribe", [1]),
                ("blob.Subscribe", []),
                ("blob.Subscribe", ["x"]),
                ("blob.Subscribe", [None]),
            ]
            for method, params in wrong:
                await ask(opened, 1, method, *params)
                assert (await hear(opened))["error"]["code"] == -32602
            await opened.send(json.dumps({"jsonrpc": "2.0", "method": "header.Subscribe", "params": []}))
            assert (await hear(opened))["error"]["code"] == -32602, "a subscription without an id could not be ended"
            unknown: tuple[object, ...] = ([], [None], ["x"], "x", [[[]]])
            for cancelled in unknown:
                await opened.send(json.dumps({"jsonrpc": "2.0", "method": "xrpc.cancel", "params": cancelled}))
            await ask(opened, 9, "node.Ready")
            assert (await hear(opened))["result"] is True


async def test_subscribing_over_http_is_refused(world: World) -> None:
    async with calling(world) as caller:
        for method, params in (("header.Subscribe", []), ("blob.Subscribe", [NS])):
            assert (await caller.refused(method, *params))["code"] == -32601


# --- misbehaving -----------------------------------------------------------------------------------------------------


async def test_huge_bodies_are_refused_by_either_way(tmp_path: Path) -> None:
    async with running(tmp_path, limits=CelestiaLimits(request_bytes=10_000)) as world:
        async with calling(world) as caller:
            response = await caller.post(b" " * 10_001)
            assert response.status_code == 413
            assert (await caller.post(b" " * 10_000)).json()["error"]["code"] == -32700
        async with socket(world) as opened:
            with pytest.raises(ConnectionClosed):
                await opened.send("x" * 10_001)
                await opened.recv()


async def test_malformed_requests_are_answered_as_such(world: World) -> None:
    async with calling(world) as caller:
        cases: dict[bytes | str, int] = {
            b"": -32700,
            b"{": -32700,
            b"[]": -32600,
            b"1": -32600,
            '{"jsonrpc":"2.0","id":1,"method":"blob.Nothing"}': -32601,
            '{"jsonrpc":"2.0","id":1,"method":"p2p.Info"}': -32601,
            '{"jsonrpc":"2.0","id":1,"method":"header.GetByHeight"}': -32602,
            '{"jsonrpc":"2.0","id":1,"method":"header.GetByHeight","params":["x"]}': -32602,
            '{"jsonrpc":"2.0","id":1,"method":"header.GetByHeight","params":[-1]}': -32602,
            '{"jsonrpc":"2.0","id":1,"method":"header.GetByHeight","params":[1.5]}': -32602,
            '{"jsonrpc":"2.0","id":1,"method":"header.GetByHeight","params":[1,2]}': -32602,
            '{"jsonrpc":"2.0","id":1,"method":"blob.GetAll","params":[1,["AAAA"]]}': -32602,
            '{"jsonrpc":"2.0","id":1,"method":"blob.GetAll","params":[1,["****"]]}': -32602,
            '{"jsonrpc":"2.0","id":1,"method":"blob.GetAll","params":[18446744073709551615,[]]}': 1,
            '{"jsonrpc":"2.0","id":1,"method":"header.WaitForHeight","params":[0]}': 1,
        }
        for body, code in cases.items():
            assert (await caller.post(body)).json()["error"]["code"] == code, body
        many = json.dumps([NS] * 65)
        body = f'{{"jsonrpc":"2.0","id":1,"method":"blob.GetAll","params":[1,{many}]}}'
        assert (await caller.post(body)).json()["error"]["code"] == -32602
        assert (await caller.post(json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "node.Ready"}] * 101))).json()["error"]


async def test_waiting_has_limits(tmp_path: Path) -> None:
    limits = CelestiaLimits(waiting=1, wait_seconds=0.2)
    async with running(tmp_path, limits=limits) as world, calling(world) as caller:
        waiting, refused = await asyncio.gather(*(caller.answer("header.WaitForHeight", 10**6) for _ in range(2)))
        messages = {waiting["error"]["message"], refused["error"]["message"]}
        assert messages == {"context deadline exceeded", "more than 1 calls wait for blocks: try again"}
