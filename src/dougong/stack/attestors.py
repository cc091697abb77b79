"""The attestors of a DA chain: one in this process by default, several that read through sockets where a drill wants them.

    attestors = await open_attestors(context, "square", layer, genesis_hash, proofs, closing)
    {attestor.address: attestor for attestor in attestors}

Each has a key, a folder and a group of services of its own: one that stops with the evidence of a bad block stops nobody else.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from dougong.availability.chain.attestor import TABLES
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.layer import SquareLayer
from dougong.net.node import NodeClient
from dougong.services.attesting import AttestorService
from dougong.services.nodes.fraud_proofs import FRAUD_TABLES, FraudProofs
from dougong.services.nodes.inspection import SquareSource
from dougong.services.nodes.remote import REMOTE_TABLES, RemoteSquare
from dougong.services.threads import in_thread
from dougong.stack.context import Context
from dougong.stack.parts import HONEST, AttestorParts
from dougong.store import Store

__all__ = ["open_attestors"]


async def open_attestors(
    context: Context, name: str, layer: SquareLayer, da_id: bytes, proofs: FraudProofs, closing: AsyncExitStack
) -> list[AttestorService]:
    """In the order of their addresses; all or none of them. `proofs` is where those in this process put what they find."""
    parts = context.squares.get(name, HONEST).attestors
    found: dict[str, AttestorService] = {}
    async with AsyncExitStack() as opened:
        for number, part in enumerate(parts, start=1):
            role = "attestor" if number == 1 else f"attestor{number}"
            group = f"{role} of {name}" if part.remote or number > 1 else name
            found[group] = await _open(context, name, role, part, layer, da_id, proofs, opened)
        closing.push_async_exit(opened.pop_all())
    for group, service in found.items():
        context.supervisor.add(group, "attestor", service.run)
    return sorted(found.values(), key=lambda service: service.address)


async def _open(
    context: Context,
    name: str,
    role: str,
    part: AttestorParts,
    layer: SquareLayer,
    da_id: bytes,
    proofs: FraudProofs,
    opened: AsyncExitStack,
) -> AttestorService:
    home = context.disk.home("availability", name, role)
    store = await in_thread(Store, home, TABLES)
    opened.callback(store.close)
    key = context.keys.account(f"{role}.{name}")
    attestor = await in_thread(part.attestor, store, key, da_id)
    da: SquareSource = SquareClient(layer, key)
    if part.remote:
        seen = await in_thread(Store, home / "seen", (*REMOTE_TABLES, *FRAUD_TABLES))
        opened.callback(seen.close)
        node = await opened.enter_async_context(NodeClient(context.server.url(name)))
        da = await RemoteSquare.open(node, da_id, store=seen, log=context.log)
        proofs = await in_thread(FraudProofs, seen, da.header, log=context.log)
    registry = CollectorRegistry()
    context.metrics.join(registry)
    return part.service(attestor, da, proofs=proofs, poll_s=0.1, registry=registry, log=context.log)
