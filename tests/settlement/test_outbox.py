"""The predeploy and the Python tree are one tree: same roots, same leaves, from the log alone."""

from __future__ import annotations

import random

import pytest

from dougong.contracts import artifact
from dougong.contracts.predeploys import OUTBOX_ADDRESS, empty_outbox_root, outbox, outbox_root_slot
from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput, InvalidProof, NotFound, Rejected
from dougong.net.jsonrpc import data
from dougong.settlement.contract import Contract, deploy
from dougong.settlement.logs import logs
from dougong.settlement.outbox import OutboxTree, outbox_leaf, verify_message
from dougong.types import OutboxMessage, OutboxProof
from tests.settlement.world import World


def naive_root(leaves: list[bytes], depth: int = 32) -> bytes:
    """By the definition, a level at a time."""
    level, empty = list(leaves), bytes(32)
    for _ in range(depth):
        level = [sha256(level[i], level[i + 1] if i + 1 < len(level) else empty) for i in range(0, len(level), 2)]
        empty = sha256(empty, empty)
    return level[0] if level else empty


def message(index: int) -> OutboxMessage:
    payload = bytes([index]) * (index * 7 % 100)
    return OutboxMessage(index, b"\1" * 20, bytes([index + 1]) * 20, 0 if payload else index + 1, payload)


def test_the_tree_is_the_definition() -> None:
    tree = OutboxTree()
    assert tree.root == empty_outbox_root() == naive_root([])
    messages = [message(index) for index in range(40)]
    for count, sent in enumerate(messages, start=1):
        tree.append(sent)
        assert tree.root == naive_root([outbox_leaf(m) for m in messages[:count]])
    for sent in messages:
        verify_message(tree.root, sent, tree.prove(sent.index))


def test_a_proof_is_for_one_message_at_one_place() -> None:
    tree = OutboxTree()
    for index in range(5):
        tree.append(message(index))
    proof = tree.prove(3)
    for root, sent, shown in (
        (tree.root, message(2), proof),
        (bytes(32), message(3), proof),
        (tree.root, message(3), OutboxProof(3, proof.siblings[:-1])),
        (tree.root, message(3), tree.prove(2)),
    ):
        with pytest.raises(InvalidProof):
            verify_message(root, sent, shown)
    with pytest.raises(NotFound):
        tree.prove(5)
    with pytest.raises(InvalidInput, match="does not follow"):
        tree.append(message(7))


def test_a_claims_root_says_how_many_messages_it_covers() -> None:
    messages = [message(index) for index in range(9)]
    tree = OutboxTree()
    for sent in messages[:6]:
        tree.append(sent)
    assert len(OutboxTree.replay(messages, tree.root)) == 6
    assert len(OutboxTree.replay(messages, empty_outbox_root())) == 0
    with pytest.raises(NotFound, match="none of the"):
        OutboxTree.replay(messages[:5], tree.root)


def test_the_genesis_entry_starts_from_the_empty_tree() -> None:
    entry = outbox()
    assert (entry.address, entry.code) == (OUTBOX_ADDRESS, artifact("Outbox").runtime)
    assert entry.storage == {outbox_root_slot(): naive_root([])}


async def test_the_contract_is_the_same_tree(world: World) -> None:
    contract = await deploy(world.owner, artifact("Outbox"))
    first = int((await world.rpc.call("eth_blockNumber")), 16)
    user = await world.transactor("user")
    sender = Contract(world.rpc, contract.address, artifact("Outbox"), user)
    rng = random.Random(7)
    tree = OutboxTree()
    for index in range(12):
        recipient = rng.randbytes(20)
        if rng.random() < 0.5:
            sent = OutboxMessage(index, user.address, recipient, rng.randrange(1, 10**18))
            receipt = await sender.send("withdraw", recipient, value=sent.value)
        else:
            sent = OutboxMessage(index, user.address, recipient, 0, rng.randbytes(rng.randrange(300)))
            receipt = await sender.send("send", recipient, sent.data)
        world.gas[f"outbox {'withdraw' if sent.value else 'send'}"] = receipt.gas_used
        tree.append(sent)
        slot = await world.rpc.call("eth_getStorageAt", "0x" + contract.address.hex(), "0x" + outbox_root_slot().hex(), "latest")
        assert data(slot) == tree.root == await contract.ask("root")
    last = int((await world.rpc.call("eth_blockNumber")), 16)
    again = OutboxTree()
    async for log in logs(world.rpc, contract.address, [contract.abi.topic("MessageSent")], first, last):
        event = contract.abi.event("MessageSent", log.topics, log.data)
        again.append(OutboxMessage(event["index"], event["sender"], event["recipient"], event["value"], event["data"]))
    assert again.root == tree.root


async def test_what_the_predeploy_refuses(world: World) -> None:
    contract = await deploy(world.owner, artifact("Outbox"))
    with pytest.raises(Rejected, match="nothing to withdraw"):
        await contract.send("withdraw", b"\1" * 20)
    with pytest.raises(Rejected, match="no recipient"):
        await contract.send("withdraw", bytes(20), value=1)
    with pytest.raises(Rejected):
        await contract.send("send", b"\1" * 20, b"x", value=1)
    with pytest.raises(Rejected):
        await contract.send("send", b"\1" * 20, bytes(8193))
    with pytest.raises(Rejected):
        await world.owner.send(contract.address, b"", 1)
    assert await contract.ask("count") == 0
