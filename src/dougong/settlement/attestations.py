"""The contract that keeps the attested history of a DA chain.

    client = AttestationsClient(rpc, contract, transactor)
    await client.attest(attestation)
    root = await client.root(attestation.height)

Source: docs/spec/attestation.md.
"""

from __future__ import annotations

from collections.abc import Callable

from dougong.contracts import artifact
from dougong.crypto.attestation import SIGNATURE_BYTES, verify_attestation
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.contract import Contract
from dougong.settlement.transactor import Receipt, Transactor
from dougong.types import ZERO_HASH, Attestation, MerkleProof

__all__ = ["AttestationsClient"]


class AttestationsClient:
    """The attested history of one DA chain, as a settlement node tells it."""

    def __init__(
        self,
        rpc: JsonRpc,
        contract: bytes,
        transactor: Transactor | None = None,
        *,
        observe: Callable[[Receipt], None] = lambda receipt: None,
    ) -> None:
        """`observe` hears of every attestation that took effect."""
        self.contract = contract
        self._observe = observe
        self._contract = Contract(rpc, contract, artifact("Attestations"), transactor)

    async def da_id(self) -> bytes:
        return bytes(await self._contract.ask("DA_ID"))

    async def last_height(self) -> int:
        """The last attested height; 0 before the first."""
        return int(await self._contract.ask("last_height"))

    async def attestors_hash(self) -> bytes:
        """The hash of the set that must sign next."""
        return bytes(await self._contract.ask("attestors_hash"))

    async def root(self, height: int) -> bytes | None:
        """The history root attested at exactly this height, or None."""
        root = bytes(await self._contract.ask("roots", height))
        return None if root == ZERO_HASH else root

    async def verifies(self, attested_height: int, height: int, data_root: bytes, proof: MerkleProof) -> bool:
        """Whether the contract takes the proof."""
        return bool(await self._contract.ask("verify_data_root", attested_height, height, data_root, list(proof.siblings)))

    async def attest(self, attestation: Attestation) -> Receipt:
        """Brings an attestation. Raises `InvalidProof` before paying for one whose signatures do not carry it, `Rejected`."""
        verify_attestation(attestation, await self.attestors_hash())
        signatures = b"".join(signature or bytes(SIGNATURE_BYTES) for signature in attestation.signatures)
        receipt = await self._contract.send(
            "attest",
            attestation.height,
            attestation.root,
            attestation.next_attestors_hash,
            [attestor.address for attestor in attestation.attestors],
            [attestor.power for attestor in attestation.attestors],
            signatures,
        )
        self._observe(receipt)
        return receipt
