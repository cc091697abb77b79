"""The main job, phase by phase: each one takes the scene, does one thing, and leaves its figures."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from dougong.cli.demo.chain import until
from dougong.cli.demo.scene import FUNDERS, Rollup, Scene
from dougong.cli.demo.stage import node_report
from dougong.cli.demo.workload import APPROVE_GAS, ETHER, SWAP_GAS, Account, Market, Order, call, order, signed, spread, trades
from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.contracts.predeploys import OUTBOX_ADDRESS
from dougong.crypto.hashing import keccak256
from dougong.errors import Divergence, NotFound, Rejected
from dougong.net.jsonrpc import data, quantity
from dougong.services.rollup.withdrawal import Withdrawals
from dougong.stack.keys import DEV_ACCOUNTS

__all__ = ["PHASES", "Phase", "check"]

Phase = Callable[[Scene], Awaitable[None]]

DEPLOY_GAS = 4_000_000
POCKET_MONEY = ETHER
POCKET_TOKENS = 100 * ETHER
POOL_ETHER, POOL_TOKENS = 100 * ETHER, 100_000 * ETHER
WITHDRAWN = 3 * ETHER
HOME = DEV_ACCOUNTS[9].address  # where the money goes on settlement
NEVER = 2**256 - 1


async def each(rollups: list[Rollup], work: Callable[[Rollup], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for rollup in rollups:
            group.create_task(_run(work(rollup)))


async def _run(work: Awaitable[None]) -> None:
    await work


async def deposit(scene: Scene) -> None:
    """Ether comes in through the bridge, for a market maker and those who will hand it on. The sovereign rollup has no bridge:
    its genesis made its market maker rich."""

    async def into(rollup: Rollup) -> None:
        assert rollup.rollup_id is not None
        givers = rollup.traders[:FUNDERS]
        per_giver = 2 * POCKET_MONEY * -(-len(rollup.traders) // len(givers))
        amounts = {rollup.maker: 2 * POOL_ETHER, rollup.silenced: POCKET_MONEY, **dict.fromkeys(givers, per_giver)}
        async with asyncio.TaskGroup() as group:
            for account, amount in amounts.items():
                group.create_task(_run(_one(rollup.rollup_id, account, amount)))

        async def arrived() -> bool:
            return all([await rollup.chain.balance(account.address) >= amount for account, amount in amounts.items()])

        await until(arrived, f"deposits on {rollup.name}")
        scene.figures["deposits"] = scene.figures.get("deposits", 0) + len(amounts)

    async def _one(rollup_id: int, account: Account, amount: int) -> None:
        await scene.settlement.deposit(rollup_id, account.address, amount)

    await each(scene.settled, into)


async def open_markets(scene: Scene) -> None:
    """A token and an exchange on each rollup, with liquidity; and pocket money for every trader."""

    async def on(rollup: Rollup) -> None:
        maker, chain = rollup.maker, rollup.chain
        maker.nonce = await chain.nonce(maker.address)
        supply = 2 * POOL_TOKENS + POCKET_TOKENS * len(rollup.traders)
        token = await _deploy(rollup, "Token", "Timber", "TIM", supply)
        exchange = await _deploy(rollup, "Exchange", token)
        rollup.market = Market(token, exchange)
        approve = call("approve(address,uint256)", exchange, NEVER)
        add = call("add_liquidity(uint256,uint256,uint256)", POOL_TOKENS, 1, NEVER)
        await chain.send(
            [
                order("approval", maker, token, data=approve, gas=APPROVE_GAS),
                order("liquidity", maker, exchange, value=POOL_ETHER, data=add, gas=2 * SWAP_GAS),
            ]
        )
        await chain.send(_pocket_money(rollup, token))

    await each(scene.rollups, on)


async def _deploy(rollup: Rollup, name: str, *arguments: object) -> bytes:
    built = Abi(artifact(name)).deployment(*arguments)
    (receipt,) = await rollup.chain.send([order("deployment", rollup.maker, None, data=built, gas=DEPLOY_GAS)])
    return data(receipt["contractAddress"], 20)


def _pocket_money(rollup: Rollup, token: bytes) -> list[Order]:
    """Tokens from the maker; ether from those who were deposited for, each to some of the others."""
    ether = 2 * POCKET_MONEY if rollup.rollup_id is None else 0
    orders = spread(rollup.maker, rollup.traders, ether=ether, token=token, tokens=POCKET_TOKENS)
    if rollup.rollup_id is None:
        return orders
    givers, receivers = rollup.traders[:FUNDERS], rollup.traders[FUNDERS:]
    for number, giver in enumerate(givers):
        orders += spread(giver, receivers[number::FUNDERS], ether=POCKET_MONEY)
    return orders


async def trade(scene: Scene) -> None:
    """Transfers, approvals and swaps, each signed by its own account, through JSON-RPC."""
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def on(rollup: Rollup) -> None:
        assert rollup.market is not None
        orders = trades(rollup.traders, rollup.market, rollup.share, Random(rollup.name))
        await rollup.chain.send(orders)

    await each(scene.rollups, on)
    scene.figures["trade_transactions"] = scene.options.transactions
    scene.figures["trade_accounts"] = scene.options.accounts
    scene.figures["trade_per_second"] = round(scene.options.transactions / (loop.time() - started))


async def force(scene: Scene) -> None:
    """The sequencer takes a transaction and leaves it out; its sender puts it into the inbox instead."""
    alpha = scene.rollups[0]
    assert alpha.rollup_id is not None
    gift = order("forced", alpha.silenced, HOME, value=ETHER // 10)
    (raw,) = signed([gift], alpha.chain.chain_id)
    (ignored,) = await alpha.chain.send_all([gift])
    await alpha.chain.send([order("transfer", alpha.maker, HOME, value=1) for _ in range(3)])  # later, and in blocks
    if await alpha.chain.has(ignored):
        raise Divergence("the sequencer did not ignore the transaction that it was told to ignore")
    await scene.settlement.force(alpha.rollup_id, raw)
    await alpha.chain.included([keccak256(raw)])
    scene.figures["forced_transactions"] = 1


async def leave(scene: Scene) -> None:
    """Ether is sent home: it goes into the rollup's outbox."""
    alpha = scene.rollups[0]
    out = call("withdraw(address)", HOME)
    (receipt,) = await alpha.chain.send(
        [order("withdrawal", alpha.maker, OUTBOX_ADDRESS, value=WITHDRAWN, data=out, gas=200_000)]
    )
    alpha.facts["withdrawn_in"] = quantity(receipt["blockNumber"])


