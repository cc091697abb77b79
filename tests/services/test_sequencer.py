"""What the sequencer says it has taken is there after any crash, in order, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dougong._native import Evm
from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidTransaction, Rejected, StoreFull, Unavailable
from dougong.execution.evm.pool import PoolLimits
from dougong.rpc.backend import EvmBackend
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.inbox import Inbox
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from dougong.types import InboxMessage, MessageKind
from tests.services.world import CODED, GENESIS_TIME, GWEI, RECIPIENT, USERS, burning, genesis, new_chain, transfers

ALICE, BOB = USERS[0], USERS[1]


class Clock:
    def __init__(self) -> None:
        self.now = float(GENESIS_TIME)

    def __call__(self) -> float:
        return self.now


class Mailbox:
    """A settlement inbox in memory, that can be unreachable."""

    def __init__(self) -> None:
        self.all: list[InboxMessage] = []
        self.block = 100
        self.away = False

    def put(self, kind: MessageKind, payload: bytes) -> None:
        self.all.append(InboxMessage(len(self.all), kind, bytes(20), GENESIS_TIME, payload))

    async def messages(self, rollup_id: int, start: int) -> Sequence[InboxMessage]:
        if self.away:
            raise Unavailable("settlement is away")
        return self.all[start:]

    async def height(self) -> int:
        if self.away:
            raise Unavailable("settlement is away")
        return self.block


class Node:
    """One sequencer on a folder, and what a kill -9 leaves of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.mailbox = Mailbox()

    @asynccontextmanager
    async def up(
        self, config: SequencerConfig | None = None, *, confirmations: int = 0, journal_bytes: int | None = None
    ) -> AsyncIterator[Sequencer]:
        evm = Evm(str(self.folder / "evm"), genesis())
        journal = await Journal.open(self.folder / "journal", journal_bytes)
        self.chain = await RollupChain.open(evm)
        self.inbox = Inbox(self.mailbox, rollup_id=1, confirmations=confirmations)
        try:
            yield await Sequencer.open(self.chain, self.inbox, journal, config or SequencerConfig(), clock=self.clock)
        finally:
            await journal.flush()
            journal.close()
            evm.close()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_submitted_transactions_make_a_block_in_nonce_order(node: Node) -> None:
    async with node.up() as sequencer:
        assert isinstance(sequencer, EvmBackend)
        assert await sequencer.make_block() is None
        txs = transfers(ALICE, 0, 20) + transfers(BOB, 0, 20)
        hashes = await asyncio.gather(*(sequencer.submit(tx) for tx in txs))
        assert list(hashes) == [keccak256(tx) for tx in txs]
        assert sequencer.pending_nonce(ALICE.address) == 20
        assert sequencer.pending_transaction(hashes[0]) == txs[0]
        built = await sequencer.make_block()
        assert built is not None
        assert (len(built.included), built.skipped) == (40, [])
        assert sequencer.heads().latest == 1
        assert sequencer.evm.account(RECIPIENT)[1] == 40 * 10**9
        assert len(sequencer.pool) == 0
        assert await sequencer.make_block() is None


async def test_a_crash_between_word_and_block_loses_nothing_and_doubles_nothing(node: Node) -> None:
    txs = transfers(ALICE, 0, 9)
    async with node.up() as sequencer:
        for tx in txs[:6]:
            await sequencer.submit(tx)
        await sequencer.make_block()
        for tx in txs[6:]:
            await sequencer.submit(tx)
    async with node.up() as sequencer:
        assert len(sequencer.pool) == 3
        await sequencer.make_block()
        assert sequencer.evm.account(ALICE.address)[0] == 9
    async with node.up() as sequencer:
        assert (len(sequencer.pool), sequencer.heads().latest) == (0, 2)


