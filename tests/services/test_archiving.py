"""The archive at work beside a running DA chain: served while pruned, resumed after a crash, stopped by a full disk."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dougong.availability import SquareApplication, SquareLayer
from dougong.availability.chain.client import SquareClient
from dougong.availability.square.archive import SquareArchive
from dougong.availability.square.proofs import verify_cell, verify_header, verify_namespace_data
from dougong.consensus import Genesis, LightClient, Solo, SoloOptions
from dougong.consensus.light import verify_transaction
from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.errors import Pruned, StoreCorrupt, StoreFull
from dougong.services.archiving import ArchiveService, Floor, Window
from dougong.services.rollup.batches import BatchRecord, BatchState
from dougong.services.rollup.publishing import SubmitThenFix
from dougong.testing.consensus import running
from dougong.types import Blob, Namespace, Validator

VALIDATOR, ALICE = Ed25519Key(b"\1" * 32), Secp256k1Key(b"\1" * 32)
ALPHA = Namespace.user(b"alpha")
GENESIS = Genesis.create(
    "square-1", 1_767_323_045_000_000_000, [Validator(VALIDATOR.public_key, 10)], app_state={"max_square_size": 16}
)


@dataclass
class Node:
    layer: SquareLayer
    chain: Solo
    archive: SquareArchive

    def service(self, window: Window, *floors: Floor, clock: Callable[[], int] = lambda: 0) -> ArchiveService:
        first = self.chain.base
        return ArchiveService(
            self.layer, self.chain, self.archive, window, first=first, floors=lambda: floors, clock=clock, idle_s=0.01
        )

    def on_disk(self) -> set[int]:
        folder = self.archive._files
        return {int(path.stem) for path in folder.rglob("*.square")}


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Node]:
    async with AsyncExitStack() as stack:
        app = await SquareApplication.open(folder / "app")
        stack.push_async_callback(app.close)
        chain = await Solo.open(folder / "chain", GENESIS, VALIDATOR, app, SoloOptions(block_time=0.02))
        stack.push_async_callback(chain.close)
        archive = SquareArchive(folder / "archive")
        stack.callback(archive.close)
        yield Node(SquareLayer(chain, app, archive), chain, archive)


async def publish(node: Node, blobs: int) -> dict[int, bytes]:
    """height -> data, of blobs that were published one after the other."""
    da = SquareClient(node.layer, ALICE)
    draw = random.Random(blobs)
    published = {}
    for _ in range(blobs):
        data = draw.randbytes(draw.randint(1, 20_000))
        published[(await da.submit(Blob(ALPHA, data))).height] = data
    return published


async def pruned_to(service: ArchiveService, node: Node, below: int) -> None:
    await service.catch_up()
    while node.archive.base < below or node.chain.base < below:
        await service.prune_step()


async def test_a_pruned_node_serves_its_window_and_syncs_light_nodes_from_genesis(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        async with running(node.chain):
            published = await publish(node, 5)
        window = Window(blocks=node.archive.last + 3)
        service = node.service(window)
        await service.catch_up()
        last = await node.layer.latest()
        assert node.archive.last == last
        below = last - 2
        await pruned_to(service, node, below)
        assert not await service.prune_step(), "there is nothing more to do"
        assert node.on_disk() == {height for height in published if height >= below}
    async with opened(tmp_path) as node:
        assert (node.archive.base, node.chain.base) == (below, below)
        light = LightClient(GENESIS, node.layer.signed_header)
        for height in range(1, last + 1):
            signed = await light.header(height)
            header, proof = await node.layer.header(height), await node.layer.data_root_proof(height)
            verify_header(header)
            verify_transaction(signed, header.data_root, proof)
            if height >= below:
                verify_cell(header, await node.layer.sample(height, 1, 0))
                verify_namespace_data(header, await node.layer.blobs(height, ALPHA))
                assert (await node.chain.block(height)).txs[0] == header.data_root
                continue
            for question in (
                node.layer.sample(height, 0, 0),
                node.layer.blobs(height, ALPHA),
                node.layer.shares(height),
                node.chain.block(height),
            ):
                with pytest.raises(Pruned) as refused:
                    await question
                assert "archive node" in refused.value.remedy
        async with running(node.chain):
            await node.chain.wait_for_height(last + 2)


async def test_a_height_pruned_under_its_readers_is_whole_or_pruned(tmp_path: Path) -> None:
    async with opened(tmp_path) as node, running(node.chain):
        published = await publish(node, 6)
        service = node.service(Window(blocks=1))
        await service.catch_up()
        roots = {height: (await node.layer.header(height)) for height in published}
        stop = asyncio.Event()
        seen = {"whole": 0, "pruned": 0}

        async def read(seed: int) -> None:
            draw = random.Random(seed)
            while not stop.is_set():
                height = draw.choice(list(published))
                header = roots[height]
                width = 2 * header.square_size
                try:
                    kind = draw.randrange(4)
                    if kind == 0:
                        found = await node.layer.blobs(height, ALPHA)
                        verify_namespace_data(header, found)
                        assert [placed.blob.data for placed in found.blobs] == [published[height]]
                    elif kind == 1:
                        verify_cell(header, await node.layer.sample(height, draw.randrange(width), draw.randrange(width)))
                    elif kind == 2:
                        assert len(await node.layer.shares(height)) == header.square_size**2
                    else:
                        block = await node.chain.block(height)
                        assert block.txs[0] == header.data_root
                        assert len(block.txs) == len(block.tx_results) == 2
                    seen["whole"] += 1
                except Pruned:
                    seen["pruned"] += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for seed in range(6):
                group.create_task(read(seed))
            before = (await node.chain.status()).height
            for below in range(1, max(published) + 2):
                await asyncio.to_thread(node.archive.prune, below)
                node.layer.forget(below)
                await asyncio.sleep(0)
                await node.chain.prune(below)
                await asyncio.sleep(0.001)
            stop.set()
        assert seen["whole"] > 10
        assert seen["pruned"] > 10
        await asyncio.wait_for(node.chain.wait_for_height(before + 3), 30)


async def test_what_is_needed_stays(tmp_path: Path) -> None:
    floor = 3

    async def needed() -> int:
        return floor

    async def unknown() -> int:
        return 0

    async with opened(tmp_path) as node:
        async with running(node.chain):
            await node.chain.wait_for_height(40)
        waiting = node.service(Window(blocks=1), needed, unknown)
        await waiting.catch_up()
        assert not await waiting.prune_step()
        assert node.archive.base == 1, "one of the owners does not know yet what it needs"
        service = node.service(Window(blocks=1), needed)
        await pruned_to(service, node, 3)
        assert not await service.prune_step()
        floor = 10_000
        last = await node.layer.latest()
        while await service.prune_step():
            pass
        assert node.archive.base == last, "the window itself"
        assert node.chain.base == last - 1, "a restart executes the last block again"
    async with opened(tmp_path) as node, running(node.chain):
        await node.chain.wait_for_height(last + 2)


async def test_a_window_of_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        async with running(node.chain):
            await node.chain.wait_for_height(30)
        last = await node.layer.latest()
        times = {height: (await node.layer.header(height)).time_ns for height in range(1, last + 1)}
        service = node.service(Window(seconds=60), clock=lambda: times[20] + 60 * 10**9)
        await service.catch_up()
        while await service.prune_step():
            pass
        assert node.archive.base == 20
        both = node.service(Window(blocks=last, seconds=60), clock=lambda: times[last] + 10**15)
        assert await both.target() == 20, "a height goes when it is outside of both windows"
        everything = node.service(Window())
        assert not await everything.prune_step()


async def test_a_damaged_square_is_made_anew_from_its_block(tmp_path: Path) -> None:
    async with opened(tmp_path) as node, running(node.chain):
        published = await publish(node, 2)
        await node.service(Window()).catch_up()
    height = min(published)
    async with opened(tmp_path) as node:
        path = next(node.archive._files.rglob(f"{height}.square"))
        raw = bytearray(path.read_bytes())
        raw[2000] ^= 255
        path.write_bytes(raw)
        found, again = await asyncio.gather(node.layer.blobs(height, ALPHA), node.layer.blobs(height, ALPHA))
        assert found == again
        assert found.blobs[0].blob.data == published[height]
        assert path.read_bytes() != raw, "the file is mended"
    async with opened(tmp_path) as node:
        assert (await node.layer.blobs(height, ALPHA)) == found


@pytest.mark.parametrize("what", ["chain", "archive"])
async def test_an_archive_of_another_past_is_not_served(tmp_path: Path, what: str) -> None:
    """A chain that was put back would decide other blocks for heights whose squares are served already."""
    async with opened(tmp_path) as node, running(node.chain):
        await publish(node, 3)
        await node.service(Window()).catch_up()
        await node.layer.check_archive()
    (tmp_path / "archive").rename(tmp_path / "kept")
    shutil.rmtree(tmp_path / "chain")
    shutil.rmtree(tmp_path / "app")
    async with opened(tmp_path) as node:
        await node.layer.check_archive()
        if what == "archive":
            async with running(node.chain):
                await node.chain.wait_for_height(50)
    shutil.rmtree(tmp_path / "archive")
    (tmp_path / "kept").rename(tmp_path / "archive")
    async with opened(tmp_path) as node:
        with pytest.raises(StoreCorrupt, match="ends at height" if what == "chain" else "another square"):
            await node.layer.check_archive()


@dataclass
class InHand:
    record: BatchRecord

    async def data(self) -> bytes:
        return b"a batch"

    async def keep(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)

    def crash_point(self, step: str) -> None:
        pass


async def test_a_batch_that_was_on_its_way_longer_than_the_window_is_sent_again(tmp_path: Path) -> None:
    batch = InHand(BatchRecord(0, 1, 1, bytes(32), bytes(32), 0, bytes(32), BatchState.SUBMITTING, from_height=1))
    async with opened(tmp_path) as node, running(node.chain):
        da = SquareClient(node.layer, ALICE)
        publishing = SubmitThenFix(da, ALPHA, da.address, fix=None)
        first = (await publishing.publish(batch))["placement"]
        assert (await publishing.publish(batch))["placement"] == first, "what was sent is found"
        await node.chain.wait_for_height(first.height + 10)
        await pruned_to(node.service(Window(blocks=3)), node, first.height + 1)
        again = (await publishing.publish(batch))["placement"]
        assert again.height > first.height
        assert (await publishing.publish(batch))["placement"] == again


async def test_an_application_behind_the_window_is_said_to_be(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        async with running(node.chain):
            await node.chain.wait_for_height(20)
        await pruned_to(node.service(Window(blocks=5)), node, 10)
    (tmp_path / "app").rename(tmp_path / "lost")
    with pytest.raises(StoreCorrupt, match="pruned"):
        async with opened(tmp_path):
            pass


KILLED = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.services.test_archiving import opened, running, publish
from dougong.services.archiving import Window

async def main():
    async with opened(Path({folder!r})) as node, running(node.chain):
        service = node.service(Window(blocks=3))
        work = asyncio.create_task(service.run())
        while True:
            await publish(node, 3)
            print(node.archive.base, flush=True)

asyncio.run(main())
"""


