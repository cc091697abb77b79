"""Rollups whose data lies in the blobs of the chain that they settle on, with anvil as that chain: traded on, killed, rebuilt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dougong.availability.kzg import da_id
from dougong.cli.demo.chain import Chain, until
from dougong.cli.demo.stage import node_report
from dougong.cli.demo.workload import ETHER, Account, make_accounts, order
from dougong.settlement.client import SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS, Keyring
from dougong.stack.trust import BlobsTrust, read_trust
from dougong.types import ZERO_HASH
from tests.engines import anvil
from tests.stacks import SETTLED, blobs, kill, ready, rollup, stack_toml, up, write_stack

CHAIN_ID = 31_337
ALPHA = rollup(
    "alpha",
    availability="blobs",
    **SETTLED,
    challenge_window_s=1,
    batch_interval_ms=300,
    claim_interval_ms=500,
)
FREE = rollup("free", availability="blobs", block_time_ms=100, batch_interval_ms=300)


@dataclass
class Traffic:
    """One giver's transfers on one chain."""

    chain: Chain
    giver: Account
    people: list[Account]

    async def trade(self) -> int:
        """Returns the block that has the last of them."""
        orders = [order("transfer", self.giver, person.address, value=10**15) for person in self.people]
        receipts = await self.chain.included(await self.chain.send_all(orders))
        return max(int(receipt["blockNumber"], 16) for receipt in receipts)

    async def published(self, height: int) -> None:
        async def reached() -> bool:
            return await self.chain.height("finalized") >= height

        await until(reached, f"block {height} in blobs", 90)


async def rebuilt(path: Path, facts: dict[str, Any], rollup: str, folder: str, height: int) -> dict[str, Any]:
    """What a node says that started with a trust file, URLs and an empty folder."""
    home = path.parent / folder
    home.mkdir()
    trust = ("--api", facts[""]["url"].rstrip("/"), "--trust", str(path.parent / "data/trust.json"))
    return await node_report(
        folder, home, "verifying-node", rollup, "--until", str(height), *trust, "--folder", str(home / "store")
    )


async def test_rollups_on_blobs_trade_are_killed_and_are_rebuilt_from_blobs_alone(tmp_path: Path) -> None:
    people = make_accounts(5)
    givers = {name: Account(DEV_ACCOUNTS[2]) for name in ("alpha", "free")}
    with anvil(tmp_path, "--block-time", "1") as url:
        path = write_stack(tmp_path, text=stack_toml(blobs(url, CHAIN_ID), ALPHA, FREE))
        async with up(path) as process:
            facts = await ready(process)
            assert facts[""]["chains"] == ["alpha", "base", "blobs", "free"]
            trust = read_trust(tmp_path / "data/trust.json")
            assert trust.blobs == {"blobs": BlobsTrust(chain_id=CHAIN_ID, url=url, beacon_url=url, confirmations=1)}
            assert trust.settlement["base"].attestations == {}
            rollup_id = trust.rollup["alpha"].rollup_id
            assert rollup_id is not None
            base = await Chain.connect(url)
            settlement = SettlementClient(
                base.rpc, bytes.fromhex(trust.settlement["base"].contract), Transactor(base.rpc, DEV_ACCOUNTS[1], CHAIN_ID)
            )
            registered = await settlement.rollup(rollup_id)
            assert (registered.attestations, registered.da_id) == (bytes(20), da_id(CHAIN_ID))
            await settlement.deposit(rollup_id, givers["alpha"].address, 5 * ETHER)
            alpha = await Chain.connect(facts["alpha"]["url"])

            async def arrived() -> bool:
                return await alpha.balance(givers["alpha"].address) == 5 * ETHER

            await until(arrived, "the deposit", 90)
            heights = {}
            for name, giver in givers.items():
                traffic = Traffic(await Chain.connect(facts[name]["url"]), giver, people)
                heights[name] = await traffic.trade()
                await traffic.published(heights[name])
                await traffic.trade()  # what the kill meets on its way
                await traffic.chain.aclose()
            await alpha.aclose()
            await kill(process)
        async with up(path) as process:
            facts = await ready(process)
            for name, giver in givers.items():
                traffic = Traffic(await Chain.connect(facts[name]["url"]), giver, people)
                assert await traffic.chain.nonce(giver.address) == giver.nonce, "what was acknowledged is there"
                height = await traffic.trade()
                await traffic.published(height)
                report = await rebuilt(path, facts, name, f"verifying-{name}", height)
                assert report["block_hash"] == (await traffic.chain.block_hash(height)).hex()
                assert report["share_bytes"] >= report["batches"] * 131_072 > 0
                await traffic.chain.aclose()

            home = tmp_path / "light"
            home.mkdir()
            trust_file = ("--api", facts[""]["url"].rstrip("/"), "--trust", str(tmp_path / "data/trust.json"))
            light = await node_report("light", home, "light-node", "--once", *trust_file, "--folder", str(home / "store"))
            assert light["rollups"]["alpha"]["batches"] > 0
            assert any("blobs, 16 cells of each sampled" in line for line in light["verified"])

            async def final() -> bool:
                return await settlement.final_claim(rollup_id) != ZERO_HASH

            await until(final, "a final claim", 60)
        batches = await settlement.batches(rollup_id, 0)
        assert all(batch.da_id == da_id(CHAIN_ID) and batch.placement is not None for batch in batches)
        assert len({batch.placement.data_root for batch in batches if batch.placement}) == len(batches), "none was appended twice"
        relayer = Keyring.open(tmp_path / "unused", dev=True).account("relayer.base").address
        assert await base.balance(relayer) == 0, "nobody attests, so nobody pays for attestations"
        await base.aclose()
