"""What attestors sign for settlement, and what counts as signed.

    digest = attestation_digest(da_id, height, root, attestors_hash(next_set))
    signature = key.sign_digest(digest)
    verify_attestation(attestation, attestors_hash(known_set))

The same rules as in `contracts/Attestations.vy`. Source: docs/spec/attestation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from eth_abi.abi import encode

from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import recover_address
from dougong.errors import InvalidInput, InvalidProof
from dougong.types import ADDRESS_BYTES, Attestation, Attestor

__all__ = ["MAX_ATTESTORS", "SIGNATURE_BYTES", "attestation_digest", "attestors_hash", "verify_attestation"]

DOMAIN = keccak256(b"dougong/attestation/v1")
SIGNATURE_BYTES = 65
MAX_ATTESTORS = 128


def attestors_hash(attestors: Sequence[Attestor]) -> bytes:
    """The set's hash (32 bytes). Raises `InvalidInput` for a set under which the contract would never take another attestation:
    empty, more than 128, without power, or with addresses that do not ascend strictly."""
    addresses = [attestor.address for attestor in attestors]
    powers = [attestor.power for attestor in attestors]
    if not 0 < len(attestors) <= MAX_ATTESTORS:
        raise InvalidInput(f"a set has 1 to {MAX_ATTESTORS} attestors, not {len(attestors)}")
    if any(len(address) != ADDRESS_BYTES or not any(address) for address in addresses):
        raise InvalidInput("an attestor's address is 20 bytes and not zero")
    if any(low >= high for low, high in pairwise(addresses)):
        raise InvalidInput("attestors are not in ascending order of their addresses, each once")
    if min(powers) < 0 or not 0 < sum(powers) < 1 << 64:
        raise InvalidInput(f"the attestors' powers are not below 2**64 together, or negative: {powers}")
    return keccak256(encode(["address[]", "uint256[]"], [addresses, powers]))


def attestation_digest(da_id: bytes, height: int, root: bytes, next_attestors_hash: bytes) -> bytes:
    """What an attestor signs (32 bytes)."""
    values = [DOMAIN, da_id, height, root, next_attestors_hash]
    return keccak256(encode(["bytes32", "bytes32", "uint256", "bytes32", "bytes32"], values))


def verify_attestation(attestation: Attestation, expected_attestors_hash: bytes) -> None:
    """Raises `InvalidProof` unless more than two thirds of the power of the set with that hash signed, as the contract asks."""
    attestors, signatures = attestation.attestors, attestation.signatures
    try:
        found = attestors_hash(attestors)
    except InvalidInput as error:
        raise InvalidProof(f"an attestation is of no valid set: {error}") from error
    if found != expected_attestors_hash:
        raise InvalidProof("an attestation is of another set of attestors than the one known")
    if len(signatures) != len(attestors):
        raise InvalidProof(f"an attestation has {len(signatures)} signatures for {len(attestors)} attestors")
    digest = attestation_digest(attestation.da_id, attestation.height, attestation.root, attestation.next_attestors_hash)
    total = sum(attestor.power for attestor in attestors)
    signed = 0
    for attestor, signature in zip(attestors, signatures, strict=True):
        if not signature:
            continue
        try:
            signer = recover_address(digest, signature)
        except InvalidInput as error:
            raise InvalidProof(f"the signature of the attestor 0x{attestor.address.hex()} does not read: {error}") from error
        if signer != attestor.address:
            raise InvalidProof(f"the attestor 0x{attestor.address.hex()} did not sign this attestation")
        signed += attestor.power
    if signed * 3 <= total * 2:
        raise InvalidProof(f"an attestation carries power {signed} of {total}, not more than two thirds")
