"""Solo's own rules: crashes between any two steps, refusals, limits, times, and blocks only when there is something to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dougong.consensus import Commit, ConsensusParams, Genesis, Header, MempoolLimits, Solo, SoloOptions
from dougong.consensus.chain_store import ChainStore, Decided
from dougong.consensus.commit import verify_commit
from dougong.crypto.keys import Ed25519Key
from dougong.errors import ConfigError, Divergence, InvalidTransaction, NotFound, Rejected, StoreCorrupt, Unavailable
from dougong.store import Store
from dougong.testing import KeyValue
from dougong.testing.consensus import find, running
from dougong.types import AppInfo, DecidedBlock, FinalizeResult, InitChain, InitChainResult, Proposal, Validator

KEY = Ed25519Key(b"\1" * 32)
START = 1_767_323_045_000_000_000
GENESIS = Genesis.create("solo-1", START, [Validator(KEY.public_key, 10)])
FAST = SoloOptions(block_time=0.005)


class Crash(Exception):
    """Stands for the moment of a kill -9 between two steps."""


class Faulty(KeyValue):
    """A `KeyValue` that can be told to go wrong."""

    fault = ""

    async def finalize_block(self, block: DecidedBlock) -> FinalizeResult:
        if self.fault == "before finalize":
            raise Crash
        result = await super().finalize_block(block)
        if self.fault == "another hash":
            return replace(result, app_hash=bytes(31) + b"\1")
        if self.fault == "validators":
            return replace(result, validator_updates=(Validator(bytes(32), 1),))
        return replace(result, tx_results=result.tx_results[1:]) if self.fault == "results" else result

    async def commit(self) -> None:
        if self.fault == "before commit":
            raise Crash
        await super().commit()
        if self.fault == "after commit":
            raise Crash

    async def prepare_proposal(self, proposal: Proposal) -> Sequence[bytes]:
        chosen = await super().prepare_proposal(proposal)
        return [bytes(proposal.max_tx_bytes + 1)] if self.fault == "oversized" else chosen

    async def process_proposal(self, proposal: Proposal) -> bool:
        return self.fault != "refuses" and await super().process_proposal(proposal)

    async def init_chain(self, genesis: InitChain) -> InitChainResult:
        result = await super().init_chain(genesis)
        return InitChainResult(b"\2" * 32) if self.fault == "another beginning" else result

    async def info(self) -> AppInfo:
        info = await super().info()
        return replace(info, app_hash=bytes(32)) if self.fault == "another state" and info.last_height else info


@asynccontextmanager
async def opened(
    folder: Path, options: SoloOptions = FAST, *, fault: str = "", genesis: Genesis = GENESIS
) -> AsyncIterator[Solo]:
    async with Faulty.open(folder / "app") as app:
        assert isinstance(app, Faulty)
        app.fault = fault
        chain = await Solo.open(folder / "chain", genesis, KEY, app, options)
        try:
            yield chain
        finally:
            await chain.close()


async def run_to(folder: Path, height: int, *txs: bytes) -> None:
    async with opened(folder) as chain, running(chain):
        for tx in txs:
            assert (await chain.broadcast(tx)).accepted
            await find(chain, tx)
        await chain.wait_for_height(height)


@pytest.mark.parametrize("fault", ["before finalize", "before commit", "after commit"])
async def test_a_decided_block_is_executed_once_wherever_the_crash_was(tmp_path: Path, fault: str) -> None:
    await run_to(tmp_path, 2, b"a=1")
    async with opened(tmp_path, fault=fault) as chain:
        assert (await chain.broadcast(b"b=2")).accepted
        with pytest.raises(Crash):
            await chain.run()
        with pytest.raises(Unavailable):
            await chain.broadcast(b"c=3")
        with pytest.raises(Unavailable):
            await chain.wait_for_height(1000)
    async with opened(tmp_path) as chain:
        height = await find(chain, b"b=2")
        assert (await chain.status()).height == height, "it is executed before anything else happens"
        async with running(chain):
            await chain.wait_for_height(height + 2)
        found = [tx for number in range(1, height + 3) for tx in (await chain.block(number)).txs]
        assert found == [b"a=1", b"b=2"]


@pytest.mark.parametrize("fault", ["oversized", "refuses", "results"])
async def test_an_application_that_breaks_its_contract_stops_the_chain(tmp_path: Path, fault: str) -> None:
    async with opened(tmp_path, fault=fault) as chain:
        await chain.broadcast(b"a=1")
        with pytest.raises(Divergence):
            await chain.run()


async def test_a_change_of_validators_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, fault="validators") as chain:
        with pytest.raises(ConfigError, match="validator set"):
            await chain.run()


async def test_other_results_than_before_are_a_divergence(tmp_path: Path) -> None:
    async with opened(tmp_path, fault="before commit") as chain:
        await chain.broadcast(b"a=1")
        with pytest.raises(Crash):
            await chain.run()
    with pytest.raises(Divergence, match="app hash"):
        async with opened(tmp_path, fault="another hash"):
            pass


async def test_stores_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    await run_to(tmp_path, 3, b"a=1")
    with pytest.raises(Divergence, match="after block"):
        async with opened(tmp_path, fault="another state"):
            pass
    (tmp_path / "chain").rename(tmp_path / "old")
    with pytest.raises(StoreCorrupt, match="ends at 0"):
        async with opened(tmp_path):
            pass
    other = Genesis.create("solo-2", START, [Validator(KEY.public_key, 10)])
    with pytest.raises(StoreCorrupt, match="another genesis"):
        async with opened(tmp_path, genesis=other):
            pass


async def test_a_new_application_catches_up_and_must_begin_alike(tmp_path: Path) -> None:
    await run_to(tmp_path, 3, b"a=1", b"b=2")
    (tmp_path / "app").rename(tmp_path / "old")
    with pytest.raises(Divergence, match="began with"):
        async with opened(tmp_path, fault="another beginning"):
            pass
    async with opened(tmp_path) as chain:
        status = await chain.status()
        assert not (await chain.broadcast(b"a=2")).accepted, "the state is there again"
        assert status.app_hash == (await chain._app.info()).app_hash


@pytest.mark.parametrize("table", ["headers", "blocks", "commits", "results"])
async def test_a_damaged_block_is_named(tmp_path: Path, table: str) -> None:
    await run_to(tmp_path, 2)
    store = Store(tmp_path / "chain", ("headers", "blocks", "commits", "results", "meta", "mempool"))
    ((key, value),) = store.items(table, reverse=True, limit=1)
    with store.write() as txn:
        txn.put(table, key, value[:-1] + bytes([value[-1] ^ 1]) + b"\0")
    store.close()
    (tmp_path / "app").rename(tmp_path / "old")
    with pytest.raises(StoreCorrupt, match="block"):
        async with opened(tmp_path):
            pass


async def test_it_signs_one_block_a_height(tmp_path: Path) -> None:
    await run_to(tmp_path, 2)
    store = ChainStore(tmp_path / "chain", GENESIS)
    last = store.last_height()
    header, commit = store.header(last), store.commit(last)
    for height in (1, last):
        with pytest.raises(Divergence, match="signed already"):
            store.decide(Decided(replace(header, height=height, app_hash=b""), b"", commit.block_id, commit), [])
    assert store.header(last) == header
    store.store.close()


async def test_headers_follow_each_other_even_when_the_clock_does_not(tmp_path: Path) -> None:
    times = iter([START - 10**9, START + 5, START + 5, START - 5, START + 10**10, START, START, START, START, START])
    async with opened(tmp_path, replace(FAST, clock=lambda: next(times, START))) as chain, running(chain):
        await chain.wait_for_height(6)
        headers = []
        for height in range(1, 7):
            signed = await chain.signed_header(height)
            header, commit = Header.decode(signed.header), Commit.decode(signed.commit)
            verify_commit("solo-1", signed.validators, commit.block_id, height, commit)
            assert commit.block_id.hash == header.hash()
            headers.append((header, commit))
        assert headers[0][0].time_ns == START
        for (before, commit), (header, _) in pairwise(headers):
            assert header.time_ns >= before.time_ns + 1_000_000
            assert (header.last_block_id, header.last_commit_hash) == (commit.block_id, commit.hash())


async def test_without_empty_blocks_only_changes_make_blocks(tmp_path: Path) -> None:
    async with opened(tmp_path, replace(FAST, create_empty_blocks=False)) as chain, running(chain):
        await chain.wait_for_height(1)
        settled = (await chain.status()).height
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(chain.wait_for_height(settled + 1), 0.1)
        await chain.broadcast(b"a=1")
        height = await find(chain, b"a=1", settled + 1)
        await chain.wait_for_height(height + 1)
        proof = Header.decode((await chain.signed_header(height + 1)).header)
        assert proof.app_hash == (await chain.status()).app_hash
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(chain.wait_for_height(height + 2), 0.1)


async def test_the_mempool_refuses_clearly_and_takes_again_what_has_room(tmp_path: Path) -> None:
    options = replace(FAST, mempool=MempoolLimits(txs=3, bytes=100, tx_bytes=50))
    async with opened(tmp_path, options) as chain:
        with pytest.raises(InvalidTransaction, match="50 bytes"):
            await chain.broadcast(b"a=" + bytes(49))
        with pytest.raises(InvalidTransaction):
            await chain.broadcast(b"")
        verdicts = await asyncio.gather(*(chain.broadcast(b"k%d=1" % number) for number in range(9)), return_exceptions=True)
        assert sum(isinstance(verdict, Rejected) for verdict in verdicts) == 6
        assert (await chain.broadcast(b"k0=1")).accepted, "one that waits already needs no room"
        async with running(chain):
            await find(chain, b"k0=1")
            assert (await chain.broadcast(b"b=1")).accepted
            await find(chain, b"b=1")
        assert (await chain.broadcast(b"x=" + bytes(48))).accepted
        assert (await chain.broadcast(b"y=" + bytes(47))).accepted
        with pytest.raises(Rejected, match="full"):
            await chain.broadcast(b"z=1234567")


async def test_what_became_invalid_leaves_the_mempool_and_the_journal(tmp_path: Path) -> None:
    async with opened(tmp_path) as chain:
        for tx in (b"a=1", b"a=2", b"b=1"):
            assert (await chain.broadcast(tx)).accepted
        async with running(chain):
            await find(chain, b"b=1")
            await chain.wait_for_height((await chain.status()).height + 1)
    store = Store(tmp_path / "chain", ("mempool",))
    assert store.items("mempool") == []
    store.close()


async def test_a_block_takes_what_fits_and_the_rest_follows(tmp_path: Path) -> None:
    genesis = Genesis.create("small-1", START, [Validator(KEY.public_key, 1)], params=ConsensusParams(max_bytes=2048))
    txs = [b"%d=" % number + b"x" * 300 for number in range(9)]
    async with opened(tmp_path, genesis=genesis) as chain:
        for tx in txs:
            assert (await chain.broadcast(tx)).accepted
        async with running(chain):
            heights = [await find(chain, tx) for tx in txs]
        assert heights == sorted(heights)
        assert len(set(heights)) > 1
        for height in set(heights):
            assert sum(map(len, (await chain.block(height)).txs)) <= genesis.params.max_tx_bytes(1)


async def test_a_caller_that_gives_up_takes_nobody_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as chain:
        tasks = [asyncio.create_task(chain.broadcast(b"k%d=1" % number)) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(not isinstance(result, BaseException) and result.accepted for result in results[1::2])


async def test_cancelling_run_leaves_a_whole_height(tmp_path: Path) -> None:
    async with opened(tmp_path, replace(FAST, block_time=0.0)) as chain:
        for _ in range(10):
            task = asyncio.create_task(chain.run())
            await chain.wait_for_height((await chain.status()).height + 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await chain.status()).height == (await chain._app.info()).last_height


@pytest.mark.parametrize(
    "make",
    [
        lambda: Genesis.create("solo-1", START, [Validator(Ed25519Key(b"\2" * 32).public_key, 10)]),
        lambda: Genesis.create("solo-1", START, [Validator(KEY.public_key, 10), Validator(bytes(31) + b"\1", 1)]),
    ],
)
async def test_a_key_that_is_not_the_one_validator_is_refused(tmp_path: Path, make: Callable[[], Genesis]) -> None:
    with pytest.raises(ConfigError, match="validator"):
        async with opened(tmp_path, genesis=make()):
            pass


async def test_no_block_before_the_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as chain:
        status = await chain.status()
        assert (status.height, status.genesis_hash) == (0, GENESIS.hash)
        with pytest.raises(NotFound):
            await chain.block(1)
