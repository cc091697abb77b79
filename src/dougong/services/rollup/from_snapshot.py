"""A node of a rollup that begins with a snapshot, under a claim that its user trusts.

    claim, last = await find_claim(settlement, rollup_id, trusted_id)                   # a verifying node: any claim
    await take_up(folder, genesis_json, Path("alpha.snapshot"), claim, last)

    await begin(home, genesis_json, Path("alpha.snapshot"), settlement, rollup_id, trusted_id)  # one that sequences

A claim's id is the hash of everything that it says: the block (so the whole state), which batches and messages made it, and the
accumulators over them. So the id is all that is trusted; who lists claims, and who made the snapshot, need not be. Before the
node derives the next batch it holds the accumulators against settlement, as after any restart.

Whoever sequences begins under a *final* claim alone: users build on what it says next, and its own claims rest on that one. All
that it needs besides comes from there: the follower's position, and with it the inbox accumulator of the journal, the first block
that the batcher may encode and the DA height from which on it looks for what was published. A folder is begun in one step:

1. chain and position are made aside (`beginning`), as `take_up` makes them;
2. the position's store takes its place; what batches and claims an earlier life of the folder knew goes, its journal stays;
3. the chain takes its place. A kill -9 before that leaves no chain, and the next start begins again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from dougong._native import import_snapshot, snapshot_block
from dougong.errors import ConfigError, Divergence, InvalidSnapshot, NotFound, Unavailable
from dougong.services.records import pack, pack_reference
from dougong.services.rollup.follower import BASE, FOLLOWER_TABLES
from dougong.services.rollup.sources import Position
from dougong.services.threads import in_thread
from dougong.settlement.encoding import claim_id
from dougong.store import Store, height_key
from dougong.store.files import sync_folder
from dougong.types import BatchReference, Claim, ClaimStatus

__all__ = ["ClaimList", "FinalClaims", "begin", "find_claim", "has_chain", "take_up"]

ASIDE = "beginning"


class ClaimList(Protocol):
    async def claims(self, rollup_id: int, first_block: int = 0) -> tuple[Sequence[Claim], int]: ...

    async def batches(self, rollup_id: int, start: int) -> Sequence[BatchReference]: ...


class FinalClaims(Protocol):
    async def claim(self, identity: bytes) -> Claim: ...

    async def claim_status(self, claim_id: bytes) -> ClaimStatus: ...

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


def has_chain(home: Path) -> bool:
    """Whether the folder of a node has begun."""
    return (home / "evm" / "data.mdb").exists()


async def begin(
    home: Path,
    genesis_json: str,
    file: Path,
    settlement: FinalClaims,
    rollup_id: int,
    trusted: bytes,
    *,
    store: str = "services",
    tables: tuple[str, ...] = FOLLOWER_TABLES,
) -> Position:
    """Makes the folder of a rollup's services, which has no chain, the rollup as the final claim `trusted` has it; `store` is
    where the follower's position goes, `tables` all that it holds. Raises `ConfigError` where the claim or the file can never do,
    `Unavailable` while the claim is not final."""
    claim, last = await _final(settlement, rollup_id, trusted)
    aside = home / ASIDE
    await in_thread(shutil.rmtree, aside, ignore_errors=True)
    try:
        position = await take_up(aside, genesis_json, file, claim, last, store=store, tables=tables)
    except InvalidSnapshot as error:
        raise ConfigError(f"the snapshot cannot be used: {error}", remedy=error.remedy or "take another snapshot") from error
    except NotFound as error:
        raise ConfigError(str(error), remedy="name the file of a snapshot") from error
    await in_thread(_take_their_places, home, aside, store)
    return position


async def _final(settlement: FinalClaims, rollup_id: int, trusted: bytes) -> tuple[Claim, BatchReference]:
    name = f"claim 0x{trusted.hex()}"
    status = await settlement.claim_status(trusted)
    if status is ClaimStatus.REJECTED:
        raise ConfigError(f"settlement has rejected {name}", remedy="name a final claim")
    if status is ClaimStatus.PENDING:
        raise Unavailable(f"{name} is not final yet", remedy="wait, or name an earlier claim")
    if status is not ClaimStatus.FINAL:
        raise NotFound(f"settlement holds no {name}", remedy="check the claim's id")
    claim = await settlement.claim(trusted)
    if claim.rollup_id != rollup_id:
        raise ConfigError(f"{name} is of rollup {claim.rollup_id}, not {rollup_id}", remedy="name a claim of this rollup")
    batches = await settlement.batches(rollup_id, claim.batch_end - 1)
    if not batches or batches[0].index != claim.batch_end - 1:
        raise Unavailable(f"settlement does not show batch {claim.batch_end - 1}, which {name} covers")
    return claim, batches[0]


def _take_their_places(home: Path, aside: Path, store: str) -> None:
    shutil.rmtree(home / store, ignore_errors=True)
    shutil.rmtree(home / "evm", ignore_errors=True)  # a folder without a chain in it
    os.rename(aside / store, home / store)
    sync_folder(home)
    os.rename(aside / "evm", home / "evm")
    sync_folder(home)
    shutil.rmtree(aside, ignore_errors=True)


async def take_up(
    folder: Path,
    genesis_json: str,
    file: Path,
    claim: Claim,
    last: BatchReference,
    *,
    store: str = "follower",
    tables: tuple[str, ...] = FOLLOWER_TABLES,
) -> Position:
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
    await in_thread(_remember, folder / store, tables, last, position)
    head = await in_thread(import_snapshot, str(folder / "evm"), genesis_json, claim.post_state, str(file))
    if (head.inbox_end, head.outbox_root) != (claim.inbox_end, claim.outbox_root):
        raise Divergence(f"block {number} does not end where claim 0x{claim_id(claim).hex()} says", remedy="remove the folder")
    return position


def _remember(path: Path, tables: tuple[str, ...], last: BatchReference, position: Position) -> None:
    store = Store(path, tables)
    try:
        with store.write() as txn:
            txn.put("positions", height_key(last.index), pack({"reference": pack_reference(last), "after": asdict(position)}))
            txn.put("follower", BASE, pack({"index": position.index}))
    finally:
        store.close()
