"""A settlement chain with all contracts, one rollup and its people, and a DA chain as far as proofs of it are needed.

The DA chain is a list of real squares (`dougong.availability`); its attestors are keys that the tests hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from dougong.availability.chain.history import History
from dougong.availability.kzg import da_id
from dougong.availability.square.served import ServedSquare
from dougong.availability.square.shares import padding_share, split_blob
from dougong.contracts import artifact
from dougong.crypto.attestation import attestation_digest, attestors_hash
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.attestations import AttestationsClient
from dougong.settlement.client import SettlementClient
from dougong.settlement.contract import Contract, deploy
from dougong.settlement.deployment import deploy_attestations, deploy_permissioned_verifier, deploy_settlement
from dougong.settlement.encoding import RollupConfig, claim_id
from dougong.settlement.transactor import Receipt, Transactor
from dougong.types import (
    ZERO_HASH,
    Attestation,
    Attestor,
    BatchReference,
    Blob,
    Claim,
    MerkleProof,
    Namespace,
    Placement,
    ShareProof,
)

DA_ID = sha256(b"a DA chain's genesis document")
GENESIS_STATE = sha256(b"a rollup's genesis state")
NAMESPACE = Namespace.user(b"alpha")
BEFORE, AFTER = Namespace.user(b"aaaaa"), Namespace.user(b"zzzzz")
TAIL_PADDING = Namespace(b"\xff" * 28 + b"\xfe")
FORCE_DELAY, SEQUENCER_TIMEOUT, WINDOW, DATA_WINDOW = 600, 300, 100, 1_000
ETHER = 10**18


def key_of(role: str) -> Secp256k1Key:
    return Secp256k1Key(sha256(f"test key: {role}".encode()))


def square_with(blob: Blob, *, start: int, width: int, height: int) -> tuple[ServedSquare, Placement]:
    """A square of `width` that holds the blob's shares from `start` on, between shares of smaller and greater namespaces."""
    shares = split_blob(blob)
    before = [padding_share(BEFORE)] * start
    after = [padding_share(TAIL_PADDING)] * (width * width - start - len(shares))
    square = ServedSquare.extend(b"".join([*before, *shares, *after]), height=height, time_ns=height)
    return square, Placement(height, square.header.data_root, start, len(shares))


