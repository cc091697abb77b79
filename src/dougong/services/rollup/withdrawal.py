"""Brings money home: an outbox message of a rollup, proven under a final claim, paid out on settlement.

    helper = Withdrawals(settlement, rollup_rpc, rollup_id=1)
    message = (await helper.pending(recipient))[0]
    await helper.withdraw(message.index)

The rollup's node is asked for its outbox log and not trusted: the messages must lead to the outbox root that the contract
holds for a final claim, or there is no proof. Anyone may bring a withdrawal; the money goes to the message's recipient. Spec:
docs/spec/derivation.md, "Outbox".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dougong.errors import NotFound, Rejected
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.services.threads import in_thread
from dougong.settlement.client import SettlementClient
from dougong.settlement.outbox import OutboxTree, read_outbox, verify_message
from dougong.types import ZERO_HASH, OutboxMessage, OutboxProof

__all__ = ["ProvenMessage", "Withdrawals"]


@dataclass(frozen=True, slots=True)
class ProvenMessage:
    """A message with its proof under the outbox root of a final claim."""

    claim_id: bytes
    message: OutboxMessage
    proof: OutboxProof


class Withdrawals:
    """For one rollup. `settlement` needs a key to withdraw, not to prove."""

    def __init__(self, settlement: SettlementClient, rollup: JsonRpc, *, rollup_id: int) -> None:
        self._settlement = settlement
        self._rollup = rollup
        self._rollup_id = rollup_id

    async def provable(self) -> Sequence[OutboxMessage]:
        """Every message that the last final claim covers."""
        return (await self._covered())[1]

    async def pending(self, recipient: bytes) -> Sequence[OutboxMessage]:
        """Covered messages that carry ether to `recipient` and have not paid yet."""
        mine = [message for message in await self.provable() if message.recipient == recipient and message.value]
        return [message for message in mine if not await self._settlement.is_spent(self._rollup_id, message.index)]

    async def prove(self, index: int) -> ProvenMessage:
        """Raises `NotFound` while no final claim covers the message."""
        identity, messages, root = await self._covered()
        if index >= len(messages):
            raise NotFound(
                f"outbox message {index} is in no final claim yet: the last one covers {len(messages)}",
                remedy="wait until a claim that covers it is final",
            )
        tree = await in_thread(OutboxTree.replay, messages, root)
        proof = tree.prove(index)
        verify_message(root, messages[index], proof)
        return ProvenMessage(identity, messages[index], proof)

    async def withdraw(self, index: int) -> ProvenMessage:
        """Proves and withdraws. Raises `NotFound` as `prove`, `Rejected` when it has been paid out before."""
        proven = await self.prove(index)
        if await self._settlement.is_spent(self._rollup_id, index):
            raise Rejected(f"outbox message {index} of rollup {self._rollup_id} has been withdrawn before")
        await self._settlement.withdraw(self._rollup_id, proven.claim_id, proven.message, proven.proof)
        return proven

    async def _covered(self) -> tuple[bytes, list[OutboxMessage], bytes]:
        """(claim id, messages, outbox root) of the last final claim."""
        identity = await self._settlement.final_claim(self._rollup_id)
        if identity == ZERO_HASH:
            raise NotFound(f"rollup {self._rollup_id} has no final claim yet", remedy="wait until its first claim is final")
        root = (await self._settlement.claim(identity)).outbox_root
        head = quantity(await self._rollup.call("eth_blockNumber"))
        messages = await read_outbox(self._rollup, head)
        return identity, messages[: await in_thread(_covered_count, messages, root)], root


def _covered_count(messages: Sequence[OutboxMessage], root: bytes) -> int:
    return len(OutboxTree.replay(messages, root))
