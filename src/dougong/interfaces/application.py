"""What can be ordered: ABCI's block life in its own words.

    info = await app.info()                              # where are you?
    verdict = await app.check_tx(tx)                     # may this enter the mempool?
    txs = await app.prepare_proposal(proposal)           # proposer only
    ok = await app.process_proposal(proposal)            # every validator
    result = await app.finalize_block(block)             # every node, same answer
    await app.commit()                                   # now it is durable

Source: CometBFT v0.38, spec/abci. The engine calls one method at a time, except `check_tx`, which it may call at any
moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from dougong.types import (
    AppInfo,
    CheckTxResult,
    DecidedBlock,
    FinalizeResult,
    InitChain,
    InitChainResult,
    Proposal,
)


@runtime_checkable
class Application(Protocol):
    """A deterministic state machine over ordered transactions."""

    async def info(self) -> AppInfo:
        """Must tell the last height whose `commit` returned; the engine replays every decided block after it."""
        ...

    async def init_chain(self, genesis: InitChain) -> InitChainResult:
        """Called once, before the first block. Must be repeatable: a crash before the first commit calls it again."""
        ...

    async def check_tx(self, tx: bytes, *, recheck: bool = False) -> CheckTxResult:
        """Must not change committed state, must not raise for any bytes. May be wrong in both directions later."""
        ...

    async def prepare_proposal(self, proposal: Proposal) -> Sequence[bytes]:
        """Chooses, orders, adds or drops transactions. Must keep their total size within `max_tx_bytes`, and the
        result must pass `process_proposal` of every correct node."""
        ...

    async def process_proposal(self, proposal: Proposal) -> bool:
        """Must be deterministic: the same proposal gets the same verdict on every node at that height."""
        ...

    async def finalize_block(self, block: DecidedBlock) -> FinalizeResult:
        """Must be deterministic and total: a bad transaction gets a non-zero code, never an exception.
        Must not be durable before `commit`."""
        ...

    async def commit(self) -> None:
        """Makes the finalized block durable. When it returns, `info` after a kill -9 must tell this height."""
        ...
