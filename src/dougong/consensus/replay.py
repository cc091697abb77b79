"""The handshake at start: where is the application, and what has it missed?

Source: CometBFT v0.38, spec/abci/abci++_app_requirements.md ("Crash recovery"). The store may be ahead of the application by any
number of blocks, which are executed again; never behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.consensus.block import data_hash
from dougong.consensus.chain_store import ChainStore
from dougong.consensus.genesis import Genesis
from dougong.errors import ConfigError, Divergence, NotFound, Pruned, StoreCorrupt
from dougong.interfaces import Application
from dougong.types import DecidedBlock, Validator


async def handshake(store: ChainStore, genesis: Genesis, app: Application) -> tuple[bytes, int]:
    """Brings `app` to the store's last block; returns its app hash and the app version that headers carry.

    Raises `StoreCorrupt` when the application is ahead of the store, `Divergence` when it holds another state at a height.
    """
    info = await app.info()
    last = store.last_height()
    if info.last_height > last:
        raise StoreCorrupt(
            f"the application has committed block {info.last_height} and the chain {genesis.chain_id} ends at {last}",
            remedy="restore the chain's folder, or remove the application's folder as well",
        )
    app_hash, version = await _origin(store, genesis, app, info.last_height, info.app_version)
    if info.last_height:
        app_hash = info.app_hash
        _compare(store, info.last_height, app_hash)
    for height in range(info.last_height + 1, last + 1):
        app_hash = await _execute_again(store, genesis, app, height, app_hash)
    return app_hash, version


async def _origin(store: ChainStore, genesis: Genesis, app: Application, height: int, version: int) -> tuple[bytes, int]:
    kept = store.origin()
    if height:
        if kept is None:
            raise StoreCorrupt(f"the chain {genesis.chain_id} has blocks and no beginning", remedy="restore its folder")
        return kept
    result = await app.init_chain(genesis.init_chain)
    updates_change_nothing(genesis, result.validators)
    app_hash = result.app_hash or genesis.app_hash
    if kept is None:
        store.set_origin(app_hash, version)
        return app_hash, version
    if kept[0] != app_hash:
        raise Divergence(f"{genesis.chain_id} began with app hash {kept[0].hex()} and now begins with {app_hash.hex()}")
    return kept


def _compare(store: ChainStore, height: int, app_hash: bytes) -> None:
    try:
        expected = store.results(height)[1]
    except NotFound as error:
        raise StoreCorrupt(
            f"the application has committed block {height}, whose results the chain does not have", remedy="restore its folder"
        ) from error
    if expected != app_hash:
        raise Divergence(f"after block {height} the chain has app hash {expected.hex()} and the application {app_hash.hex()}")


async def _execute_again(store: ChainStore, genesis: Genesis, app: Application, height: int, before: bytes) -> bytes:
    header, commit = store.header(height), store.commit(height)
    try:
        txs = store.transactions(height)
    except Pruned as error:
        raise StoreCorrupt(
            f"the application of {genesis.chain_id} is at block {height - 1}, and what came then was pruned here: {error}",
            remedy="restore the application's folder",
        ) from error
    if header.height != height or commit.block_id.hash != header.hash() or header.data_hash != data_hash(txs):
        raise StoreCorrupt(f"block {height} in the store {store.store.path} is not the one that was decided", remedy="restore it")
    if header.app_hash != before:
        raise Divergence(f"header {height} has app hash {header.app_hash.hex()} and the application {before.hex()}")
    block = DecidedBlock(height, header.time_ns, txs, header.proposer_address, commit.block_id.hash)
    result = await app.finalize_block(block)
    updates_change_nothing(genesis, result.validator_updates)
    if len(result.tx_results) != len(txs):
        raise Divergence(f"block {height} has {len(txs)} transactions and {len(result.tx_results)} results")
    store.finish(height, result.tx_results, result.app_hash)
    await app.commit()
    return result.app_hash


def updates_change_nothing(genesis: Genesis, updates: Sequence[Validator]) -> None:
    """Raises `ConfigError` when an application asks for another validator set than solo's one."""
    if any(update not in genesis.validators for update in updates):
        raise ConfigError(
            f"the application of {genesis.chain_id} changes the validator set, which solo cannot follow",
            remedy="run it on an engine with several validators",
        )
