"""A DA chain in memory, signed by real keys, and nodes of it that misbehave as they are told to: no sockets, no clocks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from dougong.availability.square.namespaces import TAIL_PADDING
from dougong.availability.square.served import ServedSquare
from dougong.consensus.block import data_hash
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import NO_BLOCK, BlockId
from dougong.consensus.light import prove_transaction
from dougong.errors import NotFound, Unavailable
from dougong.net.node import NodeClient
from dougong.types import BadEncodingProof, ChainStatus, MerkleProof, SignedHeader, SquareCell, SquareHeader
from tests.availability.bad_squares import cells_of, committed
from tests.consensus.test_light_client import CHAIN, SECOND, START, make_header, sign, team

K = 2
TEAM = team(0, 1, 2, 3)
Place = tuple[int, int]


def now(heights: int = 100) -> Callable[[], float]:
    """A clock at which all blocks are young."""
    return lambda: START / SECOND + heights


def square(seed: int, k: int = K) -> ServedSquare:
    source = random.Random(seed)
    head = TAIL_PADDING.raw + b"\x01" + bytes(4)
    return ServedSquare.extend(b"".join(head + source.randbytes(512 - len(head)) for _ in range(k * k)), height=0, time_ns=0)


def badly_encoded(k: int = 4) -> ServedSquare:
    """One parity cell is wrong; all roots are those of exactly these cells."""
    cells = cells_of(k)
    cells[-1] = cells[-1][:-1] + bytes([cells[-1][-1] ^ 1])
    return committed(cells)


class MemoryChain:
    """`squares[h - 1]` at height h. `salt` makes another chain with the same genesis, from height `forks` on."""

    def __init__(self, squares: Sequence[ServedSquare], *, salt: bytes = b"", forks: int = 1) -> None:
        self.genesis = Genesis.create(CHAIN, START, TEAM)
        self.squares: dict[int, ServedSquare] = {}
        self.signed: dict[int, SignedHeader] = {}
        self.proofs: dict[int, MerkleProof] = {}
        last = NO_BLOCK
        for height, served in enumerate(squares, 1):
            txs = [served.header.data_root, b"a transaction" + (salt if height >= forks else b"")]
            header = replace(make_header(height, last, TEAM, TEAM), data_hash=data_hash(txs))
            self.squares[height] = replace(served, header=replace(served.header, height=height, time_ns=header.time_ns))
            self.signed[height] = sign(header, TEAM)
            self.proofs[height] = prove_transaction(txs, 0)
            last = BlockId(header.hash(), 1, bytes(32))

    @property
    def height(self) -> int:
        return len(self.squares)


class MemoryNode(NodeClient):
    """Honest, until told otherwise. `requests` counts; `before` is called with the number of each."""

    def __init__(self, chain: MemoryChain, url: str = "http://honest") -> None:
        super().__init__(url)
        self.chain = chain
        self.requests = 0
        self.before: Callable[[int], None] = lambda number: None
        self.silent = False
        self.hidden: Callable[[int, Place], bool] = lambda height, place: False
        self.asked: list[tuple[int, Place]] = []
        self.fraud: list[BadEncodingProof] = []
        self.told: list[BadEncodingProof] = []

    async def _hear(self) -> None:
        self.requests += 1
        self.before(self.requests)
        if self.silent:
            await asyncio.Event().wait()

    async def genesis(self) -> bytes:
        await self._hear()
        return self.chain.genesis.raw

    async def status(self) -> ChainStatus:
        raise NotFound("not asked")

    async def latest(self) -> int:
        await self._hear()
        return self.chain.height

    async def signed_header(self, height: int) -> SignedHeader:
        await self._hear()
        if height not in self.chain.signed:
            raise NotFound(f"there is no block {height}")
        return self.chain.signed[height]

    async def signed_headers(self, heights: Sequence[int]) -> list[SignedHeader]:
        return [await self.signed_header(height) for height in heights]

    async def data_header(self, height: int) -> tuple[SquareHeader, MerkleProof]:
        await self._hear()
        if height not in self.chain.squares:
            raise NotFound(f"there is no block {height}")
        return self.chain.squares[height].header, self.chain.proofs[height]

    async def data_headers(self, heights: Sequence[int]) -> list[tuple[SquareHeader, MerkleProof]]:
        return [await self.data_header(height) for height in heights]

    async def cells(self, height: int, places: Sequence[Place]) -> list[SquareCell | None]:
        await self._hear()
        self.asked += [(height, place) for place in places]
        served = self.chain.squares[height]
        return [None if self.hidden(height, place) else served.cell(*place) for place in places]

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        (cell,) = await self.cells(height, [(row, column)])
        if cell is None:
            raise Unavailable("withheld")
        return cell

    async def shares(self, height: int) -> tuple[bytes, ...]:
        await self._hear()
        return tuple(self.chain.squares[height].original())

    async def fraud_proofs(self, height: int) -> tuple[BadEncodingProof, ...]:
        await self._hear()
        return tuple(self.fraud)

    async def submit_fraud_proof(self, proof: BadEncodingProof) -> None:
        await self._hear()
        self.told.append(proof)
