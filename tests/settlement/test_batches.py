"""A batch is taken only where it provably lies: its namespace, its place, its length, its square, its height."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dougong.availability.square.shares import shares_needed, split_blob
from dougong.errors import Divergence, InvalidProof, Rejected
from dougong.settlement.encoding import extend_batch_accumulator
from dougong.settlement.share_path import first_share_path
from dougong.types import ZERO_HASH, Blob, Namespace, Placement
from tests.settlement.world import AFTER, DA_ID, NAMESPACE, World


async def raw_append(
    world: World, placement: Placement, *, role: str = "sequencer", share_of: Placement | None = None, **changes: Any
) -> Any:
    """Appends past the client, with parts of a right proof changed."""
    true = share_of or placement
    attested = len(world.history)
    share, row_path, square_path = first_share_path(true, world.squares[true.height - 1].prove(true))
    parts: dict[str, Any] = {
        "attested": attested,
        "history": list(world.history.prove(true.height, attested).siblings),
        "share": share,
        "row_path": row_path,
        "square_path": list(square_path),
    } | changes
    place = (placement.height, placement.data_root, placement.start_share, placement.share_count)
    contract = await world.raw(role)
    index = await contract.ask("batch_count", world.rollup_id)
    return await contract.send("append_batch", world.rollup_id, index, 0, place, tuple(parts.values()))


async def test_batches_are_read_back_as_they_were_appended(world: World) -> None:
    sequencer = await world.client("sequencer")
    first = await world.append(data=b"a" * 3000)
    second = await sequencer.append_empty_batch(world.rollup_id, 0)
    third = await world.append(data=b"b")
    assert await sequencer.batches(world.rollup_id, 0) == [first, second, third]
    assert await sequencer.batches(world.rollup_id, 2) == [third]
    assert await sequencer.batches(world.rollup_id, 3) == []
    assert (first.index, first.da_id, second.placement) == (0, DA_ID, None)
    assert first.placement is not None
    assert first.placement.share_count == shares_needed(3000)
    accumulator = ZERO_HASH
    for reference in (first, second, third):
        accumulator = extend_batch_accumulator(accumulator, reference)
    assert await (await world.raw()).ask("batch_accumulator", world.rollup_id, 3) == accumulator


@pytest.mark.parametrize(
    ("width", "start", "size"), [(1, 0, 100), (2, 0, 1000), (2, 3, 1), (4, 7, 3000), (16, 250, 2500), (32, 1000, 11_000)]
)
async def test_any_square_and_any_place_in_it(world: World, width: int, start: int, size: int) -> None:
    placement = world.publish(b"z" * size, start=start, width=width)
    attested = await world.attest()
    sequencer = await world.client("sequencer")
    batch = await sequencer.append_batch(world.rollup_id, placement, 0, *world.proof(placement, attested))
    assert batch.placement == placement


@pytest.mark.parametrize("size", [1, 457, 458, 459, 478, 479, 478 + 482, 478 + 482 + 1, 458 + 482, 458 + 482 + 1])
@pytest.mark.parametrize("version", [0, 1])
async def test_the_share_count_follows_from_the_size(world: World, size: int, version: int) -> None:
    placement = world.publish(b"z" * size, version=version)
    await world.attest()
    for wrong in (placement.share_count - 1, placement.share_count + 1):
        with pytest.raises(Rejected, match="another share count"):
            await raw_append(world, replace(placement, share_count=wrong), share_of=placement)
    await raw_append(world, placement)


async def test_an_old_height_can_be_shown_under_a_later_attestation(world: World) -> None:
    placement = world.publish(b"early")
    for _ in range(5):
        world.publish(b"later")
    attested = await world.attest()
    sequencer = await world.client("sequencer")
    assert (await sequencer.append_batch(world.rollup_id, placement, 0, *world.proof(placement, attested))).placement == placement


async def test_only_the_sequencer_appends(world: World) -> None:
    placement = world.publish(b"mine")
    await world.attest()
    with pytest.raises(Rejected, match="only the sequencer"):
        await raw_append(world, placement, role="mallory")
    with pytest.raises(Rejected, match="only the sequencer"):
        await (await world.client("mallory")).append_empty_batch(world.rollup_id, 0)


async def test_a_batch_gets_the_index_it_was_meant_for_or_none(world: World) -> None:
    placement = world.publish(b"once")
    proof = world.proof(placement, await world.attest())
    sequencer = await world.client("sequencer")
    for index in (1, 2**256 - 1):
        with pytest.raises(Rejected, match="another batch has this index"):
            await sequencer.append_batch(world.rollup_id, placement, 0, *proof, index=index)
    assert (await sequencer.append_batch(world.rollup_id, placement, 0, *proof, index=0)).index == 0
    with pytest.raises(Rejected, match="another batch has this index"):
        await sequencer.append_batch(world.rollup_id, placement, 0, *proof, index=0)
    with pytest.raises(Rejected, match="another batch has this index"):
        await sequencer.append_empty_batch(world.rollup_id, 0, index=0)
    assert (await sequencer.append_empty_batch(world.rollup_id, 0, index=1)).index == 1


async def test_another_namespaces_blob_is_refused(world: World) -> None:
    placement = world.publish(b"theirs", namespace=Namespace.user(b"bravo"))
    await world.attest()
    with pytest.raises(Rejected, match="another namespace"):
        await raw_append(world, placement)


async def test_a_blobs_middle_is_no_batch(world: World) -> None:
    placement = world.publish(b"z" * 3000)
    await world.attest()
    middle = replace(placement, start_share=placement.start_share + 1, share_count=placement.share_count - 1)
    with pytest.raises(Rejected, match="not the first share"):
        await raw_append(world, middle)


async def test_padding_is_no_batch(world: World) -> None:
    placement = world.publish(b"z", namespace=AFTER)
    await world.attest()
    share = first_share_path(placement, world.squares[0].prove(placement))[0]
    padding = NAMESPACE.raw + b"\1" + bytes(482)
    assert len(padding) == len(share)
    with pytest.raises(Rejected, match="padding"):
        await raw_append(world, placement, share=padding)
    with pytest.raises(Rejected, match="unknown share version"):
        await raw_append(world, placement, share=NAMESPACE.raw + b"\5" + (1).to_bytes(4) + bytes(478))


async def test_another_place_is_refused(world: World) -> None:
    placement = world.publish(b"z", start=5, width=8)
    await world.attest()
    for start in (0, 4, 6, 13, 63):
        with pytest.raises(Rejected, match=r"not under the data root|namespaces out of order"):
            await raw_append(world, replace(placement, start_share=start), share_of=placement)
    for start in (64, 2**31):
        with pytest.raises(Rejected, match="outside the square"):
            await raw_append(world, replace(placement, start_share=start), share_of=placement)


async def test_a_blob_must_end_inside_the_square(world: World) -> None:
    """A size that reaches beyond the square could only be a lie of whoever made the square."""
    blob = Blob(NAMESPACE, b"z" * 5000)
    placement = world.publish(b"z" * 400, start=60, width=8)
    await world.attest()
    with pytest.raises(Rejected, match="outside the square"):
        await raw_append(
            world, replace(placement, share_count=len(split_blob(blob))), share_of=placement, share=split_blob(blob)[0]
        )


async def test_another_height_or_data_root_is_refused(world: World) -> None:
    first, second = world.publish(b"one"), world.publish(b"two")
    await world.attest()
    with pytest.raises(Rejected, match="not attested"):
        await raw_append(world, replace(first, height=2), share_of=first)
    with pytest.raises(Rejected, match="not attested"):
        await raw_append(world, replace(first, height=0), share_of=first)
    with pytest.raises(Rejected, match="not under the data root"):
        await raw_append(world, replace(first, data_root=second.data_root), share_of=first)
    with pytest.raises(Rejected, match="not attested"):
        await raw_append(world, first, history=list(world.history.prove(2, 2).siblings))


async def test_what_is_not_attested_yet_is_refused(world: World) -> None:
    world.publish(b"old")
    await world.attest()
    placement = world.publish(b"new")
    with pytest.raises(Rejected, match="not attested"):
        await raw_append(world, placement)


async def test_a_path_of_another_depth_is_refused(world: World) -> None:
    """A shorter or longer path would place the share in a square of another width, and so elsewhere."""
    placement = world.publish(b"z", start=0, width=8)
    await world.attest()
    _, row_path, square_path = first_share_path(placement, world.squares[0].prove(placement))
    with pytest.raises(Rejected, match="do not fit"):
        await raw_append(world, placement, row_path=row_path[90:])
    with pytest.raises(Rejected, match="do not fit"):
        await raw_append(world, placement, square_path=list(square_path[1:]))
    with pytest.raises(Rejected, match="not under the data root"):
        await raw_append(world, placement, row_path=row_path[:-90], square_path=list(square_path[:-1]))
    with pytest.raises(Rejected, match="90 bytes a level"):
        await raw_append(world, placement, row_path=row_path[:-1])
    with pytest.raises(Rejected, match="90 bytes a level"):
        await raw_append(world, placement, row_path=b"")


async def test_an_erasure_coded_share_is_no_original(world: World) -> None:
    """Parity shares can hold any bytes; only shares of the original quadrant can be placed."""
    placement = world.publish(b"z", start=0, width=2)
    await world.attest()
    cell = world.squares[0].cell(0, 2)
    siblings = b"".join(reversed(cell.proof.nodes))
    with pytest.raises(Rejected, match="another namespace"):
        await raw_append(world, placement, share=cell.share, row_path=siblings)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


async def test_every_bit_of_the_proof_counts(world: World) -> None:
    placement = world.publish(b"z" * 900, start=5, width=4)
    await world.attest()
    share, row_path, square_path = first_share_path(placement, world.squares[0].prove(placement))
    for at in (40, 200, 511):
        with pytest.raises(Rejected, match="not under the data root"):
            await raw_append(world, placement, share=flip(share, at))
    for at in (58, 89, 90 + 28, 90 + 57, 90 + 89, 2 * 90 + 89):
        with pytest.raises(Rejected, match=r"not under the data root|namespaces out of order"):
            await raw_append(world, placement, row_path=flip(row_path, at))
    for level in range(len(square_path)):
        forged = list(square_path)
        forged[level] = flip(forged[level], 31)
        with pytest.raises(Rejected, match="not under the data root"):
            await raw_append(world, placement, square_path=forged)


async def test_the_client_refuses_a_proof_of_something_else(world: World) -> None:
    first, second = world.publish(b"z" * 900), world.publish(b"y" * 900)
    attested = await world.attest()
    proof, _, history = world.proof(first, attested)
    sequencer = await world.client("sequencer")
    with pytest.raises(InvalidProof, match="another data root"):
        await sequencer.append_batch(world.rollup_id, second, 0, proof, attested, history)
    with pytest.raises(InvalidProof, match="does not start at"):
        await sequencer.append_batch(world.rollup_id, replace(first, start_share=6), 0, proof, attested, history)
    row = proof.rows[0]
    cut = replace(proof, rows=(replace(row, nmt_proof=replace(row.nmt_proof, nodes=row.nmt_proof.nodes[:-1])),))
    with pytest.raises(InvalidProof, match="too short"):
        await sequencer.append_batch(world.rollup_id, first, 0, cut, attested, history)
    swapped = replace(proof, rows=(replace(row, shares=(row.shares[0], bytes(512))),))
    with pytest.raises(InvalidProof, match="another row root"):
        await sequencer.append_batch(world.rollup_id, first, 0, swapped, attested, history)


async def test_a_node_that_alters_the_log_is_caught(world: World) -> None:
    from tests.settlement.tampering import tampered

    await world.append()
    await world.append()
    honest = await (await world.client()).batches(world.rollup_id, 0)
    assert len(honest) == 2

    def drop(entries: list[Any]) -> list[Any]:
        return entries[:-1]

    def swap(entries: list[Any]) -> list[Any]:
        return [entries[1] | {"logIndex": "0x0", "blockNumber": entries[0]["blockNumber"]}, entries[0] | {"logIndex": "0x1"}]

    def double(entries: list[Any]) -> list[Any]:
        return [*entries, entries[-1]]

    def alter(entries: list[Any]) -> list[Any]:
        data = entries[0]["data"]
        return [entries[0] | {"data": data[:-1] + ("0" if data[-1] != "0" else "1")}, entries[1]]

    for lie in (drop, swap, alter):
        async with tampered(world, lie) as client:
            with pytest.raises(Divergence):
                await client.batches(world.rollup_id, 0)
    async with tampered(world, double) as client:
        assert await client.batches(world.rollup_id, 0) == honest, "a doubled entry adds nothing"
