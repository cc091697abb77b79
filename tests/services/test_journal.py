"""An acknowledged transaction is on the disk, and an unacknowledged one was told so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dougong.crypto.hashing import keccak256
from dougong.errors import StoreCorrupt, StoreFull
from dougong.services.rollup.derivation import fold_messages
from dougong.services.rollup.journal import Journal
from dougong.types import ZERO_HASH, InboxMessage, MessageKind

TXS = [b"tx %d" % number for number in range(50)]


async def test_concurrent_additions_survive_in_order(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal")
    await asyncio.gather(*(journal.add(keccak256(tx), tx) for tx in TXS))
    journal.forget([keccak256(TXS[3]), keccak256(b"unknown")])
    await journal.flush()
    journal.close()
    again = await Journal.open(tmp_path / "journal")
    assert await again.waiting() == TXS[:3] + TXS[4:]
    await again.add(keccak256(b"late"), b"late")
    assert (await again.waiting())[-1] == b"late"


async def test_what_is_there_is_not_written_twice_and_can_come_back(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal")
    pairs = [(keccak256(tx), tx) for tx in TXS[:3]]
    await journal.add_all(pairs)
    await journal.add_all(pairs)
    assert await journal.waiting() == TXS[:3]
    journal.forget([pairs[0][0]])
    await journal.add_all(pairs[:1])  # a rolled back block gives it back
    assert await journal.waiting() == [*TXS[1:3], TXS[0]]


async def test_a_full_store_refuses_and_keeps_what_it_had(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal", map_bytes=1 << 18)
    kept: list[bytes] = []
    big = [bytes([number]) * 20_000 for number in range(40)]
    with pytest.raises(StoreFull):
        for tx in big:
            await journal.add(keccak256(tx), tx)
            kept.append(tx)
    assert 0 < len(kept) < 40
    assert await journal.waiting() == kept
    journal.close()
    roomier = await Journal.open(tmp_path / "journal", map_bytes=1 << 24)
    assert await roomier.waiting() == kept
    await roomier.add(keccak256(big[-1]), big[-1])
    assert (await roomier.waiting())[-1] == big[-1]


async def test_a_submitter_that_goes_away_harms_nobody(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal")
    impatient = asyncio.create_task(journal.add(keccak256(b"a"), b"a"))
    patient = asyncio.create_task(journal.add(keccak256(b"b"), b"b"))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert b"b" in await journal.waiting()


async def test_the_inbox_is_folded_as_it_is_consumed(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal")
    messages = [InboxMessage(i, MessageKind.FORCED_TRANSACTION, bytes(20), 100 + i, b"tx") for i in range(5)]
    journal.note_inbox(0, messages[:2])
    journal.note_inbox(2, messages[2:])
    assert journal.inbox_accumulator(0) == ZERO_HASH
    assert journal.inbox_accumulator(5) == fold_messages(ZERO_HASH, messages)
    with pytest.raises(StoreCorrupt):
        journal.note_inbox(9, messages[:1])
