"""Checks what a settlement chain says about rollups, without running it: state proofs under a header that proves itself.

    check = SettlementCheck(rpc, settlement, attestations, light_node, chain=embedded)
    report = await check.run([RollupCheck("alpha", 1, genesis_state, namespace, proof="none")])

In this order; nothing that a node says is believed before it is shown:

1. the settlement chain's headers follow from its genesis hash (an embedded chain under `solo`), and the last one's app hash is
   the hash of an EVM block. Of a plain Ethereum node the consensus is **not** checked: its word for the block is taken, and
   the report says so;
2. the block's header, put together from JSON-RPC, hashes to that, and holds the state root;
3. the contracts' storage is proven under the state root (EIP-1186): attested history, accumulators, claims;
4. the attested history is the light node's own history of data roots: settlement knows the squares that were sampled here;
5. every batch and inbox message folds to the proven accumulators, and every batch lies in a square that was sampled here;
6. the final claims follow from the rollup's genesis, one from the other, and name exactly those accumulators;
7. how old a batch's data may be when it is appended is what the rollup's genesis document says.

What then still rests on somebody's word is listed, by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from dougong._native import HeaderInfo
from dougong.codec.timestamp import NANOSECONDS, format_time
from dougong.errors import Divergence, InvalidProof
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.services.nodes.deception import Deception, deception
from dougong.services.nodes.light_node import LightNode
from dougong.services.nodes.settled_storage import EmbeddedChain, SettledStorage
from dougong.services.rollup.derivation import accumulate_batches, fold_messages
from dougong.services.threads import in_thread
from dougong.settlement import proofs as slots
from dougong.settlement.client import SettlementClient
from dougong.types import ZERO_HASH, BatchReference, Claim, ClaimStatus, InboxMessage

__all__ = ["ContractCheck", "RollupCheck", "RollupFindings", "SettlementCheck", "SettlementReport", "check_data_window"]


@dataclass(frozen=True, slots=True)
class RollupCheck:
    """What is known of a rollup beforehand, from its genesis document. `data_window`: how many DA heights below the last attested
    one a batch's data may lie; 0: no bound."""

    name: str
    rollup_id: int
    genesis_state: bytes
    proof: str
    data_window: int = 0


@dataclass(frozen=True, slots=True)
class RollupFindings:
    """What settlement holds of a rollup, proven. `state` and `outbox_root` are the last final claim's (genesis and zero before
    the first), `claimed_batches` how many batches it covers."""

    name: str
    batches: int
    messages: int
    claims: int
    claimed_batches: int
    state: bytes
    outbox_root: bytes
    data_window: int


@dataclass(frozen=True, slots=True)
class SettlementReport:
    block_number: int
    block_hash: bytes
    state_root: bytes
    attested_height: int
    rollups: tuple[RollupFindings, ...]
    verified: tuple[str, ...]
    trusted: tuple[str, ...]


