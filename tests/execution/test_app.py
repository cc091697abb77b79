"""The EVM application under its own laws, under `Solo`, and against what a proposer may try."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dougong._native import keccak256
from dougong.consensus.genesis import Genesis
from dougong.consensus.solo import Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key
from dougong.errors import ConfigError, Divergence, InvalidTransaction, StoreCorrupt
from dougong.execution.evm.app import EvmApplication
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.execution.evm.ordered import OrderedEvm
from dougong.testing import check_application
from dougong.testing.wallet import GWEI, Wallet
from dougong.types import DecidedBlock, Heads, InitChain, Proposal, Validator

CHAIN_ID = 4_201
ALICE, BOB, CAROL, CODED = (Wallet.of(name, CHAIN_ID) for name in ("alice", "bob", "carol", "coded"))
ALLOC = {wallet.address: GenesisAccount(10**20) for wallet in (ALICE, BOB)}
ALLOC[CODED.address] = GenesisAccount(10**20, code=b"\x00")
GENESIS = make_genesis(CHAIN_ID, ALLOC, fee_recipient=b"\xfe" * 20)
KEY = Ed25519Key(bytes(32))
START = 1_800_000_000


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[EvmApplication]:
    app = await EvmApplication.open(folder / "evm", GENESIS)
    try:
        yield app
    finally:
        await app.close()


@asynccontextmanager
async def ordered(folder: Path) -> AsyncIterator[tuple[OrderedEvm, Solo, EvmApplication]]:
    genesis = Genesis.create("base", START * 10**9, [Validator(KEY.public_key, 1)], app_state=json.loads(GENESIS))
    async with opened(folder) as app:
        chain = await Solo.open(folder / "chain", genesis, KEY, app, SoloOptions(block_time=0.01, create_empty_blocks=False))
        try:
            yield OrderedEvm(app, chain), chain, app
        finally:
            await chain.close()


def init_chain(state: str = GENESIS) -> InitChain:
    return InitChain("base", START * 10**9, 1, (Validator(KEY.public_key, 1),), state.encode())


def decided(height: int, txs: tuple[bytes, ...], seconds: int = START) -> DecidedBlock:
    return DecidedBlock(height, seconds * 10**9, txs, bytes(20), bytes(32))


def proposal(height: int, txs: tuple[bytes, ...], max_tx_bytes: int = 1 << 20) -> Proposal:
    return Proposal(height, START * 10**9, txs, bytes(20), max_tx_bytes)


async def test_it_keeps_the_laws_of_an_application(tmp_path: Path) -> None:
    txs = [
        ALICE.transfer(CAROL.address, 1, nonce=0),
        ALICE.transfer(CAROL.address, 2, nonce=1),
        BOB.transfer(CAROL.address, 3, nonce=0),
    ]
    await check_application(opened, tmp_path, txs=txs, genesis=init_chain())


async def test_a_block_is_ethereums_and_the_heights_agree(tmp_path: Path) -> None:
    async with opened(tmp_path) as app:
        await app.init_chain(init_chain())
        for height in (1, 2, 3):
            result = await app.finalize_block(
                decided(height, (ALICE.transfer(CAROL.address, 5, nonce=height - 1),), START + height)
            )
            await app.commit()
            header = app.evm.header(height)
            assert (header.number, header.hash, header.timestamp) == (height, result.app_hash, START + height)
        assert app.evm.account(CAROL.address) == (0, 15)
        assert app.evm.account(b"\xfe" * 20)[1] == 3 * 21_000 * GWEI


async def test_a_clock_that_goes_back_does_not_stop_the_chain(tmp_path: Path) -> None:
    async with opened(tmp_path) as app:
        await app.finalize_block(decided(1, (), START))
        await app.commit()
        await app.finalize_block(decided(2, (), START - 100))
        await app.commit()
        assert app.head.timestamp == START


async def test_an_invalid_transaction_in_a_decided_block_has_a_code_and_leaves_no_trace(tmp_path: Path) -> None:
    good = ALICE.transfer(CAROL.address, 7, nonce=0)
    poor = CAROL.transfer(ALICE.address, 10**18, nonce=0)
    gapped = BOB.transfer(ALICE.address, 1, nonce=5)
    async with opened(tmp_path) as app:
        result = await app.finalize_block(decided(1, (poor, good, b"junk", gapped, good)))
        assert [bool(entry.code) for entry in result.tx_results] == [True, False, True, True, True]
        assert all(entry.log for entry in result.tx_results if entry.code)
        await app.commit()
        assert app.evm.transactions(1) == [good]
        assert app.evm.account(CAROL.address) == (0, 7)
        assert app.evm.account(BOB.address) == (0, 10**20)


async def test_a_proposal_that_holds_what_is_invalid_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as app:
        first, second = (ALICE.transfer(CAROL.address, 1, nonce=nonce) for nonce in (0, 1))
        assert await app.process_proposal(proposal(1, (first, second)))
        for txs in ((second, first), (first, first), (first, b""), (CAROL.transfer(BOB.address, 1, nonce=0),)):
            assert not await app.process_proposal(proposal(1, txs))
        assert not await app.process_proposal(proposal(2, (first,)))
        # What was refused has left nothing pending.
        result = await app.finalize_block(decided(1, (first,)))
        assert [entry.code for entry in result.tx_results] == [0]


async def test_a_proposal_takes_the_best_paying_of_what_is_offered_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as app:
        low = ALICE.transfer(CAROL.address, 1, nonce=0, tip=1)
        follows = ALICE.transfer(CAROL.address, 1, nonce=1, tip=9 * GWEI)
        high = BOB.transfer(CAROL.address, 1, nonce=0, tip=2 * GWEI)
        not_offered = BOB.transfer(CAROL.address, 1, nonce=1, tip=9 * GWEI)
        assert (await app.check_tx(not_offered)).accepted
        assert list(await app.prepare_proposal(proposal(1, (follows, low, high, b"junk")))) == [high, low, follows]


async def test_what_turned_out_invalid_leaves_the_pool_and_the_rest_goes_on(tmp_path: Path) -> None:
    # Only the EVM looks whether a sender has code (EIP-3607): its transactions are then invalid.
    bad, after = (CODED.transfer(CAROL.address, 1, nonce=nonce) for nonce in (0, 1))
    good = BOB.transfer(CAROL.address, 1, nonce=0)
    async with opened(tmp_path) as app:
        for tx in (bad, after, good):
            assert (await app.check_tx(tx)).accepted
        assert list(await app.prepare_proposal(proposal(1, (bad, after, good)))) == [good]
        assert keccak256(bad) not in app.pool
        other = ALICE.transfer(CAROL.address, 1, nonce=0)
        assert (await app.check_tx(other)).accepted
        assert set(await app.prepare_proposal(proposal(1, (after, other, good)))) == {good, other}


async def test_a_genesis_document_of_another_chain_is_refused(tmp_path: Path) -> None:
    other = make_genesis(CHAIN_ID + 1, {})
    async with opened(tmp_path) as app:
        for state in (other, "", "{}", "{", "null"):
            with pytest.raises(ConfigError, match="app state of base"):
                await app.init_chain(init_chain(state))
    with pytest.raises(StoreCorrupt):
        await EvmApplication.open(tmp_path / "evm", other)


async def test_blocks_out_of_turn_are_a_divergence(tmp_path: Path) -> None:
    async with opened(tmp_path) as app:
        with pytest.raises(Divergence):
            await app.finalize_block(decided(2, ()))
        with pytest.raises(Divergence):
            await app.commit()


async def test_what_is_submitted_is_in_a_final_block_and_survives_a_restart(tmp_path: Path) -> None:
    sent = [ALICE.transfer(CAROL.address, 1, nonce=nonce) for nonce in range(20)]
    async with ordered(tmp_path) as (backend, _, app):
        hashes = await asyncio.gather(*(backend.submit(raw) for raw in sent))
        assert hashes == [keccak256(raw) for raw in sent]
        assert await backend.submit(sent[3]) == hashes[3]
        assert backend.pending_nonce(ALICE.address) == 20
        assert backend.pending_transaction(hashes[0]) == sent[0]
        assert backend.heads() == Heads(0, 0, 0)
        with pytest.raises(InvalidTransaction, match="insufficient funds"):
            await backend.submit(CAROL.transfer(ALICE.address, 10**18, nonce=0))
        with pytest.raises(InvalidTransaction):
            await backend.submit(b"junk")
    # Stopped before the first block: the pool is gone, the engine's journal is not.
    async with ordered(tmp_path) as (backend, chain, app):
        running = asyncio.create_task(chain.run())
        await chain.wait_for_height(1)
        while len(app.pool):
            await chain.wait_for_height(backend.heads().latest + 1)
        running.cancel()
        await asyncio.wait({running})
        assert app.evm.account(CAROL.address) == (0, 20)
        assert backend.pending_transaction(hashes[0]) is None
        with pytest.raises(InvalidTransaction, match="nonce too low"):
            await backend.submit(sent[0])
        head = app.head.hash
    # The application lost its store: the engine's blocks give the same chain again.
    shutil.rmtree(tmp_path / "evm")
    async with ordered(tmp_path) as (_, chain, app):
        assert (await chain.status()).app_hash == app.head.hash == head
        assert app.evm.account(CAROL.address) == (0, 20)
