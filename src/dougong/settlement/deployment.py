"""Puts the contracts on a settlement chain.

    attestations = await deploy_attestations(transactor, da_id, attestors)
    settlement = await deploy_settlement(transactor)
    verifier = await deploy_permissioned_verifier(transactor, settlement, proposer, window=60)

Each returns the contract's address (20 bytes). One `Settlement` serves any number of rollups, one `Attestations` one DA chain,
one `PermissionedVerifier` one proposer.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.contracts import artifact
from dougong.crypto.attestation import attestors_hash
from dougong.settlement.contract import deploy
from dougong.settlement.transactor import Transactor
from dougong.types import Attestor

__all__ = ["deploy_attestations", "deploy_permissioned_verifier", "deploy_settlement"]


async def deploy_settlement(transactor: Transactor) -> bytes:
    return (await deploy(transactor, artifact("Settlement"))).address


async def deploy_attestations(transactor: Transactor, da_id: bytes, attestors: Sequence[Attestor]) -> bytes:
    """`da_id` is the SHA-256 of the DA chain's genesis document; `attestors` sign first, in ascending order of address."""
    return (await deploy(transactor, artifact("Attestations"), da_id, attestors_hash(attestors))).address


async def deploy_permissioned_verifier(transactor: Transactor, settlement: bytes, proposer: bytes, window: int) -> bytes:
    """No proof: what `proposer` posts holds after `window` seconds."""
    return (await deploy(transactor, artifact("PermissionedVerifier"), settlement, proposer, window)).address
