"""The client meets nodes that are slow, wrong, too talkative or gone, and says which."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from eth_abi.abi import encode

from dougong.errors import InvalidInput, Rejected, Unavailable
from dougong.net.jsonrpc import AnswerTooLarge, JsonRpc, RpcError, data, quantity
from dougong.net.reverts import revert_reason

Answer = Callable[[Any], Any]


class Node(httpx.AsyncBaseTransport):
    """Answers with what `answer` makes of the request; counts requests."""

    def __init__(self, answer: Callable[[Any], httpx.Response]) -> None:
        self._answer = answer
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return self._answer(json.loads(request.content))


def client(answer: Callable[[Any], httpx.Response], **options: Any) -> tuple[JsonRpc, Node]:
    node = Node(answer)
    return JsonRpc("http://node", transport=node, **options), node


def result(value: Any) -> Callable[[Any], httpx.Response]:
    def answer(asked: Any) -> httpx.Response:
        if isinstance(asked, list):
            return httpx.Response(
                200, json=[{"jsonrpc": "2.0", "id": one["id"], "result": value(one)} for one in reversed(asked)]
            )
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": value(asked)})

    return answer


def failure(code: int, message: str, extra: Any = None) -> Callable[[Any], httpx.Response]:
    error = {"code": code, "message": message} | ({} if extra is None else {"data": extra})
    return lambda asked: httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "error": error})


async def test_calls_and_batches() -> None:
    rpc, node = client(result(lambda asked: [asked["method"], *asked["params"]]))
    async with rpc:
        assert await rpc.call("m", 1, "two") == ["m", 1, "two"]
        assert await rpc.batch([("a", [1]), ("b", [])]) == [["a", 1], ["b"]]
        assert await rpc.batch([]) == []
    assert node.requests == 2


async def test_many_at_once_get_their_own_answers() -> None:
    rpc, _ = client(result(lambda asked: asked["params"][0]))
    async with rpc:
        assert await asyncio.gather(*(rpc.call("echo", n) for n in range(100))) == list(range(100))


async def test_reads_are_tried_again_and_writes_are_not() -> None:
    def fails_twice() -> Callable[[Any], httpx.Response]:
        left = [2]

        def answer(asked: Any) -> httpx.Response:
            left[0] -= 1
            if left[0] >= 0:
                raise httpx.ConnectError("refused")
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": "ok"})

        return answer

    rpc, node = client(fails_twice())
    async with rpc:
        assert await rpc.call("read") == "ok"
    assert node.requests == 3
    rpc, node = client(fails_twice())
    async with rpc:
        with pytest.raises(Unavailable, match="did not answer write: refused"):
            await rpc.call("write", idempotent=False)
    assert node.requests == 1


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"<html>"),
        httpx.Response(404, content=b"not found"),
        httpx.Response(503, json={"jsonrpc": "2.0", "id": 1, "result": 1}),
        httpx.Response(429),
        httpx.Response(200, json=[]),
        httpx.Response(200, json="text"),
        httpx.Response(200, json={"jsonrpc": "2.0", "id": 999, "result": 1}),
        httpx.Response(200, json={"jsonrpc": "2.0", "id": 1}),
        httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "error": "bad"}),
    ],
)
async def test_what_is_no_json_rpc_is_unavailable(response: httpx.Response) -> None:
    rpc, _ = client(lambda asked: response, attempts=1)
    async with rpc:
        with pytest.raises(Unavailable):
            await rpc.call("m")


async def test_a_batch_with_answers_missing_is_unavailable() -> None:
    rpc, _ = client(lambda asked: httpx.Response(200, json=[{"jsonrpc": "2.0", "id": asked[0]["id"], "result": 1}]), attempts=1)
    async with rpc:
        with pytest.raises(Unavailable):
            await rpc.batch([("a", []), ("b", [])])


async def test_a_node_cannot_fill_the_memory() -> None:
    rpc, node = client(result(lambda asked: "x" * 10_000), max_bytes=5_000)
    async with rpc:
        with pytest.raises(AnswerTooLarge, match="more than 5000 bytes"):
            await rpc.call("m")
    assert node.requests == 1, "asking the same again would bring the same"


class Drip(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.001)


async def test_a_node_that_never_ends_is_unavailable() -> None:
    rpc, _ = client(lambda asked: httpx.Response(200, stream=Drip()), attempts=1, timeout=0.05)
    async with rpc:
        with pytest.raises(Unavailable, match="did not answer m: TimeoutError"):
            await rpc.call("m")


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: {"data": text}])
async def test_a_revert_comes_with_its_reason(wrap: Callable[[str], Any]) -> None:
    revert = "0x08c379a0" + encode(["string"], ["not today"]).hex()
    rpc, _ = client(failure(3, "execution reverted", wrap(revert)))
    async with rpc:
        with pytest.raises(Rejected, match="eth_call: reverted: not today") as caught:
            await rpc.call("eth_call")
    assert isinstance(caught.value, RpcError)
    assert (caught.value.code, caught.value.reason) == (3, "not today")


async def test_other_refusals_carry_code_and_message() -> None:
    rpc, node = client(failure(-32000, "nonce too low"))
    async with rpc:
        with pytest.raises(RpcError, match="nonce too low") as caught:
            await rpc.call("eth_sendRawTransaction", "0x")
    assert (caught.value.code, caught.value.reason) == (-32000, None)
    assert node.requests == 1, "a refusal is an answer"


@pytest.mark.parametrize(
    ("revert", "reason"),
    [
        (b"", "no reason given"),
        (None, "no reason given"),
        (bytes.fromhex("4e487b71") + (0x12).to_bytes(32), "division by zero"),
        (bytes.fromhex("4e487b71") + (0x99).to_bytes(32), "panic 0x99"),
        (bytes.fromhex("08c379a0") + encode(["string"], ["a\nb\x1b[31m"]), "a?b?[31m"),
        (bytes.fromhex("08c379a0") + b"\xff" * 64, "custom error 0x08c379a0" + "ff" * 64),
        (bytes.fromhex("deadbeef01"), "custom error 0xdeadbeef01"),
        (bytes.fromhex("4e487b71"), "custom error 0x4e487b71"),
    ],
)
def test_reasons_in_words(revert: bytes | None, reason: str) -> None:
    assert revert_reason(revert) == reason


@pytest.mark.parametrize("value", [None, 5, "5", "0x", "0xg", "0x" + "1" * 65, "0x-1", "0x1_0", "0x 1"])
def test_numbers_are_read_strictly(value: object) -> None:
    with pytest.raises(InvalidInput):
        quantity(value)


@pytest.mark.parametrize("value", [None, "abcd", "0xabc", "0xzz", "0xab cd", "0xab"])
def test_bytes_are_read_strictly(value: object) -> None:
    with pytest.raises(InvalidInput):
        data(value, 2)


def test_numbers_and_bytes() -> None:
    assert (quantity("0x0"), quantity("0xff"), data("0x"), data("0xABcd", 2)) == (0, 255, b"", b"\xab\xcd")
