"""The genesis document of every chain of a stack, made at the first start and never again.

    documents = settle_genesis(config, disk, keys)
    documents.availability["square"]                    # the bytes whose SHA-256 is the DA chain's id
    documents.rollup["alpha"]

A chain is its genesis document. So a later start makes the documents again from stack.toml and compares: where they differ,
stack.toml describes another chain, and the start is refused with the names of the values that changed. A rollup's document holds
the EVM's genesis and what a node must know besides: where its batches lie and who signs them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dougong.availability.chain.cosmos_tx import account_address, address_text, parse_address
from dougong.availability.kzg import da_id as blobs_id
from dougong.consensus.genesis import Genesis
from dougong.contracts.predeploys import outbox
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import ConfigError, StoreCorrupt
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.stack.config import (
    AvailabilityConfig,
    CelestiaAvailability,
    EmbeddedSettlement,
    EthereumBlobsAvailability,
    RollupConfig,
    SquareAvailability,
    StackConfig,
)
from dougong.stack.data_window import contradiction, data_window
from dougong.stack.disk import Disk
from dougong.stack.keys import DEV_ACCOUNTS, Keyring
from dougong.types import Namespace, Validator

__all__ = ["SPEC_VERSION", "Documents", "celestia_id", "settle_genesis"]

SPEC_VERSION = 1
ETHER = 10**18
DEV_ETHER = 1_000_000
OPERATOR_ETHER = 10_000
TREASURY_UTIA = 10**18  # a million million TIA
POWER = 10


@dataclass(frozen=True, slots=True)
class Documents:
    """Genesis documents by chain name, as their nodes hash and serve them, and what settlement calls each DA layer."""

    availability: dict[str, bytes] = field(default_factory=dict)
    settlement: dict[str, bytes] = field(default_factory=dict)
    rollup: dict[str, bytes] = field(default_factory=dict)
    networks: dict[str, bytes] = field(default_factory=dict)
    """The DA ids of networks that are not ours, and whose documents nobody asks for."""

    def data_window(self, rollup: str) -> int:
        """Of a rollup that settles: how deep its batches' data may lie when they are appended, in DA heights; 0: no bound."""
        return int(json.loads(self.rollup[rollup])["settled"]["data_window"])

    def da_id(self, name: str) -> bytes:
        return self.networks[name] if name in self.networks else sha256(self.availability[name])


def settle_genesis(config: StackConfig, disk: Disk, keys: Keyring) -> Documents:
    """Writes what is not written yet. Raises `ConfigError` where a written document differs from what stack.toml now says."""
    time_ns = _first_start(disk)
    documents = Documents()
    for name, availability in config.availability.items():
        if isinstance(availability, CelestiaAvailability):
            documents.networks[name] = celestia_id(availability.chain_id)
        elif isinstance(availability, EthereumBlobsAvailability):
            documents.networks[name] = blobs_id(config.settlement[availability.settlement].chain_id)
        else:
            documents.availability[name] = _settle(disk, "availability", name, _square(name, availability, keys, time_ns))
    for name, settlement in config.settlement.items():
        if isinstance(settlement, EmbeddedSettlement):
            documents.settlement[name] = _settle(disk, "settlement", name, _embedded(name, settlement, config, keys, time_ns))
    for name, rollup in config.rollup.items():
        window = _data_window(disk, name, config)
        document = _rollup(name, rollup, config, keys, time_ns, documents.da_id(rollup.availability), window)
        documents.rollup[name] = _settle(disk, "rollup", name, document)
    return documents


def operators(config: StackConfig, settlement: str) -> list[str]:
    """The roles that send transactions to a settlement chain, and so need ether there."""
    on_blobs = {
        name
        for name, rollup in config.rollup.items()
        if getattr(config.availability.get(rollup.availability), "settlement", None) == settlement
    }
    settled = [name for name, rollup in config.rollup.items() if rollup.settlement == settlement]
    roles = [f"deployer.{settlement}"]
    if not settled or not on_blobs.issuperset(settled):
        roles.append(f"relayer.{settlement}")
    roles += [f"{role}.{name}" for name in settled for role in ("sequencer", "proposer")]
    return roles + [f"sequencer.{name}" for name in sorted(on_blobs.difference(settled))]


# --- documents ------------------------------------------------------------------------------------------------------


def _square(name: str, config: SquareAvailability, keys: Keyring, time_ns: int) -> bytes:
    validators = [Validator(keys.validator(name).public_key, POWER)]
    treasury = address_text(account_address(keys.account(f"treasury.{name}").public_key))
    app_state = {
        "max_square_size": config.max_square_size,
        "min_base_fee": config.min_base_fee,
        "accounts": {**config.fund, treasury: config.fund.get(treasury, 0) + TREASURY_UTIA},
        "payouts": {keys.validator(name).address.hex(): treasury},
    }
    return Genesis.create(f"{name}-1", time_ns, validators, app_state=app_state).raw


def celestia_id(chain_id: str) -> bytes:
    """The DA id of a Celestia network."""
    return sha256(b"dougong/da-id/celestia/" + chain_id.encode())