def run_and_kill(program: str, lines: int, seconds: float) -> None:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(lines):
            assert process.stdout.readline(), process.stderr.read().decode()
        time.sleep(seconds)
        process.kill()


async def test_kill_9_at_any_point_of_archiving_and_pruning(tmp_path: Path) -> None:
    program = KILLED.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path))
    draw = random.Random(11)
    for _ in range(3):
        await asyncio.to_thread(run_and_kill, program, draw.randint(1, 3), draw.random() * 0.05)
        async with opened(tmp_path) as node:
            last, base = await node.layer.latest(), node.archive.base
            assert node.chain.base <= base, "transactions go after the squares"
            assert all(base <= height <= node.archive.last for height in node.on_disk())
            for height in range(1, last + 1):
                header = await node.layer.header(height) if height >= base or height <= node.archive.last else None
                if height >= base:
                    assert header is not None
                    shares = await node.layer.shares(height)
                    assert len(shares) == header.square_size**2
                else:
                    with pytest.raises(Pruned):
                        await node.layer.shares(height)
    assert base > 1


async def test_a_full_disk_stops_archiving_and_nothing_else(tmp_path: Path) -> None:
    class Full(SquareArchive):
        """No room is left for squares."""

        room = False

        def put(self, *args: object, **kwargs: object) -> None:
            if not self.room:
                raise StoreFull("the archive is full")
            super().put(*args, **kwargs)  # type: ignore[arg-type]

    async with opened(tmp_path) as node, running(node.chain):
        full = Full(tmp_path / "full")
        layer = SquareLayer(node.chain, node.layer.app, full)
        service = ArchiveService(layer, node.chain, full, Window(blocks=1), idle_s=0.01)
        published = await publish(node, 2)
        with pytest.raises(StoreFull):
            await service.run()
        assert full.last == 0
        for height, data in published.items():
            found = await layer.blobs(height, ALPHA)
            assert [placed.blob.data for placed in found.blobs] == [data], "what was acknowledged is served from its block"
        full.room = True
        work = asyncio.create_task(service.run())
        while full.base <= max(published):  # noqa: ASYNC110  the service has no event for it
            await asyncio.sleep(0.01)
        work.cancel()
        await asyncio.wait({work})
        full.close()