async def test_a_block_durable_before_the_journal_forgets_is_not_made_twice(node: Node) -> None:
    async with node.up() as sequencer:
        for tx in transfers(ALICE, 0, 3):
            await sequencer.submit(tx)
        forget, sequencer._journal.forget = sequencer._journal.forget, lambda hashes: None  # type: ignore[method-assign]
        await sequencer.make_block()
        sequencer._journal.forget = forget  # type: ignore[method-assign]
    async with node.up() as sequencer:
        assert len(sequencer.pool) == 0
        assert sequencer.evm.account(ALICE.address)[0] == 3
    async with node.up() as sequencer:
        assert await sequencer._journal.waiting() == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda: b"", None),
        (lambda: b"\x02\xc0", None),
        (lambda: transfers(ALICE, 0, 1)[0][:-1], None),
        (lambda: transfers(ALICE, 0, 1, value=10**30)[0], "insufficient funds"),
        (lambda: b"\x02" + bytes(200_000), "oversized"),
    ],
)
async def test_bad_transactions_are_refused_by_name_and_change_nothing(
    node: Node, spoil: Callable[[], bytes], says: str | None | None
) -> None:
    async with node.up() as sequencer:
        with pytest.raises(InvalidTransaction, match=says):
            await sequencer.submit(spoil())
        assert await sequencer._journal.waiting() == []
        assert await sequencer.submit(transfers(ALICE, 0, 1)[0])


async def test_a_repeated_or_stale_transaction_is_refused(node: Node) -> None:
    async with node.up() as sequencer:
        (tx,) = transfers(ALICE, 0, 1)
        results = await asyncio.gather(sequencer.submit(tx), sequencer.submit(tx), return_exceptions=True)
        assert results[0] == keccak256(tx)
        assert isinstance(results[1], InvalidTransaction)
        await sequencer.make_block()
        with pytest.raises(InvalidTransaction, match="nonce too low"):
            await sequencer.submit(tx)


async def test_a_full_disk_refuses_and_the_pool_forgets_again(node: Node) -> None:
    async with node.up(journal_bytes=1 << 18) as sequencer:
        taken = 0
        with pytest.raises(StoreFull):
            for tx in transfers(ALICE, 0, 40, data=b"\xff" * 20_000):
                await sequencer.submit(tx)
                taken += 1
        assert taken == len(sequencer.pool) > 0
    async with node.up(journal_bytes=1 << 26) as sequencer:
        assert len(sequencer.pool) == taken


async def test_a_flood_is_refused_before_it_costs_anything(node: Node) -> None:
    async with node.up(SequencerConfig(max_waiting=2, pool=PoolLimits(count=3, evict=False))) as sequencer:
        txs = transfers(ALICE, 0, 6)
        results = await asyncio.gather(*(sequencer.submit(tx) for tx in txs[:4]), return_exceptions=True)
        assert [type(result) for result in results] == [bytes, bytes, Rejected, Rejected]
        await sequencer.submit(txs[2])
        with pytest.raises(InvalidTransaction, match="full"):
            await sequencer.submit(txs[3])


async def test_a_replacement_that_is_not_durable_costs_nobody_his_place(node: Node) -> None:
    async with node.up(journal_bytes=1 << 18) as sequencer:
        first = await sequencer.submit(transfers(BOB, 0, 1, fee=20 * GWEI)[0])
        dearer = transfers(BOB, 0, 1, data=b"\xff" * 20_000, fee=40 * GWEI)[0]
        with pytest.raises(StoreFull):
            for tx in transfers(ALICE, 0, 40, data=b"\xff" * 20_000):
                await sequencer.submit(tx)
        with pytest.raises(StoreFull):
            await sequencer.submit(dearer)
        assert sequencer.pending_transaction(first) is not None
        assert sequencer.pending_transaction(keccak256(dearer)) is None
    async with node.up(journal_bytes=1 << 26) as sequencer:
        assert sequencer.pending_transaction(first) is not None


