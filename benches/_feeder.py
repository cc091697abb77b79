"""One rollup's sequencer in a process of its own, fed from a file: `python -m benches._feeder FOLDER FILE` (`evm_scaling.py`).

It opens chain, journal and sequencer as a stack does, says so, waits for a line, and then has every transaction decoded,
checked, made durable, executed and committed: `Sequencer.submit_many` is what the JSON-RPC's express lane calls. There is no
client, no HTTP and no publishing. It answers with the seconds from the line to the block that holds the last transaction.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import uvloop

from benches._load import CHAIN_ID, EACH, ETHER, wallets
from dougong._native import Evm
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig

GROUP = 1_000
AT_A_TIME = 4


async def feed(folder: Path, raws: Sequence[bytes]) -> None:
    alloc = {wallet.address: GenesisAccount(balance=10_000 * ETHER) for wallet in wallets()}
    evm = Evm(str(folder / "evm"), make_genesis(CHAIN_ID, alloc, gas_limit=500_000_000, timestamp=1_700_000_000))
    journal = await Journal.open(folder / "journal")
    sequencer = await Sequencer.open(await RollupChain.open(evm), None, journal, SequencerConfig())
    running = asyncio.create_task(sequencer.run())
    groups = iter([raws[at : at + GROUP] for at in range(0, len(raws), GROUP)])

    async def send() -> None:
        for group in groups:
            refused = [outcome for outcome in await sequencer.submit_many(group) if not isinstance(outcome, bytes)]
            assert not refused, refused[0]

    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(AT_A_TIME)))
    last = [wallet.address for wallet in islice(wallets(), 8)]
    while min(evm.account(address)[0] for address in last) < EACH or len(sequencer.pool):  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    seconds = time.perf_counter() - start
    running.cancel()
    await asyncio.wait([running])
    await journal.flush()
    print(json.dumps({"seconds": seconds, "transactions": len(raws), "blocks": evm.head().number}), flush=True)


if __name__ == "__main__":
    uvloop.run(feed(Path(sys.argv[1]), [bytes.fromhex(line) for line in Path(sys.argv[2]).read_text().split()]))
