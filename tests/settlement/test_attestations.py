"""Who can make the contract believe a data root: more than two thirds, each once, over this DA chain, upwards only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dougong.contracts import artifact
from dougong.crypto.attestation import attestation_digest, attestors_hash
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import SECP256K1_ORDER, Secp256k1Key
from dougong.errors import InvalidInput, InvalidProof, Rejected
from dougong.settlement.attestations import AttestationsClient
from dougong.settlement.contract import Contract
from dougong.settlement.deployment import deploy_attestations
from dougong.types import Attestor, MerkleProof
from tests.settlement.world import DA_ID, World, key_of


async def raw_attest(
    world: World,
    height: int,
    root: bytes,
    signatures: Sequence[bytes],
    *,
    members: Sequence[bytes] | None = None,
    powers: Sequence[int] | None = None,
    following: bytes | None = None,
) -> Any:
    """Past the client, which checks first."""
    contract = Contract(world.rpc, world.attestations, artifact("Attestations"), world.owner)
    members = [attestor.address for attestor in world.attestors] if members is None else members
    powers = [10] * len(members) if powers is None else powers
    following = standing(world) if following is None else following
    return await contract.send("attest", height, root, following, members, powers, b"".join(s or bytes(65) for s in signatures))


def standing(world: World) -> bytes:
    return attestors_hash([Attestor(attestor.address, 10) for attestor in world.attestors])


def signed(world: World, height: int, root: bytes, signers: Sequence[Secp256k1Key], da_id: bytes = DA_ID) -> list[bytes]:
    digest = attestation_digest(da_id, height, root, standing(world))
    return [attestor.sign_digest(digest) if attestor in signers else b"" for attestor in world.attestors]


ROOT = sha256(b"a history")


async def test_three_of_four_carry_an_attestation(world: World) -> None:
    await raw_attest(world, 7, ROOT, signed(world, 7, ROOT, world.attestors[:3]))
    client = await world.attestation_client()
    assert (await client.last_height(), await client.root(7), await client.root(6)) == (7, ROOT, None)
    assert (await client.da_id(), await client.attestors_hash()) == (DA_ID, standing(world))


async def test_exactly_two_thirds_is_not_enough(world: World) -> None:
    trio = world.attestors[:3]
    members = [Attestor(attestor.address, 10) for attestor in trio]
    contract = await deploy_attestations(world.owner, DA_ID, members)
    client = AttestationsClient(world.rpc, contract, world.owner)
    digest = attestation_digest(DA_ID, 1, ROOT, attestors_hash(members))
    signatures = b"".join(attestor.sign_digest(digest) for attestor in trio[:2]) + bytes(65)
    raw = Contract(world.rpc, contract, artifact("Attestations"), world.owner)
    addresses = [member.address for member in members]
    with pytest.raises(Rejected, match="not more than two thirds"):
        await raw.send("attest", 1, ROOT, attestors_hash(members), addresses, [10, 10, 10], signatures)
    signatures = b"".join(attestor.sign_digest(digest) for attestor in trio)
    await raw.send("attest", 1, ROOT, attestors_hash(members), addresses, [10, 10, 10], signatures)
    assert await client.root(1) == ROOT


async def test_a_signature_counts_for_its_own_attestor_only(world: World) -> None:
    one = signed(world, 1, ROOT, world.attestors[:1])[0]
    with pytest.raises(Rejected, match="not the attestor's signature"):
        await raw_attest(world, 1, ROOT, [one, one, one, one])


async def test_an_attestor_named_twice_is_refused(world: World) -> None:
    """Even by a set whose hash stands: it can never attest, so nobody should be led to hand over to it."""
    first = world.attestors[0]
    doubled = [first.address, first.address, world.attestors[1].address]
    with pytest.raises(InvalidInput, match="ascending"):
        attestors_hash([Attestor(address, 10) for address in doubled])
    from eth_abi.abi import encode

    from dougong.crypto.hashing import keccak256

    hand_made = keccak256(encode(["address[]", "uint256[]"], [doubled, [10, 10, 10]]))
    contract = Contract(world.rpc, b"", artifact("Attestations"), world.owner)
    receipt = await world.owner.send(None, contract.abi.deployment(DA_ID, hand_made))
    assert receipt.contract is not None
    contract.address = receipt.contract
    signature = first.sign_digest(attestation_digest(DA_ID, 1, ROOT, hand_made))
    with pytest.raises(Rejected, match="not ascending"):
        await contract.send("attest", 1, ROOT, hand_made, doubled, [10, 10, 10], signature * 2 + bytes(65))


async def test_another_da_chains_attestation_is_refused(world: World) -> None:
    with pytest.raises(Rejected, match="not the attestor's signature"):
        await raw_attest(world, 1, ROOT, signed(world, 1, ROOT, world.attestors, da_id=sha256(b"another chain")))


async def test_heights_only_rise(world: World) -> None:
    await raw_attest(world, 7, ROOT, signed(world, 7, ROOT, world.attestors))
    for height in (0, 3, 7):
        with pytest.raises(Rejected, match="not above the last"):
            await raw_attest(world, height, ROOT, signed(world, height, ROOT, world.attestors))


async def test_what_was_signed_is_what_counts(world: World) -> None:
    """Neither the height, the root nor the next set can be swapped under the signatures."""
    signatures = signed(world, 5, ROOT, world.attestors)
    for height, root, following in ((6, ROOT, None), (5, sha256(b"else"), None), (5, ROOT, sha256(b"my own set"))):
        with pytest.raises(Rejected, match="not the attestor's signature"):
            await raw_attest(world, height, root, signatures, following=following)


async def test_powers_and_members_are_fixed_by_the_set(world: World) -> None:
    signatures = signed(world, 5, ROOT, world.attestors[:1])
    with pytest.raises(Rejected, match="not the attestors"):
        await raw_attest(world, 5, ROOT, signatures, powers=[1000, 1, 1, 1])
    mallory = key_of("mallory")
    digest = attestation_digest(DA_ID, 5, ROOT, standing(world))
    with pytest.raises(Rejected, match="not the attestors"):
        await raw_attest(world, 5, ROOT, [mallory.sign_digest(digest)], members=[mallory.address])


async def test_malleable_and_empty_signatures_are_refused(world: World) -> None:
    signatures = signed(world, 5, ROOT, world.attestors)
    r, s, v = signatures[0][:32], int.from_bytes(signatures[0][32:64]), signatures[0][64]
    flipped = r + (SECP256K1_ORDER - s).to_bytes(32) + bytes([55 - v])
    with pytest.raises(Rejected, match="malleable"):
        await raw_attest(world, 5, ROOT, [flipped, *signatures[1:]])
    # Recovery fails to the zero address; no attestor has that one.
    with pytest.raises(Rejected, match="not the attestor's signature"):
        await raw_attest(world, 5, ROOT, [bytes(64) + b"\x1b", *signatures[1:]])
    with pytest.raises(Rejected, match="one signature for each"):
        await raw_attest(world, 5, ROOT, signatures[:3])


async def test_the_next_set_takes_over(world: World) -> None:
    heirs = sorted((key_of(f"heir {n}") for n in range(2)), key=lambda heir: heir.address)
    members = [Attestor(heir.address, 1) for heir in heirs]
    following = attestors_hash(members)
    digest = attestation_digest(DA_ID, 1, ROOT, following)
    await raw_attest(world, 1, ROOT, [attestor.sign_digest(digest) for attestor in world.attestors], following=following)
    with pytest.raises(Rejected, match="not the attestors"):
        await raw_attest(world, 2, ROOT, signed(world, 2, ROOT, world.attestors))
    digest = attestation_digest(DA_ID, 2, ROOT, following)
    signatures = [heir.sign_digest(digest) for heir in heirs]
    addresses = [heir.address for heir in heirs]
    await raw_attest(world, 2, ROOT, signatures, members=addresses, powers=[1, 1], following=following)
    assert await (await world.attestation_client()).last_height() == 2


async def test_the_client_pays_for_no_attestation_that_would_fail(world: World) -> None:
    world.publish(b"x")
    client = await world.attestation_client()
    with pytest.raises(InvalidProof, match="not more than two thirds"):
        await client.attest(world.attestation(1, world.attestors[:2]))
    with pytest.raises(InvalidProof, match="did not sign"):
        await client.attest(
            world.attestation(1, da_id=sha256(b"another")).__class__(
                DA_ID,
                1,
                world.history.root(1),
                standing(world),
                world.attestation(1).attestors,
                world.attestation(1, da_id=sha256(b"another")).signatures,
            )
        )


async def test_every_height_below_is_provable_and_nothing_else(world: World) -> None:
    for n in range(11):
        world.publish(bytes([n + 1]), start=0, width=1)
    await world.attest(11)
    client = await world.attestation_client()
    roots = [square.header.data_root for square in world.squares]
    for height in range(1, 12):
        assert await client.verifies(11, height, roots[height - 1], world.history.prove(height, 11))
    proof = world.history.prove(4, 11)
    assert not await client.verifies(11, 5, roots[3], proof), "another height"
    assert not await client.verifies(11, 4, roots[4], proof), "another root"
    assert not await client.verifies(10, 4, roots[3], world.history.prove(4, 10)), "a height that was not attested"
    assert not await client.verifies(11, 0, roots[3], proof)
    assert not await client.verifies(11, 12, roots[3], proof)
    shorter, longer = proof.siblings[:-1], (*proof.siblings, bytes(32))
    for siblings in (shorter, longer, ()):
        assert not await client.verifies(11, 4, roots[3], MerkleProof(3, 11, siblings))
    assert not await client.verifies(12, 4, roots[3], proof)
