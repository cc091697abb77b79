# pragma version 0.4.3
# pragma evm-version prague
"""
@title Attested data roots of one DA chain
@notice docs/spec/attestation.md. Keeps, for ever, the history roots that more than two thirds of the attestors' power signed.
"""

import merkle
import IAttestations

implements: IAttestations

event Attested:
    height: indexed(uint256)
    root: bytes32
    next_attestors_hash: bytes32

MAX_ATTESTORS: constant(uint256) = 128
SIGNATURE_BYTES: constant(uint256) = 65
DOMAIN: constant(bytes32) = keccak256("dougong/attestation/v1")
# Half of secp256k1's order: an s above it is a second signature made from the first.
MAX_S: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

# SHA-256 of the DA chain's genesis document
DA_ID: public(immutable(bytes32))

last_height: public(uint256)
attestors_hash: public(bytes32)
# height N -> the RFC 6962 root over the data roots of heights 1 to N; zero where N was not attested
roots: public(HashMap[uint256, bytes32])


@deploy
def __init__(da_id: bytes32, attestors_hash: bytes32):
    assert da_id != empty(bytes32), "no DA id"
    assert attestors_hash != empty(bytes32), "no attestors"
    DA_ID = da_id
    self.attestors_hash = attestors_hash


@external
def attest(
    height: uint256,
    root: bytes32,
    next_attestors_hash: bytes32,
    attestors: DynArray[address, MAX_ATTESTORS],
    powers: DynArray[uint256, MAX_ATTESTORS],
    signatures: Bytes[MAX_ATTESTORS * SIGNATURE_BYTES],
):
    """
    @notice Anyone may bring an attestation; the signatures carry it.
    @param attestors The whole set that the contract knows by its hash, addresses ascending.
    @param signatures 65 bytes (r, s, v) for each attestor in that order, all zero for one that has not signed.
    """
    assert height > self.last_height, "height is not above the last"
    assert root != empty(bytes32), "no root"
    assert next_attestors_hash != empty(bytes32), "no next attestors"
    assert keccak256(abi_encode(attestors, powers)) == self.attestors_hash, "not the attestors"
    assert len(powers) == len(attestors), "one power for each attestor"
    assert len(signatures) == len(attestors) * SIGNATURE_BYTES, "one signature for each attestor"

    digest: bytes32 = keccak256(abi_encode(DOMAIN, DA_ID, height, root, next_attestors_hash))
    total: uint256 = 0
    signed: uint256 = 0
    previous: address = empty(address)
    for i: uint256 in range(len(attestors), bound=MAX_ATTESTORS):
        attestor: address = attestors[i]
        # Ascending, so nobody counts twice; and never zero, which is what a failed recovery returns.
        assert convert(attestor, uint160) > convert(previous, uint160), "attestors are not ascending"
        previous = attestor
        total += powers[i]
        offset: uint256 = i * SIGNATURE_BYTES
        v: uint256 = convert(slice(signatures, offset + 64, 1), uint256)
        if v == 0:
            continue
        s: uint256 = extract32(signatures, offset + 32, output_type=uint256)
        assert s <= MAX_S, "malleable signature"
        assert ecrecover(digest, v, extract32(signatures, offset, output_type=uint256), s) == attestor, "not the attestor's signature"
        signed += powers[i]
    assert signed * 3 > total * 2, "not more than two thirds of the power"

    self.last_height = height
    self.roots[height] = root
    self.attestors_hash = next_attestors_hash
    log Attested(height=height, root=root, next_attestors_hash=next_attestors_hash)


@external
@view
def verify_data_root(attested_height: uint256, height: uint256, data_root: bytes32, proof: DynArray[bytes32, merkle.MAX_DEPTH]) -> bool:
    """
    @notice Whether `data_root` is that of DA block `height`, shown under the root attested at `attested_height`.
    """
    root: bytes32 = self.roots[attested_height]
    if root == empty(bytes32) or height == 0:
        return False
    leaf_hash: bytes32 = sha256(concat(0x00, convert(height, bytes32), data_root))
    return merkle._root_from(leaf_hash, height - 1, attested_height, proof) == root
