"""Transactions a second through JSON-RPC beside anvil 1.7.1: pre-signed transfers, from the first byte to the last receipt.

anvil at its fastest: silent, no traces, no history, first come first served, a block's gas limit that holds everything. It is
tried with automine (a block for each transaction), with a block a second, and with blocks that the client asks for.
`benches/_load.py` says what the client does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benches._load import BATCHES, CHAIN_ID, OURS, SINGLE, Running, Server, Way, call, compare, free_port, has, process, wallets

ANVIL = Path(__file__).parent.parent / "engines/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
FASTEST = (
    "--silent",
    "--order",
    "fifo",
    "--prune-history",
    "--gas-limit",
    "100000000000",
    "--disable-console-log",
    "--accounts",
    "1",
)


@contextmanager
def anvil(options: Sequence[str]) -> Iterator[Running]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process([str(ANVIL), "--port", str(port), "--chain-id", str(CHAIN_ID), *FASTEST, *options], url) as running:
        for wallet in wallets():
            call(url, "anvil_setBalance", "0x" + wallet.address.hex(), hex(10**22))
        yield running


def run() -> Iterator[dict[str, Any]]:
    if not has(ANVIL, "make engines"):
        return
    on_demand = [Way(way.batch, way.connections, mine) for way in BATCHES for mine in (1_000, 5_000)]
    rivals = [
        Server("anvil 1.7.1", "automine", partial(anvil, ())),
        Server("anvil 1.7.1", "--block-time 1", partial(anvil, ("--block-time", "1"))),
        Server("anvil 1.7.1", "--no-mining", partial(anvil, ("--no-mining",)), (*on_demand, Way(1, SINGLE.connections, 1_000))),
    ]
    yield from compare(OURS, rivals, 10.0, "anvil")
