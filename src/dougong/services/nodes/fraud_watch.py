"""Listens to peers for proofs that a block is badly encoded, so that who downloads no square need not trust its extension.

    watch = FraudWatch(peers, rejections, header_from)
    await watch.look()                                  # every few seconds: raises nothing; `rejections.check` then tells

In this order: every peer is asked for the proofs that it holds; the header of the block is verified from the same peer; the proof
is verified under it; the rejection is on disk; the proof is offered to each peer that did not show it. A peer that shows a false
proof is dropped. One honest peer that has it is enough, and that may be any node that keeps proofs: nobody's word is taken.

Source: docs/spec/bad-encoding.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from dougong.availability.square.fraud import BadBlock, decode_bad_encoding, encode_bad_encoding, verify_bad_encoding
from dougong.errors import DougongError, InvalidInput, InvalidProof, NotFound, Rejected, StoreCorrupt, Unavailable
from dougong.net.node import NodeClient
from dougong.services.nodes.peers import Peer, PeerSet
from dougong.services.nodes.rejections import BAD_ENCODING, Rejection, Rejections
from dougong.services.threads import in_thread
from dougong.types import BadEncodingProof, SquareHeader

__all__ = ["FraudWatch", "bad_encoding_proof"]

_MOST = 4  # proofs that one answer may hold


class FraudWatch:
    """`header` verifies a header that one node shows. `every_s`: how often `look` asks again."""

    def __init__(
        self,
        peers: PeerSet,
        rejections: Rejections,
        header: Callable[[NodeClient, int], Awaitable[SquareHeader]],
        *,
        every_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peers = peers
        self._rejections = rejections
        self._header = header
        self._every_s = every_s
        self._clock = clock
        self._due = float("-inf")
        self._looking = asyncio.Lock()
        self._offered: set[tuple[Peer, int]] = set()

    async def look(self, *, now: bool = False) -> None:
        """Asks the peers if it is time to, or `now`; returns once what they showed is settled."""
        async with self._looking:
            if self._clock() < self._due and not now:
                return
            self._due = self._clock() + self._every_s
            try:
                shown = await self._peers.survey(self._heard)
            except Unavailable:
                return  # nobody answers: whoever asks for anything else will hear it
            except InvalidInput:
                return  # those who lied are charged
            for proof in [proof for verified, _ in shown.values() for proof in verified]:
                why = str(BadBlock(proof))
                await self._rejections.add(Rejection(proof.height, BAD_ENCODING, why, encode_bad_encoding(proof).hex()))
            await self._pass_on({peer: heights for peer, (_, heights) in shown.items()})

    async def _heard(self, node: NodeClient) -> tuple[list[BadEncodingProof], set[int]]:
        """What a node shows that is news, verified, and the heights of all that it shows."""
        try:
            proofs = await node.fraud_proofs(1)
        except Rejected:  # a node of another make, which keeps none
            return [], set()
        if len(proofs) > _MOST:
            raise InvalidProof(f"{len(proofs)} proofs of bad encoding came; the lowest {_MOST} say enough")
        verified: list[BadEncodingProof] = []
        for proof in proofs:
            first = self._rejections.first
            if first is None or proof.height < first.height:  # what lies above is rejected already
                try:
                    header = await self._header(node, proof.height)
                except NotFound as error:  # else megabytes of nothing would cost nothing
                    raise InvalidProof(f"it shows a proof against block {proof.height}, and not its header") from error
                await in_thread(verify_bad_encoding, header, proof)
                verified.append(proof)
        return verified, {proof.height for proof in proofs}

    async def _pass_on(self, shown: dict[Peer, set[int]]) -> None:
        """Offers what is known to those who did not show it, once each."""
        offers = [
            (peer, rejection)
            for rejection in self._rejections.all.values()
            if rejection.kind == BAD_ENCODING
            for peer, heights in shown.items()
            if rejection.height not in heights and (peer, rejection.height) not in self._offered
        ]
        self._offered.update((peer, rejection.height) for peer, rejection in offers)
        await asyncio.gather(*(self._offer(peer, rejection) for peer, rejection in offers))

    async def _offer(self, peer: Peer, rejection: Rejection) -> None:
        try:
            async with asyncio.timeout(self._peers.config.timeout_s):
                await peer.node.submit_fraud_proof(bad_encoding_proof(rejection))
        except StoreCorrupt:
            raise
        except (Unavailable, TimeoutError):
            self._offered.discard((peer, rejection.height))  # busy, as somebody may have made it: again at the next look
        except DougongError:
            pass  # it is not ours to make it believe


def bad_encoding_proof(rejection: Rejection) -> BadEncodingProof:
    """The proof that a rejection for bad encoding keeps. Raises `StoreCorrupt`."""
    try:
        return decode_bad_encoding(bytes.fromhex(str(rejection.evidence)))
    except (InvalidInput, ValueError) as error:
        raise StoreCorrupt(f"the evidence against block {rejection.height} does not read: {error}") from error