@dataclass
class World:
    """Roles: `owner` pays for everything at the start; `client(role)` is the settlement client of that role's key."""

    rpc: JsonRpc
    owner: Transactor
    advance: Callable[[int], Awaitable[None]]
    settlement: bytes
    attestations: bytes
    verifier: bytes
    attestors: list[Secp256k1Key]
    rollup_id: int = 0
    history: History = field(default_factory=History)
    squares: list[ServedSquare] = field(default_factory=list)
    gas: dict[str, int] = field(default_factory=dict)
    _transactors: dict[str, Transactor] = field(default_factory=dict)

    @classmethod
    async def create(cls, rpc: JsonRpc, key: Secp256k1Key, advance: Callable[[int], Awaitable[None]]) -> World:
        owner = await Transactor.connect(rpc, key)
        attestors = sorted((key_of(f"attestor {n}") for n in range(4)), key=lambda attestor: attestor.address)
        settlement, attestations = await asyncio.gather(
            deploy_settlement(owner),
            deploy_attestations(owner, DA_ID, [Attestor(attestor.address, 10) for attestor in attestors]),
        )
        verifier = await deploy_permissioned_verifier(owner, settlement, key_of("proposer").address, WINDOW)
        world = cls(rpc, owner, advance, settlement, attestations, verifier, attestors)
        world.rollup_id = await (await world.client("sequencer")).register(world.config())
        return world

    def config(self) -> RollupConfig:
        return RollupConfig(
            namespace=NAMESPACE,
            attestations=self.attestations,
            da_id=DA_ID,
            sequencer=key_of("sequencer").address,
            verifier=self.verifier,
            genesis_state=GENESIS_STATE,
            spec_version=1,
            force_delay=FORCE_DELAY,
            sequencer_timeout=SEQUENCER_TIMEOUT,
            data_window=DATA_WINDOW,
        )

    async def register_on_blobs(self) -> int:
        """A rollup whose batches lie in the blobs of this chain, if the chain carries any."""
        on_blobs = replace(self.config(), attestations=bytes(20), da_id=da_id(self.owner.chain_id), data_window=0)
        return await (await self.client()).register(on_blobs)

    async def transactor(self, role: str) -> Transactor:
        """The role's, funded the first time."""
        if role not in self._transactors:
            key = key_of(role)
            await self.owner.send(key.address, b"", 100 * ETHER)
            self._transactors[role] = Transactor(self.rpc, key, self.owner.chain_id)
        return self._transactors[role]

    async def client(self, role: str = "user") -> SettlementClient:
        return SettlementClient(self.rpc, self.settlement, await self.transactor(role), observe=self._note)

    async def attestation_client(self) -> AttestationsClient:
        return AttestationsClient(self.rpc, self.attestations, self.owner)

    async def raw(self, role: str = "user") -> Contract:
        """The bare contract, for calls that the client would not make."""
        return Contract(self.rpc, self.settlement, artifact("Settlement"), await self.transactor(role))

    async def deploy_helper(self, name: str, *arguments: object) -> Contract:
        return await deploy(self.owner, artifact(name), *arguments)

    def _note(self, operation: str, receipt: Receipt) -> None:
        self.gas[operation] = receipt.gas_used

    # --- data availability ---

    def publish(
        self, data: bytes, *, start: int = 5, width: int = 8, namespace: Namespace = NAMESPACE, version: int = 0
    ) -> Placement:
        """The next DA block, with one blob."""
        blob = Blob(namespace, data, version, b"\7" * 20 if version else b"")
        square, placement = square_with(blob, start=start, width=width, height=len(self.squares) + 1)
        self.squares.append(square)
        self.history.append(square.header.data_root)
        return placement

    def attestation(self, height: int, signers: Sequence[Secp256k1Key] | None = None, *, da_id: bytes = DA_ID) -> Attestation:
        """History up to `height`, signed by `signers` (all, if not said)."""
        members = tuple(Attestor(attestor.address, 10) for attestor in self.attestors)
        following = attestors_hash(members)
        digest = attestation_digest(da_id, height, self.history.root(height), following)
        chosen = self.attestors if signers is None else signers
        signatures = tuple(attestor.sign_digest(digest) if attestor in chosen else b"" for attestor in self.attestors)
        return Attestation(da_id, height, self.history.root(height), following, members, signatures)

    async def attest(self, height: int | None = None) -> int:
        """Brings the history up to `height` (all of it) to the contract; returns the height."""
        height = len(self.history) if height is None else height
        receipt = await (await self.attestation_client()).attest(self.attestation(height))
        self._note("attest (4 attestors)", receipt)
        return height

    def proof(self, placement: Placement, attested: int) -> tuple[ShareProof, int, MerkleProof]:
        square = self.squares[placement.height - 1]
        return square.prove(placement), attested, self.history.prove(placement.height, attested)

    # --- rollup ---

    async def append(self, inbox_end: int = 0, data: bytes = b"batch") -> BatchReference:
        """Publishes, attests and appends one batch as the sequencer."""
        placement = self.publish(data)
        attested = await self.attest()
        sequencer = await self.client("sequencer")
        return await sequencer.append_batch(self.rollup_id, placement, inbox_end, *self.proof(placement, attested))

    async def claim(self, *, post_state: bytes = b"\1" * 32, outbox_root: bytes = ZERO_HASH, after: Claim | None = None) -> Claim:
        """The claim that the contract would take now: all batches since `after` (or genesis)."""
        contract = await self.raw()
        rollup_id = self.rollup_id
        end = await contract.ask("batch_count", rollup_id)
        inbox_end = await contract.ask("consumed_messages", rollup_id, end)
        return Claim(
            chain_id=self.owner.chain_id,
            contract=self.settlement,
            rollup_id=rollup_id,
            spec_version=1,
            parent=claim_id(after) if after else ZERO_HASH,
            pre_state=after.post_state if after else GENESIS_STATE,
            post_state=post_state,
            batch_start=after.batch_end if after else 0,
            batch_end=end,
            batch_accumulator=await contract.ask("batch_accumulator", rollup_id, end),
            inbox_start=after.inbox_end if after else 0,
            inbox_end=inbox_end,
            inbox_accumulator=await contract.ask("inbox_accumulator", rollup_id, inbox_end),
            outbox_root=outbox_root,
        )

    async def settle(self, claim: Claim) -> bytes:
        """Posts the claim, waits out the window and makes it final."""
        proposer = await self.client("proposer")
        identity = await proposer.post_claim(claim)
        await self.advance(WINDOW + 1)
        await proposer.finalize(identity)
        return identity
