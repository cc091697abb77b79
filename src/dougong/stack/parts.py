"""What a DA chain of a stack is made of, where somebody wants other parts than the honest ones: attack drills.

    rogue = SquareParts(lay_out=encode_badly, attestors=(AttestorParts(remote=True),) * 4)
    async with running(config, report, log, squares={"rogue": rogue}) as stack: ...

Nothing in stack.toml leads here: a dishonest producer is injected by code that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dougong.availability.chain.attestor import Attestor
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.chain.square_cache import LaidOut, lay_out
from dougong.availability.square.layout import Square
from dougong.crypto.keys import Secp256k1Key
from dougong.rpc.node import AvailabilityNode
from dougong.services.attesting import AttestorService
from dougong.store import Store

__all__ = ["HONEST", "AttestorParts", "SquareParts"]


def _as_it_is(layer: SquareLayer) -> AvailabilityNode:
    return layer


@dataclass(frozen=True, slots=True)
class AttestorParts:
    """One attestor: its memory, its service, and whether it reads the chain through a socket as one elsewhere does, and not in
    this process."""

    attestor: Callable[[Store, Secp256k1Key, bytes], Attestor] = Attestor
    service: type[AttestorService] = AttestorService
    remote: bool = False


@dataclass(frozen=True, slots=True)
class SquareParts:
    """`lay_out` makes the producer's squares, `serve` what the node API shows of the layer."""

    lay_out: Callable[[Square], LaidOut] = lay_out
    serve: Callable[[SquareLayer], AvailabilityNode] = _as_it_is
    attestors: tuple[AttestorParts, ...] = (AttestorParts(),)


HONEST = SquareParts()
