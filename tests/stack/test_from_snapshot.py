"""A stack that lost a rollup's folder goes on from a snapshot, under a final claim: it sequences, publishes and claims."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from dougong.errors import ConfigError
from dougong.net.jsonrpc import JsonRpc, RpcError, quantity
from dougong.settlement.client import SettlementClient
from dougong.settlement.encoding import claim_id
from dougong.stack.reading import parse
from dougong.types import ZERO_HASH
from tests.cli.test_snapshot_node import SOMEBODY, deposit, wait_for_wei
from tests.stacks import TWO_ROLLUPS, dougong, ready, up, write_stack

ETHER = 10**18


async def final_claim(base: JsonRpc, contract: bytes, least: int) -> tuple[bytes, bytes]:
    """The id and the block's hash of the last final claim, once it covers `least` batches."""
    settlement = SettlementClient(base, contract)
    async with asyncio.timeout(90):
        while True:
            identity = await settlement.final_claim(1)
            if identity != ZERO_HASH and (claim := await settlement.claim(identity)).batch_end >= least:
                assert claim_id(claim) == identity
                return identity, claim.post_state
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("process", [False, True])
async def test_a_stack_goes_on_from_a_snapshot(tmp_path: Path, process: bool) -> None:
    alone = ("batch_interval_ms = 300", "batch_interval_ms = 300\nclaim_interval_ms = 500\nprocess = true" if process else "")
    path = write_stack(tmp_path, *([alone] if process else []))
    async with up(path) as stack:
        facts = await ready(stack)
        contract = bytes.fromhex(facts["base"]["settlement"][2:])
        async with JsonRpc(facts["base"]["url"]) as base, JsonRpc(facts["alpha"]["url"]) as alpha:
            await deposit(base, contract)
            await wait_for_wei(alpha, ETHER)
            identity, state = await final_claim(base, contract, 1)
            number = quantity((await alpha.call("eth_getBlockByHash", "0x" + state.hex(), False))["number"])
            await deposit(base, contract)
            last = await wait_for_wei(alpha, 2 * ETHER)
            expected = (await alpha.call("eth_getBlockByNumber", hex(last), False))["hash"]
    file = tmp_path / "alpha.snapshot"
    await dougong("snapshot", "export", str(file), "alpha", str(path), "--block", str(number))
    shutil.rmtree(tmp_path / "data/rollup/alpha")

    begun = 'snapshot = "alpha.snapshot"\nsnapshot_claim = "0x{}"\n[rollup.free]'
    text = path.read_text()
    path.write_text(text.replace("[rollup.free]", begun.format(identity[::-1].hex())))
    async with up(path) as stack:  # a claim that nobody posted: alpha waits and says so, the others go on
        seen = [await stack.event()]
        while seen[-1]["event"] != "waiting":
            seen.append(await stack.event())
        assert seen[-1]["name"] == "alpha"
        assert "holds no claim" in seen[-1]["error"]

    path.write_text(text.replace("[rollup.free]", begun.format(identity.hex())))
    for already in (2, 3):  # the second time with what the first one left
        async with up(path) as stack:
            facts = await ready(stack)
            async with JsonRpc(facts["base"]["url"]) as base, JsonRpc(facts["alpha"]["url"]) as alpha:
                await wait_for_wei(alpha, already * ETHER)
                assert (await alpha.call("eth_getBlockByNumber", hex(last), False))["hash"] == expected
                with pytest.raises(RpcError) as gone:
                    await alpha.call("eth_getBalance", "0x" + SOMEBODY.hex(), hex(max(0, number - 1)))
                assert "not available" in str(gone.value)
                covered = (await SettlementClient(base, contract).batch_count(1)) + 1
                await deposit(base, contract)
                await wait_for_wei(alpha, (already + 1) * ETHER)
                await final_claim(base, contract, covered)


async def test_a_stack_that_never_knew_the_rollup_says_so(tmp_path: Path) -> None:
    (tmp_path / "alpha.snapshot").write_bytes(b"no matter what")
    begun = f'snapshot = "alpha.snapshot"\nsnapshot_claim = "0x{"07" * 32}"\n[rollup.free]'
    path = write_stack(tmp_path, ("[rollup.free]", begun))
    async with up(path) as stack:
        seen = [await stack.event()]
        while seen[-1]["event"] not in ("failed", "waiting"):
            seen.append(await stack.event())
        assert "alpha is not registered yet" in seen[-1]["error"]
        assert "copy keys, genesis and deployment" in seen[-1]["remedy"]


@pytest.mark.parametrize(
    ("rollup", "line", "says"),
    [
        ("alpha", 'snapshot = "file"', "go together"),
        ("alpha", f'snapshot_claim = "0x{"07" * 32}"', "go together"),
        ("alpha", 'snapshot = "file"\nsnapshot_claim = "0x07"', "snapshot_claim"),
        ("free", f'snapshot = "file"\nsnapshot_claim = "0x{"07" * 32}"', "without a settlement"),
    ],
)
def test_what_says_no_beginning_is_refused(rollup: str, line: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(TWO_ROLLUPS.replace(f"[rollup.{rollup}]", f"[rollup.{rollup}]\n{line}"), source="stack.toml", base=Path())


def test_a_relative_snapshot_starts_at_the_file() -> None:
    line = f'snapshot = "file"\nsnapshot_claim = "0x{"07" * 32}"'
    config = parse(TWO_ROLLUPS.replace("[rollup.alpha]", f"[rollup.alpha]\n{line}"), source="stack.toml", base=Path("/somewhere"))
    assert config.rollup["alpha"].snapshot == Path("/somewhere/file")
