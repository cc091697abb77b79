"""The two chains that every client meets, ours and anvil's: one genesis document, the same accounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from tests.engines import ROOT, anvil

CHAIN_ID = 7_331
ETHER = 10**18
GENESIS_TIME = 1_700_000_000


def account(label: str) -> Secp256k1Key:
    """One for each client, so that they need not know of each other."""
    return Secp256k1Key(keccak256(b"client " + label.encode()))


LABELS = ("web3", "ethers", "viem", "cast", "streams", "sync", "attacker", "bystander", *(f"user {n}" for n in range(8)))


def genesis() -> str:
    alloc = {account(label).address: GenesisAccount(balance=1_000_000 * ETHER) for label in LABELS}
    return make_genesis(CHAIN_ID, alloc, timestamp=GENESIS_TIME)


@dataclass(frozen=True, slots=True)
class Node:
    """Our node in its process."""

    url: str
    methods: tuple[str, ...]
    pid: int

    def memory(self) -> int:
        """Bytes of the process that are in memory, as the kernel counts them."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def our_node(folder: Path) -> Iterator[Node]:
    (folder / "genesis.json").write_text(genesis())
    log = folder / "node.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.serve", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the node did not start:\n{log.read_text()[-4000:]}")
            said = json.loads(line)
            yield Node(said["url"], tuple(said["methods"]), process.pid)
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0, log.read_text()[-4000:]


@contextmanager
def anvil_node(folder: Path) -> Iterator[str]:
    document = folder / "genesis.json"
    document.write_text(genesis())
    with anvil(folder, "--init", str(document), "--gas-limit", "60000000", "--accounts", "1") as url:
        yield url
