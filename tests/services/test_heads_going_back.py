"""While blocks go, nobody is shown a head that the store no longer has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from dougong._native import Evm
from dougong.services.rollup.chain import RollupChain
from tests.services.world import GENESIS_TIME, genesis


class Watched:
    """An `Evm` that looks at the chain's heads when its own has just gone back."""

    def __init__(self, evm: Evm) -> None:
        self.inner = evm
        self.chain: RollupChain | None = None
        self.seen: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def rollback(self, number: int) -> None:
        self.inner.rollback(number)
        assert self.chain is not None
        self.seen.append((self.chain.heads().latest, self.inner.head().number))


async def test_the_head_is_never_above_the_store(tmp_path: Path) -> None:
    evm = Watched(Evm(str(tmp_path), genesis()))
    chain = evm.chain = await RollupChain.open(cast(Evm, evm))
    for number in range(6):
        assert await chain.build(GENESIS_TIME + number, 0, (), (), parent=chain.latest.hash) is not None
    await chain.rollback(4)
    await chain.apply(2, None, GENESIS_TIME + 9, 0, ())
    assert evm.seen == [(4, 4), (2, 2)]
    assert chain.heads().latest == evm.head().number == 2
    evm.inner.close()
