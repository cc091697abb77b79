"""The stage of the drills: a stack in this process with an honest and a rogue DA chain, a rollup on each, one settlement.

    async with stage(folder, parts) as scene:
        height = await scene.spoil(width=32)         # a block of the rogue chain that is wide enough to be spoilt

alpha publishes on `honest`, beta on `rogue`. Everybody but the producer and colluding attestors sees the stack through sockets.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from dougong.availability.square.shares import SHARE_BYTES
from dougong.cli.demo.chain import Chain, until
from dougong.cli.demo.workload import ETHER, Account, make_accounts, order
from dougong.cli.logs import make_log
from dougong.errors import NotFound, Unavailable
from dougong.net.jsonrpc import quantity
from dougong.net.node import NodeClient
from dougong.settlement.attestations import AttestationsClient
from dougong.settlement.client import SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.stack.parts import SquareParts
from dougong.stack.reading import load
from dougong.stack.runtime import Stack, running
from dougong.stack.trust import Trust, read_trust
from dougong.types import BatchReference

__all__ = ["Rollup", "Scene", "stage"]

MONEY = 100 * ETHER
WIDE_BYTES, WIDE_GAS = 100_000, 5_000_000
PATIENCE_S = 60.0

_STACK = """\
data_dir = "data"
dev = true
[api]
listen = "127.0.0.1:0"
[settlement.base]
kind = "evm"
consensus = "solo"
block_time_ms = 250
"""
_DA = """\
[availability.{name}]
kind = "square"
consensus = "solo"
block_time_ms = 300
[rollup.{rollup}]
execution = "evm"
availability = "{name}"
settlement = "base"
proof = "none"
challenge_window_s = 2
claim_interval_ms = 500
batch_interval_ms = 300
"""
ROLLUPS = {"alpha": "honest", "beta": "rogue"}


@dataclass(slots=True)
class Rollup:
    """One rollup, and somebody who uses it."""

    name: str
    rollup_id: int
    chain: Chain
    user: Account
    settlement: SettlementClient

    async def send(self) -> int:
        """A transfer; returns its block."""
        receipts = await self.chain.send([order("transfer", self.user, b"\x11" * 20, value=1)])
        return quantity(receipts[0]["blockNumber"])

    async def send_wide(self, width: int) -> None:
        """Bytes that do not compress, more than fit a square of half this width."""
        count = -(-((width // 2) ** 2 * SHARE_BYTES + 1) // WIDE_BYTES)
        orders = [order("bytes", self.user, b"\x22" * 20, data=os.urandom(WIDE_BYTES), gas=WIDE_GAS) for _ in range(count)]
        await self.chain.send(orders)

    async def claims(self) -> int:
        return len((await self.settlement.claims(self.rollup_id))[0])

    async def claimed_batches(self) -> int:
        """How many batches the highest claim covers."""
        return max((claim.batch_end for claim in (await self.settlement.claims(self.rollup_id))[0]), default=0)

    async def batches(self) -> list[BatchReference]:
        return list(await self.settlement.batches(self.rollup_id, 0))

    async def claimed(self, block: int) -> int:
        """Waits for a claim that covers this block; returns the number of claims."""

        async def covered() -> bool:
            claims, _ = await self.settlement.claims(self.rollup_id)
            if not claims:
                return False
            found = await self.chain.rpc.call("eth_getBlockByHash", "0x" + claims[-1].post_state.hex(), False)
            return found is not None and quantity(found["number"]) >= block

        await until(covered, f"a claim on block {block} of {self.name}", PATIENCE_S)
        return await self.claims()


@dataclass(slots=True)
class Scene:
    """`patience_s`: how long a node under test may take to show what is expected of it."""

    folder: Path
    log: structlog.typing.FilteringBoundLogger
    stack: Stack
    trust: Trust
    rollups: dict[str, Rollup]
    rogue: NodeClient
    attestations: AttestationsClient
    patience_s: float = PATIENCE_S

    @property
    def alpha(self) -> Rollup:
        return self.rollups["alpha"]

    @property
    def beta(self) -> Rollup:
        return self.rollups["beta"]

    async def spoil(self, width: int) -> int:
        """Publishes on beta until a block of the rogue chain is wide enough; returns its height."""
        height = await self.rogue.latest()
        await self.beta.send_wide(width)

        async def wide() -> int:
            nonlocal height
            while height < await self.rogue.latest():
                try:
                    header, _ = await self.rogue.data_header(height + 1)
                except (NotFound, Unavailable):
                    return 0
                height += 1
                if header.square_size >= width:
                    return height
            return 0

        return await until(wide, "a wide block of the rogue chain", PATIENCE_S)

    async def goes_on(self) -> int:
        """alpha is used, published, attested and claimed twice more; returns its claims."""
        for _ in range(2):
            claims = await self.alpha.claimed(await self.alpha.send())
        return claims


@asynccontextmanager
async def stage(folder: Path, parts: SquareParts) -> AsyncIterator[Scene]:
    """The stack, funded and with a first claim on each rollup."""
    text = _STACK + "".join(_DA.format(name=name, rollup=rollup) for rollup, name in ROLLUPS.items())
    path = folder / "stack.toml"
    path.write_text(text)
    config = load(path)
    log = make_log(folder / "log" / "stack.jsonl")
    async with running(config, lambda event: None, log, squares={"rogue": parts}) as stack, AsyncExitStack() as closing:
        await stack.opened()
        trust = read_trust(stack.context.disk.trust)
        base = await Chain.connect(f"{stack.url}/base")
        closing.push_async_callback(base.aclose)
        contract = bytes.fromhex(trust.settlement["base"].contract)
        client = SettlementClient(base.rpc, contract, Transactor(base.rpc, DEV_ACCOUNTS[1], base.chain_id))
        rollups: dict[str, Rollup] = {}
        for name in ROLLUPS:
            chain = await Chain.connect(f"{stack.url}/{name}")
            closing.push_async_callback(chain.aclose)
            identity = trust.rollup[name].rollup_id
            assert identity is not None, "both rollups are settled"
            rollups[name] = Rollup(name, identity, chain, make_accounts(1, "attack")[0], client)
        rogue = await closing.enter_async_context(NodeClient(f"{stack.url}/rogue"))
        attestations = AttestationsClient(base.rpc, bytes.fromhex(trust.settlement["base"].attestations["rogue"]))
        scene = Scene(folder, log, stack, trust, rollups, rogue, attestations)
        async with asyncio.TaskGroup() as group:
            for rollup in rollups.values():
                group.create_task(_begin(rollup))
        yield scene


async def _begin(rollup: Rollup) -> None:
    """Money through the bridge, a transfer, a claim."""
    await rollup.settlement.deposit(rollup.rollup_id, rollup.user.address, MONEY)

    async def arrived() -> bool:
        return await rollup.chain.balance(rollup.user.address) >= MONEY

    await until(arrived, f"a deposit on {rollup.name}", PATIENCE_S)
    await rollup.claimed(await rollup.send())
