"""Between a sequencer's word and its block there is no moment at which a kill loses or doubles a transaction."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from dougong._native import Evm
from dougong.crypto.hashing import keccak256
from dougong.net.child import see_off
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig
from tests.services.settled import Crash
from tests.services.world import USERS, genesis, transfers

SENDERS = USERS[:4]
PER_SENDER = 400
STEPS = ("before the journal", "journalled, not acknowledged", "block durable, journal not told")


class Mortal(Journal):
    """A journal beside which the process dies at a step."""

    step = ""

    async def add_all(self, txs: Sequence[tuple[bytes, bytes]]) -> None:
        if self.step == STEPS[0]:
            raise Crash(self.step)
        await super().add_all(txs)
        if self.step == STEPS[1]:
            raise Crash(self.step)

    def forget(self, hashes: Iterable[bytes]) -> None:
        if self.step == STEPS[2]:
            raise Crash(self.step)
        super().forget(hashes)


async def opened(folder: Path, step: str = "") -> tuple[Sequencer, Mortal, Evm]:
    evm = Evm(str(folder / "evm"), genesis())
    journal = await Mortal.open(folder / "journal")
    assert isinstance(journal, Mortal)
    sequencer = await Sequencer.open(await RollupChain.open(evm), None, journal, SequencerConfig(block_time=0.01))
    journal.step = step
    return sequencer, journal, evm


async def closed(journal: Mortal, evm: Evm) -> None:
    journal.step = ""
    await journal.flush()
    journal.close()
    evm.close()


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_between_word_and_block_keeps_exactly_what_was_acknowledged(tmp_path: Path, step: str) -> None:
    (first, second) = transfers(SENDERS[0], 0, 2)
    sequencer, journal, evm = await opened(tmp_path)
    await sequencer.submit(first)
    journal.step = step
    if step == STEPS[2]:
        with pytest.raises(Crash):
            await sequencer.make_block()
    else:
        submission = asyncio.ensure_future(sequencer.submit(second))
        admitting = None
        while admitting is None:
            await asyncio.sleep(0)
            admitting = sequencer._admission._admitting
        await asyncio.wait([admitting])
        assert isinstance(admitting.exception(), Crash)
        assert isinstance((await asyncio.gather(submission, return_exceptions=True))[0], Exception)
    await closed(journal, evm)

    sequencer, journal, evm = await opened(tmp_path)
    await sequencer.make_block()
    nonce = evm.account(SENDERS[0].address)[0]
    # What was journalled and never acknowledged may be taken: its user does not know. What was acknowledged must be.
    assert nonce == {STEPS[0]: 1, STEPS[1]: 2, STEPS[2]: 1}[step]
    assert len(sequencer.pool) == 0
    included = [raw for number in range(1, evm.head().number + 1) for raw in evm.transactions(number)]
    assert included == [first, second][:nonce]
    await closed(journal, evm)


async def main(folder: Path) -> None:
    """Takes and sequences until it is killed; prints each hash once it is acknowledged."""
    sequencer, _, evm = await opened(folder)
    running = asyncio.ensure_future(sequencer.run())

    async def send(number: int) -> None:
        user = SENDERS[number]
        for raw in transfers(user, sequencer.pending_nonce(user.address), PER_SENDER):
            print((await sequencer.submit(raw)).hex(), flush=True)

    await asyncio.gather(running, *(send(number) for number in range(len(SENDERS))))
    evm.close()


async def test_kills_under_load_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for turn in range(3):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.services.test_sequencer_kill", str(tmp_path)),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        before = len(acknowledged)
        while line := await child.stdout.readline():
            acknowledged.append(line.decode().strip())
            if len(acknowledged) - before == 60 + 47 * turn:
                child.kill()
        assert await see_off(child) == -signal.SIGKILL
    sequencer, journal, evm = await opened(tmp_path)
    while len(sequencer.pool):
        assert await sequencer.make_block() is not None
    included = [keccak256(raw).hex() for number in range(1, evm.head().number + 1) for raw in evm.transactions(number)]
    assert len(set(included)) == len(included)
    assert set(acknowledged) <= set(included)
    assert len(set(acknowledged)) == len(acknowledged) > 3 * 60
    await closed(journal, evm)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
