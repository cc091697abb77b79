"""A rollup's inputs as settlement's own chain commits to them, read through a node that is not trusted.

    settlement = ProvenSettlement(client, SettledStorage(rpc, chain))
    source = SettledSource(settlement, da, rollup_id=1, da_id=da_id, namespace=namespace)

`SettlementClient` folds what a node logs and compares it with what the same node says that the contract holds. Here the
contract's accumulators are proven (settled_storage.py): the node can withhold and be late, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dougong.errors import InvalidProof, Unavailable
from dougong.services.nodes.settled_storage import SettledStorage
from dougong.services.rollup.derivation import accumulate_batches, fold_messages
from dougong.settlement import proofs as slots
from dougong.settlement.client import SettlementClient
from dougong.types import ZERO_HASH, BatchReference, Claim, InboxMessage

__all__ = ["ProvenSettlement"]


class ProvenSettlement:
    """A `BatchContract`, and a reader of claims. Raises `InvalidHeader` or `InvalidProof` where the node shows something else
    than its chain commits to, `Unavailable` where it withholds."""

    def __init__(self, client: SettlementClient, storage: SettledStorage) -> None:
        self._client = client
        self._storage = storage

    async def batch_accumulator(self, rollup_id: int, count: int) -> bytes:
        """Over the first `count` batches. Raises `Unavailable` where the chain as shown has fewer: a node that is behind, or says
        so, must not make anyone forget what it derived."""
        return await self._accumulator(slots.batch_accumulator_slot(rollup_id, count), count)

    async def inbox_accumulator(self, rollup_id: int, count: int) -> bytes:
        """Over the first `count` messages; otherwise as `batch_accumulator`."""
        return await self._accumulator(slots.inbox_accumulator_slot(rollup_id, count), count)

    async def batches(self, rollup_id: int, start: int) -> Sequence[BatchReference]:
        """Up to the last block that the chain's headers commit to: the newest batch may come one block later."""
        before, after, count = await self._range(slots.batch_count_slot, slots.batch_accumulator_slot, rollup_id, start)
        if not count:
            return ()
        found = (await self._client.batches(rollup_id, start))[:count]
        self._whole(rollup_id, "batches", len(found), count)
        self._same(rollup_id, "batches", accumulate_batches(before, found)[-1], after)
        return found

    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]:
        """Up to the same block as `batches`."""
        before, after, count = await self._range(slots.message_count_slot, slots.inbox_accumulator_slot, rollup_id, start)
        if not count:
            return ()
        found = (await self._client.messages(rollup_id, start))[:count]
        self._whole(rollup_id, "inbox messages", len(found), count)
        self._same(rollup_id, "inbox messages", fold_messages(before, found), after)
        return found

    async def data_window(self, rollup_id: int) -> int:
        """How many DA heights below the last attested one a batch's data may lie; 0: no bound (or no such rollup yet)."""
        (value,) = await self._storage.values(
            await self._storage.header(), self._client.contract, [slots.data_window_slot(rollup_id)]
        )
        return int.from_bytes(value)

    async def claims(self, rollup_id: int, first_block: int = 0) -> tuple[list[Claim], int]:
        """As the node lists them: each is compared with what was derived here, so a made-up one is only a false alarm."""
        return await self._client.claims(rollup_id, first_block)

    async def _accumulator(self, slot: bytes, count: int) -> bytes:
        (value,) = await self._storage.values(await self._storage.header(), self._client.contract, [slot])
        if count and value == ZERO_HASH:
            raise Unavailable(f"the settlement node is behind: its chain has not come to entry {count} of an accumulator yet")
        return value

    async def _range(
        self, count_slot: Callable[[int], bytes], accumulator_slot: Callable[[int, int], bytes], rollup_id: int, start: int
    ) -> tuple[bytes, bytes, int]:
        """The accumulators over the first `start` entries and over all of them, in one block, and how many lie between."""
        header = await self._storage.header()
        (raw_count,) = await self._storage.values(header, self._client.contract, [count_slot(rollup_id)])
        count = int.from_bytes(raw_count)
        if count <= start:
            return ZERO_HASH, ZERO_HASH, 0
        ends = [accumulator_slot(rollup_id, start), accumulator_slot(rollup_id, count)]
        before, after = await self._storage.values(header, self._client.contract, ends)
        return before, after, count - start

    def _whole(self, rollup_id: int, what: str, found: int, wanted: int) -> None:
        if found < wanted:
            raise Unavailable(f"the settlement node shows {found} of the {wanted} {what} of rollup {rollup_id} that it must have")

    def _same(self, rollup_id: int, what: str, folded: bytes, proven: bytes) -> None:
        if folded != proven:
            raise InvalidProof(
                f"the {what} that the settlement node shows of rollup {rollup_id} fold to {folded.hex()}, its chain commits to "
                f"{proven.hex()}",
                remedy="ask another settlement node",
            )
