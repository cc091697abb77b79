"""A full node of a DA chain that somebody else runs: from a trust file and an empty folder, through sockets only.

    async with full_node(api, trust, "square", folder, server=server) as node:
        await node.run()

With a `server` it shows at /name what it has checked, as the stack does: its URL is a peer for light nodes and other full nodes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from dougong.availability.square.archive import SquareArchive
from dougong.errors import NotFound
from dougong.rpc.node import fraud_proof_methods, header_methods, square_methods
from dougong.rpc.server import RpcServer
from dougong.services.nodes.fraud_proofs import FraudProofs
from dougong.services.nodes.full_node import FULL_NODE_TABLES, FullNode
from dougong.services.nodes.kept_squares import KEPT_TABLES, KeptSquares
from dougong.services.nodes.remote import REMOTE_TABLES, RemoteSquare
from dougong.services.threads import in_thread
from dougong.stack.remote_layers import chain_clients
from dougong.stack.trust import Trust
from dougong.store import Store

__all__ = ["full_node"]


@asynccontextmanager
async def full_node(
    api: str,
    trust: Trust,
    name: str,
    folder: Path,
    *,
    server: RpcServer | None = None,
    blocks: int | None = None,
    poll_s: float = 0.5,
    log: structlog.typing.FilteringBoundLogger | None = None,
) -> AsyncIterator[FullNode]:
    """Of one DA chain of squares. `blocks`: of how many heights squares are kept (None: all). Raises `NotFound` for a chain that
    the trust file does not have, `InvalidHeader` if no peer serves it."""
    genesis = trust.availability.get(name)
    if genesis is None:
        raise NotFound(
            f"the trust file knows no DA chain {name}", remedy=f"it knows: {', '.join(trust.availability) or 'none of squares'}"
        )
    async with AsyncExitStack() as closing:
        store = await in_thread(Store, folder / "checked", (*REMOTE_TABLES, *FULL_NODE_TABLES, *KEPT_TABLES))
        closing.callback(store.close)
        archive = await in_thread(SquareArchive, folder / "squares")
        closing.callback(archive.close)
        nodes = await chain_clients(closing, api, trust, name)
        square = await RemoteSquare.open(nodes, bytes.fromhex(genesis), store=store, hears=False, log=log)
        proofs = await in_thread(FraudProofs, store, square.header, log=log)
        kept = KeptSquares(archive, square, proofs, store, blocks=blocks)
        if server is not None:
            methods = square_methods(kept).include(header_methods(square.genesis.raw, kept.signed_header))
            server.mount(name, methods.include(fraud_proof_methods(proofs)), kept.health)
            closing.callback(server.unmount, name)
        yield FullNode(store, square, proofs, peers=nodes, kept=kept, poll_s=poll_s, log=log)
