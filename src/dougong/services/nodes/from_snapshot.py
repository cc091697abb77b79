"""A verifying node that begins with a snapshot, under a claim that its user trusts.

    claim = await find_claim(settlement, rollup_id, trusted_id)
    await take_up(folder, genesis_json, Path("alpha.snapshot"), claim, reference)
    node = await VerifyingNode.open(folder, genesis_json, source, claims=claims)

A claim's id is the hash of everything that it says: the block (so the whole state), which batches and messages made it, and the
accumulators over them. So the id is all that is trusted; who lists claims, and who made the snapshot, need not be. Before the
node derives the next batch it holds the accumulators against settlement, as after any restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from dougong._native import import_snapshot, snapshot_block
from dougong.errors import Divergence, InvalidSnapshot, NotFound
from dougong.services.records import pack, pack_reference
from dougong.services.rollup.follower import FOLLOWER_TABLES
from dougong.services.rollup.sources import Position
from dougong.services.threads import in_thread
from dougong.settlement.encoding import claim_id
from dougong.store import Store, height_key
from dougong.types import BatchReference, Claim

__all__ = ["ClaimList", "find_claim", "take_up"]


class ClaimList(Protocol):
    async def claims(self, rollup_id: int, first_block: int = 0) -> tuple[Sequence[Claim], int]: ...

    async def batches(self, rollup_id: int, start: int) -> Sequence[BatchReference]: ...


async def find_claim(settlement: ClaimList, rollup_id: int, trusted: bytes) -> tuple[Claim, BatchReference]:
    """The claim with this id, and the last batch that it covers. Raises `NotFound`."""
    claims, _ = await settlement.claims(rollup_id, 0)
    for claim in claims:
        if claim_id(claim) == trusted and claim.rollup_id == rollup_id and claim.batch_end > 0:
            batches = await settlement.batches(rollup_id, claim.batch_end - 1)
            if batches and batches[0].index == claim.batch_end - 1:
                return claim, batches[0]
    raise NotFound(f"settlement lists no claim 0x{trusted.hex()} on rollup {rollup_id}", remedy="check the claim's id")


async def take_up(folder: Path, genesis_json: str, file: Path, claim: Claim, last: BatchReference) -> Position:
    """Makes the empty folder of a verifying node the rollup as the claim has it. Cut off anywhere, it is done again."""
    await in_thread(folder.mkdir, parents=True, exist_ok=True)
    number, block_hash = await in_thread(snapshot_block, str(file))
    if block_hash != claim.post_state:
        raise InvalidSnapshot(
            f"{file} is of block 0x{block_hash.hex()}, the claim of 0x{claim.post_state.hex()}",
            remedy="take the snapshot of that block",
        )
    position = Position(
        index=claim.batch_end,
        accumulator=claim.batch_accumulator,
        inbox_end=claim.inbox_end,
        inbox_accumulator=claim.inbox_accumulator,
        number=number,
        state=block_hash,
        outbox_root=claim.outbox_root,
        da_height=0 if last.placement is None else last.placement.height,
        da_taken=0 if last.placement is None else 1,
    )
    # First the position: it counts only once the chain holds its block.
    await in_thread(_remember, folder / "follower", last, position)
    head = await in_thread(import_snapshot, str(folder / "evm"), genesis_json, claim.post_state, str(file))
    if (head.inbox_end, head.outbox_root) != (claim.inbox_end, claim.outbox_root):
        raise Divergence(f"block {number} does not end where claim 0x{claim_id(claim).hex()} says", remedy="remove the folder")
    return position


def _remember(path: Path, last: BatchReference, position: Position) -> None:
    store = Store(path, FOLLOWER_TABLES)
    try:
        with store.write() as txn:
            txn.put("positions", height_key(last.index), pack({"reference": pack_reference(last), "after": asdict(position)}))
    finally:
        store.close()
