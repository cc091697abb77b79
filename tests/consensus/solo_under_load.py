"""Run as a program: orders transactions as fast as they are accepted and prints each one that was, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dougong.consensus import Genesis, Solo, SoloOptions
from dougong.crypto.keys import Ed25519Key
from dougong.testing import KeyValue

KEY = Ed25519Key(b"\7" * 32)


async def main(folder: Path, name: str) -> None:
    genesis = Genesis.parse((folder / "genesis.json").read_bytes())
    async with KeyValue.open(folder / "app") as app:
        chain = await Solo.open(folder / "chain", genesis, KEY, app, SoloOptions(block_time=0.001))

        async def client(number: int) -> None:
            for count in range(1_000_000):
                tx = f"{name}-{number}-{count}=x"
                if (await chain.broadcast(tx.encode())).accepted:
                    print(tx, flush=True)

        async with asyncio.TaskGroup() as group:
            group.create_task(chain.run())
            for number in range(8):
                group.create_task(client(number))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
