"""A batch that its own transaction carries: taken there and nowhere else, by the rollups that registered for it and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import rlp

from dougong._native import decode_transactions, transactions_root
from dougong.availability.kzg import da_id
from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.crypto.hashing import sha256
from dougong.errors import Rejected
from dougong.net.jsonrpc import JsonRpc, data
from dougong.settlement.contract import deploy
from dougong.settlement.deployment import deploy_attestations
from dougong.settlement.encoding import extend_batch_accumulator
from dougong.settlement.share_path import first_share_path
from dougong.types import ZERO_HASH, Attestor, Placement
from tests.settlement.attackers import attacker
from tests.settlement.conftest import settlement_chain
from tests.settlement.sidecars import sidecar
from tests.settlement.world import FORCE_DELAY, World, key_of

NO_BLOBS = "carries no blobs"


@pytest.fixture
async def carrying(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A chain that carries blobs. The embedded one takes no blob transactions: there the contract can only refuse."""
    async with settlement_chain("anvil", request) as node, JsonRpc(node.url) as rpc:
        yield await World.create(rpc, node.key, node.advance)


async def test_the_reference_names_the_blobs_of_the_transaction(carrying: World) -> None:
    rollup_id = await carrying.register_on_blobs()
    sequencer = await carrying.client("sequencer")
    appended = []
    for index, contents in enumerate(((b"one",), (b"two", b"three"))):
        carried = sidecar(*contents)
        reference = await sequencer.append_blob_batch(rollup_id, carried, 0, index=index)
        root = sha256(*carried.versioned_hashes)
        height = await sequencer.height()
        assert reference.placement == Placement(height, root, 0, len(contents))
        assert (reference.index, reference.da_id) == (index, da_id(carrying.owner.chain_id))
        appended.append(reference)
    appended.append(await sequencer.append_empty_batch(rollup_id, 0))
    assert await sequencer.batches(rollup_id, 0) == appended
    accumulator = ZERO_HASH
    for reference in appended:
        accumulator = extend_batch_accumulator(accumulator, reference)
    assert await sequencer.batch_accumulator(rollup_id, 3) == accumulator


async def test_two_appends_may_share_one_transactions_blobs(carrying: World) -> None:
    """A sequencer that is a contract, or delegates to one, can call twice: two references to the same bytes, of which the second
    counts as empty like any batch whose parent is not the head. With the contract's code alone nobody writes into its storage."""
    repeater = await deploy(await carrying.transactor("rogue"), attacker("Repeater"))
    on_blobs = replace(carrying.config(), attestations=bytes(20), da_id=da_id(carrying.owner.chain_id), data_window=0)
    client = await carrying.client()
    rollup_id = await client.register(replace(on_blobs, sequencer=repeater.address))
    abi = Abi(artifact("Settlement"))
    first, again = (abi.call("append_blob_batch", rollup_id, index, 0) for index in (0, 1))
    carried = sidecar(b"one")
    with pytest.raises(Rejected, match="another batch has this index"):
        await repeater.send("twice", carrying.settlement, first, first, sidecar=carried)
    with pytest.raises(Rejected):
        await repeater.send("borrow", carrying.settlement, first, sidecar=carried)
    assert await client.batch_count(rollup_id) == 0
    receipt = await repeater.send("twice", carrying.settlement, first, again, sidecar=carried)
    placement = Placement(receipt.block_number, sha256(*carried.versioned_hashes), 0, 1)
    assert [(one.index, one.placement) for one in await client.batches(rollup_id, 0)] == [(0, placement), (1, placement)]
    with pytest.raises(Rejected, match="only the sequencer"):
        await client.append_blob_batch(rollup_id, carried, 0, index=2)


async def test_a_block_with_blobs_is_read_as_it_was_made(carrying: World) -> None:
    """Sender and versioned hashes follow from the block's transactions, and these from its header."""
    rollup_id = await carrying.register_on_blobs()
    carried = sidecar(b"one")
    sequencer = await carrying.client("sequencer")
    reference = await sequencer.append_blob_batch(rollup_id, carried, 0, index=0)
    assert reference.placement is not None
    number = hex(reference.placement.height)
    block = await carrying.rpc.call("eth_getBlockByNumber", number, False)
    raws = [data(await carrying.rpc.call("eth_getRawTransactionByHash", tx_hash)) for tx_hash in block["transactions"]]
    # anvil 1.7.1 keeps blob transactions with their sidecars and hashes them so into the root; Ethereum's blocks have them bare.
    assert transactions_root(raws) == data(block["transactionsRoot"])
    [info] = decode_transactions([b"\x03" + rlp.encode(rlp.decode(raws[0][1:])[0])], blobs=True)
    assert not isinstance(info, str)
    assert (info.sender, tuple(info.blob_versioned_hashes)) == (key_of("sequencer").address, carried.versioned_hashes)


