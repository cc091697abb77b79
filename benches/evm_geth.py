"""Transactions a second through JSON-RPC beside `geth --dev`: pre-signed transfers, from the first byte to the last receipt.

geth is what `make rivals` built, at its fastest: a pool without limits, a large cache and large batches, a block's gas limit that
holds everything, no logs. It is tried with a block for what there is as soon as it is there, and with a block a second, in
memory and on a disk. `benches/_load.py` says what the client does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benches._load import BATCHES, OURS, SINGLE, Running, Server, call, compare, free_port, has, process, wallets

VERSION = "v1.17.8"
GETH = Path(__file__).parent / "peers" / "build" / f"geth-{VERSION}"
MANY = "1000000"
FASTEST = (
    *("--dev", "--dev.gaslimit", "1000000000", "--verbosity", "0", "--nodiscover", "--maxpeers", "0", "--ipcdisable"),
    *("--http", "--http.api", "eth,net,web3", "--cache", "2048", "--rpc.batch-request-limit", "0"),
    *("--rpc.batch-response-max-size", "1000000000", "--rpc.gascap", "0", "--txpool.nolocals", "--txpool.lifetime", "3h"),
    *("--txpool.accountslots", MANY, "--txpool.globalslots", MANY, "--txpool.accountqueue", MANY, "--txpool.globalqueue", MANY),
)


@contextmanager
def geth(options: Sequence[str], *, on_disk: bool) -> Iterator[Running]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with TemporaryDirectory() as folder:
        place = ("--datadir", folder) if on_disk else ()
        command = [
            str(GETH),
            *FASTEST,
            *options,
            *place,
            "--http.port",
            str(port),
            "--port",
            "0",
            "--authrpc.port",
            str(free_port()),
        ]
        with process(command, url) as running:
            [giver] = call(url, "eth_accounts")
            value = hex(10**22)
            first = int(call(url, "eth_getTransactionCount", giver, "latest"), 16)
            sent = []
            for nonce, wallet in enumerate(wallets(), first):
                fields = {"from": giver, "to": "0x" + wallet.address.hex(), "value": value, "nonce": hex(nonce)}
                sent.append(call(url, "eth_sendTransaction", fields))
            while call(url, "eth_getTransactionReceipt", sent[-1]) is None:
                pass
            yield running


def run() -> Iterator[dict[str, Any]]:
    if not has(GETH, "make rivals"):
        return
    rivals = [
        Server("geth", "--dev", partial(geth, (), on_disk=False), (*BATCHES, SINGLE)),
        Server("geth", "--dev --dev.period 1", partial(geth, ("--dev.period", "1"), on_disk=False), BATCHES),
        Server("geth", "--dev --datadir", partial(geth, (), on_disk=True), BATCHES[:1]),
    ]
    yield from compare(OURS, rivals, 3.0, "geth")
