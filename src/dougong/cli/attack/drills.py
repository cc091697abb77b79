"""The four drills: two attacks, each against honest attestors and against more than two thirds that collude.

    drill = Drill("bad-encoding", "...", tell)
    await honest_attestors(drill, BAD_ENCODING, folder)
    await colluding_attestors(drill, BAD_ENCODING, folder)

Every expectation is read from what others see: the contracts, the node API, a full node's, light nodes' and verifying nodes'
own folders. One that is not observed raises `NotObserved`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from dougong.availability.square.fraud import BadBlock, encode_bad_encoding, verify_bad_encoding
from dougong.availability.square.sampling import withheld_cells
from dougong.availability.square.shares import SHARE_BYTES
from dougong.cli.attack.report import Drill
from dougong.cli.attack.rogues import (
    BADLY_ENCODED_WIDTH,
    WITHHELD_WIDTH,
    BlindAttestor,
    BlindService,
    Withholding,
    encode_badly,
)
from dougong.cli.attack.scene import PATIENCE_S, Scene, stage
from dougong.cli.demo.chain import until
from dougong.errors import DougongError, Unavailable
from dougong.services.nodes.light_node import Withheld
from dougong.services.nodes.rejections import ChainRejected
from dougong.services.supervisor import ServiceState
from dougong.stack.full_nodes import full_node
from dougong.stack.nodes import LightFindings, Refused, light_check, verifying_node
from dougong.stack.parts import AttestorParts, SquareParts
from dougong.types import BadEncodingProof, SquareHeader

__all__ = ["BAD_ENCODING", "WITHHOLD", "Attack", "colluding_attestors", "honest_attestors"]

ATTESTORS, COLLUDING = 4, 3
LIGHT_NODES = 3  # each of them misses a withheld block in about one case of a hundred

HONEST = AttestorParts(remote=True)
BLIND = AttestorParts(attestor=BlindAttestor, service=BlindService)


@dataclass(frozen=True, slots=True)
class Attack:
    """What the producer does to squares of `width` or more. `proven`: whether there is a proof of it (nothing proves that data
    was withheld)."""

    name: str
    deed: str
    parts: SquareParts
    width: int
    proven: bool

    def with_attestors(self, *attestors: AttestorParts) -> SquareParts:
        return SquareParts(self.parts.lay_out, self.parts.serve, attestors)


BAD_ENCODING = Attack(
    "bad-encoding",
    "changes a parity cell of row 1 after encoding, and commits to that",
    SquareParts(lay_out=encode_badly),
    BADLY_ENCODED_WIDTH,
    proven=True,
)
WITHHOLD = Attack(
    "withhold", "hides the fewest cells that matter", SquareParts(serve=Withholding.of), WITHHELD_WIDTH, proven=False
)


# --- (a) attestors that look ---------------------------------------------------------------------------------------------


async def honest_attestors(drill: Drill, attack: Attack, folder: Path) -> None:
    """No attestation, so no batch, so no claim; the other rollup goes on."""
    parts = attack.with_attestors(*[HONEST] * ATTESTORS)
    async with stage(folder, parts) as scene:
        height, before = await _attacked(drill, attack, scene)
        await _attestors_stop(drill, attack, scene, height)
        claims = await scene.alpha.claims()
        after = await scene.goes_on()
        drill.saw(after > claims, "alpha goes on: published, attested and claimed twice more", claims_of_alpha=after)
        attested = await scene.attestations.last_height()
        drill.saw(
            attested < height,
            f"settlement attests rogue up to block {attested}, no further",
            attested=attested,
            height=height,
        )
        upon = [batch.index for batch in await scene.beta.batches() if batch.placement and batch.placement.height >= height]
        drill.saw(not upon, f"settlement took no batch upon block {height}", batches=len(upon))
        covered, known = await scene.beta.claimed_batches(), len(await scene.beta.batches())
        drill.saw(covered <= known and known == before, "and no claim: beta stands where it stood", batches_of_beta=known)


async def _attacked(drill: Drill, attack: Attack, scene: Scene) -> tuple[int, int]:
    """The height of the first spoilt block, and how many batches of beta lie below."""
    drill.did(
        f"a stack runs at {scene.stack.url}: alpha on an honest DA chain, beta on rogue, both settled on base",
        attestors=len(scene.stack.square("rogue").attestors),
        claims_of_alpha=await scene.alpha.claims(),
        claims_of_beta=await scene.beta.claims(),
    )
    height = await scene.spoil(attack.width)
    header, _ = await scene.rogue.data_header(height)
    below = [batch for batch in await scene.beta.batches() if batch.placement is None or batch.placement.height < height]
    k = header.square_size
    facts: dict[str, object] = {"height": height, "square_size": k, "data_root": header.data_root.hex()}
    if not attack.proven:
        facts |= {"withheld": withheld_cells(k), "cells": 4 * k * k}
    drill.did(f"rogue's producer {attack.deed}: block {height}, with a batch of beta", **facts)
    return height, len(below)


async def _attestors_stop(drill: Drill, attack: Attack, scene: Scene, height: int) -> None:
    """Each of them, by itself: with the proof, or without the data."""
    attestors = scene.stack.square("rogue").attestors
    supervisor = scene.stack.context.supervisor

    async def stuck() -> bool:
        if any(one.height >= height for one in attestors):
            drill.saw(False, f"no attestor signs block {height}", heights=[one.height for one in attestors])
        states = [service for service in supervisor.status() if service.group.endswith("of rogue")]
        if attack.proven:
            return all(service.state is ServiceState.FAILED for service in states)
        return all(service.error for service in states) and all(one.height == height - 1 for one in attestors)

    await until(stuck, "the attestors to stop", PATIENCE_S)
    drill.saw(
        all(one.height == height - 1 for one in attestors),
        f"{len(attestors)} of {len(attestors)} attestors sign nothing from block {height} on",
        heights=[one.height for one in attestors],
    )
    reasons = {service.error for service in supervisor.status() if service.group.endswith("of rogue") and service.error}
    drill.saw(bool(reasons), f"they say: {min(reasons, default='nothing')}")
    if attack.proven:
        failures = [supervisor.failure(group) for group in sorted({s.group for s in supervisor.status()})]
        proofs = [failure.proof for failure in failures if isinstance(failure, BadBlock)]
        header, _ = await scene.rogue.data_header(height)
        for proof in proofs:
            verify_bad_encoding(header, proof)
        sizes = _sizes(proofs[0], header) if proofs else {}
        drill.saw(len(proofs) == len(attestors), "each of them holds a proof, verified here", **sizes)


def _sizes(proof: BadEncodingProof, header: SquareHeader) -> dict[str, object]:
    size, square = len(encode_bad_encoding(proof)), 4 * header.square_size**2 * SHARE_BYTES
    axis = "column" if proof.axis else "row"
    return {axis: proof.index, "proof_bytes": size, "square_bytes": square, "percent": round(100 * size / square, 2)}


# --- (b) attestors that collude ------------------------------------------------------------------------------------------


async def colluding_attestors(drill: Drill, attack: Attack, folder: Path) -> None:
    """Settlement takes everything; nobody else does."""
    parts = attack.with_attestors(*[BLIND] * COLLUDING, *[HONEST] * (ATTESTORS - COLLUDING))
    async with stage(folder, parts) as scene:
        height, _ = await _attacked(drill, attack, scene)
        await _settlement_takes_it(drill, scene, height)
        heights = sorted(one.height for one in scene.stack.square("rogue").attestors)
        drill.saw(heights[0] == height - 1, f"the attestor that looks signs nothing from block {height} on", heights=heights)
        await _full_node(drill, attack, scene, height)
        refused = await _light_nodes(drill, scene, height)
        await _verifying_nodes(drill, attack, scene, height)
        deception = refused.settlements["base"]
        drill.saw(
            deception.deceived and deception.claims["beta"] > 0,
            f"verify says: {refused.lines[-1]}",
            attested=deception.attested,
            batches=deception.batches["beta"],
            claims=deception.claims["beta"],
        )


async def _settlement_takes_it(drill: Drill, scene: Scene, height: int) -> None:
    async def taken() -> int:
        upon = [b.index for b in await scene.beta.batches() if b.placement is not None and b.placement.height >= height]
        return await scene.beta.claimed_batches() if upon and await scene.beta.claimed_batches() > upon[0] else 0

    covered = await until(taken, f"a claim upon block {height}", PATIENCE_S)
    attested = await scene.attestations.last_height()
    drill.saw(attested >= height, f"settlement attests rogue up to block {attested}", attested=attested)
    drill.saw(covered > 0, f"settlement took a batch of beta in block {height}, and a claim upon it", claimed_batches=covered)


async def _full_node(drill: Drill, attack: Attack, scene: Scene, height: int) -> None:
    folder = scene.folder / "full-node"
    async with full_node(scene.stack.url, scene.trust, "rogue", folder, poll_s=0.1, log=scene.log) as node:
        try:
            async with asyncio.timeout(scene.patience_s):
                await node.run()
        except BadBlock as error:
            header, _ = await scene.rogue.data_header(height)
            drill.saw(attack.proven and error.proof.height == height, "a full node proves it", **_sizes(error.proof, header))
            held = await scene.rogue.fraud_proofs(1)
            drill.saw(error.proof in held, "the proof is passed on: the node that others ask holds it", proofs=len(held))
        except Unavailable as error:
            drill.saw(not attack.proven and node.height == height - 1, f"a full node stays below: {error}", height=node.height)
        except TimeoutError:
            drill.saw(False, f"a full node stops at block {height}", height=node.height)


async def _light_nodes(drill: Drill, scene: Scene, height: int) -> Refused:
    """Several, for each draws its own cells; returns what one of those that refuse found."""

    async def one(number: int) -> LightFindings:
        async with light_check(scene.stack.url, scene.trust, scene.folder / f"light-{number}", log=scene.log) as check:
            return await check()

    findings = await asyncio.gather(*(one(number) for number in range(LIGHT_NODES)))
    refusing = [refused for found in findings for refused in found.refused if refused.error.height == height]
    drill.saw(
        len(refusing) >= 1 and all(refused.name == "rogue" for refused in refusing),
        f"{len(refusing)} of {LIGHT_NODES} light nodes refuse block {height} of rogue and all above: {refusing[0].error}"
        if refusing
        else f"light nodes refuse block {height}",
        cells=max(square.cells for found in findings for square in found.squares),
        bytes_received=max(square.bytes_received for found in findings for square in found.squares),
    )
    drill.saw(
        all(square.height > 0 for found in findings for square in found.squares) and bool(findings[0].settlements),
        "and they go on believing the honest chain, and settlement as far as it rests on that",
    )
    return refusing[0]


async def _verifying_nodes(drill: Drill, attack: Attack, scene: Scene, height: int) -> None:
    """beta's does not derive beyond the block; alpha's goes on."""
    tip = await scene.beta.chain.height()
    async with verifying_node(scene.stack.url, scene.trust, "beta", scene.folder / "verifying-beta") as node:
        why, convicted = "", False
        try:
            async with asyncio.timeout(scene.patience_s):
                await node.reach(tip)
        except (ChainRejected, Withheld, Unavailable, TimeoutError) as error:
            why, convicted = str(error), isinstance(error, ChainRejected) and error.height == height
        derived = node.node.follower.position.index
    below = [b.index for b in await scene.beta.batches() if b.placement is None or b.placement.height < height]
    drill.saw(
        bool(why) and convicted == attack.proven and derived <= len(below),
        f"beta's verifying node refuses: {why}",
        batches=derived,
    )
    async with verifying_node(scene.stack.url, scene.trust, "alpha", scene.folder / "verifying-alpha") as node:
        block = await scene.alpha.send()
        await scene.alpha.claimed(block)
        try:
            async with asyncio.timeout(scene.patience_s):
                await node.reach(block)
        except (DougongError, TimeoutError) as error:
            drill.saw(False, f"alpha's verifying node goes on: {error}")
        drill.saw(True, "alpha's verifying node rebuilds what alpha's claims say", height=block)