async def test_without_blobs_there_is_nothing_to_append(world: World) -> None:
    """All that the embedded chain can do, which has no such transactions; and an ordinary transaction anywhere."""
    rollup_id = await world.register_on_blobs()
    with pytest.raises(Rejected, match=NO_BLOBS):
        await (await world.raw("sequencer")).send("append_blob_batch", rollup_id, 0, 0)
    await (await world.client("sequencer")).append_empty_batch(rollup_id, 0)


async def test_the_rules_of_every_batch_hold(carrying: World) -> None:
    rollup_id = await carrying.register_on_blobs()
    carried = sidecar(b"one")
    sequencer, user = await carrying.client("sequencer"), await carrying.client()
    with pytest.raises(Rejected, match="only the sequencer"):
        await user.append_blob_batch(rollup_id, carried, 0, index=0)
    with pytest.raises(Rejected, match="no such rollup"):
        await sequencer.append_blob_batch(rollup_id + 1, carried, 0, index=0)
    with pytest.raises(Rejected, match="past the inbox"):
        await sequencer.append_blob_batch(rollup_id, carried, 1, index=0)
    await sequencer.append_blob_batch(rollup_id, carried, 0, index=0)
    for index in (0, 2):
        with pytest.raises(Rejected, match="another batch has this index"):
            await sequencer.append_blob_batch(rollup_id, carried, 0, index=index)
    await user.force(rollup_id, b"hear me")
    await carrying.advance(FORCE_DELAY + 1)
    with pytest.raises(Rejected, match="an overdue message is left out"):
        await sequencer.append_blob_batch(rollup_id, carried, 0, index=1)
    assert (await sequencer.append_blob_batch(rollup_id, carried, 1, index=1)).inbox_end == 1
    await user.force(rollup_id, b"and me")
    await carrying.advance(FORCE_DELAY * 3)
    assert await user.open_to_all(rollup_id)
    assert (await user.append_blob_batch(rollup_id, sidecar(b"a user's"), 2, index=2)).inbox_end == 2


async def test_neither_family_passes_for_the_other(carrying: World) -> None:
    """An attested rollup takes no blobs, which no attestor saw; a rollup on blobs no attested root, which no blob stands for."""
    rollup_id = await carrying.register_on_blobs()
    sequencer = await carrying.client("sequencer")
    with pytest.raises(Rejected, match="does not lie in blobs"):
        await sequencer.append_blob_batch(carrying.rollup_id, sidecar(b"one"), 0, index=0)
    placement = carrying.publish(b"batch")
    proof = carrying.proof(placement, await carrying.attest())
    with pytest.raises(Rejected, match="lies in blobs"):
        await sequencer.append_batch(rollup_id, placement, 0, *proof)
    share, rows, square = first_share_path(placement, proof[0])
    raw = await carrying.raw("sequencer")
    place = (placement.height, placement.data_root, placement.start_share, placement.share_count)
    path = (proof[1], list(proof[2].siblings), share, rows, list(square))
    with pytest.raises(Rejected, match="lies in blobs"):
        await raw.send("append_batch", rollup_id, 0, 0, place, path, sidecar=sidecar(b"one"))


async def test_a_rollup_registers_for_one_family(world: World) -> None:
    client, chain_id = await world.client(), world.owner.chain_id
    for other in (da_id(chain_id + 1), world.config().da_id, bytes(32)):
        with pytest.raises(Rejected, match="not this chain's blobs"):
            await client.register(replace(world.config(), attestations=bytes(20), da_id=other))
    # A contract that anyone may deploy names whatever DA chain it likes: not this one.
    false = await deploy_attestations(world.owner, da_id(chain_id), [Attestor(key_of("attestor 0").address, 1)])
    with pytest.raises(Rejected, match="blobs are not attested"):
        await client.register(replace(world.config(), attestations=false, da_id=da_id(chain_id)))
    # Blobs are always of the block that appends them: a bound on their age would only look like one.
    with pytest.raises(Rejected, match="blobs have no data window"):
        await client.register(replace(world.config(), attestations=bytes(20), da_id=da_id(chain_id)))
