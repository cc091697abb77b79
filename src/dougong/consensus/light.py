"""Follows a chain by its headers alone, from a genesis document that one trusts.

    client = LightClient(genesis, peer.signed_header)
    header = await client.header(120)               # verified; raises InvalidHeader
    verify_transaction(header, tx, proof)           # tx lies in that block

Source: CometBFT v0.38, spec/light-client/verification and light/verifier.go. A header follows from a trusted one

- at the next height, when its validator set is the one that the trusted header announced and it names the trusted block;
- further on, when more than a third of the power trusted last signed it as well as more than two thirds of its own set: then,
  unless validators worth a third lied within the trusting period, some honest one vouches for it.

Deviations: the first block is checked against the genesis document itself (set, parameters, no predecessor), not taken on trust,
and an adjacent header must name the trusted block. Heights below a trusted one are reached from the nearest one beneath.

Two more ways, for whoever needs many headers or has many peers:

- a *run* of headers that ends at a verified one is verified by their hashes alone, each naming the one before;
- `examine` looks at another header for a height that is verified already (CometBFT's detector): unless it is a lie, the
  validators have signed two blocks, and `Fork` holds both.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dougong.codec.protobuf import Reader, Writer
from dougong.codec.timestamp import NANOSECONDS
from dougong.consensus import validators as sets
from dougong.consensus.commit import Commit, verify_commit, verify_commit_trusting
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import Header
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import Divergence, InvalidHeader, InvalidInput, NotFound, StoreCorrupt
from dougong.store import Store, height_key
from dougong.types import MerkleProof, SignedHeader, Validator

TABLE = "trusted"
ONE_THIRD = Fraction(1, 3)
_FEW = 16  # signatures that are checked in less than the time of a thread's turn


Fetch = Callable[[int], Awaitable[SignedHeader]]


class _TooFar(InvalidHeader):
    """The trusted set vouches for too little of a header: one in between may help."""


class NotUpon(InvalidHeader):
    """A header that names another predecessor than the verified one, at `height`: a lie, or a fork there."""

    def __init__(self, message: str, height: int) -> None:
        super().__init__(message)
        self.height = height


class Fork(Divergence):
    """Two verified headers of one height: the validators signed both. `ours` is the one that was believed so far."""

    def __init__(self, ours: SignedHeader, theirs: SignedHeader) -> None:
        super().__init__(
            f"the chain forked: its validators signed two headers of height {ours.height}",
            remedy="stop using the chain until its operators have said which one holds; both headers are evidence against them",
        )
        self.height, self.ours, self.theirs = ours.height, ours, theirs


@dataclass(frozen=True, slots=True)
class LightOptions:
    """`trusting_period` in seconds: how old a trusted header may be and still vouch for others (None: for ever, which is
    right where one validator signs and nobody unbonds). `max_drift` in seconds: how far ahead of `clock` (nanoseconds since
    1970) a header's time may be. `trust_level`: the share of trusted power that a skip needs, a third or more. `kept`: how many
    verified headers stay in memory (8 or more); the others are read from the store again, or verified again from below."""

    trusting_period: float | None = None
    max_drift: float = 10.0
    trust_level: Fraction = ONE_THIRD
    clock: Callable[[], int] = time.time_ns
    kept: int = 4_096


@dataclass(frozen=True, slots=True)
class LightBlock:
    """A signed header, parsed: well-formed, consistent in itself and signed by its own set. Not yet trusted."""

    header: Header
    commit: Commit
    validators: tuple[Validator, ...]

    @classmethod
    def parse(cls, signed: SignedHeader, chain_id: str) -> LightBlock:
        """Raises `InvalidHeader` unless header, commit and set belong together and more than two thirds signed."""
        header, commit = Header.decode(signed.header), Commit.decode(signed.commit)
        if header.chain_id != chain_id:
            raise InvalidHeader(f"a header is of chain {header.chain_id!r}, not {chain_id!r}")
        if signed.height != header.height:
            raise InvalidHeader(f"header {header.height} was given as {signed.height}")
        try:
            sets.check(signed.validators)
        except InvalidInput as error:
            raise InvalidHeader(f"header {header.height}: {error}") from error
        if sets.validators_hash(signed.validators) != header.validators_hash:
            raise InvalidHeader(f"header {header.height} is of another validator set than the one that came with it")
        if commit.block_id.hash != header.hash():
            raise InvalidHeader(f"the commit that came with header {header.height} decides another block")
        verify_commit(chain_id, signed.validators, commit.block_id, header.height, commit)
        return cls(header, commit, signed.validators)


def verify_first(genesis: Genesis, block: LightBlock) -> None:
    """Raises `InvalidHeader` unless `block` is a first block of the chain that `genesis` describes."""
    header = block.header
    if header.height != 1:
        raise InvalidHeader(f"header {header.height} is not the first")
    if header.validators_hash != sets.validators_hash(genesis.validators):
        raise InvalidHeader("the first header is of another validator set than the genesis document's")
    if header.consensus_hash != genesis.params.hash():
        raise InvalidHeader("the first header is of other consensus parameters than the genesis document's")
    if header.time_ns < genesis.time_ns or header.last_commit_hash != Commit().hash():
        raise InvalidHeader("the first header is older than the genesis document, or has a predecessor")


@dataclass(frozen=True, slots=True)
class TrustedHeader:
    """A header that one trusts by its hash: where to start on a chain whose beginning is too long ago, or not to be had."""

    chain_id: str
    height: int
    hash: bytes


def verify_start(start: Genesis | TrustedHeader, block: LightBlock) -> None:
    """Raises `InvalidHeader` unless `block` is where one starts."""
    if isinstance(start, Genesis):
        verify_first(start, block)
    elif (block.header.height, block.header.hash()) != (start.height, start.hash):
        raise InvalidHeader(
            f"header {block.header.height} of {start.chain_id} has the hash {block.header.hash().hex()}, not the trusted "
            f"{start.hash.hex()} of height {start.height}",
            remedy="check the trusted height and hash, and the node's URL",
        )


def verify_next(trusted: LightBlock, block: LightBlock) -> None:
    """Raises `InvalidHeader` unless `block` follows directly upon `trusted`."""
    header = block.header
    if header.height != trusted.header.height + 1:
        raise InvalidHeader(f"header {header.height} is not the one after {trusted.header.height}")
    if header.time_ns <= trusted.header.time_ns:
        raise InvalidHeader(f"header {header.height} is not later than the one before it")
    if header.validators_hash != trusted.header.next_validators_hash:
        raise InvalidHeader(f"header {header.height} is of another validator set than the one before it announced")
    # The parts are not the header's to prove: two encodings of one block share the hash.
    if header.last_block_id.hash != trusted.header.hash():
        message = f"header {header.height} does not follow upon the trusted header {trusted.header.height}"
        raise NotUpon(message, trusted.header.height)


def verify_skipping(trusted: LightBlock, block: LightBlock, level: Fraction = ONE_THIRD) -> None:
    """Raises `InvalidHeader` unless enough of the trusted set's power signed `block`, which is further on."""
    header = block.header
    if header.height <= trusted.header.height + 1:
        raise InvalidHeader(f"header {header.height} is not beyond {trusted.header.height}")
    if header.time_ns <= trusted.header.time_ns:
        raise InvalidHeader(f"header {header.height} is not later than header {trusted.header.height}")
    try:
        verify_commit_trusting(header.chain_id, trusted.validators, block.commit, level)
    except InvalidHeader as error:
        raise _TooFar(str(error)) from error


