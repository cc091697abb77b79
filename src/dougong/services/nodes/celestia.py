"""Headers of a Celestia network, believed only as far as its validators signed them.

    headers = VerifiedHeaders(node, TrustedHeader("celestia", height, header_hash), store=store)
    header = await headers.header(height + 100)         # row and column roots, under the data root that was signed

Checked, for every header: it follows by signatures from the header that one trusts by its hash (consensus/light.py), and the
`dah` that came with it hashes to its data root. On Celestia the data root is the header's `data_hash`. A chain of ours carries
the data root as transaction 0: its extended headers say so in `consensus` (docs/celestia.md), and then the data root is proven as
leaf 0 under what was signed. Which of the two holds cannot be chosen by a liar: leaves of the one tree are 90-byte roots, of the
other 32-byte hashes, and no hash is both.

Trusted: the header to start from; that less than a third of the power that signed it lies within the trusting period; that
somebody honest re-encodes squares, as light nodes of Celestia trust.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from dougong.availability.celestia import CelestiaNode
from dougong.availability.celestia.shapes import read_merkle_proof, read_roots
from dougong.availability.celestia.values import read_hex, read_object
from dougong.availability.square.proofs import data_root, verify_header
from dougong.consensus.cometbft_json import read_commit, read_header, read_validators
from dougong.consensus.header import Header
from dougong.consensus.light import TABLE, LightClient, LightOptions, TrustedHeader, verify_transaction
from dougong.errors import InvalidHeader, InvalidInput, InvalidProof
from dougong.services.threads import in_thread
from dougong.store import Store
from dougong.types import MerkleProof, SignedHeader, SquareHeader

__all__ = ["HEADER_TABLES", "TRUSTING_PERIOD_S", "VerifiedHeaders", "read_signed_header"]

HEADER_TABLES = (TABLE,)
TRUSTING_PERIOD_S = 7 * 86_400.0
"""Less than the time in which stake can leave Celestia (14 days), as celestia-node has it."""

HEADER_BYTES = 8 << 20
"""Of an answer: ten thousand signatures and the roots of the widest square take less."""

_KEPT = 64


@dataclass(frozen=True, slots=True)
class _Extended:
    """What is of use in an extended header, read and not yet believed: all that is kept of a node's answer, which may be long."""

    signed: SignedHeader
    row_roots: tuple[bytes, ...]
    column_roots: tuple[bytes, ...]
    data_root_proof: MerkleProof | None


class VerifiedHeaders:
    """`CelestiaHeaders` from one node. With a `store` (tables `HEADER_TABLES`) verified headers survive a restart."""

    def __init__(
        self, node: CelestiaNode, start: TrustedHeader, *, store: Store | None = None, options: LightOptions | None = None
    ) -> None:
        self._node = node
        self._told: OrderedDict[int, _Extended] = OrderedDict()
        self._light = LightClient(start, self._fetch, store=store, options=options or LightOptions(TRUSTING_PERIOD_S))

    async def latest(self) -> int:
        told = await self._ask("header.LocalHead")
        height = told.signed.height
        if height < 1:
            raise InvalidHeader("the node's head has no height")
        self._keep(height, told)
        await self.header(height)
        return height

    async def header(self, height: int) -> SquareHeader:
        try:
            verified = await self._light.header(height)
        except InvalidHeader:
            self._told.clear()  # one of them was a lie: ask anew
            raise
        told = self._told.get(height)
        if told is None:
            told = await self._ask("header.GetByHeight", height)
        try:
            return await in_thread(_square_header, verified, told)
        except InvalidHeader:
            self._told.pop(height, None)
            raise

    async def _fetch(self, height: int) -> SignedHeader:
        told = self._told.get(height)
        if told is None:
            told = await self._ask("header.GetByHeight", height)
            self._keep(height, told)
        return told.signed

    async def _ask(self, method: str, *params: object) -> _Extended:
        return await in_thread(_read_extended, await self._node.call(method, *params, max_bytes=HEADER_BYTES))

    def _keep(self, height: int, told: _Extended) -> None:
        self._told[height] = told
        while len(self._told) > _KEPT:
            self._told.popitem(last=False)


def _read_extended(shape: object) -> _Extended:
    signed, found = read_signed_header(shape), _object(shape)
    try:
        rows, columns = read_roots(found.get("dah"))
        consensus = found.get("consensus")
        proof = None if consensus is None else read_merkle_proof(read_object(consensus, "what was signed").get("data_root_proof"))
    except InvalidInput as error:
        raise InvalidHeader(f"the extended header {signed.height} does not read: {error}") from error
    return _Extended(signed, rows, columns, proof)


def read_signed_header(shape: object) -> SignedHeader:
    """What was signed of an extended header. Raises `InvalidHeader`."""
    found = _object(shape)
    header = _as_signed(read_header(found.get("header")), found)
    commit, validators = read_commit(found.get("commit")), read_validators(found.get("validator_set"))
    return SignedHeader(header.height, header.encode(), commit.encode(), validators)


def _square_header(verified: Header, told: _Extended) -> SquareHeader:
    """The roots of a verified header's square. Raises `InvalidHeader` if they are not what was signed."""
    try:
        root = data_root(told.row_roots, told.column_roots)
        header = SquareHeader(verified.height, verified.time_ns, root, told.row_roots, told.column_roots)
        verify_header(header)
        if root != verified.data_hash:
            proof = told.data_root_proof
            if proof is None or proof.index != 0:
                raise InvalidProof("the data root is neither the data hash nor transaction 0")
            verify_transaction(verified, root, proof)
    except InvalidHeader:
        raise
    except InvalidInput as error:
        raise InvalidHeader(f"the roots of header {verified.height} are not those that were signed: {error}") from error
    return header


def _as_signed(header: Header, shape: dict[str, object]) -> Header:
    """With the data hash that was signed, where the extended header shows the data root in its place."""
    signed = shape.get("consensus")
    if signed is None:
        return header
    try:
        return replace(header, data_hash=read_hex(read_object(signed, "what was signed").get("data_hash"), "a data hash"))
    except InvalidInput as error:
        raise InvalidHeader(str(error)) from error


def _object(shape: object) -> dict[str, object]:
    try:
        return read_object(shape, "an extended header")
    except InvalidInput as error:
        raise InvalidHeader(str(error)) from error
