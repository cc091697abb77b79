"""A sequencer that stands by: it has the key, follows what the layers below hold, and gives no word.

    standby = Standby(sequencer, batcher, submit)
    await standby.run()

It runs on the sequencer's own store, so that it is one with its next start: what it has derived is derived, and what a former
sequencer on this folder had acknowledged stays in the journal and is sequenced then. JSON-RPC is served from what is published.
Two that run at once would not fork (the layers below order what both publish), but each would take back the other's soft blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from dougong._native import Evm
from dougong.errors import Unavailable
from dougong.services.rollup.batcher import Batcher
from dougong.services.rollup.forwarding import Forwarding, Submit
from dougong.services.rollup.sequencer import Sequencer
from dougong.types import Heads

__all__ = ["Standby"]


class Standby(Forwarding):
    """An `EvmBackend` over a sequencer and a batcher that do not run."""

    def __init__(
        self,
        sequencer: Sequencer,
        batcher: Batcher,
        submit: Submit,
        *,
        least_tip: Callable[[], int] = lambda: 0,
        poll_s: float = 0.5,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._sequencer = sequencer
        self._batcher = batcher
        super().__init__(submit)
        self.least_tip = least_tip
        self._poll_s = poll_s
        self._log = log or structlog.get_logger()

    async def run(self) -> None:
        """Follows until cancelled. A layer below that does not answer is waited for."""
        await self._batcher.load()
        away = False
        while True:
            try:
                await self._batcher.catch_up()
                away = False
            except Unavailable as error:
                if not away:
                    self._log.warning("a layer below does not answer; waiting for it", error=str(error))
                away = True
            await asyncio.sleep(self._poll_s)

    # --- as the JSON-RPC sees it --------------------------------------------------------------------------------------

    @property
    def evm(self) -> Evm:
        return self._sequencer.evm

    def heads(self) -> Heads:
        return self._sequencer.heads()

    def watch(self, on_change: Callable[[], None]) -> None:
        self._sequencer.watch(on_change)
