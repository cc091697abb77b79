"""A stack as its operator meets it: started, stopped, killed, started again, on sockets and disks that are not well."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from dougong.cli.demo.chain import Chain, until
from dougong.cli.demo.stage import node_report
from dougong.cli.demo.workload import ETHER, Account, make_accounts, order, signed
from dougong.crypto.hashing import keccak256
from dougong.settlement.client import SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS, Keyring
from dougong.stack.squares import ROLE_UTIA
from tests.engines import anvil
from tests.stacks import EMBEDDED, dougong, ended, ethereum, events_until, kill, ready, up, write_stack

# --- money ----------------------------------------------------------------------------------------------------------


async def test_who_publishes_is_funded_and_can_be_funded_again(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    async with up(path) as process:
        await ready(process)
        before = json.loads(await dougong("status", str(path), "--json"))["markets"]["square"]
        assert before["min_base_fee"] == 4_000_000 <= before["base_fee"]
        assert 0 < before["balances"]["sequencer.alpha"]["utia"] <= ROLE_UTIA
        paid = json.loads(await dougong("pay", "sequencer.alpha", str(3 * ROLE_UTIA), str(path), "--json"))
        assert paid["to"] == before["balances"]["sequencer.alpha"]["address"]
        after = json.loads(await dougong("status", str(path), "--json"))["markets"]["square"]
        assert after["balances"]["sequencer.alpha"]["utia"] > 3 * ROLE_UTIA
        assert after["supply"] < before["supply"]
        shown = await dougong("status", str(path))
        assert "base fee 0.004 utia/gas" in shown
        assert "sequencer.free" in shown


# --- start and stop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_up_serves_stops_on_a_signal_and_resumes(tmp_path: Path, number: signal.Signals) -> None:
    path = write_stack(tmp_path)
    async with up(path) as process:
        facts = await ready(process)
        assert facts[""]["chains"] == ["alpha", "base", "free", "square"]
        async with httpx.AsyncClient() as http:
            health = (await http.get(facts["alpha"]["url"])).json()
            metrics = (await http.get(f"{facts['']['url']}/metrics")).text
        assert health["chainId"] == facts["alpha"]["chain_id"]
        assert 'dougong_blocks_total{rollup="alpha"}' in metrics
        assert 'dougong_blocks_total{rollup="free"}' in metrics
        process.process.send_signal(number)
        code, said = await ended(process)
        assert code == 130
        assert "Traceback" not in said
    async with up(path) as process:
        again = await ready(process)
    for name in ("alpha", "free"):
        assert (again[name]["genesis"], again[name]["rollup_id"]) == (facts[name]["genesis"], facts[name]["rollup_id"])


async def test_a_signal_during_the_start(tmp_path: Path) -> None:
    async with up(write_stack(tmp_path)) as process:
        await events_until(process, "chain", "square")
        process.process.send_signal(signal.SIGINT)
        code, said = await ended(process)
    assert code == 130
    assert "Traceback" not in said


async def test_one_stack_a_folder(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    async with up(path) as process:
        await events_until(process, "chain", "square")
        async with up(path) as second:
            code, said = await ended(second)
    assert code == 1
    assert "another dougong runs on" in said


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with up(write_stack(tmp_path, ("127.0.0.1:0", f"127.0.0.1:{port}"))) as process:
            code, said = await ended(process)
    assert code == 2
    assert f"127.0.0.1:{port} is in use" in said
    assert "Traceback" not in said


async def test_another_stack_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with up(write_stack(tmp_path)) as process:
        await events_until(process, "chain", "square")
    async with up(write_stack(tmp_path, ("challenge_window_s = 2", "challenge_window_s = 3"))) as process:
        code, said = await ended(process)
    assert code == 2
    assert "challenge_window_s 2 → 3" in said


# --- one layer's failure stays there --------------------------------------------------------------------------------


async def test_a_settlement_node_that_is_away_stops_only_its_rollups(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with up(write_stack(tmp_path, (EMBEDDED, ethereum(url, 31_337)))) as process:
        seen = await events_until(process, "ready")
        assert seen[-1]["chains"] == ["free", "square"]
        (waiting,) = [event for event in seen if event["event"] == "waiting"]
        assert waiting["name"] == "base"
        assert url in waiting["error"]
        assert waiting["remedy"]


async def test_any_ethereum_node_settles(tmp_path: Path) -> None:
    with anvil(tmp_path) as url:
        async with up(write_stack(tmp_path, (EMBEDDED, ethereum(url, 31_337)))) as process:
            facts = await ready(process)
            assert facts[""]["chains"] == ["alpha", "base", "free", "square"]
            assert facts["base"]["url"] == url
        async with up(write_stack(tmp_path, (EMBEDDED, ethereum(url, 1)))) as process:
            code, said = await ended(process)
    assert code == 2
    assert "names chain 1" in said
    assert "is on chain 31337" in said


async def test_a_rollups_corrupt_store_stops_only_that_rollup(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    async with up(path) as process:
        facts = await ready(process)
    store = tmp_path / "data/rollup/alpha/services/data.mdb"
    store.write_bytes(b"\xff" * store.stat().st_size)
    async with up(path) as process:
        seen = await events_until(process, "ready")
        assert seen[-1]["chains"] == ["base", "free", "square"]
        (failed,) = [event for event in seen if event["event"] == "failed"]
        assert failed["name"] == "alpha"
        assert str(store.parent) in failed["error"]
        free = await Chain.connect(next(event["url"] for event in seen if event["name"] == "free"))
        await free.send([order("transfer", Account(DEV_ACCOUNTS[0]), bytes(20), value=1)])
        await free.aclose()
    assert facts["alpha"]["rollup_id"] == 1


# --- kill -9 --------------------------------------------------------------------------------------------------------


async def test_killed_while_it_deploys_it_deploys_everything_once(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    for kind, name in (("chain", "base"), ("deployed", "base")):
        async with up(path) as process:
            await events_until(process, kind, name)
    async with up(path) as process:
        facts = await ready(process)
        base = await Chain.connect(facts["base"]["url"])
        deployer = Keyring.open(tmp_path / "unused", dev=True).account("deployer.base").address
        # settlement, attestations, verifier, and the registration
        assert await base.nonce(deployer) == 4
        await base.aclose()
    assert facts["alpha"]["rollup_id"] == 1


async def test_killed_under_load_it_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    people = make_accounts(20)
    acknowledged: dict[str, set[bytes]] = {"alpha": set(), "free": set()}
    async with up(path) as process:
        facts = await ready(process)
        chains = {name: await Chain.connect(facts[name]["url"]) for name in acknowledged}
        await _deposit(facts, chains["alpha"])
        loads = [
            asyncio.create_task(_load(chain, [Account(key) for key in DEV_ACCOUNTS], people, acknowledged[name]))
            for name, chain in chains.items()
        ]
        for name in acknowledged:
            await until(partial(_several, acknowledged[name], 150), f"enough transactions acknowledged on {name}")
        await kill(process)
        await asyncio.wait(loads)
        for chain in chains.values():
            await chain.aclose()
    async with up(path) as process:
        facts = await ready(process)
        trust = ("--api", facts[""]["url"].rstrip("/"), "--trust", str(tmp_path / "data/trust.json"))
        for name, hashes in acknowledged.items():
            chain = await Chain.connect(facts[name]["url"])
            chain.reread()
            receipts = await chain.included(sorted(hashes))
            assert len(receipts) == len(hashes) >= 150
            height = max(int(receipt["blockNumber"], 16) for receipt in receipts)
            folder = tmp_path / f"verifying-{name}"
            await asyncio.to_thread(folder.mkdir)
            store = ("--folder", str(folder / "store"))
            report = await node_report(folder.name, folder, "verifying-node", name, "--until", str(height), *trust, *store)
            assert report["block_hash"] == (await chain.block_hash(height)).hex()
            await chain.aclose()


async def _deposit(facts: dict[str, Any], alpha: Chain) -> None:
    """Ether for everyone who sends on alpha, through the bridge."""
    base = await Chain.connect(facts["base"]["url"])
    transactor = Transactor(base.rpc, DEV_ACCOUNTS[0], base.chain_id)
    settlement = SettlementClient(base.rpc, bytes.fromhex(facts["base"]["settlement"][2:]), transactor)
    for key in DEV_ACCOUNTS:
        await settlement.deposit(facts["alpha"]["rollup_id"], key.address, 10 * ETHER)

    async def arrived() -> bool:
        return all([await alpha.balance(key.address) > 0 for key in DEV_ACCOUNTS])

    await until(arrived, "the deposits")
    await base.aclose()


async def _load(chain: Chain, givers: list[Account], people: list[Account], acknowledged: set[bytes]) -> None:
    """Sends until nobody answers any more. What is noted is what was acknowledged."""

    async def give(giver: Account) -> None:
        while True:
            orders = [order("transfer", giver, person.address, value=ETHER // 1000) for person in people[:5]]
            for raw in signed(orders, chain.chain_id):
                await chain.rpc.call("eth_sendRawTransaction", "0x" + raw.hex(), idempotent=False)
                acknowledged.add(keccak256(raw))

    await asyncio.gather(*(give(giver) for giver in givers), return_exceptions=True)


async def _several(acknowledged: set[bytes], count: int) -> bool:
    return len(acknowledged) >= count
