"""A rollup whose blocks a test makes and takes back, with its JSON-RPC over HTTP and WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from dougong._native import Evm
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from dougong.rpc.server import RpcServer
from dougong.rpc.sessions import SocketLimits
from dougong.rpc.throttle import ClientLimits
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.testing.wallet import Wallet

CHAIN_ID = 4_301
GENESIS_TIME = 1_700_000_000
ALICE, BOB = (Wallet.of(name, CHAIN_ID) for name in ("alice", "bob"))
LOGGERS = tuple(bytes([0xC0 + n]) * 20 for n in range(3))
FORWARDER = b"\xd0" * 20
LOGGER_CODE = bytes.fromhex("5f355f5fa100")  # log1(0, 0, calldataload(0))
FORWARDER_CODE = bytes.fromhex("5f5f5f5f345f355af100")  # call(gas, calldataload(0), callvalue, 0, 0, 0, 0)


@dataclass
class Clock:
    now: float = float(GENESIS_TIME)

    def __call__(self) -> float:
        return self.now


@dataclass
class Rollup:
    """`logs` and `empty` make one block each; `back` takes blocks away and drops their transactions."""

    sequencer: Sequencer
    chain: RollupChain
    server: RpcServer
    clock: Clock
    url: str
    nonces: dict[bytes, int] = field(default_factory=dict)

    @property
    def socket_url(self) -> str:
        return self.url.replace("http://", "ws://")

    def sign_log(self, logger: bytes, topic: int, *, wallet: Wallet = ALICE) -> bytes:
        nonce = self.sequencer.pending_nonce(wallet.address)
        return wallet.sign(wallet.fields(logger, nonce=nonce, data=topic.to_bytes(32), gas=60_000))

    async def block(self, txs: Sequence[bytes]) -> bytes:
        """Makes a block of just these; its hash."""
        head = self.chain.latest
        self.clock.now += 1
        built = await self.chain.build(int(self.clock.now), 0, (), txs, parent=head.hash)
        assert built is not None
        assert len(built.included) == len(txs), built.skipped
        return built.header.hash

    async def logs(self, *topics: int, logger: bytes = LOGGERS[0], wallet: Wallet = ALICE) -> bytes:
        nonce = self.sequencer.evm.account(wallet.address)[0]
        txs = [
            wallet.sign(wallet.fields(logger, nonce=nonce + place, data=topic.to_bytes(32), gas=60_000))
            for place, topic in enumerate(topics)
        ]
        return await self.block(txs)

    async def back(self, number: int) -> None:
        self.clock.now += 1
        await self.chain.rollback(number)


@asynccontextmanager
async def rolling(
    folder: Path,
    *,
    clients: ClientLimits | None = None,
    sockets: SocketLimits | None = None,
    options: EthereumOptions | None = None,
    origins: tuple[str, ...] = ("*",),
    proxies: tuple[str, ...] = (),
) -> AsyncIterator[Rollup]:
    alloc = {wallet.address: GenesisAccount(10**24) for wallet in (ALICE, BOB)}
    alloc |= {address: GenesisAccount(code=LOGGER_CODE) for address in LOGGERS}
    alloc[FORWARDER] = GenesisAccount(code=FORWARDER_CODE)
    evm = Evm(str(folder / "evm"), make_genesis(CHAIN_ID, alloc, timestamp=GENESIS_TIME))
    journal = await Journal.open(folder / "journal")
    chain = await RollupChain.open(evm)
    clock = Clock()
    sequencer = await Sequencer.open(chain, None, journal, SequencerConfig(), clock=clock)
    api = EthereumApi(sequencer, options)
    server = RpcServer.bind("127.0.0.1", 0, clients=clients, sockets=sockets, origins=origins, proxies=proxies)
    server.mount("alpha", api.methods, api.health)
    serving = asyncio.create_task(server.run())
    try:
        yield Rollup(sequencer, chain, server, clock, server.url("alpha"))
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        api.close()
        await journal.flush()
        journal.close()
        evm.close()


class Socket:
    """A client's end: replies by id, events by subscription."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = 0
        self.events: dict[str, list[Any]] = {}

    async def send(self, method: str, *params: object) -> int:
        self._ids += 1
        await self.connection.send(json.dumps({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params}))
        return self._ids

    async def read(self) -> Any:
        """The next message; an event is put aside too."""
        message = json.loads(await self.connection.recv())
        if isinstance(message, dict) and message.get("method") == "eth_subscription":
            self.events.setdefault(message["params"]["subscription"], []).append(message["params"]["result"])
        return message

    async def call(self, method: str, *params: object) -> Any:
        """The reply's result, or its error object."""
        wanted = await self.send(method, *params)
        while True:
            message = await self.read()
            if isinstance(message, dict) and message.get("id") == wanted:
                return message["result"] if "result" in message else message["error"]

    async def subscribe(self, *params: object) -> str:
        name = await self.call("eth_subscribe", *params)
        assert isinstance(name, str), name
        return name

    async def until(self, name: str, count: int) -> list[Any]:
        """The first `count` events of a subscription."""
        async with asyncio.timeout(20):
            while len(self.events.get(name, [])) < count:
                await self.read()
        return self.events[name][:count]


@asynccontextmanager
async def opened(rollup: Rollup, **options: Any) -> AsyncIterator[Socket]:
    async with connect(rollup.socket_url, max_size=None, compression=None, **options) as connection:
        yield Socket(connection)