class LightClient:
    """Verified headers of one chain, fetched from a peer that is not trusted.

    `fetch(height)` returns a peer's `SignedHeader`; each method takes another one to go to another peer. One call goes to one
    peer, so that what does not verify is that peer's fault; several may run at a time. With a `store` (holding the table
    `trusted`) what was verified survives a restart.
    """

    def __init__(
        self,
        genesis: Genesis | TrustedHeader,
        fetch: Fetch,
        *,
        store: Store | None = None,
        options: LightOptions | None = None,
    ) -> None:
        """Raises `StoreCorrupt` if the store holds a header that does not read."""
        self.genesis = genesis
        self._first = 1 if isinstance(genesis, Genesis) else genesis.height
        self._fetch = fetch
        self._store = store
        self._options = options or LightOptions()
        if not ONE_THIRD <= self._options.trust_level <= 1:
            raise InvalidInput(f"the trust level {self._options.trust_level} is not between a third and one")
        self._trusted: dict[int, LightBlock] = {}
        self._heights: list[int] = []
        if store is not None:
            for _, value in [*store.items(TABLE, limit=1), *store.items(TABLE, reverse=True, limit=self._options.kept - 1)]:
                self._add(self._read(value))
        start = self._kept(self._first)
        if start is not None:
            verify_start(genesis, start)

    @property
    def height(self) -> int:
        """The highest verified height, 0 before the first."""
        return self._heights[-1] if self._heights else 0

    def signed_header(self, height: int) -> SignedHeader:
        """A verified header as it came, with the signatures under it: what others are shown. Raises `NotFound` for one that is
        not kept here."""
        kept = self._kept(height)
        if kept is None:
            raise NotFound(f"header {height} is not kept here")
        return _signed(kept)

    async def header(self, height: int, fetch: Fetch | None = None) -> Header:
        """The verified header at `height`. Raises `InvalidHeader`, and whatever `fetch` raises."""
        return (await self._block(height, fetch or self._fetch)).header

    async def run(
        self, first: int, last: int, fetch: Fetch, fetch_many: Callable[[Sequence[int]], Awaitable[Sequence[SignedHeader]]]
    ) -> list[Header]:
        """The verified headers from `first` to `last`: signatures are checked at the last one, and each names the one before.
        Only the last one is kept."""
        below = await self._block(first - 1, fetch) if first > 1 else None
        top = await self._block(last, fetch)
        heights = range(first, last)
        answers = await fetch_many(heights) if heights else ()
        if [answer.height for answer in answers] != list(heights):
            raise InvalidHeader(f"a peer sent other headers than {first} to {last - 1}")
        found = [top.header]
        for answer in reversed(answers):
            header = Header.decode(answer.header)
            if (
                header.hash() != found[-1].last_block_id.hash
                or header.height != answer.height
                or header.time_ns >= found[-1].time_ns
            ):
                raise InvalidHeader(f"header {answer.height} is not the one that the next one names")
            found.append(header)
        found.reverse()
        if below is None:
            below = await self._block(1, fetch)
            if found[0].hash() != below.header.hash():
                raise NotUpon("the headers do not lead to the first one", 1)
        elif found[0].last_block_id.hash != below.header.hash():
            raise NotUpon(f"header {first} does not follow upon the trusted header {first - 1}", first - 1)
        return found

    async def examine(self, other: SignedHeader, fetch: Fetch) -> None:
        """Another peer's header for a height that is verified here. Returns if it is the same one; raises `Fork` if it verifies
        as well, from what was verified below it, and `InvalidHeader` if it is a lie."""
        height = other.height
        ours = await self._block(height, fetch)
        theirs = await self._get(height, _given(other))
        if theirs.header.hash() == ours.header.hash():
            return
        if height == self._first:
            verify_start(self.genesis, theirs)
        else:
            aside = LightClient(self.genesis, fetch, options=self._options)
            aside._add(await self._block(self._first, fetch))
            if height > self._first + 2:  # from a header that is not next to it: the fork may have begun before
                aside._add(self._below(height - 1))
            theirs = await aside._block(height, fetch)
            if theirs.header.hash() == ours.header.hash():
                raise InvalidHeader(f"a peer sent two headers of height {height}")
        raise Fork(_signed(ours), _signed(theirs))

    async def _block(self, height: int, fetch: Fetch) -> LightBlock:
        if height < 1:
            raise InvalidInput(f"there is no header {height}")
        kept = self._kept(height)
        if kept is not None:
            return kept
        if self._kept(self._first) is None:
            start = await self._get(self._first, fetch)
            verify_start(self.genesis, start)
            self._keep(start)
        if height < self._heights[0]:
            raise NotFound(
                f"header {height} lies below the trusted header {self._heights[0]}", remedy="trust an earlier header by its hash"
            )
        return await self._reach(height, fetch)

    def _kept(self, height: int) -> LightBlock | None:
        """A header that was verified before."""
        if height not in self._trusted and self._store is not None and height < 1 << 63:
            stored = self._store.get(TABLE, height_key(height))
            if stored is not None:
                self._add(self._read(stored))
        return self._trusted.get(height)

    async def _reach(self, target: int, fetch: Fetch) -> LightBlock:
        """Verifies `target` from the nearest trusted header below, halving the way where that one is too far."""
        wanted: list[LightBlock] = []
        block = None
        while block is None or block.header.height != target:
            if target in self._trusted:
                return self._trusted[target]
            block = wanted[-1] if wanted else await self._get(target, fetch)
            if not wanted:
                wanted.append(block)
            trusted = self._below(block.header.height)
            self._check_age(trusted)
            try:
                self._follow(trusted, block)
            except _TooFar:
                wanted.append(await self._get((trusted.header.height + block.header.height) // 2, fetch))
                block = None
                continue
            above = bisect_right(self._heights, block.header.height)
            if above < len(self._heights):
                self._check_below(block, self._trusted[self._heights[above]])
            self._keep(block)
            wanted.pop()
        return block

    def _follow(self, trusted: LightBlock, block: LightBlock) -> None:
        if block.header.height == trusted.header.height + 1:
            verify_next(trusted, block)
        else:
            verify_skipping(trusted, block, self._options.trust_level)

    def _check_below(self, block: LightBlock, above: LightBlock) -> None:
        """A header put between two trusted ones must fit the upper one too."""
        if block.header.time_ns >= above.header.time_ns:
            raise InvalidHeader(f"header {block.header.height} is not earlier than the trusted header {above.header.height}")
        if block.header.height + 1 == above.header.height:
            verify_next(block, above)

    def _below(self, height: int) -> LightBlock:
        return self._trusted[self._heights[bisect_left(self._heights, height) - 1]]

    def _check_age(self, trusted: LightBlock) -> None:
        period = self._options.trusting_period
        if period is not None and trusted.header.time_ns + int(period * NANOSECONDS) <= self._options.clock():
            raise InvalidHeader(
                f"the trusted header {trusted.header.height} is older than the trusting period of {period:g} s",
                remedy="start again from a newer header that you trust",
            )

    async def _get(self, height: int, fetch: Fetch) -> LightBlock:
        signed = await fetch(height)
        if len(signed.validators) <= _FEW:
            return self._parse(signed, height)
        return await asyncio.to_thread(self._parse, signed, height)  # a peer can make up thousands, whose signatures all hold

    def _parse(self, signed: SignedHeader, height: int) -> LightBlock:
        if signed.height != height:
            raise InvalidHeader(f"a peer sent header {signed.height} where {height} was asked for")
        block = LightBlock.parse(signed, self.genesis.chain_id)
        if block.header.time_ns > self._options.clock() + int(self._options.max_drift * NANOSECONDS):
            raise InvalidHeader(f"header {height} is from the future")
        return block

    def _read(self, value: bytes) -> LightBlock:
        try:
            return LightBlock.parse(_decode_signed(value), self.genesis.chain_id)
        except InvalidInput as error:
            raise StoreCorrupt(f"a trusted header does not read: {error}", remedy="remove the light node's folder") from error

    def _add(self, block: LightBlock) -> None:
        height = block.header.height
        if height in self._trusted:
            return
        insort(self._heights, height)
        self._trusted[height] = block
        if len(self._heights) > self._options.kept:
            # The lowest above the first, from which all can be verified again; but not the one that was asked for.
            victim = 2 if self._heights[1] == height else 1
            del self._trusted[self._heights.pop(victim)]

    def _keep(self, block: LightBlock) -> None:
        known = self._trusted.get(block.header.height)
        if known is not None:  # another task was faster
            if known.header.hash() != block.header.hash():
                raise Fork(_signed(known), _signed(block))
            return
        if self._store is not None:
            with self._store.write() as txn:
                txn.put(TABLE, height_key(block.header.height), _encode_signed(block))
        self._add(block)


def prove_transaction(txs: Sequence[bytes], index: int) -> MerkleProof:
    """A transaction's proof under its header's `data_hash`, whose leaves are the transactions' SHA-256 hashes."""
    return merkle.prove([sha256(tx) for tx in txs], index)


def verify_transaction(header: Header, tx: bytes, proof: MerkleProof) -> None:
    """Raises `InvalidProof` unless `tx` is transaction `proof.index` of the header's block."""
    merkle.verify(header.data_hash, sha256(tx), proof)


def _given(signed: SignedHeader) -> Fetch:
    async def fetch(height: int) -> SignedHeader:
        return signed

    return fetch


def _signed(block: LightBlock) -> SignedHeader:
    return SignedHeader(block.header.height, block.header.encode(), block.commit.encode(), block.validators)


def _encode_signed(block: LightBlock) -> bytes:
    writer = Writer().bytes(1, block.header.encode()).bytes(2, block.commit.encode())
    for validator in block.validators:
        writer.message(3, Writer().bytes(1, validator.public_key).uint(2, validator.power).done())
    return writer.done()


def _decode_signed(data: bytes) -> SignedHeader:
    reader = Reader(data, (1, 2, 3), repeated=(3,))
    entries = [Reader(entry, (1, 2)) for entry in reader.many(3)]
    validators = tuple(Validator(entry.raw(1), entry.sint(2)) for entry in entries)
    return SignedHeader(Header.decode(reader.raw(1)).height, reader.raw(1), reader.raw(2), validators)
