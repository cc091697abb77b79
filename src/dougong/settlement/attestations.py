"""What attestors sign, and the contract that keeps it.

    digest = attestation_digest(da_id, height, root, attestors_hash(next_set))
    signature = key.sign_digest(digest)
    await client.attest(Attestation(da_id, height, root, attestors_hash(next_set), attestors, signatures))

Source: docs/spec/attestation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from eth_abi.abi import encode

from dougong.contracts import artifact
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import recover_address
from dougong.errors import InvalidInput, InvalidProof
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.contract import Contract
from dougong.settlement.transactor import Receipt, Transactor
from dougong.types import ADDRESS_BYTES, ZERO_HASH, Attestation, Attestor, MerkleProof

__all__ = ["AttestationsClient", "attestation_digest", "attestors_hash", "check_attestation"]

DOMAIN = keccak256(b"dougong/attestation/v1")
SIGNATURE_BYTES = 65
MAX_ATTESTORS = 128


def attestors_hash(attestors: Sequence[Attestor]) -> bytes:
    """The set's hash. Raises `InvalidInput` for a set that the contract could never accept a signature from: empty, more than
    128, no power at all, or addresses that do not ascend strictly."""
    addresses = [attestor.address for attestor in attestors]
    if not 0 < len(attestors) <= MAX_ATTESTORS:
        raise InvalidInput(f"a set has 1 to {MAX_ATTESTORS} attestors, not {len(attestors)}")
    if any(len(address) != ADDRESS_BYTES or not any(address) for address in addresses):
        raise InvalidInput("an attestor's address is 20 bytes and not zero")
    if any(low >= high for low, high in pairwise(addresses)):
        raise InvalidInput("attestors are not in ascending order of their addresses, each once")
    total = sum(attestor.power for attestor in attestors)
    if any(attestor.power < 0 for attestor in attestors) or not 0 < total < 2**253:
        raise InvalidInput(f"the attestors' powers add up to {total}")
    return keccak256(encode(["address[]", "uint256[]"], [addresses, [attestor.power for attestor in attestors]]))


def attestation_digest(da_id: bytes, height: int, root: bytes, next_attestors_hash: bytes) -> bytes:
    """What an attestor signs (32 bytes)."""
    return keccak256(
        encode(["bytes32", "bytes32", "uint256", "bytes32", "bytes32"], [DOMAIN, da_id, height, root, next_attestors_hash])
    )


def check_attestation(attestation: Attestation) -> None:
    """What the contract will check, before paying for it. Raises `InvalidProof` naming the attestor at fault."""
    digest = attestation_digest(attestation.da_id, attestation.height, attestation.root, attestation.next_attestors_hash)
    if len(attestation.signatures) != len(attestation.attestors):
        raise InvalidProof("an attestation has one signature, or an empty one, for each attestor")
    signed = 0
    for attestor, signature in zip(attestation.attestors, attestation.signatures, strict=True):
        if not signature:
            continue
        try:
            signer = recover_address(digest, signature)
        except InvalidInput as error:
            raise InvalidProof(f"the signature of attestor 0x{attestor.address.hex()} is malformed: {error}") from error
        if signer != attestor.address:
            raise InvalidProof(f"the signature of attestor 0x{attestor.address.hex()} is another key's, or over something else")
        signed += attestor.power
    total = sum(attestor.power for attestor in attestation.attestors)
    if signed * 3 <= total * 2:
        raise InvalidProof(f"signatures of {signed} of {total} power are not more than two thirds")


class AttestationsClient:
    """The attested history of one DA chain, as a settlement node tells it."""

    def __init__(self, rpc: JsonRpc, contract: bytes, transactor: Transactor | None = None) -> None:
        self.contract = contract
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
        """Brings an attestation. Raises `InvalidProof` for one that the contract would refuse for its signatures, `Rejected`."""
        check_attestation(attestation)
        signatures = b"".join(signature or bytes(SIGNATURE_BYTES) for signature in attestation.signatures)
        return await self._contract.send(
            "attest",
            attestation.height,
            attestation.root,
            attestation.next_attestors_hash,
            [attestor.address for attestor in attestation.attestors],
            [attestor.power for attestor in attestation.attestors],
            signatures,
        )
