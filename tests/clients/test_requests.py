"""Requests that are almost right, for every method that the server names: each is answered, by a result or by an error of which
the documentation knows the code, and none by "internal error".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dougong._native import Evm
from dougong.contracts import artifact
from dougong.net import codes
from dougong.rpc.errors import LONGEST_MESSAGE
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from dougong.rpc.protocol import Limits, Methods, answer
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.testing.wallet import Wallet
from tests.clients.openrpc import METHODS, requests, valid_values
from tests.clients.world import CHAIN_ID, account, genesis
from tests.services.settled import running

SIMULATION = {-32016, *range(-38026, -38009)}  # eth_simulateV1's own
DOCUMENTED = {code for name, code in vars(codes).items() if name.isupper()} - {codes.INTERNAL_ERROR} | SIMULATION
LIMITS = Limits()
ALICE = Wallet(account("attacker").secret, account("attacker").address, CHAIN_ID)


@dataclass(frozen=True, slots=True)
class Served:
    """A chain in this process: its methods, and what there is to ask for."""

    runner: asyncio.Runner
    methods: Methods
    plain: Methods
    """The same without what answers some requests the short way."""
    values: dict[str, st.SearchStrategy[Any]]

    def answer(self, body: bytes) -> Any:
        return self.answer_by(self.methods, body)

    def answer_by(self, methods: Methods, body: bytes) -> Any:
        async def asked() -> bytes | None:
            async with asyncio.timeout(60):
                return await answer(methods, body, LIMITS)

        reply = self.runner.run(asked())
        return None if reply is None else json.loads(reply)


@asynccontextmanager
async def sequencing(folder: Path) -> AsyncIterator[tuple[Methods, dict[str, st.SearchStrategy[Any]]]]:
    async with AsyncExitStack() as stack:
        evm = Evm(str(folder / "evm"), genesis())
        stack.callback(evm.close)
        journal = await Journal.open(folder / "journal")
        stack.callback(journal.close)
        stack.push_async_callback(journal.flush)
        chain = await RollupChain.open(evm)
        sequencer = await Sequencer.open(chain, None, journal, SequencerConfig(block_time=0.01))
        api = EthereumApi(sequencer, EthereumOptions(sync_seconds=0.05, most_sync_seconds=0.1))
        stack.callback(api.close)
        await stack.enter_async_context(running(sequencer.run))
        token = "0x" + artifact("Token").bytecode.hex()
        words = b"".join(number.to_bytes(32) for number in (96, 128, 10**24)) + bytes(64)
        create = ALICE.sign(ALICE.fields(None, nonce=0, data=bytes.fromhex(token[2:]) + words, gas=2_000_000))
        sends = [create, *(ALICE.transfer(b"\x0a" * 20, 1, nonce=nonce) for nonce in (1, 2, 3))]
        waiting = EthereumApi(sequencer)
        stack.callback(waiting.close)
        calls = [
            {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync", "params": ["0x" + raw.hex()]} for raw in sends
        ]
        receipts = [
            json.loads(await answer(waiting.methods, json.dumps(call).encode(), LIMITS) or b"")["result"] for call in calls
        ]
        block = evm.header(1)
        addresses = [receipts[0]["contractAddress"], "0x" + ALICE.address.hex()]
        hashes = ["0x" + block.hash.hex(), *(receipt["transactionHash"] for receipt in receipts)]
        raws = ["0x" + raw.hex() for raw in (*sends, ALICE.transfer(b"\x0b" * 20, 1, nonce=900), *_types())]
        yield api.methods, valid_values(addresses, hashes, raws)


def _types() -> list[bytes]:
    return [bytes([kind]) + b"\xc0" for kind in range(6)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with asyncio.Runner() as runner:
        opened = sequencing(tmp_path_factory.mktemp("chain"))
        methods, values = runner.run(opened.__aenter__())
        try:
            plain = Methods().include(methods)
            plain.lane = None
            yield Served(runner, methods, plain, values)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def check(reply: Any, request_id: object = 1) -> None:
    assert reply["jsonrpc"] == "2.0"
    assert reply["id"] == request_id
    assert ("result" in reply) != ("error" in reply)
    if "error" in reply:
        assert reply["error"]["code"] in DOCUMENTED, reply
        assert 0 < len(reply["error"]["message"]) <= LONGEST_MESSAGE, "an error does not echo what was sent"


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_every_method_answers_what_is_almost_right(served: Served, data: st.DataObject) -> None:
    names = served.methods.names()
    calls = []
    for number, name in enumerate(names):
        method = served.methods.get(name)
        assert method is not None
        calls.append({"jsonrpc": "2.0", "id": number, **data.draw(requests(method, served.values))})
    replies = served.answer(json.dumps(calls).encode())
    for number, (reply, call) in enumerate(zip(replies, calls, strict=True)):
        try:
            check(reply, number)
        except AssertionError as error:
            raise AssertionError(f"{json.dumps(call)[:3_000]} -> {json.dumps(reply)[:1_000]}") from error


TEXTS = [
    "",
    " ",
    "\\n",
    "\\u0030",
    "\\/",
    "\ufeff",
    "0",
    "1.0",
    "1e2",
    "-1",
    "null",
    "true",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\x00",
    "\\ud800",
]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_the_short_way_answers_as_the_long_one(served: Served, data: st.DataObject) -> None:
    """Requests of one kind have a parser of their own: it has to say what the general one says, or leave it to that."""
    name = data.draw(st.sampled_from(["eth_getTransactionReceipt", "eth_sendRawTransaction"]))
    kind = (
        served.values["hash"]
        if name == "eth_getTransactionReceipt"
        else st.sampled_from(["0x02c0", "0x05", "0x", "0x00", "0xc0"])
    )
    ids: st.SearchStrategy[Any] = st.one_of(
        st.sampled_from([1, None, "a", -1, 2**63, 2**64 - 1, 0.5, True, [], {}, "\u2028", 'q"']), st.integers(0, 9)
    )
    calls = [
        {"jsonrpc": "2.0", "id": data.draw(ids), "method": name, "params": [data.draw(kind)]}
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    text = json.dumps(calls if data.draw(st.booleans()) else calls[0], ensure_ascii=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.sampled_from(TEXTS)) + text[at + data.draw(st.integers(0, 2)) :]
    body = text.encode()
    short, long_way = (served.answer_by(methods, body) for methods in (served.methods, served.plain))
    assert short == long_way


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * 100_000, codes.PARSE_ERROR),
        (b'{"a":' * 100_000, codes.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":' + b"[" * 500 + b"]" * 500 + b"}", codes.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":1e400,"method":"eth_chainId"}', None),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[' + b"9" * 5_000 + b"]}", None),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","method":"eth_getBalance"}', codes.INVALID_PARAMS),
        (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}', codes.PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'.encode("utf-16"), codes.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_\\ud800"}', None),
        (b'{"jsonrpc":"2.0","id":1,"method":"' + b"a" * 1_000_000 + b'"}', codes.METHOD_NOT_FOUND),
        (b'{"jsonrpc":"2.0","id":"' + b"a" * 100_000 + b'","method":"eth_chainId"}', None),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{"":1}}', codes.INVALID_PARAMS),
    ],
)
def test_json_that_is_made_to_hurt(served: Served, body: bytes, code: int | None) -> None:
    reply = served.answer(body)
    check(reply, reply["id"])
    if code is not None:
        assert reply["error"]["code"] == code


def test_the_table_knows_what_is_served(served: Served) -> None:
    """So that a method with a wrong name in the table is not asked with anything instead."""
    unknown = [
        name for name in served.methods.names() if name not in METHODS and name.partition("_")[0] in ("eth", "net", "web3")
    ]
    assert unknown == []
