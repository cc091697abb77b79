"""`dougong full-node`: beside a stack that serves a bad square and says nothing of it, light nodes hear of it from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dougong.cli.demo.chain import until
from dougong.cli.demo.stage import Process
from dougong.cli.full_node import Keeping, full_node_command
from dougong.errors import ConfigError, NotFound, Unavailable
from dougong.net.child import see_off
from dougong.net.node import NodeClient
from dougong.rpc.node import header_methods, square_methods
from dougong.rpc.server import RpcServer
from dougong.services.nodes.light_node import LightConfig, LightNode
from dougong.services.nodes.rejections import ChainRejected
from dougong.stack.trust import Trust
from dougong.types import (
    MerkleProof,
    Namespace,
    Placement,
    ShareProof,
    SignedHeader,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)
from tests.services.memory_chain import MemoryChain, badly_encoded, square

LIGHT = LightConfig(window_s=0, retries=0)


class Stack:
    """A `SquareNode` of a chain in memory, which withholds what it is told to and keeps no fraud proofs."""

    def __init__(self, chain: MemoryChain) -> None:
        self._chain = chain
        self.withheld: set[int] = set()

    async def latest(self) -> int:
        return self._chain.height

    async def signed_header(self, height: int) -> SignedHeader:
        self._check(height)
        return self._chain.signed[height]

    async def header(self, height: int) -> SquareHeader:
        self._check(height)
        return self._chain.squares[height].header

    async def data_root_proof(self, height: int) -> MerkleProof:
        return self._chain.proofs[height]

    async def blobs(self, height: int, namespace: Namespace) -> SquareNamespaceData:
        return self._chain.squares[height].namespace_data(namespace)

    async def sample(self, height: int, row: int, column: int) -> SquareCell:
        self._check(height, data=True)
        return self._chain.squares[height].cell(row, column)

    async def axis_cells(self, height: int, axis: int, index: int) -> Sequence[SquareCell]:
        self._check(height, data=True)
        return self._chain.squares[height].axis_cells(axis, index)

    async def shares(self, height: int) -> Sequence[bytes]:
        self._check(height, data=True)
        return self._chain.squares[height].original()

    async def prove(self, placement: Placement) -> ShareProof:
        return self._chain.squares[placement.height].prove(placement)

    def _check(self, height: int, *, data: bool = False) -> None:
        if height not in self._chain.squares:
            raise NotFound(f"there is no block {height}")
        if data and height in self.withheld:
            raise Unavailable(f"block {height} is withheld")


async def _health() -> dict[str, object]:
    return {}


@asynccontextmanager
async def serving(chain: MemoryChain, folder: Path) -> AsyncIterator[tuple[Stack, RpcServer, Path]]:
    """The stack, its server, and a trust file that names its chain."""
    stack, server = Stack(chain), RpcServer.bind("127.0.0.1", 0)
    methods = square_methods(stack).include(header_methods(chain.genesis.raw, stack.signed_header))
    server.mount("square", methods, _health)
    trust = folder / "trust.json"
    availability = {"square": chain.genesis.hash.hex()}
    trust.write_text(Trust(availability=availability, settlement={}, rollup={}).model_dump_json())
    running = asyncio.create_task(server.run())
    try:
        yield stack, server, trust
    finally:
        running.cancel()
        await asyncio.wait([running])


def arguments(server: RpcServer, trust: Path, *more: str) -> tuple[str, ...]:
    return ("full-node", "--trust", str(trust), "--peer", server.origin, "--folder", "full", "--json", *more)


async def ended(process: Process) -> int:
    return await asyncio.wait_for(see_off(process.process), 30)


async def test_one_pass_says_what_was_found_with_its_exit_code(tmp_path: Path) -> None:
    chain = MemoryChain([square(1), square(2), badly_encoded(), square(4)])
    async with serving(chain, tmp_path) as (stack, server, trust):
        stack.withheld = {2}
        once = await Process.start("withheld", tmp_path, *arguments(server, trust, "--once", "--name", "square"))
        assert (await once.event())["height"] == 1
        assert await ended(once) == 3
        stack.withheld = set()
        once = await Process.start("rejected", tmp_path, *arguments(server, trust, "--once"))
        assert (await once.event())["height"] == 2
        assert await ended(once) == 4
        stack.withheld = {1, 2, 3, 4}  # the proof is on disk: nobody need be asked again
        assert await ended(await Process.start("again", tmp_path, *arguments(server, trust, "--once"))) == 4


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:x", "127.0.0.1:99999", ":"])
def test_an_address_that_is_none_is_refused(listen: str, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text(Trust(availability={"square": "00" * 32}, settlement={}, rollup={}).model_dump_json())

    def command(*, listen: str | None = None, once: bool = False) -> None:
        keeping = Keeping(tmp_path / "full", listen=listen)
        full_node_command(None, None, trust, ["http://127.0.0.1:1"], "square", keeping, once=once, as_json=True)

    with pytest.raises(ConfigError):
        command(listen=listen)
    with pytest.raises(ConfigError, match="--once"):
        command(listen="127.0.0.1:0", once=True)


async def test_light_nodes_sample_from_it_and_hear_of_what_nobody_else_tells(tmp_path: Path) -> None:
    chain = MemoryChain([square(1), square(2), badly_encoded(), square(4)])
    async with serving(chain, tmp_path) as (stack, server, trust):
        process = await Process.start("full", tmp_path, *arguments(server, trust, "--listen", "127.0.0.1:0"))
        try:
            url = f"{(await process.event())['url']}/square"
            while (event := await asyncio.wait_for(process.event(), 30))["event"] != "rejected":
                pass
            assert event["height"] == 3
            async with NodeClient(url, attempts=1) as full, NodeClient(server.url("square"), attempts=1) as other:
                assert [proof.height for proof in await full.fraud_proofs(1)] == [3]
                stack.withheld = {1, 2}
                light = await LightNode.open(tmp_path / "light", [other, full], chain.genesis.hash, LIGHT)
                with pytest.raises(ChainRejected) as caught:
                    await light.catch_up()
                assert (caught.value.height, light.height) == (3, 2)
                assert light.report().cells == 2 * 16, "the withheld blocks' cells came from the full node"
                assert not any(peer.points for peer in light.report().peers)
                await light.close()
                alone = await LightNode.open(tmp_path / "alone", full, chain.genesis.hash, LIGHT)
                with pytest.raises(ChainRejected):
                    await alone.catch_up(3)
                await alone.close()
                assert await full.shares(2) == tuple(chain.squares[2].original())
                assert len(await full.axis_cells(2, 1, 3)) == chain.squares[2].size
                with pytest.raises(NotFound):
                    await full.shares(3)
        finally:
            await process.stop()
        assert process.process.returncode == 130


async def test_squares_beyond_what_is_kept_go_and_headers_stay(tmp_path: Path) -> None:
    chain = MemoryChain([square(number) for number in range(5)])
    async with serving(chain, tmp_path) as (_, server, trust):
        process = await Process.start("full", tmp_path, *arguments(server, trust, "--listen", "127.0.0.1:0", "--blocks", "2"))
        try:
            async with NodeClient(f"{(await process.event())['url']}/square") as full:

                async def there() -> bool:
                    return await full.latest() == 5

                await until(there, "the full node to catch up", 30)
                assert [len(await full.shares(height)) for height in (4, 5)] == [4, 4]
                with pytest.raises(NotFound, match="kept from height 4"):
                    await full.shares(3)
                assert (await full.data_header(1))[0] == chain.squares[1].header
                assert await full.signed_header(1) == chain.signed[1]
        finally:
            await process.stop()
