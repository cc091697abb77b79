"""One client takes no more than its part, however it asks; another one beside it does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from dougong.errors import Rejected, Unavailable
from dougong.net.codes import TRANSACTION_REJECTED
from dougong.net.jsonrpc import JsonRpc, LimitExceeded
from dougong.rpc.errors import RpcError
from dougong.rpc.listening import listen
from dougong.rpc.params import read_data
from dougong.rpc.protocol import Methods, Param
from dougong.rpc.server import RpcServer
from dougong.rpc.throttle import MOST_CLIENTS, ClientLimits, Throttle, TooMany, address_of, cost_of
from tests.services.settled import running

KIB, MIB = 1 << 10, 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_tokens_are_taken_for_work_and_bytes_and_come_back_with_time() -> None:
    clock = Clock()
    limits = ClientLimits(bytes_per_s=MIB, burst_bytes=4 * MIB)
    client = Throttle(limits, clock=clock).client("192.0.2.1")
    async with client.call("da_shares") as spent:
        spent(8 * MIB)
    with pytest.raises(RpcError) as caught:  # in debt by 4 MiB and the call's own work
        async with client.call("da_sample"):
            pass
    assert isinstance(caught.value.data, dict)
    wait = caught.value.data["retryAfter"]
    assert 4.2 < wait < 4.5
    async with client.call("eth_call"):  # what wallets call is not metered
        pass
    clock.now += wait
    async with client.call("da_sample"):
        pass


async def test_what_the_methods_cost() -> None:
    assert cost_of("da_shares") > cost_of("da_namespace") > cost_of("da_header") > cost_of("da_sample") > 0
    assert [cost_of(name) for name in ("eth_call", "da_latest", "consensus_status", "unknown")] == [0, 0, 0, 0]
    assert cost_of("da_somethingNew") > 0
    assert cost_of("share.GetRange") > 0


async def test_calls_beyond_the_places_wait_and_requests_beyond_are_refused() -> None:
    client = Throttle(ClientLimits(calls=2, requests=3)).client("192.0.2.1")
    inside, gate = 0, asyncio.Event()

    async def one() -> None:
        nonlocal inside
        async with client.call("da_sample"):
            inside += 1
            await gate.wait()

    tasks = [asyncio.create_task(one()) for _ in range(5)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert inside == 2
    gate.set()
    await asyncio.gather(*tasks)
    assert inside == 5
    with client.request(), client.request(), client.request(), pytest.raises(TooMany), client.request():
        pass
    with client.request():
        pass


def test_a_host_is_one_client_whatever_it_calls_itself() -> None:
    throttle = Throttle()
    assert throttle.client("2001:db8::1") is throttle.client("2001:db8::ffff:2")
    assert throttle.client("2001:db8::1") is not throttle.client("2001:db8:0:1::1")
    assert throttle.client("::ffff:192.0.2.1") is throttle.client("192.0.2.1")
    assert throttle.client("fe80::1%eth0") is throttle.client("fe80::2")
    assert throttle.client("192.0.2.1") is not throttle.client("192.0.2.2")


def test_a_proxy_is_believed_if_it_is_named() -> None:
    assert address_of("192.0.2.1", "203.0.113.9", ()) == "192.0.2.1"
    assert address_of("192.0.2.1", "203.0.113.9", ("192.0.2.1",)) == "203.0.113.9"
    # The client itself may have written all but the last one.
    assert address_of("192.0.2.1", "198.51.100.1, 203.0.113.9, 192.0.2.1", ("192.0.2.1",)) == "203.0.113.9"
    assert address_of("192.0.2.1", "", ("192.0.2.1",)) == "192.0.2.1"
    assert len(address_of("192.0.2.1", "x" * 5_000, ("192.0.2.1",))) == 64


async def test_the_table_of_clients_is_bounded_and_keeps_debtors() -> None:
    clock = Clock()
    throttle = Throttle(ClientLimits(bytes_per_s=1, burst_bytes=1), clock=clock)
    debtor = throttle.client("192.0.2.1")
    async with debtor.call("da_shares"):
        pass
    for number in range(1_000):
        throttle.client(f"10.0.{number >> 8}.{number & 255}")
    assert len(throttle) < 10
    assert throttle.client("192.0.2.1") is debtor
    for number in range(MOST_CLIENTS + 1_000):
        async with throttle.client(f"2001:db8:{number:x}::").call("da_shares"):
            pass
    assert len(throttle) <= MOST_CLIENTS


@asynccontextmanager
async def serving(limits: ClientLimits, proxies: tuple[str, ...] = ()) -> AsyncIterator[RpcServer]:
    server = RpcServer.bind("127.0.0.1", 0, clients=limits, proxies=proxies)
    methods = Methods()

    async def shares() -> str:
        return "x" * 100_000

    async def block_number() -> str:
        return "0x1"

    async def submit(tx: bytes) -> None:
        raise RpcError(TRANSACTION_REJECTED, "it is nothing")

    methods.add("da_shares", shares)
    methods.add("da_submit", submit, Param("transaction", read_data))
    methods.add("eth_blockNumber", block_number)

    async def healthy() -> dict[str, object]:
        return {}

    server.mount("square", methods, healthy)
    async with running(server.run):
        yield server


def client_at(address: str, url: str, attempts: int = 1) -> JsonRpc:
    return JsonRpc(url, attempts=attempts, transport=httpx.AsyncHTTPTransport(local_address=address))


async def test_what_is_refused_is_paid_for_by_its_size() -> None:
    limits = ClientLimits(bytes_per_s=1, burst_bytes=4 * MIB)
    async with (
        serving(limits) as server,
        client_at("127.0.0.1", server.url("square")) as greedy,
        client_at("127.0.0.2", server.url("square")) as other,
    ):
        for _ in range(3):
            with pytest.raises(Rejected):
                await greedy.call("da_submit", "0x" + "00" * (3 * MIB // 2))
        with pytest.raises(LimitExceeded):
            await greedy.call("da_submit", "0x00")
        with pytest.raises(Rejected):
            await other.call("da_submit", "0x00")


async def test_a_greedy_client_starves_only_itself() -> None:
    limits = ClientLimits(bytes_per_s=4 * MIB, burst_bytes=4 * MIB, requests=8)
    async with (
        serving(limits) as server,
        client_at("127.0.0.2", server.url("square")) as greedy,
        client_at("127.0.0.3", server.url("square")) as honest,
    ):
        took = refused = 0

        async def grab() -> None:
            nonlocal took, refused
            for _ in range(20):
                try:
                    await greedy.batch([("da_shares", [])] * 10)
                    took += 10
                except LimitExceeded as error:
                    refused += error.retry_after > 0

        async def read() -> None:
            for _ in range(10):
                assert await honest.call("eth_blockNumber") == "0x1"
                assert len(await honest.call("da_shares")) == 100_000

        await asyncio.gather(*(grab() for _ in range(16)), read())
        assert refused > 200
        assert took <= 40
        assert await greedy.call("eth_blockNumber") == "0x1"


async def test_who_sends_a_forwarding_header_of_its_own_through_a_proxy_is_still_himself() -> None:
    """A proxy that adds a header of its own leaves the client's before it: only the last word is the proxy's."""
    limits = ClientLimits(bytes_per_s=1, burst_bytes=MIB)
    async with serving(limits, proxies=("127.0.0.1",)) as server, httpx.AsyncClient() as http:

        async def code(*forwarded: str) -> object:
            headers = [("content-type", "application/json"), *(("x-forwarded-for", one) for one in forwarded)]
            body = b'{"jsonrpc": "2.0", "id": 1, "method": "da_shares"}'
            reply = (await http.post(server.url("square"), content=body, headers=headers)).json()
            return reply.get("error", {}).get("code", "ok")

        answers = [await code(f"198.51.100.{number}", "203.0.113.5") for number in range(12)]
        assert answers[0] == "ok"
        assert answers[-1] == -32005, "a name of its own each time does not make it another"
        assert await code("203.0.113.5", "198.51.100.1") == "ok", "and nobody pays for another"


async def test_our_client_comes_back_when_it_is_told_to() -> None:
    limits = ClientLimits(bytes_per_s=4 * MIB, burst_bytes=MIB)
    async with serving(limits) as server, client_at("127.0.0.2", server.url("square"), attempts=4) as client:
        for _ in range(12):  # 4.2 MB of work and replies
            assert len(await client.call("da_shares")) == 100_000


async def test_too_many_requests_at_a_time_are_answered_429_with_a_hint() -> None:
    async with serving(ClientLimits(requests=2)) as server:
        gate, inside = asyncio.Event(), asyncio.Semaphore(0)
        slow = Methods()

        async def wait() -> str:
            inside.release()
            await gate.wait()
            return "done"

        async def healthy() -> dict[str, object]:
            return {}

        slow.add("wait", wait)
        server.mount("slow", slow, healthy)
        asked = {"jsonrpc": "2.0", "id": 1, "method": "wait"}
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address="127.0.0.2")) as greedy:
            held = [asyncio.create_task(greedy.post(server.url("slow"), json=asked)) for _ in range(2)]
            for _ in held:
                await inside.acquire()
            refused = await greedy.post(server.url("slow"), json=asked)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["error"]["code"] == -32005
            async with client_at("127.0.0.3", server.url("square")) as other:
                assert await other.call("eth_blockNumber") == "0x1"
            gate.set()
            assert [(await task).json()["result"] for task in held] == ["done", "done"]


async def test_replies_that_nobody_reads_do_not_fill_the_memory() -> None:
    methods = Methods()

    async def shares() -> str:
        return "x" * (24 * MIB)

    async def healthy() -> dict[str, object]:
        return {}

    methods.add("da_shares", shares)
    server = RpcServer(listen("127.0.0.1", 0), replies_bytes=60 * MIB)
    server.mount("square", methods, healthy)
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "da_shares"}'
    head = f"POST /square HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with running(server.run):
        _, writer = await asyncio.open_connection(*server.address, limit=1 << 10, local_addr=("127.0.0.2", 0))
        writer.write(head.encode() + body)
        await writer.drain()
        async with (
            client_at("127.0.0.2", server.url("square")) as same,
            client_at("127.0.0.3", server.url("square")) as other,
            asyncio.timeout(20),
        ):
            refused = False
            while not refused:
                try:
                    await same.call("da_shares")
                except Unavailable:
                    refused = True
            assert len(await other.call("da_shares")) == 24 * MIB
            writer.transport.abort()
            while refused:
                try:
                    refused = len(await same.call("da_shares")) != 24 * MIB
                except Unavailable:
                    continue
