"""A rollup's chain as this node holds it: one EVM store, one writer at a time, and three heads.

    chain = await RollupChain.open(evm)
    built = await chain.build(timestamp, inbox_end, messages, txs)      # executed and durable
    await chain.wait_beyond(built.header.number)

*latest* is the soft head (the sequencer's word), *safe* the last block published in a final DA block, *finalized* the last one
whose inputs the layer below has fixed (its batch is in the settlement contract, or, for a sovereign rollup, in a final DA block).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from dougong._native import BuiltBlock, Evm, HeaderInfo, decode_batch
from dougong.errors import InvalidInput, NotFound
from dougong.services.threads import in_thread
from dougong.types import Heads, InboxMessage

__all__ = ["RollupChain"]


class RollupChain:
    """The only writer of its `Evm`. Every method that writes is safe to cancel: it ends whole or not begun."""

    def __init__(self, evm: Evm, head: HeaderInfo, genesis: HeaderInfo) -> None:
        self.evm = evm
        self._writing = asyncio.Lock()
        self._latest = head
        self._genesis = genesis
        self._safe = 0
        self._finalized = 0
        self._changed = asyncio.Condition()
        self._version = 0
        self._generation = 0
        self._sizes: dict[int, int] = {}
        self._on_block: list[Callable[[HeaderInfo], None]] = []
        self._on_reorg: list[Callable[[], None]] = []

    @classmethod
    async def open(cls, evm: Evm) -> RollupChain:
        return cls(evm, await in_thread(evm.head), await in_thread(evm.header, 0))

    @property
    def latest(self) -> HeaderInfo:
        return self._latest

    @property
    def safe(self) -> int:
        return min(max(self._safe, self._finalized), self._latest.number)

    @property
    def finalized(self) -> int:
        return min(self._finalized, self._latest.number)

    def heads(self) -> Heads:
        return Heads(self._latest.number, self.safe, self.finalized)

    @property
    def version(self) -> int:
        """Grows with every change of the chain or of a head."""
        return self._version

    @property
    def generation(self) -> int:
        """Grows when blocks come or go that `build` did not make."""
        return self._generation

    def backlog_bytes(self) -> int:
        """Transaction bytes of the blocks above the safe head."""
        safe = self.safe
        return sum(size for number, size in self._sizes.items() if number > safe)

    async def block_bytes(self, number: int) -> int:
        """Transaction bytes of one block, its forced transactions included."""
        if number not in self._sizes:
            txs = await in_thread(self.evm.transactions, number)
            self._sizes[number] = _size(txs)
        return self._sizes[number]

    def watch(self, on_block: Callable[[HeaderInfo], None]) -> None:
        """`on_block` is called, on the event loop, with each new block's header. It must not raise or block."""
        self._on_block.append(on_block)

    def watch_reorgs(self, on_reorg: Callable[[], None]) -> None:
        """`on_reorg` is called, on the event loop, after `generation` grew."""
        self._on_reorg.append(on_reorg)

    def watch_heads(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called, on the event loop, after the head moved, forward or back."""
        self.watch(lambda _: on_change())
        self.watch_reorgs(on_change)

    async def build(
        self,
        timestamp: int,
        inbox_end: int,
        messages: Sequence[InboxMessage],
        txs: Sequence[bytes],
        *,
        parent: bytes,
        before_commit: Callable[[BuiltBlock], None] | None = None,
        once_durable: Callable[[BuiltBlock], None] | None = None,
    ) -> BuiltBlock | None:
        """Executes one block and makes it durable; None if `parent` is no longer the head. `before_commit` runs in the thread,
        when the block is executed and not yet durable; if it raises, the block is discarded. `once_durable` runs on the event
        loop before any other write to the chain: what it forgets, a rollback can still give back."""
        inbox = [(int(message.kind), message.payload) for message in messages]

        def make() -> BuiltBlock:
            built = self.evm.execute_rollup(timestamp, inbox_end, inbox, list(txs))
            try:
                if before_commit is not None:
                    before_commit(built)
                self.evm.commit()
            except BaseException:
                self.evm.discard()
                raise
            self._latest = built.header
            return built

        async with self._writing:
            if self._latest.hash != parent:
                return None
            built = await in_thread(make)
            self._sizes[built.header.number] = _size([txs[index] for index in built.included])
            if once_durable is not None:
                once_durable(built)
        await self._announce([built.header])
        return built

    async def apply(
        self,
        base: int,
        data: bytes | None,
        timestamp: int,
        inbox_end: int,
        messages: Sequence[InboxMessage],
        *,
        give_back: Callable[[Sequence[bytes]], Awaitable[None]] | None = None,
    ) -> list[HeaderInfo]:
        """Derives a batch on block `base`, which becomes the head first: later blocks are forgotten, once `give_back` has
        returned for their transactions."""
        inbox = [(int(message.kind), message.payload) for message in messages]

        def derive() -> list[HeaderInfo]:
            try:
                self._go_back(base)
                return self.evm.apply_batch(data, timestamp, inbox_end, inbox)
            finally:
                self._latest = self.evm.head()

        async with self._writing:
            await self._give_back(base, give_back)
            headers = await in_thread(derive)
            self._cut(base)
        await self._announce(headers, reorg=True)
        return headers

    async def rollback(self, number: int, *, give_back: Callable[[Sequence[bytes]], Awaitable[None]] | None = None) -> None:
        """Forgets every block after `number`, once `give_back` has returned for their transactions."""

        def forget() -> None:
            self._go_back(number)
            self._latest = self.evm.head()

        async with self._writing:
            await self._give_back(number, give_back)
            await in_thread(forget)
            self._cut(number)
        await self._announce([], reorg=True)

    def _go_back(self, number: int) -> None:
        if self.evm.head().number > number:
            self._latest = self.evm.header(number)  # first: whoever reads meanwhile must not be shown a head that is not there
            self.evm.rollback(number)

    async def _give_back(self, base: int, give_back: Callable[[Sequence[bytes]], Awaitable[None]] | None) -> None:
        if give_back is None or self._latest.number <= base:
            return
        last = self._latest.number

        def collect() -> list[bytes]:
            return [tx for number in range(base + 1, last + 1) for tx in self.evm.transactions(number)]

        await give_back(await in_thread(collect))

    def _cut(self, number: int) -> None:
        self._safe = min(self._safe, number)
        self._finalized = min(self._finalized, number)
        self._sizes = {block: size for block, size in self._sizes.items() if block <= number}
        self._generation += 1

    async def header(self, number: int) -> HeaderInfo:
        if number == self._latest.number:
            return self._latest
        return self._genesis if number == 0 else await in_thread(self.evm.header, number)

    async def is_canonical(self, number: int, block_hash: bytes) -> bool:
        if number > self._latest.number:
            return False
        try:
            return (await self.header(number)).hash == block_hash
        except NotFound:
            return False

    async def already(self, tip: HeaderInfo, blocks: Sequence[tuple[int, int, list[bytes]]]) -> HeaderInfo | None:
        """The last of a batch's blocks (`decode_batch`) if the chain has exactly them on `tip`."""
        last = tip.number + len(blocks)
        if self._latest.number < last:
            return None

        def same() -> bool:
            try:
                own = decode_batch(self.evm.encode_batch(tip.number + 1, last, 1), tip.gas_limit)
            except InvalidInput:  # more than one batch holds: the published one is another, or is cut
                return False
            return own is not None and own == (tip.hash, blocks)

        return await self.header(last) if await in_thread(same) else None

    async def set_heads(self, *, safe: int | None = None, finalized: int | None = None) -> None:
        self._safe = self._safe if safe is None else safe
        self._finalized = self._finalized if finalized is None else finalized
        self._sizes = {block: size for block, size in self._sizes.items() if block > self.safe}
        await self._announce([])

    async def measure(self) -> None:
        """Counts the blocks above the safe head: once, after a restart."""
        for number in range(self.safe + 1, self._latest.number + 1):
            await self.block_bytes(number)

    async def wait_beyond(self, number: int) -> HeaderInfo:
        """Returns the head once it is above `number`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._latest.number > number)
            return self._latest

    async def wait_change(self, version: int) -> int:
        """Returns the new version once it differs from `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version != version)
            return self._version

    async def _announce(self, headers: Sequence[HeaderInfo], *, reorg: bool = False) -> None:
        for header in headers:
            for on_block in self._on_block:
                on_block(header)
        if reorg:
            for on_reorg in self._on_reorg:
                on_reorg()
        async with self._changed:
            self._version += 1
            self._changed.notify_all()


def _size(txs: Sequence[bytes]) -> int:
    return sum(len(tx) + 4 for tx in txs)