async def test_invalid_transactions_take_no_room_from_others(node: Node) -> None:
    """They cost nothing, and ask for a whole block's gas and the first place in it."""
    async with node.up() as sequencer:
        attacks = [transfers(user, 0, 1, gas=60_000_000, fee=1_000 * GWEI)[0] for user in CODED]
        bad = [await sequencer.submit(tx) for tx in attacks]
        follower = await sequencer.submit(transfers(CODED[0], 1, 1)[0])
        good = [await sequencer.submit(tx) for tx in transfers(ALICE, 0, 3)]
        built = await sequencer.make_block()
        assert built is not None
        assert len(built.included) == len(good)
        for _ in range(5):
            assert await sequencer.make_block() is None
        assert not any(tx_hash in sequencer.pool for tx_hash in bad)
        assert follower in sequencer.pool  # its predecessor was at fault, and may be replaced
        assert sequencer.evm.head().number == 1
    async with node.up() as sequencer:
        assert len(sequencer.pool) == 1


async def test_a_clock_that_jumps_ends_nobodys_waiting(node: Node) -> None:
    async with node.up() as sequencer:
        behind = await sequencer.submit(transfers(ALICE, 1, 1)[0])
        priced_out = await sequencer.submit(transfers(BOB, 0, 1, fee=sequencer.pool.base_fee)[0])
        sequencer.pool.update(sequencer.pool.base_fee + 1, {})
        for jump in (60.0, 86_400.0, 60.0, -86_400.0, 60.0):
            node.clock.now += jump
            sequencer.expire()
        assert behind in sequencer.pool
        assert priced_out in sequencer.pool
        for _ in range(200):
            node.clock.now += 60
            sequencer.expire()
        assert len(sequencer.pool) == 0


async def test_what_waits_for_a_lower_base_fee_is_waited_for_with_empty_blocks(node: Node) -> None:
    async with node.up() as sequencer:
        price = sequencer.pool.base_fee
        await sequencer.submit(transfers(BOB, 0, 1, fee=price)[0])
        sequencer.pool.update(price + 1, {})  # as other people's full blocks make it
        assert not sequencer.pool.select(60_000_000)
        built = await sequencer.make_block()
        assert built is not None
        assert not built.included
        built = await sequencer.make_block()
        assert built is not None
        assert len(built.included) == 1
        assert await sequencer.make_block() is None


async def test_no_blocks_above_the_unpublished_backlog(node: Node) -> None:
    async with node.up(SequencerConfig(max_backlog_bytes=300)) as sequencer:
        for nonce in range(4):
            await sequencer.submit(transfers(ALICE, nonce, 1)[0])
            await sequencer.make_block()
        assert 0 < sequencer.heads().latest < 4
        made = sequencer.heads().latest
        await node.chain.set_heads(safe=made)
        assert await sequencer.make_block() is not None


async def test_inbox_messages_enter_the_next_block(node: Node) -> None:
    async with node.up() as sequencer:
        node.mailbox.put(MessageKind.DEPOSIT, BOB.address + (5).to_bytes(8))
        node.mailbox.put(MessageKind.FORCED_TRANSACTION, b"not a transaction")
        node.mailbox.put(MessageKind.FORCED_TRANSACTION, transfers(ALICE, 0, 1)[0])
        before = sequencer.evm.account(BOB.address)[1]
        await node.inbox.poll()
        while await sequencer.make_block() is not None:
            pass
        assert node.chain.latest.inbox_end == 3
        assert sequencer.evm.account(BOB.address)[1] == before + 5 * 10**9
        assert sequencer.evm.account(ALICE.address)[0] == 1
        assert sequencer._journal.inbox_accumulator(3) is not None


async def test_inbox_messages_wait_for_their_confirmations(node: Node) -> None:
    async with node.up(confirmations=2) as sequencer:
        node.mailbox.put(MessageKind.DEPOSIT, BOB.address + (5).to_bytes(8))
        await node.inbox.poll()
        node.mailbox.block += 1
        await node.inbox.poll()
        assert await sequencer.make_block() is None
        node.mailbox.all[0] = InboxMessage(0, MessageKind.DEPOSIT, bytes(20), GENESIS_TIME, ALICE.address + (6).to_bytes(8))
        node.mailbox.block += 1
        await node.inbox.poll()  # reorganised: another message, seen now
        assert await sequencer.make_block() is None
        node.mailbox.block += 2
        await node.inbox.poll()
        before = sequencer.evm.account(ALICE.address)[1]
        assert await sequencer.make_block() is not None
        assert sequencer.evm.account(ALICE.address)[1] == before + 6 * 10**9


