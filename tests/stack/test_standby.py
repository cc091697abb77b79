"""A rollup loses its sequencer, another takes its place from the layers below, and the old one comes back: by kill -9."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dougong.cli.demo.chain import Chain, until
from dougong.cli.demo.workload import ETHER, Account, make_accounts, order
from dougong.settlement.client import SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.stack.trust import read_trust
from tests.engines import anvil
from tests.stacks import SETTLED, blobs, ended, kill, ready, rollup, stack_toml, up, write_stack

CHAIN_ID = 31_337
ALPHA = rollup(
    "alpha",
    availability="blobs",
    **SETTLED,
    challenge_window_s=1,
    batch_interval_ms=300,
    claim_interval_ms=500,
)


def write(folder: Path, url: str, more: str = "") -> Path:
    return write_stack(folder, text=stack_toml(blobs(url, CHAIN_ID), ALPHA) + more)


async def trade(chain: Chain, giver: Account, people: list[Account]) -> int:
    """Through this node; returns the block of the last."""
    receipts = await chain.included(
        await chain.send_all([order("transfer", giver, person.address, value=10**15) for person in people])
    )
    return max(int(receipt["blockNumber"], 16) for receipt in receipts)


async def reached(chain: Chain, tag: str, height: int) -> None:
    async def there() -> bool:
        return await chain.height(tag) >= height

    await until(there, f"block {height} as {tag}", 90)


@pytest.mark.parametrize("more", ["", "process = true\n"], ids=["within", "alone"])
async def test_another_sequencer_takes_over_and_the_old_one_comes_back(tmp_path: Path, more: str) -> None:
    giver, people = Account(DEV_ACCOUNTS[2]), make_accounts(4)
    with anvil(tmp_path, "--block-time", "1") as url:
        first = write(tmp_path / "first", url, more)
        async with up(first) as old:
            facts = await ready(old)
            trust = read_trust(tmp_path / "first/data/trust.json")
            base = await Chain.connect(url)
            contract = bytes.fromhex(trust.settlement["base"].contract)
            rollup_id = trust.rollup["alpha"].rollup_id
            assert rollup_id is not None
            settlement = SettlementClient(base.rpc, contract, Transactor(base.rpc, DEV_ACCOUNTS[1], CHAIN_ID))
            await settlement.deposit(rollup_id, giver.address, 5 * ETHER)
            alpha = await Chain.connect(facts["alpha"]["url"])
            await reached(alpha, "latest", 1)

            # Without what the sequencer's stack knows, a standby would found another rollup: it says so, and does not.
            follows = more + f'sequencer = "follow"\nsequencer_url = "{facts["alpha"]["url"]}"\n'
            second = write(tmp_path / "second", url, follows)
            async with up(second) as stranger:
                code, said = await ended(stranger)
                assert (code != 0, "copy keys, genesis and deployment" in said) == (True, True)
            shutil.rmtree(tmp_path / "second/data")
            for part in ("genesis", "deployment"):
                shutil.copytree(tmp_path / "first/data" / part, tmp_path / "second/data" / part)

            async with up(second) as spare:
                standby = await Chain.connect((await ready(spare))["alpha"]["url"])
                await reached(standby, "latest", 1)
                hashes = await standby.send_all([order("transfer", giver, person.address, value=10**15) for person in people])
                receipts = await alpha.included(hashes)  # handed on to the sequencer
                height = max(int(receipt["blockNumber"], 16) for receipt in receipts)
                await reached(alpha, "finalized", height)
                await reached(standby, "finalized", height)
                assert await standby.block_hash(height) == await alpha.block_hash(height)
                await trade(alpha, giver, people)  # perhaps published, perhaps not: what the kill meets
                await kill(old)
                await alpha.aclose()
                await standby.aclose()

        second = write(tmp_path / "second", url, more)
        async with up(second) as new:
            alpha = await Chain.connect((await ready(new))["alpha"]["url"])
            await reached(alpha, "latest", height)
            known = await alpha.nonce(giver.address)
            assert known >= len(people), "what was published is there"
            again = Account(DEV_ACCOUNTS[2])
            again.nonce = known
            head = await trade(alpha, again, people)
            await reached(alpha, "finalized", head)
            expected = await alpha.block_hash(head)
            await alpha.aclose()
            await kill(new)

        async with up(first) as old:
            alpha = await Chain.connect((await ready(old))["alpha"]["url"])
            await reached(alpha, "finalized", head)
            assert await alpha.block_hash(head) == expected
            again.nonce = await alpha.nonce(giver.address)
            assert again.nonce >= known + len(people)
            head = await trade(alpha, again, people)
            await reached(alpha, "finalized", head)
            await alpha.aclose()