def _embedded(name: str, config: EmbeddedSettlement, stack: StackConfig, keys: Keyring, time_ns: int) -> bytes:
    alloc = _funded(config.fund, dev=stack.dev)
    for role in operators(stack, name):
        alloc[keys.account(role).address] = GenesisAccount(balance=OPERATOR_ETHER * ETHER)
    evm = make_genesis(config.chain_id, alloc, gas_limit=config.gas_limit, timestamp=time_ns // 10**9)
    validators = [Validator(keys.validator(name).public_key, POWER)]
    return Genesis.create(f"{name}-1", time_ns, validators, app_state=json.loads(evm)).raw


def _rollup(name: str, config: RollupConfig, stack: StackConfig, keys: Keyring, time_ns: int, da_id: bytes, window: int) -> bytes:
    predeploy = outbox()
    alloc = _funded(config.fund, dev=stack.dev) if config.sovereign else {}
    alloc[predeploy.address] = GenesisAccount(nonce=1, code=predeploy.code, storage=predeploy.storage)
    key = keys.account(f"sequencer.{name}")
    evm = make_genesis(
        stack.chain_id(name), alloc, gas_limit=config.gas_limit, timestamp=time_ns // 10**9, fee_recipient=key.address
    )
    settled = {
        "settlement": config.settlement,
        "proof": config.proof,
        "challenge_window_s": config.window,
        "force_delay_s": config.force_delay,
        "sequencer_timeout_s": config.sequencer_timeout,
        "data_window": window,
    }
    document = {
        "name": name,
        "spec_version": SPEC_VERSION,
        "namespace": Namespace.user(name.encode()).hex(),
        "da_id": da_id.hex(),
        "batch_signer": account_address(key.public_key).hex(),
        **_elsewhere(stack.availability[config.availability], key),
        "settled": None if config.sovereign else settled,
        "evm": json.loads(evm),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _data_window(disk: Disk, name: str, config: StackConfig) -> int:
    """Once registered it stays, and what its DA chain keeps must go on to be enough for it. Raises `ConfigError`."""
    raw, written = disk.read(disk.genesis("rollup", name)), None
    with suppress(ValueError, TypeError, KeyError):
        written = None if raw is None else int(json.loads(raw)["settled"]["data_window"])
    window = data_window(config, name, written=written)
    wrong = None if config.rollup[name].sovereign else contradiction(config, name, window)
    if wrong is not None:
        enough = f"{2 * window} heights or more" if window else "everything: it may have neither window_blocks nor window_s"
        remedy = wrong[1] if written is None else f"registered is registered: let its DA chain keep {enough}"
        raise ConfigError(f"[rollup.{name}] {wrong[0]}", remedy=remedy)
    return window


def _elsewhere(layer: AvailabilityConfig, key: Secp256k1Key) -> dict[str, object]:
    """What is different where the DA layer is no chain of ours: who signs the batches, and where they begin."""
    if isinstance(layer, EthereumBlobsAvailability):
        return {"batch_signer": key.address.hex()}
    if isinstance(layer, CelestiaAvailability):  # the node signs, with its account, and the network is older than the rollup
        return {"batch_signer": parse_address(layer.account).hex(), "da_start": layer.start_height}
    return {}


def _funded(fund: Mapping[str, int], *, dev: bool) -> dict[bytes, GenesisAccount]:
    alloc = {key.address: GenesisAccount(balance=DEV_ETHER * ETHER) for key in DEV_ACCOUNTS} if dev else {}
    for address, ether in fund.items():
        alloc[bytes.fromhex(address[2:])] = GenesisAccount(balance=ether * ETHER)
    return alloc


# --- written once ---------------------------------------------------------------------------------------------------


def _first_start(disk: Disk) -> int:
    """When this stack first started, in nanoseconds: the genesis time of all its chains."""
    path = disk.root / "genesis" / "time"
    written = disk.read(path)
    if written is None:
        written = str(time.time_ns()).encode()
        disk.write(path, written)
    if not written.isdigit():
        raise StoreCorrupt(f"{path} does not hold a time", remedy="restore it, or start anew with another data_dir")
    return int(written)


def _settle(disk: Disk, layer: str, name: str, document: bytes) -> bytes:
    path = disk.genesis(layer, name)
    written = disk.read(path)
    if written is None:
        disk.write(path, document)
        return document
    if written != document:
        try:
            before, now = json.loads(written), json.loads(document)
        except ValueError as error:
            raise StoreCorrupt(
                f"{path} is not JSON: {error}", remedy="restore it, or start anew with another data_dir"
            ) from error
        changes = ", ".join(_changes(before, now)) or "its form"
        raise ConfigError(
            f"[{layer}.{name}] runs already, and stack.toml now describes another chain: {changes}",
            remedy="put the values back, or give the new chain another data_dir",
        )
    return document


def _changes(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """`gas_limit 0x1 -> 0x2` for every value that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _changes(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        yield f"{where} {_short(before)} → {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 48 else text[:45] + "..."
