"""The sequencer's word, followed and held against what was published: the soft head of a node that executes everything itself.

    async with JsonRpc("https://sequencer.example/alpha") as rpc:
        soft = SoftBlocks(chain, published, rpc, contract, rollup_id=1)
        kept = await soft.still_said(held)              # of the blocks above the published head, those that it still says
        await soft.catch_up(held)                       # and the new ones

Nothing that the sequencer answers is believed but the order of transactions and the time of a block. For each block, in order:

1. its header must follow the head: number, parent, an inbox position that does not go back, a time not too far ahead;
2. the inbox messages up to that position come from settlement, never from the sequencer;
3. the block is executed here, and is discarded unless it has the very hash that the sequencer says: so roots, receipts and fees
   are this node's own;
4. it is *soft*: `latest`, and nothing else.

What is published takes its place as ever (`PublishedAhead`, `Follower`): the same blocks are kept, others replace them, and that
the sequencer has then said otherwise than it published is counted (`broken`) and logged. A sequencer that says a block whose
transactions do not make it is not followed past it (`refused`) until it says another. One that never publishes is followed for
`most_blocks` and `most_bytes` only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from dougong._native import BuiltBlock, HeaderInfo, decode_header
from dougong.errors import Divergence, DougongError, InvalidInput, Unavailable
from dougong.net.codes import RESOURCE_NOT_FOUND, SERVER_ERROR
from dougong.net.jsonrpc import JsonRpc, RpcError, data, quantity
from dougong.services.rollup.ahead import Messages
from dougong.services.rollup.batches import PublishedBlocks
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.derivation import fold_messages
from dougong.services.rollup.follower import MAX_LEAD_S
from dougong.services.threads import in_thread
from dougong.types import InboxMessage, MessageKind

__all__ = ["SoftBlocks", "parse_block"]

ROUND_S = 2.0  # of one round: so that what is published is looked at in between, however slowly it answers
ASK_S = 5.0  # for one answer: the layers below are not looked at meanwhile
TRANSACTION_GAS = 21_000
NO_SUCH_BLOCK = (SERVER_ERROR, RESOURCE_NOT_FOUND)
BLOCK_BYTES = 40 << 20  # of an answer: 16 MiB in hex, and some


class _Lie(Divergence):
    """A block that its own transactions do not make."""


class SoftBlocks:
    """Of one rollup. `contract` None: a sovereign one, which has no inbox."""

    def __init__(
        self,
        chain: RollupChain,
        published: PublishedBlocks,
        rpc: JsonRpc,
        contract: Messages | None,
        *,
        rollup_id: int = 0,
        most_blocks: int = 65_536,
        most_bytes: int = 256 << 20,
        clock: Callable[[], float] = time.time,
        ask_s: float = ASK_S,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._chain = chain
        self._published = published
        self._rpc = rpc
        self._contract = contract
        self._rollup_id = rollup_id
        self._most_blocks = most_blocks
        self._most_bytes = most_bytes
        self._clock = clock
        self._ask_s = ask_s
        self._log = log or structlog.get_logger()
        self._words: dict[int, bytes] = {}  # hashes of the blocks that it said and that are not published yet
        self._away = False
        self.broken = 0
        """How many times what was published was not what the sequencer had said."""
        self.refused: bytes | None = None
        """The hash of the block that it is not followed past."""

    async def watch_word(self, held: int) -> None:
        """Called once the layers below were looked at: has the sequencer published what it said, up to block `held`?"""
        due = max((number for number in self._words if number <= held), default=None)
        if due is not None and not await self._chain.is_canonical(due, self._words[due]):
            self.broken += 1
            self._log.error(
                "what was published is not what the sequencer had said",
                number=due,
                said=self._words[due].hex(),
                remedy="take no soft block of this sequencer for more than its word",
            )
        kept = {number: said for number, said in self._words.items() if number > held}
        last = max(kept, default=0)
        self._words = kept if last and await self._chain.is_canonical(last, kept[last]) else {}

    async def still_said(self, held: int) -> bool:
        """Whether the sequencer says the block at this node's head, which is above the published block `held`. One that does not
        answer is taken to say what it said."""
        head = self._chain.latest
        try:
            answer = await self._ask("debug_getRawHeader", hex(head.number))
            if decode_header(data(answer)).hash != head.hash:
                return False
            self._words[head.number] = head.hash
            return True
        except RpcError as error:
            if error.code in NO_SUCH_BLOCK:
                return False
            return self._words.get(head.number) == head.hash
        except (Unavailable, InvalidInput):
            return self._words.get(head.number) == head.hash

    async def catch_up(self, held: int) -> int:
        """Makes the blocks that the sequencer says beyond the head; returns how many. Whatever it answers, nothing is raised."""
        made, end = 0, asyncio.get_running_loop().time() + ROUND_S
        try:
            while asyncio.get_running_loop().time() < end and await self._following(held):
                made += 1
            self._away = False
        except _Lie as error:
            self._log.error("the sequencer says a block that its transactions do not make", error=str(error))
        except DougongError as error:
            if not self._away:
                self._log.warning("no soft blocks of the sequencer", error=str(error))
            self._away = True
        return made

    async def _following(self, held: int) -> bool:
        head = self._chain.latest
        if head.number - held >= self._most_blocks or self._chain.backlog_bytes() >= self._most_bytes:
            raise Unavailable(f"the sequencer has published nothing of {head.number - held} blocks: it is not followed further")
        if quantity(await self._ask("eth_blockNumber")) <= head.number:
            return False
        answer = data(await self._ask("debug_getRawBlock", hex(head.number + 1)))
        header, txs = await in_thread(parse_block, answer, head.gas_limit // TRANSACTION_GAS)
        if header.hash == self.refused:
            return False
        if header.parent_hash != head.hash or header.number != head.number + 1:
            return False  # its chain is another now: `still_said` finds out
        if header.inbox_end < head.inbox_end or header.timestamp > self._clock() + MAX_LEAD_S:
            self.refused = header.hash
            raise _Lie(f"block {header.number} goes back in the inbox, or is of the future")
        messages = await self._messages(head.inbox_end, header.inbox_end)
        if messages is None:
            return False  # the settlement node does not show them yet
        await self._make(head, header, messages, txs)
        return True

    async def _ask(self, method: str, *params: object) -> object:
        try:
            async with asyncio.timeout(self._ask_s):
                return await self._rpc.call(method, *params, max_bytes=BLOCK_BYTES)
        except TimeoutError as error:
            raise Unavailable(f"the sequencer has not answered {method} within {self._ask_s:g} s") from error

    async def _messages(self, start: int, end: int) -> Sequence[InboxMessage] | None:
        if start == end:
            return ()
        if self._contract is None:
            raise _Lie("a sovereign rollup has no inbox")
        found = (await self._contract.messages(self._rollup_id, start))[: end - start]
        return found if len(found) == end - start else None

    async def _make(self, head: HeaderInfo, header: HeaderInfo, messages: Sequence[InboxMessage], txs: Sequence[bytes]) -> None:
        before = self._published.inbox_accumulator(head.inbox_end)
        if before is not None and messages:
            await in_thread(self._published.set_inbox, header.inbox_end, fold_messages(before, messages))

        def check(built: BuiltBlock) -> None:
            if built.header.hash != header.hash:
                raise _Lie(f"block {header.number} is {built.header.hash.hex()}, the sequencer says {header.hash.hex()}")

        own = txs[_forced(messages, txs) :]
        try:
            built = await self._chain.build(
                header.timestamp, header.inbox_end, messages, own, parent=head.hash, before_commit=check
            )
        except _Lie:
            self.refused = header.hash
            raise
        if built is not None:
            self._words[header.number] = header.hash


def _forced(messages: Sequence[InboxMessage], txs: Sequence[bytes]) -> int:
    """How many of a block's transactions came through the inbox: they are its first, and the invalid ones are not in it."""
    count = 0
    for message in messages:
        if message.kind is MessageKind.FORCED_TRANSACTION and count < len(txs) and txs[count] == message.payload:
            count += 1
    return count


