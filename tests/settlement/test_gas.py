"""The gas table in docs/spec/settlement.md is what the contracts use."""

from __future__ import annotations

import re
from pathlib import Path

from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.crypto.attestation import attestation_digest, attestors_hash
from dougong.settlement.attestations import AttestationsClient
from dougong.settlement.contract import deploy
from dougong.settlement.deployment import deploy_attestations
from dougong.settlement.outbox import OutboxTree
from dougong.types import Attestation, Attestor, OutboxMessage
from tests.settlement.sidecars import sidecar
from tests.settlement.world import DA_ID, World, key_of

PAGE = Path(__file__).parents[2] / "docs/spec/settlement.md"
ROW = re.compile(r"^\| ([^|]+) \| ([\d,]+) \|$", re.MULTILINE)
TOLERANCE = 0.02  # zero bytes in hashes and signatures are cheaper


async def attestation_gas(world: World, count: int) -> int:
    keys = sorted((key_of(f"of {count}: {n}") for n in range(count)), key=lambda key: key.address)
    members = tuple(Attestor(key.address, 1) for key in keys)
    client = AttestationsClient(world.rpc, await deploy_attestations(world.owner, DA_ID, members), world.owner)
    gas = 0
    for height in (1, 2):  # the second is the usual case: nothing is written for the first time
        digest = attestation_digest(DA_ID, height, b"\7" * 32, attestors_hash(members))
        signatures = tuple(key.sign_digest(digest) for key in keys)
        gas = (await client.attest(Attestation(DA_ID, height, b"\7" * 32, attestors_hash(members), members, signatures))).gas_used
    return gas


async def append_gas(world: World, width: int) -> int:
    placement = world.publish(b"\x55" * 5000, start=width + 1, width=width)
    attested = await world.attest()
    await (await world.client("sequencer")).append_batch(world.rollup_id, placement, 0, *world.proof(placement, attested))
    return world.gas["append_batch"]


async def blob_append_gas(world: World, blobs: int) -> int:
    """The second append of a rollup, which writes what most do."""
    rollup_id = await world.register_on_blobs()
    sequencer = await world.client("sequencer")
    for index in range(2):
        await sequencer.append_blob_batch(rollup_id, sidecar(*[b"one"] * blobs), 0, index=index)
    return world.gas["append_blob_batch"]


async def measure(world: World) -> dict[str, int]:
    gas: dict[str, int] = {}
    for name, arguments in (("Settlement", ()), ("Attestations", (DA_ID, b"\1" * 32))):
        receipt = await world.owner.send(None, Abi(artifact(name)).deployment(*arguments))
        gas[f"deploy {name}"] = receipt.gas_used
    gas["register"] = world.gas["register"]
    for count in (1, 4, 20, 100):
        gas[f"attest, {count} signature{'s' if count > 1 else ''}"] = await attestation_gas(world, count)
    user, sequencer = await world.client(), await world.client("sequencer")
    for _ in range(2):
        await user.deposit(world.rollup_id, b"\x0a" * 20, 10**18)
    gas["deposit"] = world.gas["deposit"]
    await user.force(world.rollup_id, b"\x55" * 120)
    gas["force, 120 bytes"] = world.gas["force"]
    for _ in range(200):
        world.publish(b"x", start=0, width=1)
    await sequencer.append_empty_batch(world.rollup_id, 0)
    for width in (8, 64, 128):
        gas[f"append_batch, k = {width}"] = await append_gas(world, width)
    if (await world.rpc.call("web3_clientVersion")).startswith("anvil"):  # the embedded chain carries no blobs
        for count in (1, 6):
            gas[f"append_blob_batch, {count} blob{'s' if count > 1 else ''}"] = await blob_append_gas(world, count)
    await sequencer.append_empty_batch(world.rollup_id, 3)
    gas["append_empty_batch"] = world.gas["append_empty_batch"]
    tree = OutboxTree()
    messages = [OutboxMessage(n, b"\x0a" * 20, b"\x0b" * 20, 10**17) for n in range(3)]
    for message in messages:
        tree.append(message)
    claim = await world.claim()
    await world.settle(claim)
    await world.append(inbox_end=3)
    identity = await world.settle(await world.claim(post_state=b"\x05" * 32, outbox_root=tree.root, after=claim))
    gas["post_claim"], gas["finalize"] = world.gas["post_claim"], world.gas["finalize"]
    for message in messages:
        await user.withdraw(world.rollup_id, identity, message, tree.prove(message.index))
    gas["withdraw"] = world.gas["withdraw"]
    outbox = await deploy(world.owner, artifact("Outbox"))
    for _ in range(3):  # then both write where something stands already, as most do
        gas["outbox: withdraw"] = (await outbox.send("withdraw", b"\x0a" * 20, value=1)).gas_used
        gas["outbox: send, 100 bytes"] = (await outbox.send("send", b"\x0a" * 20, b"\x55" * 100)).gas_used
    return gas


async def test_the_gas_table_is_measured(world: World) -> None:
    measured = await measure(world)
    table = "\n".join(f"| {name} | {gas:,} |" for name, gas in measured.items())
    stated = {name: int(gas.replace(",", "")) for name, gas in ROW.findall(PAGE.read_text())}
    carried = {name for name in stated if name in measured or "blob" not in name}
    assert carried == measured.keys(), f"the table should be\n{table}"
    off = {name: gas for name, gas in measured.items() if abs(gas - stated[name]) > TOLERANCE * gas}
    assert not off, f"{sorted(off)}: the table should be\n{table}"
