"""A sovereign rollup's sequencer behind JSON-RPC in a process of its own: `python -m tests.clients.serve FOLDER`.

Prints its URL once it answers, and serves until it is told to stop. The genesis document is `FOLDER/genesis.json`. Of its own,
so that a test can measure it: what a client makes it do shows in this process and in no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from dougong._native import Evm
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.server import RpcServer
from dougong.services.rollup.chain import RollupChain
from dougong.services.rollup.journal import Journal
from dougong.services.rollup.sequencer import Sequencer, SequencerConfig


async def serve(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        evm = Evm(str(folder / "evm"), (folder / "genesis.json").read_text())
        stack.callback(evm.close)
        journal = await Journal.open(folder / "journal")
        stack.callback(journal.close)
        stack.push_async_callback(journal.flush)
        chain = await RollupChain.open(evm)
        sequencer = await Sequencer.open(chain, None, journal, SequencerConfig(block_time=0.02))
        api = EthereumApi(sequencer)
        stack.callback(api.close)
        server = RpcServer.bind("127.0.0.1", 0)
        server.mount("alpha", api.methods, api.health)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(server.run()), group.create_task(sequencer.run())]
            print(json.dumps({"url": server.url("alpha"), "methods": api.methods.names()}), flush=True)
            await stop.wait()
            for task in tasks:
                task.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1])))
