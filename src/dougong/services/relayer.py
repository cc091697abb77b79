"""Carries attestations to the settlement contract: anyone can, the signatures speak for themselves.

    relayer = Relayer(client, signers, da_id, RelayerConfig(interval=1.0))
    await relayer.run()

One signature over history(N) vouches for every height up to N, so a relayer need not bring each height: it brings the highest
one for which more than two thirds of the power have signed, when somebody waits for it (`wanted`) or `interval` has passed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from dougong.crypto.attestation import attestation_digest, attestors_hash
from dougong.crypto.keys import recover_address
from dougong.errors import DougongError, InvalidProof
from dougong.types import Attestation, Attestor

__all__ = ["AttestationContract", "Relayer", "RelayerConfig", "Signer"]


class Signer(Protocol):
    """An attestor that can be asked (`AttestorService`, or one behind a socket)."""

    @property
    def height(self) -> int: ...

    async def history_root(self, height: int) -> bytes: ...

    async def signature(self, height: int, next_attestors_hash: bytes) -> bytes: ...


class AttestationContract(Protocol):
    """The part of settlement/attestations.py that a relayer needs."""

    async def last_height(self) -> int: ...

    async def attest(self, attestation: Attestation) -> object: ...


@dataclass(frozen=True, slots=True)
class RelayerConfig:
    """Seconds. `interval` None: only when somebody waits."""

    interval: float | None = 1.0
    poll_s: float = 0.2


class Relayer:
    """For one DA chain and one attestations contract. `attestors` is the set that the contract knows."""

    def __init__(
        self,
        contract: AttestationContract,
        attestors: tuple[Attestor, ...],
        signers: Mapping[bytes, Signer],
        da_id: bytes,
        config: RelayerConfig,
        *,
        wanted: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        """`signers` by attestor address; `wanted` tells the DA height that somebody waits for (0: none)."""
        self._contract = contract
        self._attestors = attestors
        self._signers = signers
        self._da_id = da_id
        self._config = config
        self._wanted = wanted
        self._clock = clock
        self._log = log or structlog.get_logger()
        self._last = float("-inf")

    async def run(self) -> None:
        while True:
            if await self._is_due():
                await self.relay()
            await asyncio.sleep(self._config.poll_s)

    async def _is_due(self) -> bool:
        wanted = self._wanted()
        if wanted:
            # Asked anew each time: a reorganisation of the settlement chain may have taken the last attestation away.
            return await self._contract.last_height() < wanted <= self._signable()
        return self._config.interval is not None and self._clock() - self._last >= self._config.interval

    async def relay(self) -> Attestation | None:
        """Brings the highest history that enough attestors vouch for; None if the contract has it already."""
        self._last = self._clock()
        height = self._signable()
        if height <= await self._contract.last_height():
            return None
        following = attestors_hash(self._attestors)
        root, signatures = await self._collect(height, following)
        if root is None:
            self._log.warning("too few attestors agree on a history to attest it", height=height)
            return None
        attestation = Attestation(self._da_id, height, root, following, self._attestors, signatures)
        await self._contract.attest(attestation)
        self._log.info("data roots attested", height=height)
        return attestation

    async def _collect(self, height: int, following: bytes) -> tuple[bytes | None, tuple[bytes, ...]]:
        """(root, one signature or nothing for each attestor): the root that more than two thirds of the power signed, if any.
        A minority that names another root, or whose signature is not its own, is reported and left out."""
        found: dict[bytes, dict[bytes, bytes]] = {}
        for attestor in self._attestors:
            signer = self._signers.get(attestor.address)
            if signer is None or signer.height < height:
                continue
            try:
                root = await signer.history_root(height)
                signature = await signer.signature(height, following)
                if recover_address(attestation_digest(self._da_id, height, root, following), signature) != attestor.address:
                    raise InvalidProof("the signature is another key's, or over something else")
            except DougongError as error:
                self._log.warning("an attestor does not sign", attestor=attestor.address.hex(), error=str(error))
                continue
            found.setdefault(root, {})[attestor.address] = signature
        if len(found) > 1:
            self._log.error("attestors disagree about the history", height=height, roots=[root.hex() for root in found])
        total = sum(attestor.power for attestor in self._attestors)
        for root, signed in found.items():
            if sum(a.power for a in self._attestors if a.address in signed) * 3 > total * 2:
                return root, tuple(signed.get(attestor.address, b"") for attestor in self._attestors)
        return None, ()

    def _signable(self) -> int:
        """The highest height that more than two thirds of the power have checked."""
        total = sum(attestor.power for attestor in self._attestors)
        heights = sorted(
            ((self._signers[a.address].height, a.power) for a in self._attestors if a.address in self._signers), reverse=True
        )
        power = 0
        for height, weight in heights:
            power += weight
            if power * 3 > total * 2:
                return height
        return 0
