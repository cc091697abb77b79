"""What a rollup's node keeps: windows that count from the finalized head, and snapshots made while blocks go on."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from dougong._native import import_snapshot
from dougong.errors import StatePruned
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.keeping import Keeping, KeepingConfig
from dougong.services.threads import in_thread
from tests.services.world import GENESIS_TIME, RECIPIENT, USERS, genesis, new_chain, transfers


async def grow(chain: RollupChain, blocks: int) -> None:
    for _ in range(blocks):
        head = chain.latest
        txs = transfers(USERS[0], head.number, 1)
        assert await chain.build(GENESIS_TIME + head.number + 1, 0, [], txs, parent=head.hash) is not None


async def test_windows_count_from_the_finalized_head(tmp_path: Path) -> None:
    chain = await new_chain(tmp_path / "evm")
    await grow(chain, 150)
    keeping = Keeping(chain, KeepingConfig(states=20, bodies=50), tmp_path / "snapshots")
    await keeping.round()
    assert chain.evm.kept() == (0, 0, 0)  # nothing is final: everything may have to be taken back
    await chain.set_heads(finalized=100)
    await keeping.round()
    assert chain.evm.kept() == (64, 32, 0)
    with pytest.raises(StatePruned):
        chain.evm.account(RECIPIENT, 63)
    await chain.rollback(100)
    await grow(chain, 60)
    await chain.set_heads(finalized=160)
    await keeping.round()
    assert chain.evm.kept() == (128, 96, 0)
    assert not (tmp_path / "snapshots").exists()
    chain.evm.close()


async def test_snapshots_are_of_finalized_blocks_and_the_last_two_stay(tmp_path: Path) -> None:
    chain = await new_chain(tmp_path / "evm")
    folder = tmp_path / "snapshots"
    keeping = Keeping(chain, KeepingConfig(states=8, snapshot_interval=10), folder)
    for final in (9, 12, 25, 38):
        await grow(chain, final + 5 - chain.latest.number)
        await chain.set_heads(finalized=final)
        await keeping.round()
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".snapshot") == ["20.snapshot", "30.snapshot"]
    trusted = (await chain.header(30)).hash
    head = await in_thread(import_snapshot, str(tmp_path / "copy"), genesis(), trusted, str(folder / "30.snapshot"))
    assert head.number == 30
    before = (folder / "30.snapshot").stat().st_mtime_ns
    await keeping.round()
    assert (folder / "30.snapshot").stat().st_mtime_ns == before
    chain.evm.close()


async def test_a_snapshot_that_cannot_be_made_is_not_tried_again_and_again(tmp_path: Path) -> None:
    chain = await new_chain(tmp_path / "evm")
    await grow(chain, 45)
    await chain.set_heads(finalized=45)
    await Keeping(chain, KeepingConfig(states=8), tmp_path).round()
    assert chain.evm.kept() == (32, 0, 0)
    with structlog.testing.capture_logs() as logged:
        keeping = Keeping(chain, KeepingConfig(snapshot_interval=30), tmp_path / "snapshots")
        await keeping.round()
        await keeping.round()
    assert [(line["event"], line["number"]) for line in logged] == [("no snapshot was made", 30)]
    await grow(chain, 20)
    await chain.set_heads(finalized=61)
    await keeping.round()
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["60.snapshot"]
    chain.evm.close()


def test_an_archive_needs_no_service() -> None:
    assert KeepingConfig().idle
    assert not KeepingConfig(states=128).idle