async def settle(scene: Scene) -> None:
    """Batches are published, attested and appended; claims are posted that cover everything so far."""

    async def on(rollup: Rollup) -> None:
        height = await rollup.chain.height()
        rollup.facts["height"] = height

        async def final() -> bool:
            return await rollup.chain.height("finalized") >= height

        async def claimed() -> bool:
            assert rollup.rollup_id is not None
            claims, _ = await scene.settlement.claims(rollup.rollup_id)
            if not claims:
                return False
            block = await rollup.chain.rpc.call("eth_getBlockByHash", "0x" + claims[-1].post_state.hex(), False)
            return block is not None and quantity(block["number"]) >= height

        await until(final, f"block {height} of {rollup.name} to be fixed")
        if rollup.rollup_id is not None:
            await until(claimed, f"a claim on block {height} of {rollup.name}")
        rollup.facts["root"] = (await rollup.chain.block_hash(height)).hex()

    await each(scene.rollups, on)


async def check(scene: Scene) -> None:
    """Others look: a light node samples every square and checks settlement; a verifying node for each rollup rebuilds it from DA
    and settlement alone. Each is a process of its own that starts from the trust file and an empty folder."""
    trust = scene.folder / "data" / "trust.json"

    async def node(name: str, *arguments: str) -> dict[str, Any]:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=scene.folder, prefix=f"{name}-"))
        shared = ("--api", scene.api, "--trust", str(trust), "--folder", str(folder / "store"))
        return await node_report(name, folder, *arguments, *shared)

    async def verifying(rollup: Rollup) -> None:
        height = int(rollup.facts["height"])
        report = await node(f"verifying-{rollup.name}", "verifying-node", rollup.name, "--until", str(height))
        rollup.facts["verifying"] = report
        if report["block_hash"] != rollup.facts["root"]:
            raise Divergence(
                f"block {height} of {rollup.name} is {rollup.facts['root']} to its sequencer and {report['block_hash']} to those "
                "who rebuild it"
            )

    async with asyncio.TaskGroup() as group:
        light = group.create_task(node("light", "light-node", "--once"))
        for rollup in scene.rollups:
            group.create_task(verifying(rollup))
    scene.facts["light"] = light.result()


async def come_home(scene: Scene) -> None:
    """The money is paid out once its claim is final, and not a second time."""
    alpha = scene.rollups[0]
    assert alpha.rollup_id is not None
    home = Withdrawals(scene.settlement, alpha.chain.rpc, rollup_id=alpha.rollup_id)

    async def payable() -> int | None:
        try:
            pending = await home.pending(HOME)
        except NotFound:  # no final claim covers it yet
            return None
        return pending[0].index + 1 if pending else None

    index = await until(payable, "the withdrawal's claim to be final") or 0
    before = await scene.base.balance(HOME)
    proven = await home.withdraw(index - 1)
    gained = await scene.base.balance(HOME) - before
    if gained != WITHDRAWN:
        raise Divergence(f"the withdrawal of {WITHDRAWN} wei paid {gained}")
    scene.figures["withdrawn_wei"] = gained
    try:
        await scene.settlement.withdraw(alpha.rollup_id, proven.claim_id, proven.message, proven.proof)
    except Rejected as error:
        scene.figures["second_withdrawal"] = str(error)
        return
    raise Divergence("the same money was paid out a second time")


PHASES: dict[str, Phase] = {
    "deposit through the bridge": deposit,
    "open token and exchange": open_markets,
    "trade": trade,
    "force an ignored transaction": force,
    "send money home": leave,
    "publish, attest, claim": settle,
    "check from outside": check,
    "withdraw, once": come_home,
}
