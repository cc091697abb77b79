"""The main job, small; and its parts, alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from dougong._native import decode_transactions
from dougong.cli.demo import Options, perform
from dougong.cli.demo.figures import table
from dougong.cli.demo.phases import PHASES, check
from dougong.cli.demo.scene import Scene
from dougong.cli.demo.workload import Market, make_accounts, order, signed, trades
from dougong.cli.ending import family_error
from dougong.errors import ConfigError, Divergence

MARKET = Market(token=b"\x01" * 20, exchange=b"\x02" * 20)


async def test_the_main_job(tmp_path: Path) -> None:
    async def is_told_a_lie(scene: Scene) -> None:
        """What the demo is for: whoever rebuilds the rollup notices that its sequencer says something else."""
        scene.rollups[1].facts["root"] = "00" * 32
        with pytest.raises(BaseException) as caught:  # noqa: PT011  the one that matters is inside a group
            await check(scene)
        found = family_error(caught.value)
        assert isinstance(found, Divergence)
        assert "beta" in str(found)

    told: list[str] = []
    options = Options(transactions=60, accounts=10)
    figures = await perform(options, tmp_path, lambda name, _: told.append(name), {**PHASES, "a lie": is_told_a_lie})
    assert set(PHASES) < set(told)
    assert figures["trade_transactions"] == 60
    assert figures["transactions"] == sum(figures["transactions_of"].values()) > 60
    assert figures["withdrawn_wei"] == 3 * 10**18
    assert "withdrawn before" in figures["second_withdrawal"]
    assert figures["forced_transactions"] == 1
    assert figures["light"]["cells"] > 0
    assert figures["light"]["attested_height"] > 0
    assert figures["claims_checked"] >= 2
    assert figures["verifying"]["free"]["claims_checked"] == 0
    for name in ("alpha", "beta", "free"):
        assert figures["verifying"][name]["block_hash"] == figures["roots"][name] or name == "beta"
        assert figures["verifying"][name]["batches"] > 0
    gas = figures["settlement_gas"]
    assert {"attest", "append_batch", "post_claim", "finalize", "deposit", "withdraw", "force", "deploy"} <= set(gas)
    assert all(entry["gas"] >= 21_000 * entry["count"] > 0 for entry in gas.values())
    assert json.loads(json.dumps(figures)) == figures
    assert table(figures).row_count > 10


def test_every_account_signs_for_itself_and_in_order() -> None:
    accounts = make_accounts(12)
    orders = trades(accounts, MARKET, 300, Random(7))
    infos = decode_transactions(signed(orders, 901))
    nonces: Counter[bytes] = Counter()
    for one, info in zip(orders, infos, strict=True):
        assert not isinstance(info, str)
        assert (info.sender, info.chain_id) == (one.account.address, 901)
        assert info.nonce == nonces[info.sender]
        nonces[info.sender] += 1
    assert set(nonces) == {account.address for account in accounts}
    assert {one.kind for one in orders} == {"approval", "transfer", "token transfer", "swap"}


def test_the_same_seed_makes_the_same_bytes() -> None:
    def once() -> list[bytes]:
        return signed(trades(make_accounts(10), MARKET, 50, Random("alpha")), 901)

    assert once() == once()


def test_a_transaction_for_one_rollup_is_none_for_another() -> None:
    orders = [order("transfer", make_accounts(1)[0], bytes(20), value=1)]
    assert signed(orders, 901) != signed(orders, 902)


@pytest.mark.parametrize(("transactions", "accounts"), [(2_400, 9), (300, 120), (2_400, 0), (20_000, 120)])
def test_too_few_or_too_many_are_refused(transactions: int, accounts: int) -> None:
    with pytest.raises(ConfigError, match="--"):
        Options(transactions, accounts)