async def test_settlement_away_does_not_stop_the_rollup(node: Node) -> None:
    async with node.up(SequencerConfig(block_time=0.01)) as sequencer:
        node.mailbox.away = True
        async with asyncio.timeout(20):
            running = [asyncio.create_task(sequencer.run()), asyncio.create_task(node.inbox.run())]
            await sequencer.submit(transfers(ALICE, 0, 1)[0])
            await node.chain.wait_beyond(0)
            assert not any(task.done() for task in running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def test_an_ignored_sender_comes_in_through_the_inbox(node: Node) -> None:
    async with node.up(SequencerConfig(ignore_senders=frozenset({ALICE.address}))) as sequencer:
        (tx,) = transfers(ALICE, 0, 1)
        await sequencer.submit(tx)
        await sequencer.submit(transfers(BOB, 0, 1)[0])
        await sequencer.make_block()
        assert (sequencer.evm.account(ALICE.address)[0], sequencer.evm.account(BOB.address)[0]) == (0, 1)
        node.mailbox.put(MessageKind.FORCED_TRANSACTION, tx)
        await node.inbox.poll()
        await sequencer.make_block()
        assert sequencer.evm.account(ALICE.address)[0] == 1


async def test_an_idle_chain_makes_a_block_only_after_the_longest_interval(node: Node) -> None:
    async with node.up(SequencerConfig(max_interval=10.0)) as sequencer:
        assert await sequencer.make_block() is None
        node.clock.now += 10
        built = await sequencer.make_block()
        assert built is not None
        assert built.header.timestamp == GENESIS_TIME + 10
        assert await sequencer.make_block() is None


async def test_a_clock_that_goes_back_does_not_move_blocks_back(node: Node) -> None:
    async with node.up() as sequencer:
        node.clock.now += 100
        await sequencer.submit(transfers(ALICE, 0, 1)[0])
        await sequencer.make_block()
        node.clock.now -= 1_000
        await sequencer.submit(transfers(ALICE, 1, 1)[0])
        built = await sequencer.make_block()
        assert built is not None
        assert built.header.timestamp == GENESIS_TIME + 100


async def test_dropped_soft_blocks_give_their_transactions_back(node: Node) -> None:
    async with node.up() as sequencer:
        for nonce in range(5):
            await sequencer.submit(transfers(ALICE, nonce, 1)[0])
            await sequencer.make_block()
        (waiting,) = transfers(ALICE, 5, 1)
        await sequencer.submit(waiting)
        # A batch that somebody else appended: empty, behind block 2.
        await node.chain.apply(2, None, GENESIS_TIME, 0, (), give_back=sequencer.requeue)
        assert sequencer.heads().latest == 2
        built = await sequencer.make_block()
        assert built is not None
        assert len(built.included) == 4
        assert sequencer.evm.account(ALICE.address)[0] == 6


async def test_a_crash_after_dropping_soft_blocks_loses_nothing(node: Node) -> None:
    async with node.up() as sequencer:
        for nonce in range(5):
            await sequencer.submit(transfers(ALICE, nonce, 1)[0])
            await sequencer.make_block()
        await node.chain.rollback(1, give_back=sequencer.requeue)
    async with node.up() as sequencer:
        await sequencer.make_block()
        assert sequencer.evm.account(ALICE.address)[0] == 5


async def test_a_block_in_the_making_never_lands_on_a_chain_that_went_back(tmp_path: Path) -> None:
    chain = await new_chain(tmp_path / "evm")
    parent = chain.latest.hash
    assert await chain.build(GENESIS_TIME, 0, (), transfers(ALICE, 0, 1), parent=parent) is not None
    assert await chain.build(GENESIS_TIME, 0, (), transfers(ALICE, 1, 1), parent=parent) is None
    assert chain.latest.number == 1


async def test_a_block_whose_record_fails_is_discarded(tmp_path: Path) -> None:
    chain = await new_chain(tmp_path / "evm")

    def fail(built: object) -> None:
        raise StoreFull("no room")

    with pytest.raises(StoreFull):
        await chain.build(GENESIS_TIME, 0, (), transfers(ALICE, 0, 1), parent=chain.latest.hash, before_commit=fail)
    assert chain.latest.number == chain.evm.head().number == 0
    assert await chain.build(GENESIS_TIME, 0, (), transfers(ALICE, 0, 1), parent=chain.latest.hash) is not None


async def test_a_transaction_that_fits_no_block_is_not_taken(node: Node) -> None:
    async with node.up(SequencerConfig(max_block_bytes=1_000)) as sequencer:
        with pytest.raises(InvalidTransaction, match="oversized"):
            await sequencer.submit(transfers(ALICE, 0, 1, data=bytes(1_000))[0])


async def test_full_blocks_are_no_reason_to_drop_what_was_taken(node: Node) -> None:
    async with node.up() as sequencer:
        (waiting,) = transfers(ALICE, 0, 1, gas=50_000_000)
        await sequencer.submit(waiting)
        for nonce in range(5):  # forced transactions come first, and leave no room for it
            node.mailbox.put(MessageKind.FORCED_TRANSACTION, burning(BOB, nonce))
            await node.inbox.poll()
            built = await sequencer.make_block()
            assert built is not None
            assert built.included == []
        assert len(sequencer.pool) == 1
        assert await sequencer.make_block() is not None
        assert sequencer.evm.account(ALICE.address)[0] == 1


async def test_blocks_follow_transactions_and_not_the_clock(node: Node) -> None:
    """Nothing waits for its turn on a quiet chain, and what comes in a hurry shares blocks."""
    async with node.up(SequencerConfig(block_time=3_600.0)) as sequencer:
        running = asyncio.create_task(sequencer.run())
        await asyncio.gather(*(sequencer.submit(tx) for tx in transfers(ALICE, 0, 50)))
        async with asyncio.timeout(20):
            await node.chain.wait_beyond(0)  # at once, though two blocks are an hour apart
        assert len(sequencer.evm.transactions(1)) == 50
        running.cancel()
        await asyncio.wait([running])
    async with node.up(SequencerConfig(block_time=0.01)) as sequencer:
        running = asyncio.create_task(sequencer.run())
        for tx in transfers(ALICE, 50, 50):
            await sequencer.submit(tx)
        async with asyncio.timeout(20):
            while sequencer.evm.account(ALICE.address)[0] < 100:
                await node.chain.wait_beyond(node.chain.latest.number - 1)
                await asyncio.sleep(0.005)
        made = sequencer.evm.head().number  # what is durable: the chain's own word follows it
        await asyncio.sleep(0.1)
        assert sequencer.evm.head().number == made  # an idle chain makes none
        running.cancel()
        await asyncio.wait([running])


async def test_what_waits_behind_a_gap_keeps_no_sequencer_busy(node: Node) -> None:
    async with node.up(SequencerConfig(block_time=0.001, gather=0.0)) as sequencer:
        looks = 0
        select = sequencer.pool.select

        def counted(*args: object, **kwargs: object) -> object:
            nonlocal looks
            looks += 1
            return select(*args, **kwargs)  # type: ignore[arg-type]

        sequencer.pool.select = counted  # type: ignore[method-assign, assignment]
        running = asyncio.create_task(sequencer.run())
        await sequencer.submit(transfers(ALICE, 7, 1)[0])
        await asyncio.sleep(0.3)
        assert 0 < looks < 5
        running.cancel()
        await asyncio.wait([running])
