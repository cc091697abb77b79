"""Full nodes: a bad square is convicted whatever its node serves, an honest one is read or its node caught lying; proofs are
kept and passed on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dougong.availability import BadBlock, ServedSquare, prove_axis, verify_bad_encoding, verify_cell
from dougong.availability.square.served import NotEnoughShares
from dougong.errors import InvalidHeader, InvalidProof, NotFound, Unavailable
from dougong.net.node import BadRequest, NodeClient
from dougong.rpc.node import fraud_proof_methods
from dougong.rpc.server import RpcServer
from dougong.services.nodes.fraud_proofs import MOST_AT_ONCE, MOST_KEPT, FraudProofs
from dougong.services.nodes.full_node import FULL_NODE_TABLES, FullNode
from dougong.services.nodes.inspection import inspect
from dougong.services.nodes.sampler import check_axis_cells
from dougong.store import Store
from dougong.types import BadEncodingProof, SquareCell, SquareHeader
from tests.availability.bad_squares import Disordered, cells_of, committed, extended, shares

K = 4
WIDTH = 2 * K
HONEST = ServedSquare.extend(b"".join(shares(K)), height=1, time_ns=1)


def bad_square(height: int = 1) -> ServedSquare:
    cells = cells_of(K)
    cells[WIDTH + 6] = bytes(512)
    return committed(cells, height=height)


class Node:
    """A node of squares by height (`SquareSource`). What a test replaces is how it lies or withholds."""

    def __init__(self, *squares: ServedSquare | Disordered, original: Sequence[bytes] = ()) -> None:
        self._squares = squares
        self._original = original
        self.hidden: Callable[[int, int], bool] = lambda row, column: False
        self.withholds_shares = self.withholds_axes = False

    async def latest(self) -> int:
        return len(self._squares)

    async def header(self, height: int) -> SquareHeader:
        if not 0 < height <= len(self._squares):
            raise NotFound(f"no block {height}")
        return self._squares[height - 1].header

    async def shares(self, height: int) -> Sequence[bytes]:
        if self.withholds_shares:
            raise Unavailable("withheld")
        square = self._squares[height - 1]
        return square.original() if isinstance(square, ServedSquare) and not self._original else self._original

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        if self.withholds_axes:
            raise Unavailable("withheld")
        cells = self._squares[height - 1].axis_cells(axis, index)
        check_axis_cells(await self.header(height), axis, index, cells)
        return cells

    async def cells(self, height: int, places: Sequence[tuple[int, int]]) -> list[SquareCell | None]:
        return [None if self.hidden(*place) else self._cell(height, *place) for place in places]

    def _cell(self, height: int, row: int, column: int) -> SquareCell | None:
        square = self._squares[height - 1]
        for axis in (0, 1):
            cell = square.cell(row, column, axis)
            try:
                verify_cell(square.header, cell)
                return cell
            except InvalidProof:
                continue
        return None


async def convicted(node: Node) -> BadEncodingProof:
    header = await node.header(1)
    with pytest.raises(BadBlock) as caught:
        await inspect(node, header)
    verify_bad_encoding(header, caught.value.proof)
    return caught.value.proof


async def test_an_honest_square_is_read() -> None:
    await inspect(Node(HONEST), HONEST.header)
    node = Node(HONEST)
    node.withholds_shares = node.withholds_axes = True
    await inspect(node, HONEST.header)
    node.hidden = lambda row, column: row < K and column < K
    taken: list[bytes] = []
    await inspect(node, HONEST.header, lambda header, original: taken.extend(original))
    assert taken == HONEST.original(), "three quadrants without a proof of the first give it back"


@pytest.mark.parametrize("withheld", ["nothing", "axes", "shares", "both"])
async def test_a_bad_square_is_convicted_whatever_is_withheld(withheld: str) -> None:
    node = Node(bad_square())
    node.withholds_axes, node.withholds_shares = withheld in ("axes", "both"), withheld in ("shares", "both")
    proof = await convicted(node)
    assert (proof.axis, proof.index) in {(0, 1), (1, 6)}


async def test_a_square_out_of_order_is_convicted() -> None:
    original = shares(K, namespaces=K * K)
    original[4], original[5] = original[5], original[4]
    node = Node(Disordered(extended(original, K), K, height=1), original=original)
    assert (proof := await convicted(node)).axis == 0
    assert proof.index == 1
    node.withholds_axes = node.withholds_shares = True
    await convicted(node)


async def test_a_node_that_lies_about_an_honest_square_convicts_nobody() -> None:
    lie = HONEST.original()
    lie[3] = lie[3][:-1] + b"?"
    with pytest.raises(InvalidHeader):
        await inspect(Node(HONEST, original=lie), HONEST.header)
    silent = Node(HONEST, original=lie)
    silent.withholds_axes = True
    await inspect(silent, HONEST.header)  # read from single cells
    await inspect(Node(HONEST, original=lie[1:]), HONEST.header)


async def test_what_is_withheld_is_neither_read_nor_convicted() -> None:
    node = Node(HONEST)
    node.withholds_shares = node.withholds_axes = True
    node.hidden = lambda row, column: row <= K and column <= K
    with pytest.raises(NotEnoughShares):
        await inspect(node, await node.header(1))


# --- the book ------------------------------------------------------------------------------------------------------------


def proof_against(square: ServedSquare) -> BadEncodingProof:
    proof = prove_axis(square.header, 0, 1, square.axis_cells(0, 1))
    assert proof is not None
    return proof


async def test_the_book_keeps_what_is_valid_and_lowest(tmp_path: Path) -> None:
    squares = [replace_height(HONEST, 1), bad_square(2), bad_square(3)]
    node = Node(*squares)
    store = Store(tmp_path, FULL_NODE_TABLES)
    book = FraudProofs(store, node.header)
    low, high = proof_against(squares[1]), proof_against(squares[2])
    with pytest.raises(InvalidProof):
        await book.submit(replace(low, height=1))
    with pytest.raises(NotFound):
        await book.submit(replace(low, height=9))
    assert await book.submit(high)
    assert not await book.submit(high)
    assert await book.submit(low)
    assert not await book.submit(high)
    assert await book.proofs(1) == (low, high)
    assert await book.proofs(3) == (high,)
    book.check(1)
    for height in (2, 3, 100):
        with pytest.raises(BadBlock) as caught:
            book.check(height)
        assert caught.value.proof == low
    store.close()
    again = Store(tmp_path, FULL_NODE_TABLES)
    assert await FraudProofs(again, node.header).proofs(1) == (low, high)
    again.close()


async def test_the_book_stays_small_in_whatever_order_it_is_told(tmp_path: Path) -> None:
    squares = [bad_square(height) for height in range(1, 9)]
    store = Store(tmp_path, FULL_NODE_TABLES)
    book = FraudProofs(store, Node(*squares).header)
    for served in reversed(squares):
        assert await book.submit(proof_against(served))
        assert len(await book.proofs(1)) <= MOST_KEPT
    kept = await book.proofs(1)
    assert [proof.height for proof in kept] == [1, 2, 3, 4]
    store.close()
    again = Store(tmp_path, FULL_NODE_TABLES)
    assert await FraudProofs(again, Node(*squares).header).proofs(1) == kept
    again.close()


def replace_height(square: ServedSquare, height: int) -> ServedSquare:
    return replace(square, header=replace(square.header, height=height))


async def test_few_proofs_are_checked_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path, FULL_NODE_TABLES)
    gate = asyncio.Event()

    async def slow(height: int) -> SquareHeader:
        await gate.wait()
        return bad_square().header

    book = FraudProofs(store, slow)
    proof = proof_against(bad_square())
    under_way = [asyncio.create_task(book.submit(proof)) for _ in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await book.submit(proof)
    gate.set()
    assert sorted(await asyncio.gather(*under_way)) == [False] * (MOST_AT_ONCE - 1) + [True]
    store.close()


async def test_proofs_go_round(tmp_path: Path) -> None:
    """One full node finds it, a second only hears of it, and neither believes the block any more."""
    squares = Node(replace_height(HONEST, 1), bad_square(2), replace_height(HONEST, 3))
    stores = [Store(tmp_path / str(number), FULL_NODE_TABLES) for number in range(2)]
    books = [FraudProofs(store, squares.header) for store in stores]
    server = RpcServer.bind("127.0.0.1", 0)
    server.mount("other", fraud_proof_methods(books[1]), health)
    serving = asyncio.create_task(server.run())
    try:
        async with NodeClient(server.url("other")) as peer:
            finder = FullNode(stores[0], squares, books[0], peers=[peer])
            with pytest.raises(BadBlock):
                await finder.run()
            assert finder.height == 1
            assert await books[1].proofs(1) == await books[0].proofs(1) == await peer.fraud_proofs(1)
            listener = FullNode(stores[1], Node(replace_height(HONEST, 1), bad_square(2)), books[1])
            with pytest.raises(BadBlock):
                await listener.run()
            with pytest.raises(BadRequest):
                await peer.submit_fraud_proof(replace(proof_against(bad_square(1)), height=1))
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        for store in stores:
            store.close()


async def health() -> dict[str, object]:
    return {}
