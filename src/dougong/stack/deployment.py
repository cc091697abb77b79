"""Puts a stack's contracts on its settlement chain, each once, and remembers where they are.

    deployment = await Deployment.open(disk, "base", rpc, key)
    settlement = await deployment.settlement()
    attestations = await deployment.attestations("square", da_id, attestors)
    rollup_id = await deployment.rollup("alpha", config)

What is written before a step: its name and the deployer's nonce. After a kill -9 in the middle of a step the nonce tells
whether the transaction took effect, and a contract's address follows from deployer and nonce, so it is found again and not
deployed twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dougong.codec import rlp
from dougong.contracts import artifact
from dougong.crypto.attestation import attestors_hash
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import NotFound, StoreCorrupt, Unavailable
from dougong.net.jsonrpc import JsonRpc, data, quantity
from dougong.settlement.client import SettlementClient
from dougong.settlement.contract import deploy
from dougong.settlement.encoding import RollupConfig
from dougong.settlement.transactor import Transactor
from dougong.stack.disk import Disk
from dougong.types import Attestor

__all__ = ["Deployment", "create_address"]

SETTLE_S = 60.0  # for a transaction that was under way at a crash to end up in a block
POLL_S = 0.2


def create_address(deployer: bytes, nonce: int) -> bytes:
    """Where a contract created by a transaction goes: keccak256(rlp([deployer, nonce]))[12:]."""
    return keccak256(rlp.encode([deployer, nonce]))[12:]


class Deployment:
    """One settlement chain's. Steps go one after the other."""

    def __init__(self, disk: Disk, path: Path, transactor: Transactor, record: dict[str, Any]) -> None:
        self._disk = disk
        self._path = path
        self._transactor = transactor
        self._rpc = transactor.rpc
        self._record = record
        self._step = asyncio.Lock()

    @classmethod
    async def open(cls, disk: Disk, settlement: str, rpc: JsonRpc, key: Secp256k1Key) -> Deployment:
        """Raises `StoreCorrupt`, and `NotFound` if the chain does not hold what the record says."""
        path = disk.root / "deployment" / f"{settlement}.json"
        transactor = await Transactor.connect(rpc, key)
        deployment = cls(disk, path, transactor, _read(disk.read(path), path))
        for name, address in deployment._record["contracts"].items():
            if not await deployment._code(bytes.fromhex(address)):
                raise NotFound(
                    f"the contract {name} is not at 0x{address} on {rpc.url}, where this stack put it",
                    remedy="the settlement chain was reset or is another one: give the stack another data_dir, or the old chain",
                )
        return deployment

    async def settlement(self) -> bytes:
        return await self._contract("settlement", "Settlement")

    async def attestations(self, availability: str, da_id: bytes, attestors: Sequence[Attestor]) -> bytes:
        return await self._contract(f"attestations.{availability}", "Attestations", da_id, attestors_hash(attestors))

    async def verifier(self, rollup: str, proposer: bytes, window: int) -> bytes:
        """Claims of `proposer` hold after `window` seconds."""
        return await self._contract(f"verifier.{rollup}", "PermissionedVerifier", await self.settlement(), proposer, window)

    def knows_rollup(self, name: str) -> bool:
        """Whether it is registered already."""
        return name in self._record["rollups"]

    def known_rollup(self, name: str) -> int:
        """The id under which it is registered already. Raises `NotFound`."""
        known = self._record["rollups"].get(name)
        if known is None:
            raise NotFound(
                f"{name} is not registered yet", remedy="copy keys, genesis and deployment from the stack that runs it"
            )
        return int(known)

    def known_attestations(self, availability: str) -> bytes:
        """The contract that is deployed already. Raises `NotFound`."""
        known = self._record["contracts"].get(f"attestations.{availability}")
        if known is None:
            raise NotFound(f"no attestations of {availability} are deployed", remedy="the stack's own process deploys them")
        return bytes.fromhex(known)

    def knows_settlement(self) -> bool:
        """Whether the settlement contract is deployed already."""
        return "settlement" in self._record["contracts"]

    async def rollup(self, name: str, config: RollupConfig) -> int:
        """The rollup's id; registers it if need be."""
        contract = await self.settlement()
        async with self._step:
            known = self._record["rollups"].get(name)
            if known is not None:
                return int(known)
            client = SettlementClient(self._rpc, contract, self._transactor)
            rollup_id = await self._registered(client, config) if await self._was_under_way(name) is not None else None
            if rollup_id is None:
                await self._announce(name)
                rollup_id = await client.register(config)
            self._record["rollups"][name] = rollup_id
            self._done()
            return rollup_id

    async def _contract(self, name: str, kind: str, *arguments: object) -> bytes:
        async with self._step:
            known = self._record["contracts"].get(name)
            if known is not None:
                return bytes.fromhex(known)
            built = artifact(kind)
            nonce = await self._was_under_way(name)
            address = b"" if nonce is None else create_address(self._transactor.address, nonce)
            if not address or not (await self._code(address)).startswith(built.runtime):
                await self._announce(name)
                address = (await deploy(self._transactor, built, *arguments)).address
            self._record["contracts"][name] = address.hex()
            self._done()
            return address

    async def _registered(self, client: SettlementClient, config: RollupConfig) -> int | None:
        """The id under which this very configuration is registered already."""
        rollup_id = 1
        while True:
            try:
                if await client.rollup(rollup_id) == config:
                    return rollup_id
            except NotFound:
                return None
            rollup_id += 1

    # --- what was under way ---------------------------------------------------------------------------------------------

    async def _announce(self, name: str) -> None:
        self._record["under_way"] = {"step": name, "nonce": await self._nonce("pending")}
        self._save()

    async def _was_under_way(self, name: str) -> int | None:
        """The nonce with which this step was begun before a crash, once its transaction is in a block; None if it was not begun
        or never reached the chain."""
        begun = self._record["under_way"]
        if begun is None or begun["step"] != name:
            return None
        try:
            async with asyncio.timeout(SETTLE_S):
                while await self._nonce("latest") < await self._nonce("pending"):  # noqa: ASYNC110  over a socket
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise Unavailable(
                f"a transaction of the deployer 0x{self._transactor.address.hex()} stays out of {self._rpc.url}'s blocks",
                remedy="check that the settlement chain makes blocks and that the account can pay its fees",
            ) from error
        return int(begun["nonce"]) if await self._nonce("latest") > begun["nonce"] else None

    async def _nonce(self, tag: str) -> int:
        return quantity(await self._rpc.call("eth_getTransactionCount", "0x" + self._transactor.address.hex(), tag))

    async def _code(self, address: bytes) -> bytes:
        return data(await self._rpc.call("eth_getCode", "0x" + address.hex(), "latest"))

    def _done(self) -> None:
        self._record["under_way"] = None
        self._save()

    def _save(self) -> None:
        self._disk.write(self._path, json.dumps(self._record, indent=2, sort_keys=True).encode())


def _read(raw: bytes | None, path: Path) -> dict[str, Any]:
    if raw is None:
        return {"contracts": {}, "rollups": {}, "under_way": None}
    try:
        record: dict[str, Any] = json.loads(raw)
        if set(record) == {"contracts", "rollups", "under_way"}:
            return record
    except (ValueError, TypeError):
        pass
    raise StoreCorrupt(f"{path} is not the record of a deployment", remedy="restore it, or start anew with another data_dir")
