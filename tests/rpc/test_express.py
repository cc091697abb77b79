"""The express lane answers as the general path does, or leaves the request to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from dougong._native import Calls
from dougong.crypto.hashing import keccak256
from dougong.errors import DougongError
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.protocol import Limits, Methods, answer
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from tests.services.world import GENESIS_TIME, USERS, new_chain, signed, transfers

SEND, RECEIPT = "eth_sendRawTransaction", "eth_getTransactionReceipt"
ALICE, BOB = USERS[0], USERS[1]
# Deploys a contract that emits one log with one topic whenever it is called.
EMITTER = bytes.fromhex("6009600c60003960096000f3") + bytes.fromhex("600160206000a10000")


@dataclass
class Twins:
    """One chain twice: `fast` has the lane, `plain` has not."""

    fast: EthereumApi
    plain: Methods
    nodes: tuple[Sequencer, Sequencer]

    async def both(self, body: bytes, limits: Limits | None = None) -> bytes | None:
        fast, plain = [await answer(methods, body, limits or Limits()) for methods in (self.fast.methods, self.plain)]
        assert (fast is None) == (plain is None)
        assert fast is None or plain is None or orjson.loads(fast) == orjson.loads(plain), body[:300]
        return fast

    async def blocks(self) -> None:
        for node in self.nodes:
            await node.make_block()


@asynccontextmanager
async def twins(folder: Path, *, clock: float = GENESIS_TIME + 5.0, max_waiting: int = 20_000) -> AsyncIterator[Twins]:
    nodes, apis, journals = [], [], []
    for name in ("fast", "plain"):
        chain = await new_chain(folder / name / "evm")
        journals.append(await Journal.open(folder / name / "journal"))
        nodes.append(
            await Sequencer.open(chain, None, journals[-1], SequencerConfig(max_waiting=max_waiting), clock=lambda: clock)
        )
        apis.append(EthereumApi(nodes[-1]))
    apis[1].methods.lane = None
    try:
        yield Twins(apis[0], apis[1].methods, (nodes[0], nodes[1]))
    finally:
        for api, node, journal in zip(apis, nodes, journals, strict=True):
            api.close()
            await journal.flush()
            journal.close()
            node.evm.close()


def call(method: str, param: object, request_id: object = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": [param]}


def sends(raws: list[bytes]) -> bytes:
    return orjson.dumps([call(SEND, "0x" + raw.hex(), number) for number, raw in enumerate(raws)])


def receipts(raws: list[bytes]) -> bytes:
    return orjson.dumps([call(RECEIPT, "0x" + keccak256(raw).hex(), f"id {number}") for number, raw in enumerate(raws)])


async def test_every_transaction_of_a_batch_has_its_own_outcome(tmp_path: Path) -> None:
    good = transfers(ALICE, 0, 3)
    poor = transfers(BOB, 0, 1, value=10**24)
    bad = [b"\x02\xc0", b"", good[0][:-1] + bytes([good[0][-1] ^ 1]), *transfers(BOB, 5, 1, fee=1), b"\x03" + good[0][1:]]
    async with twins(tmp_path) as twin:
        assert Calls.parse(sends(good), 1000, 1 << 17) is not None
        await twin.both(sends([*good, *poor, *bad, good[0]]))
        await twin.both(sends(good))  # known already
        await twin.both(sends(transfers(ALICE, 3, 1)[:1])[1:-1])  # not an array
        await twin.blocks()
        assert all(receipt["result"]["status"] == "0x1" for receipt in json.loads(await twin.both(receipts(good)) or b""))
        await twin.both(sends(good))  # nonces too low


async def test_receipts_are_those_of_the_general_path(tmp_path: Path) -> None:
    deploy = signed(ALICE, 0, to=None, gas=200_000, data=EMITTER)
    async with twins(tmp_path) as twin:
        await twin.both(sends([deploy, *transfers(BOB, 0, 2)]))
        await twin.blocks()
        reply = json.loads(await twin.both(receipts([deploy])) or b"")
        emitter = bytes.fromhex(reply[0]["result"]["contractAddress"][2:])
        calls = [signed(ALICE, nonce, to=emitter, gas=100_000) for nonce in (1, 2)]
        failing = signed(BOB, 2, to=None, gas=100_000, data=b"\xfe")
        await twin.both(sends([*calls, failing, *transfers(USERS[2], 0, 40)]))
        await twin.blocks()
        everything = [deploy, *transfers(BOB, 0, 2), *calls, failing, *transfers(USERS[2], 0, 40), b"no transaction"]
        shown = [one["result"] for one in json.loads(await twin.both(receipts(everything)) or b"")]
        assert [receipt and len(receipt["logs"]) for receipt in shown[:7]] == [0, 0, 0, 1, 1, 0, 0]
        assert shown[-1] is None
        evm = twin.nodes[0].evm
        for number in (1, 2):  # written by other code
            theirs = orjson.loads(evm.block_receipts_json(number))
            own = [orjson.loads(evm.receipt_json(bytes.fromhex(one["transactionHash"][2:])) or b"") for one in theirs]
            assert own == theirs


async def test_a_receipt_of_a_block_that_was_rolled_back_is_gone(tmp_path: Path) -> None:
    async with twins(tmp_path) as twin:
        first, second = transfers(ALICE, 0, 1), transfers(ALICE, 0, 1, value=2)
        for raws in (first, second):
            await twin.both(sends(raws))
            await twin.blocks()
            await twin.both(receipts(first + second))
            for node in twin.nodes:
                await node._chain.rollback(0)
                for info in list(node.pool):
                    node.pool.drop(info.hash)
            reply = json.loads(await twin.both(receipts(first + second)) or b"")
            assert [one["result"] for one in reply] == [None, None]


async def test_limits_hold(tmp_path: Path) -> None:
    raws = transfers(ALICE, 0, 6)
    async with twins(tmp_path, max_waiting=4) as twin:
        small = Limits(batch=5)
        assert b"the limit is 5" in (await twin.both(sends(raws), small) or b"")
        assert not len(twin.nodes[0].pool)
        fast = orjson.loads(await answer(twin.fast.methods, sends(raws), Limits()) or b"")
        assert [one.get("error", {}).get("code") for one in fast] == [None] * 4 + [-32003] * 2
        await twin.nodes[0].make_block()
        body = receipts(raws[:4])
        one = len(await answer(twin.fast.methods, body, Limits()) or b"") // 4
        short = orjson.loads(await answer(twin.fast.methods, body, Limits(reply_bytes=one * 2)) or b"")
        assert any("left out" in reply.get("error", {}).get("message", "") for reply in short)


async def test_what_is_not_plain_is_the_general_path_s(tmp_path: Path) -> None:
    raw = "0x" + transfers(ALICE, 0, 1)[0].hex()
    known = "0x" + bytes(32).hex()
    ids: tuple[object, ...] = (None, True, 1.5, -1, 2**53 + 2, [], {}, 'quo"te', "back\\slash", "ü", "\n")
    odd: list[object] = [
        [],
        [call(SEND, raw), call(RECEIPT, known)],
        call(SEND, raw) | {"jsonrpc": "1.0"},
        {"jsonrpc": "2.0", "method": SEND, "params": [raw]},
        call(SEND, raw) | {"params": {"transaction": raw}},
        call(SEND, raw) | {"params": [raw, raw]},
        call(SEND, raw) | {"params": []},
        call(SEND, raw[:-1]),
        call(SEND, raw[2:]),
        call(SEND, "0X" + raw[2:]),
        call(SEND, "0x0x" + raw[2:]),
        call(SEND, None),
        call(SEND, 7),
        call(RECEIPT, known[:-2]),
        call(RECEIPT, known + "00"),
        call(RECEIPT, "0x" + "0x" + known[4:]),
        call(RECEIPT, known) | {"more": 1},
        [call(RECEIPT, known, 1), 5],
        *(call(RECEIPT, known, weird) for weird in ids),
    ]
    async with twins(tmp_path) as twin:
        for request in odd:
            body = orjson.dumps(request)
            assert Calls.parse(body, 1000, 1 << 17) is None
            await twin.both(body)
        twice = orjson.dumps(call(RECEIPT, known))[:-1] + b',"id":2}'
        for body in (
            twice,
            b"[" + twice + b"]",
            b"[",
            b"[" * 100_000,
            orjson.dumps(call(RECEIPT, known)) + b"x",
            b"\xff" + twice,
        ):
            assert Calls.parse(body, 1000, 1 << 17) is None
            await twin.both(body)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_bytes_make_it_fail(noise: bytes, at: int) -> None:
    body = orjson.dumps([call(RECEIPT, "0x" + "ab" * 32, 3), call(RECEIPT, "0x" + "cd" * 32, "x")])
    for candidate in (noise, body[:at] + noise + body[at:], body[:at] + noise):
        calls = Calls.parse(candidate, 10, 1 << 17)
        if calls is not None:  # then it is JSON, and says what the general path would read
            parsed = orjson.loads(candidate)
            assert len(calls) == (len(parsed) if isinstance(parsed, list) else 1)


async def test_a_failure_inside_is_told_as_such(tmp_path: Path) -> None:
    class Broken:
        def __init__(self, node: Sequencer) -> None:
            self.node, self.evm = node, node.evm

        def __getattr__(self, name: str) -> object:
            return getattr(self.node, name)

        async def submit_many(self, raws: object) -> list[bytes | DougongError]:
            raise OSError("secret path")

    async with twins(tmp_path) as twin:
        api = EthereumApi(Broken(twin.nodes[0]))  # type: ignore[arg-type]
        reply = await answer(api.methods, sends(transfers(ALICE, 0, 2)), Limits()) or b""
        assert [one["error"] for one in orjson.loads(reply)] == [{"code": -32603, "message": "internal error"}] * 2
        api.close()


def test_an_empty_or_too_long_request_is_none() -> None:
    assert Calls.parse(receipts([b"a", b"b"]), 1, 1) is None
    assert Calls.parse(b"[]", 1, 1) is None