class ContractCheck(ABC):
    """One settlement contract, seen through a node that is not trusted. What its batches lie in is the subclass's to check."""

    lies_in: str
    """Where every batch was found."""
    ages = True
    """Whether data may be old when it is appended; blobs are the appending transaction's."""

    def __init__(self, rpc: JsonRpc, settlement: bytes, *, chain: EmbeddedChain | None = None) -> None:
        """`chain` None: a plain Ethereum node, whose consensus is not checked."""
        self._rpc = rpc
        self._contract = settlement
        self._chain = chain
        self._storage = SettledStorage(rpc, chain)
        self._settlement = SettlementClient(rpc, settlement)

    @abstractmethod
    async def _attested(self) -> tuple[HeaderInfo, int, list[str]]:
        """A block; the height of the history of data roots that settlement holds in it (0: none), and what was seen of that."""

    @abstractmethod
    async def _sampled(self, rollup: RollupCheck, batches: Sequence[BatchReference]) -> None:
        """Raises `Divergence` for a batch that lies where the DA layer has nothing."""

    async def run(self, rollups: Sequence[RollupCheck]) -> SettlementReport:
        """Raises `InvalidHeader` or `InvalidProof` when the node does not prove what it says, `Divergence` when what is proven
        is not what this node sampled and folded."""
        header, attested, history = await self._attested()
        findings = [await self._rollup(header, rollup) for rollup in rollups]
        chain_id = quantity(await self._rpc.call("eth_chainId"))
        name = f"settlement chain {chain_id}"
        verified = [
            f"{name}: block {header.number} and the contracts' storage under its state root",
            *(f"{name}: {line}" for line in history),
        ]
        trusted = []
        if self._chain is None:
            trusted.append(f"{name}: its consensus is not checked here; {self._rpc.url} is believed about block {header.number}")
        else:
            verified.insert(0, f"{name}: headers from the genesis hash {self._chain.genesis_hash.hex()}")
            trusted.append(f"{name}: no third of its validators' power signs a second history, nor two thirds a false app hash")
        made = format_time(header.timestamp * NANOSECONDS)
        trusted.append(f"{name}: {self._rpc.url} hides no block newer than {header.number}, made at {made}")
        for rollup, found in zip(rollups, findings, strict=True):
            verified.append(
                f"rollup {rollup.name}: {found.batches} batches and {found.messages} inbox messages fold to their accumulators, "
                f"every batch lies in {self.lies_in}, and {found.claims} final claims follow from genesis"
            )
            trusted.append(_trust_of(rollup))
            if self.ages and found.batches:
                verified += [_window_of(rollup)] if rollup.data_window else []
                trusted.append(_trust_in_age(rollup))
        return SettlementReport(
            header.number, header.hash, header.state_root, attested, tuple(findings), tuple(verified), tuple(trusted)
        )

    # --- rollups ------------------------------------------------------------------------------------------------------

    async def _rollup(self, header: HeaderInfo, rollup: RollupCheck) -> RollupFindings:
        identity = rollup.rollup_id
        counts = await self._storage.values(
            header,
            self._contract,
            [
                slots.batch_count_slot(identity),
                slots.message_count_slot(identity),
                slots.final_claim_slot(identity),
                slots.data_window_slot(identity),
            ],
        )
        batch_count, message_count, final = int.from_bytes(counts[0]), int.from_bytes(counts[1]), counts[2]
        if batch_count:  # before that it may not be registered yet
            check_data_window(rollup.name, int.from_bytes(counts[3]), rollup.data_window)
        accumulators = await self._storage.values(
            header,
            self._contract,
            [slots.batch_accumulator_slot(identity, batch_count), slots.inbox_accumulator_slot(identity, message_count)],
        )
        batches = (await self._settlement.batches(identity, 0))[:batch_count]
        messages = (await self._settlement.messages(identity, 0))[:message_count]
        folded = [ZERO_HASH, *accumulate_batches(ZERO_HASH, batches)]
        self._same(rollup, "batches", folded[-1], accumulators[0])
        self._same(rollup, "inbox messages", fold_messages(ZERO_HASH, messages), accumulators[1])
        await self._sampled(rollup, batches)
        claims = await self._claims(header, rollup, final)
        self._check_claims(rollup, claims, folded, batches, messages)
        last = claims[-1] if claims else None
        return RollupFindings(
            rollup.name,
            batch_count,
            message_count,
            len(claims),
            last.batch_end if last else 0,
            last.post_state if last else rollup.genesis_state,
            last.outbox_root if last else ZERO_HASH,
            rollup.data_window,
        )

    async def _claims(self, header: HeaderInfo, rollup: RollupCheck, final: bytes) -> list[Claim]:
        """The final claims, from the first to the last. Each is known by the hash that the next one, or the contract, holds."""
        claims: list[Claim] = []
        identity = final
        while identity != ZERO_HASH:
            (status,) = await self._storage.values(header, self._contract, [slots.claim_status_slot(identity)])
            if int.from_bytes(status) != ClaimStatus.FINAL:
                raise InvalidProof(f"claim {identity.hex()} of {rollup.name} is not final where it is said to be")
            claims.append(await self._settlement.claim(identity))
            identity = claims[-1].parent
        return claims[::-1]

    def _check_claims(
        self,
        rollup: RollupCheck,
        claims: Sequence[Claim],
        folded: Sequence[bytes],
        batches: Sequence[BatchReference],
        messages: Sequence[InboxMessage],
    ) -> None:
        state, start, inbox = rollup.genesis_state, 0, ZERO_HASH
        consumed = 0
        for claim in claims:
            if not start < claim.batch_end <= len(batches) or not consumed <= claim.inbox_end <= len(messages):
                raise Divergence(f"a final claim of {rollup.name} covers batches or messages that are not there")
            inbox = fold_messages(inbox, messages[consumed : claim.inbox_end])
            said = (claim.contract, claim.rollup_id, claim.pre_state, claim.batch_start, claim.inbox_start)
            if said != (self._contract, rollup.rollup_id, state, start, consumed):
                raise Divergence(f"a final claim of {rollup.name} does not follow from the one before it")
            self._same(rollup, f"batches up to {claim.batch_end}, as claimed,", folded[claim.batch_end], claim.batch_accumulator)
            self._same(rollup, f"messages up to {claim.inbox_end}, as claimed,", inbox, claim.inbox_accumulator)
            if claim.inbox_end != batches[claim.batch_end - 1].inbox_end:
                raise Divergence(f"a final claim of {rollup.name} ends at another inbox message than its last batch")
            state, start, consumed = claim.post_state, claim.batch_end, claim.inbox_end

    def _same(self, rollup: RollupCheck, what: str, folded: bytes, proven: bytes) -> None:
        if folded != proven:
            raise Divergence(f"the {what} of {rollup.name} fold to {folded.hex()}, settlement holds {proven.hex()}")


