"""More than two thirds decide which history settlement hears of; a minority can neither forge it nor hold it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from dougong.crypto.attestation import attestation_digest, attestors_hash, verify_attestation
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import NotFound
from dougong.services.relayer import Relayer, RelayerConfig
from dougong.types import Attestation, Attestor

DA_ID = b"\x0d" * 32
KEYS = sorted((Secp256k1Key(keccak256(b"attestor %d" % n)) for n in range(4)), key=lambda key: key.address)
SET = tuple(Attestor(key.address, 10) for key in KEYS)


@dataclass
class Signing:
    """An attestor, honest or not."""

    key: Secp256k1Key
    height: int = 5
    lie: bool = False
    forge: bool = False
    silent: bool = False

    async def history_root(self, height: int) -> bytes:
        return keccak256(b"lie" if self.lie else b"history %d" % height)

    async def signature(self, height: int, next_attestors_hash: bytes) -> bytes:
        if self.silent:
            raise NotFound("not checked")
        signer = Secp256k1Key(b"\x09" * 32) if self.forge else self.key
        return signer.sign_digest(attestation_digest(DA_ID, height, await self.history_root(height), next_attestors_hash))


class Contract:
    """Takes what the real one takes (the real one is in the settled tests)."""

    def __init__(self) -> None:
        self.taken: list[Attestation] = []

    async def last_height(self) -> int:
        return self.taken[-1].height if self.taken else 0

    async def attest(self, attestation: Attestation) -> None:
        verify_attestation(attestation, attestors_hash(SET))
        self.taken.append(attestation)


def relayer(signers: list[Signing]) -> tuple[Relayer, Contract]:
    contract = Contract()
    return Relayer(contract, SET, {s.key.address: s for s in signers}, DA_ID, RelayerConfig()), contract


@pytest.mark.parametrize("fault", [{"lie": True}, {"forge": True}, {"silent": True}, {"height": 2}])
async def test_one_bad_attestor_of_four_changes_nothing(fault: dict[str, Any]) -> None:
    signers = [Signing(key) for key in KEYS[:3]] + [Signing(KEYS[3], **fault)]
    made, contract = relayer(signers)
    attestation = await made.relay()
    assert attestation is not None
    assert (attestation.height, attestation.root) == (5, keccak256(b"history 5"))
    assert attestation.signatures[3] == b""
    assert contract.taken == [attestation]
    assert await made.relay() is None


@pytest.mark.parametrize("fault", [{"lie": True}, {"forge": True}, {"silent": True}])
async def test_two_bad_attestors_of_four_stop_it(fault: dict[str, Any]) -> None:
    made, contract = relayer([Signing(key) for key in KEYS[:2]] + [Signing(key, **fault) for key in KEYS[2:]])
    assert await made.relay() is None
    assert contract.taken == []


async def test_it_brings_what_enough_have_checked() -> None:
    heights = [9, 7, 4, 1]
    made, contract = relayer([Signing(key, height=h) for key, h in zip(KEYS, heights, strict=True)])
    await made.relay()
    assert [attestation.height for attestation in contract.taken] == [4]