# --- a block as `debug_getRawBlock` has it ----------------------------------------------------------------------------------


def parse_block(raw: bytes, most: int) -> tuple[HeaderInfo, list[bytes]]:
    """Header and transactions (EIP-2718, `most` of them) of a block's RLP. Raises `InvalidInput`."""
    begin, end = _payload(raw, *_item(raw, 0, len(raw)))
    at, _, after = _item(raw, begin, end)
    header = decode_header(raw[at:after])
    listed, first, last = _item(raw, after, end)
    if raw[listed] < 0xC0:
        raise InvalidInput("a block's transactions are a list")
    return header, [raw[start if raw[start] >= 0xC0 else begin : end] for start, begin, end in _split(raw, first, last, most)]


def _payload(raw: bytes, start: int, begin: int, end: int) -> tuple[int, int]:
    if raw[start] < 0xC0 or end != len(raw):
        raise InvalidInput("a block is one list")
    return begin, end


def _split(raw: bytes, begin: int, end: int, most: int) -> list[tuple[int, int, int]]:
    """(start, start of the payload, end) of each item."""
    items: list[tuple[int, int, int]] = []
    while begin < end:
        if len(items) == most:
            raise InvalidInput(f"more than {most} transactions could not pay for their gas")
        items.append(_item(raw, begin, end))
        begin = items[-1][2]
    return items


def _item(raw: bytes, start: int, limit: int) -> tuple[int, int, int]:
    if start >= limit:
        raise InvalidInput("an RLP item is missing")
    first = raw[start]
    if first < 0x80:
        return start, start, start + 1
    short = first - (0xC0 if first >= 0xC0 else 0x80)
    begin = start + 1
    if short > 55:
        begin += short - 55
        short = int.from_bytes(raw[start + 1 : min(begin, limit)])
    if begin + short > limit:
        raise InvalidInput("an RLP item is longer than what holds it")
    return start, begin, begin + short