class SettlementCheck(ContractCheck):
    """A contract whose batches lie in squares, attested to it by one attestations contract."""

    lies_in = "a sampled square"

    def __init__(
        self,
        rpc: JsonRpc,
        settlement: bytes,
        attestations: bytes,
        light: LightNode,
        *,
        chain: EmbeddedChain | None = None,
    ) -> None:
        super().__init__(rpc, settlement, chain=chain)
        self._attestations_contract = attestations
        self._light = light

    async def deception(self, refused: int, rollups: Sequence[RollupCheck]) -> Deception:
        """What settlement holds of the DA chain from block `refused` on, where the light node refuses it."""
        known = [(rollup.name, rollup.rollup_id) for rollup in rollups]
        return await deception(self._storage, self._settlement, self._attestations_contract, refused, known)

    async def _attested(self) -> tuple[HeaderInfo, int, list[str]]:
        header = await self._storage.header()
        # Proven as well: a node that made it smaller could keep a false history from being compared.
        (last,) = await self._storage.values(header, self._attestations_contract, [slots.last_height_slot()])
        height = int.from_bytes(last)
        seen = [f"its attested history of {height} data roots is the one sampled here"]
        if height == 0:
            return header, 0, seen
        (root,) = await self._storage.values(header, self._attestations_contract, [slots.history_root_slot(height)])
        await self._light.catch_up(max(height, self._light.height))
        own = await in_thread(self._light.history.root, height)
        if own != root:
            raise Divergence(
                f"settlement holds the history {root.hex()} of {height} data roots, the squares sampled here make {own.hex()}",
                remedy="trust nothing that settled since: the attestors signed data that is not there",
            )
        return header, height, seen

    async def _sampled(self, rollup: RollupCheck, batches: Sequence[BatchReference]) -> None:
        for batch in batches:
            if batch.placement is None:
                continue
            if batch.da_id != self._light.square.da_id:
                raise Divergence(f"batch {batch.index} of {rollup.name} lies on another DA chain: {batch.da_id.hex()}")
            await self._light.catch_up(max(batch.placement.height, self._light.height))
            own = self._light.data_root(batch.placement.height)
            if own != batch.placement.data_root:
                raise Divergence(
                    f"batch {batch.index} of {rollup.name} was settled under data root {batch.placement.data_root.hex()} of "
                    f"height {batch.placement.height}; the block sampled here has {own.hex()}"
                )


def check_data_window(name: str, registered: int, expected: int) -> None:
    """Raises `Divergence`."""
    if registered != expected:
        raise Divergence(
            f"rollup {name} is registered with a data window of {registered} heights, its genesis document says {expected} "
            "(0: no bound)",
            remedy="get the trust file again from somebody that you believe",
        )


def _window_of(rollup: RollupCheck) -> str:
    return (
        f"rollup {rollup.name}: settlement takes no batch whose data lies more than {rollup.data_window} DA heights below the "
        "last attested one"
    )


def _trust_in_age(rollup: RollupCheck) -> str:
    if rollup.data_window:
        return f"rollup {rollup.name}: attestations keep up with its DA chain; where they stand still, so does its data window"
    return f"rollup {rollup.name}: somebody keeps all of its DA chain (data_window = 0: a batch's data may be of any age)"


def _trust_of(rollup: RollupCheck) -> str:
    if rollup.proof == "none":
        return f"rollup {rollup.name}: its proposer's word for every final state (proof = none: nobody can object on chain)"
    return f"rollup {rollup.name}: its claims rest on proof = {rollup.proof}, which this light node does not check"
