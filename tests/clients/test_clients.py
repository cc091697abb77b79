"""The libraries that people use, unchanged, against a rollup's sequencer and against anvil: the same has to come of the same.

ethers and viem run as programs beside this file; cast is foundry's own binary; web3.py is called from Python. Each deploys a
token and a market, trades there with a transaction of each type, reads everything back, meets reverts, refusals, a nonce gap and
a replaced transaction, and follows events. What must differ is named (`OWN`), and so is where we follow go-ethereum and anvil
does not (`ANVIL`); anything else that differs fails.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dougong.contracts import BUILD
from tests.clients.cast_program import cast_program
from tests.clients.web3_program import web3_program
from tests.clients.world import Node, account, anvil_node, our_node

HERE = Path(__file__).parent

# Of each chain's own: its blocks, what they cost and when they were made. The type has to be the same.
OWN = {
    *("blockHash", "parentHash", "stateRoot", "timestamp", "blockTimestamp", "baseFeePerGas", "gasPrice", "effectiveGasPrice"),
    *("blockNumber", "number", "oldestBlock", "prevRandao", "mixHash", "reward", "accountProof", "extraData", "size"),
}
# Anvil tells of blob gas where there is no blob, in receipts of the block's time as well; its total difficulty is of before the
# merge. go-ethereum says none of that.
ANVIL = {"blobGasPrice", "totalDifficulty"}
# An estimate may lie so far above the least limit that suffices, as geth's does; anvil's is the least.
SLACK = 0.015


@dataclass(frozen=True, slots=True)
class Pair:
    theirs: str
    ours: Node


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with anvil_node(tmp_path_factory.mktemp("anvil")) as theirs, our_node(tmp_path_factory.mktemp("ours")) as ours:
        yield Pair(theirs, ours)


def differences(theirs: Any, ours: Any, place: str) -> Iterator[str]:
    """Where two printed values differ that should not."""
    key = place.rsplit(".", 1)[-1]
    if key in OWN or place == "block.hash":
        if type(theirs) is not type(ours):
            yield f"{place}: anvil {theirs!r}, we {ours!r}"
    elif isinstance(theirs, dict) and isinstance(ours, dict):
        more = ANVIL | {"blockTimestamp"} if "logsBloom" in theirs else ANVIL
        for name in sorted((theirs.keys() | ours.keys()) - more):
            if (name in theirs) != (name in ours):
                yield f"{place}.{name}: only {'anvil' if name in theirs else 'we'} tell of it"
            else:
                yield from differences(theirs[name], ours[name], f"{place}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(one, other, f"{place}.{index}")
    elif place.startswith("estimate") and isinstance(theirs, str) and isinstance(ours, str):
        least, found = int(theirs, 16), int(ours, 16)
        if not least <= found <= least / (1 - SLACK):
            yield f"{place}: the least is {least}, we say {found}"
    elif theirs != ours:
        yield f"{place}: anvil {theirs!r}, we {ours!r}"


def compare(theirs: list[dict[str, Any]], ours: list[dict[str, Any]], *, least: int) -> None:
    assert [line["step"] for line in theirs] == [line["step"] for line in ours]
    assert len(ours) >= least
    found = [
        text for one, other in zip(theirs, ours, strict=True) for text in differences(one["value"], other["value"], one["step"])
    ]
    assert not found, "\n".join(found)
    steps = {line["step"]: line["value"] for line in ours}  # and it is not that both are wrong
    assert all("too late" in json.dumps(steps[name]) for name in ("revert: call", "revert: estimate"))
    assert steps["7702: storage"] in (5, "5", "0x5")
    assert steps["behind a gap: nonces"] == [0, 0]
    assert steps["nonces at the end"][0] == steps["nonces at the end"][1]


async def program(name: str, url: str) -> list[dict[str, Any]]:
    """What the program printed. It has to end, and well."""
    command = ("node", str(HERE / f"{name}.mjs"), url, "0x" + account(name).secret.hex(), str(BUILD))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            printed, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        printed, errors = await process.communicate()
    assert process.returncode == 0, f"{name} at {url}:\n{errors.decode()[-3_000:]}\nprinted last:\n{printed.decode()[-1_000:]}"
    return [json.loads(line) for line in printed.splitlines()]


async def both(name: str, pair: Pair) -> list[list[dict[str, Any]]]:
    return list(await asyncio.gather(program(name, pair.theirs), program(name, pair.ours.url)))


async def test_ethers(pair: Pair) -> None:
    compare(*await both("ethers", pair), least=35)


async def test_viem(pair: Pair) -> None:
    compare(*await both("viem", pair), least=40)


async def test_web3(pair: Pair) -> None:
    secret = account("web3").secret
    compare(*await asyncio.gather(web3_program(pair.theirs, secret), web3_program(pair.ours.url, secret)), least=40)


async def test_cast(pair: Pair) -> None:
    secret = account("cast").secret
    compare(*await asyncio.gather(cast_program(pair.theirs, secret), cast_program(pair.ours.url, secret)), least=40)
