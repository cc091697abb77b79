"""The settlement contract over JSON-RPC: any Ethereum node will do.

    async with JsonRpc(url) as rpc:
        settlement = SettlementClient(rpc, contract, await Transactor.connect(rpc, key))
        rollup_id = await settlement.register(config)
        await settlement.deposit(rollup_id, recipient, 10**18)
        messages = await settlement.messages(rollup_id, 0)

Reading: the contract keeps hash chains, the log has what they are chains of. A list read from the log is folded and compared with
the contract's accumulator at the same block; if a node leaves out, adds or alters an entry, `Divergence` is raised (a node that
also lies about the contract's storage is met by the light node, with `proofs`). Source: docs/spec/settlement.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dougong.contracts import artifact
from dougong.errors import NotFound, Unavailable
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.chained import BATCHES, MESSAGES, head, read_chained
from dougong.settlement.contract import Contract
from dougong.settlement.encoding import RollupConfig, claim_id, claim_tuple, parse_batch, parse_claim
from dougong.settlement.logs import logs
from dougong.settlement.share_path import first_share_path
from dougong.settlement.transactor import Note, Offer, Receipt, Transactor
from dougong.types import (
    BatchReference,
    BlobSidecar,
    Claim,
    ClaimStatus,
    InboxMessage,
    MerkleProof,
    OutboxMessage,
    OutboxProof,
    Placement,
    ShareProof,
)

__all__ = ["Observer", "SettlementClient"]

Observer = Callable[[str, Receipt], None]


class SettlementClient:
    """Implements `interfaces.Settlement`, and what users of a rollup need besides. Without a transactor it only reads.

    `observe`, if given, hears the operation's name and the receipt of every transaction that took effect.
    """

    def __init__(
        self, rpc: JsonRpc, contract: bytes, transactor: Transactor | None = None, *, observe: Observer | None = None
    ) -> None:
        self.contract = contract
        self._rpc = rpc
        self._contract = Contract(rpc, contract, artifact("Settlement"), transactor)
        self._observe = observe

    # --- rollups ---

    async def register(self, config: RollupConfig) -> int:
        """Registers a rollup for ever; returns its id."""
        receipt = await self._send("register", config.to_tuple())
        return int(self._contract.event(receipt, "RollupRegistered")["rollup_id"])

    async def rollup(self, rollup_id: int) -> RollupConfig:
        """Raises `NotFound`."""
        fields = await self._contract.ask("rollups", rollup_id)
        if not any(fields[3]):
            raise NotFound(f"rollup {rollup_id} is not registered at 0x{self.contract.hex()}")
        return RollupConfig.from_tuple(fields)

    async def offer_sequencer(self, rollup_id: int, successor: bytes) -> None:
        """The sequencer names its successor; a zero address takes the offer back."""
        await self._send("offer_sequencer", rollup_id, successor)

    async def accept_sequencer(self, rollup_id: int) -> None:
        await self._send("accept_sequencer", rollup_id)

    # --- inbox ---

    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]:
        return await read_chained(self._contract, MESSAGES, rollup_id, start)

    async def message_count(self, rollup_id: int) -> int:
        return int(await self._contract.ask("message_count", rollup_id))

    async def inbox_accumulator(self, rollup_id: int, count: int) -> bytes:
        """Over the rollup's first `count` messages; zero where there are fewer."""
        return bytes(await self._contract.ask("inbox_accumulator", rollup_id, count))

    async def deposit(self, rollup_id: int, recipient: bytes, amount: int) -> int:
        """Sends `amount` wei, a multiple of 1 gwei, to `recipient` on the rollup; returns the message's index."""
        receipt = await self._send("deposit", rollup_id, recipient, value=amount)
        return int(self._contract.event(receipt, "MessageEnqueued")["index"])

    async def force(self, rollup_id: int, transaction: bytes) -> int:
        """Puts a signed rollup transaction into the inbox; returns the message's index."""
        receipt = await self._send("force", rollup_id, transaction)
        return int(self._contract.event(receipt, "MessageEnqueued")["index"])

    # --- batches ---

    async def batches(self, rollup_id: int, start: int) -> Sequence[BatchReference]:
        return await read_chained(self._contract, BATCHES, rollup_id, start)

    async def batch_count(self, rollup_id: int) -> int:
        return int(await self._contract.ask("batch_count", rollup_id))

    async def batch_accumulator(self, rollup_id: int, count: int) -> bytes:
        """Over the rollup's first `count` batches; zero where there are fewer."""
        return bytes(await self._contract.ask("batch_accumulator", rollup_id, count))

    async def consumed_messages(self, rollup_id: int) -> int:
        """How many inbox messages the batches consume so far: no batch may go below."""
        return int(await self._contract.ask("consumed_messages", rollup_id, await self.batch_count(rollup_id)))

    async def open_to_all(self, rollup_id: int) -> bool:
        """Whether anyone may append, because the sequencer left a message lying for too long."""
        return bool(await self._contract.ask("open_to_all", rollup_id))

    async def append_batch(
        self,
        rollup_id: int,
        placement: Placement,
        inbox_end: int,
        proof: ShareProof,
        attested_height: int,
        history: MerkleProof,
        *,
        index: int | None = None,
    ) -> BatchReference:
        share, row_path, square_path = first_share_path(placement, proof)
        receipt = await self._send(
            "append_batch",
            rollup_id,
            await self.batch_count(rollup_id) if index is None else index,
            inbox_end,
            (placement.height, placement.data_root, placement.start_share, placement.share_count),
            (attested_height, list(history.siblings), share, row_path, list(square_path)),
        )
        return parse_batch(self._contract.event(receipt, "BatchAppended"))

    async def append_blob_batch(
        self,
        rollup_id: int,
        sidecar: BlobSidecar,
        inbox_end: int,
        *,
        index: int,
        budget: int | None = None,
        note: Note | None = None,
        earlier: Offer | None = None,
    ) -> BatchReference:
        """Appends a batch whose data its own transaction carries, as `Transactor.send` sends it. The reference is what the
        contract logged: where `earlier` took effect, that transaction's."""
        receipt = await self._contract.send(
            "append_blob_batch",
            rollup_id,
            index,
            inbox_end,
            sidecar=sidecar,
            budget=budget,
            note=note,
            earlier=earlier,
        )
        if self._observe is not None:
            self._observe("append_blob_batch", receipt)
        return parse_batch(self._contract.event(receipt, "BatchAppended"))

    async def append_empty_batch(self, rollup_id: int, inbox_end: int, *, index: int | None = None) -> BatchReference:
        """Appends a batch without data: it only moves the inbox on."""
        following = await self.batch_count(rollup_id) if index is None else index
        receipt = await self._send("append_empty_batch", rollup_id, following, inbox_end)
        return parse_batch(self._contract.event(receipt, "BatchAppended"))

    # --- claims ---

    async def post_claim(self, claim: Claim) -> bytes:
        """Posts. A claim that stands there already, as after a lost answer, is no error: its id is returned."""
        identity = claim_id(claim)
        if await self.claim_status(identity) is ClaimStatus.NONE:
            await self._send("post_claim", claim_tuple(claim))
        return identity

    async def claim_status(self, claim_id: bytes) -> ClaimStatus:
        return ClaimStatus((await self._contract.ask("posted_claims", claim_id))[0])

    async def final_claim(self, rollup_id: int) -> bytes:
        """The id of the rollup's last final claim; zero before the first."""
        return bytes(await self._contract.ask("final_claim", rollup_id))

    async def claim(self, identity: bytes) -> Claim:
        """The whole of a posted claim, from the log, checked against its id. Raises `NotFound`."""
        number, _ = await head(self._contract)
        status, rollup_id, _, _, batch_end, _ = await self._contract.ask("posted_claims", identity, block=number)
        if status == ClaimStatus.NONE:
            raise NotFound(f"no claim 0x{identity.hex()} is posted")
        # A claim comes after its last batch, and soon.
        first = await self._contract.ask("batch_block", rollup_id, batch_end - 1, block=number)
        topics = [self._contract.abi.topic("ClaimPosted"), rollup_id.to_bytes(32), identity]
        async for log in logs(self._rpc, self.contract, topics, first, number):
            claim = parse_claim(self._contract.abi.event("ClaimPosted", log.topics, log.data)["claim"])
            if claim_id(claim) == identity:
                return claim
        raise Unavailable(f"{self._rpc.url} has no log of the claim 0x{identity.hex()} that the contract holds")

    async def claims(self, rollup_id: int, first_block: int = 0) -> tuple[list[Claim], int]:
        """Claims posted from block `first_block` on, in order, and the block to ask from next: those of the node's log that the
        contract knows. A node can leave claims out; `final_claim` and `claim` show the ones that count."""
        number, _ = await head(self._contract)
        found: list[Claim] = []
        topics = [self._contract.abi.topic("ClaimPosted"), rollup_id.to_bytes(32)]
        async for log in logs(self._rpc, self.contract, topics, first_block, number):
            claim = parse_claim(self._contract.abi.event("ClaimPosted", log.topics, log.data)["claim"])
            if (await self._contract.ask("posted_claims", claim_id(claim), block=number))[0] != ClaimStatus.NONE:
                found.append(claim)
        return found, number + 1

    async def height(self) -> int:
        """The settlement chain's latest block number."""
        return (await head(self._contract))[0]

    async def finalize(self, claim_id: bytes) -> None:
        await self._send("finalize", claim_id)

    async def reject(self, claim_id: bytes) -> None:
        """Buries a claim that its verifier calls invalid, or that can no longer become final."""
        await self._send("reject", claim_id)

    # --- bridge ---

    async def balance(self, rollup_id: int) -> int:
        """Wei held for the rollup."""
        return int(await self._contract.ask("balances", rollup_id))

    async def withdraw(self, rollup_id: int, claim_id: bytes, message: OutboxMessage, proof: OutboxProof) -> None:
        """Pays an outbox message out to its recipient, under a final claim."""
        await self._send(
            "withdraw",
            rollup_id,
            claim_id,
            message.index,
            message.sender,
            message.recipient,
            message.value,
            list(proof.siblings),
        )

    async def is_spent(self, rollup_id: int, index: int) -> bool:
        return bool(await self._contract.ask("is_spent", rollup_id, index))

    async def proves_message(self, rollup_id: int, claim_id: bytes, message: OutboxMessage, proof: OutboxProof) -> bool:
        """Whether a final claim's outbox holds the message. Raises `Rejected` when the claim is not final."""
        return bool(
            await self._contract.ask(
                "proves_message",
                rollup_id,
                claim_id,
                message.index,
                message.sender,
                message.recipient,
                message.value,
                message.data,
                list(proof.siblings),
            )
        )

    # --- inside ---

    async def _send(self, function: str, *arguments: Any, value: int = 0) -> Receipt:
        receipt = await self._contract.send(function, *arguments, value=value)
        if self._observe is not None:
            self._observe(function, receipt)
        return receipt
