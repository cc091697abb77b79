"""docs/ethereum-rpc.md names every method, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from dougong._native import Evm
from dougong.execution.evm.genesis import make_genesis
from dougong.rpc.ethereum import EthereumApi
from dougong.types import Heads

PAGE = Path(__file__).parents[2] / "docs" / "ethereum-rpc.md"


class Still:
    """A chain of one block that takes no transactions."""

    def __init__(self, evm: Evm) -> None:
        self.evm = evm
        self.pool = None

    def heads(self) -> Heads:
        return Heads(0, 0, 0)

    async def submit(self, raw: bytes) -> bytes:
        raise NotImplementedError

    def pending_nonce(self, address: bytes) -> int:
        return 0

    def pending_transaction(self, tx_hash: bytes) -> bytes | None:
        return None

    def watch(self, on_change: object) -> None:
        """The head never moves."""


def test_the_page_lists_the_methods(tmp_path: Path) -> None:
    evm = Evm(str(tmp_path / "chain"), make_genesis(7, {}), map_bytes=1 << 26)
    api = EthereumApi(Still(evm))
    section = PAGE.read_text().split("## Methods")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`(\w+_\w+)`", row.split(" | ")[0])]
    assert sorted(listed) == api.methods.names()
    api.close()
    evm.close()
