"""Both ends of celestia-node's API against each other, and a client against nodes that lie."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest

import dougong.availability
from dougong.availability import account_address, share_commitment
from dougong.availability.celestia import CelestiaClient, CelestiaNode, CelestiaOptions
from dougong.availability.celestia.shapes import nmt_proof_json
from dougong.codec import bech32
from dougong.consensus.commit import Commit
from dougong.consensus.light import LightOptions, TrustedHeader
from dougong.errors import InvalidBlob, InvalidHeader, InvalidProof, NotFound, Rejected, Unavailable, Underpaid
from dougong.interfaces import DataAvailability
from dougong.services.nodes.celestia import HEADER_BYTES, HEADER_TABLES, VerifiedHeaders
from dougong.store import Store
from dougong.testing import check_availability
from dougong.types import Blob, Namespace, Placement
from tests.rpc.celestia.world import ACCOUNT, CHAIN_ID, World, running

NAMESPACE = Namespace.user(b"rollup")
LIMIT = 60_000
Tamper = Callable[[str, list[Any], Any], Any]
"""(method, params, result) -> the result that the client gets."""


class Liar(httpx.AsyncBaseTransport):
    """Passes requests on, and changes the answers."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self.tamper: Tamper = lambda method, params, result: result
        self.asked: list[tuple[str, list[Any]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content)
        self.asked.append((question["method"], question["params"]))
        response = await self._inner.handle_async_request(request)
        answer = json.loads(await response.aread())
        if "result" in answer:
            answer["result"] = self.tamper(question["method"], question["params"], answer["result"])
        return httpx.Response(200, json=answer, request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True, slots=True)
class Scene:
    world: World
    liar: Liar
    node: CelestiaNode
    da: CelestiaClient


async def start_of(world: World, height: int = 1) -> TrustedHeader:
    signed = await world.chain.signed_header(height)
    return TrustedHeader(CHAIN_ID, height, Commit.decode(signed.commit).block_id.hash)


@asynccontextmanager
async def scene(
    folder: Path, *, level: str = "write", options: CelestiaOptions | None = None, market: dict[str, object] | None = None
) -> AsyncIterator[Scene]:
    async with running(folder, market=market) as world:
        liar = Liar()
        async with CelestiaNode(world.url, world.token(level), attempts=2, transport=liar) as node:
            headers = VerifiedHeaders(node, await start_of(world))
            da = CelestiaClient(node, headers, await node.address(), options or CelestiaOptions(LIMIT, Fraction(0)))
            yield Scene(world, liar, node, da)


@pytest.fixture
async def lying(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as found:
        yield found


async def test_the_client_keeps_the_law_over_our_server(tmp_path: Path) -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[DataAvailability]:
        async with scene(tmp_path) as found:
            yield found.da

    await check_availability(make, dougong.availability, max_blob_bytes=LIMIT)


async def test_signed_blobs_and_whole_squares(lying: Scene) -> None:
    da = lying.da
    signed = Blob(NAMESPACE, b"by the node", 1, da.address)
    placement = await da.submit(signed)
    assert await da.blob(placement, NAMESPACE) == signed
    with pytest.raises(InvalidBlob):
        await da.submit(Blob(NAMESPACE, b"by another", 1, bytes(20)))
    assert await da.shares(placement.height) == list(await lying.world.layer.shares(placement.height))
    cells = await da.samples(placement.height, [(0, 0), (1, 1)])
    assert [(cell.row, cell.column) for cell in cells] == [(0, 0), (1, 1)]
    same = await asyncio.gather(*(da.submit(Blob(NAMESPACE, b"the same")) for _ in range(3)))
    assert len(set(same)) == 3, "equal blobs have places of their own"


async def test_a_header_is_no_place_for_anything_else(lying: Scene) -> None:
    """Neither in one answer, nor in what is kept of many."""
    lying.liar.tamper = only("header.LocalHead", lambda shape: {**shape, "junk": "x" * HEADER_BYTES})
    with pytest.raises(Unavailable, match="more than"):
        await lying.da.latest()
    lying.liar.tamper = only("header.LocalHead", lambda shape: {**shape, "junk": "x" * 10**6})
    headers = VerifiedHeaders(lying.node, await start_of(lying.world))
    tracemalloc.start()
    try:
        for _ in range(12):
            height = await headers.latest()
            await lying.world.chain.wait_for_height(height + 1)
        assert tracemalloc.get_traced_memory()[0] < 8 * 10**6, "twelve answers of a megabyte are not kept"
    finally:
        tracemalloc.stop()


# --- completeness -----------------------------------------------------------------------------------------------------


async def two_blobs(lying: Scene) -> Placement:
    """Two blobs of one namespace in one block."""
    blobs = [Blob(NAMESPACE, b"first" * 200), Blob(NAMESPACE, b"second" * 200)]
    return (await lying.world.client.publish(blobs)).placements[0]


def only(method: str, change: Callable[[Any], Any]) -> Tamper:
    return lambda asked, params, result: change(result) if asked == method else result


def without_last_share(rows: Any) -> Any:
    rows[-1]["shares"] = rows[-1]["shares"][:-1]
    return rows


def without_second_blob(rows: Any) -> Any:
    """The first blob's three shares, with a true proof for just them made from what the tree gives."""
    rows[0]["shares"] = rows[0]["shares"][:3]
    rows[0]["proof"]["end"] = rows[0]["proof"]["start"] + 3
    return rows[:1]


def _absent(row: Any) -> Any:
    return {"shares": [], "proof": {**row["proof"], "leaf_hash": base64.b64encode(bytes(90)).decode()}}


def _moved(row: Any) -> Any:
    proof = row["proof"]
    return {**row, "proof": {**proof, "start": proof["start"] + 1, "end": proof["end"] + 1}}


LIES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda rows: [],
    "null": lambda rows: None,
    "no shares": lambda rows: [{**row, "shares": []} for row in rows],
    "a row left out": lambda rows: rows[1:],
    "a row twice": lambda rows: [*rows, rows[-1]],
    "rows reversed": lambda rows: rows[::-1],
    "a share left out": without_last_share,
    "a blob left out": without_second_blob,
    "no proof": lambda rows: [{**row, "proof": None} for row in rows],
    "a proof without nodes": lambda rows: [{**row, "proof": {**row["proof"], "nodes": []}} for row in rows],
    "an absence": lambda rows: [_absent(row) for row in rows],
    "text": lambda rows: "rows",
    "numbers": lambda rows: [1, 2],
    "other places": lambda rows: [_moved(row) for row in rows],
    "a start below zero": lambda rows: [{**row, "proof": {**row["proof"], "start": -1}} for row in rows],
    "an end beyond all": lambda rows: [{**row, "proof": {**row["proof"], "end": 1 << 62}} for row in rows],
    "short shares": lambda rows: [{**row, "shares": [share[:100] for share in row["shares"]]} for row in rows],
}


async def test_a_node_that_leaves_out_or_makes_up_is_caught(lying: Scene) -> None:
    placement = await two_blobs(lying)
    assert len((await lying.da.blobs(placement.height, NAMESPACE)).blobs) == 2
    for name, lie in LIES.items():
        lying.liar.tamper = only("share.GetNamespaceData", lie)
        try:
            await lying.da.blobs(placement.height, NAMESPACE)
        except InvalidProof:
            continue
        pytest.fail(f"not caught: {name}")


async def test_even_an_honest_proof_of_fewer_shares_is_not_all(lying: Scene) -> None:
    """The strongest lie: the shares of one blob with their own, correct range proof."""
    placements = (await lying.world.client.publish([Blob(NAMESPACE, bytes([number])) for number in range(1, 9)])).placements
    square = await lying.world.layer.square(placements[0].height)
    rows = square.namespace_rows(NAMESPACE)
    full = next(index for index, row in enumerate(rows) if len(row.shares) > 1)
    first = rows[full].row * square.size + rows[full].proof.start
    proof = square.prove(next(one for one in placements if one.start_share == first)).rows[0]
    lie = {"shares": [base64.b64encode(proof.shares[0]).decode()], "proof": nmt_proof_json(proof.nmt_proof)}
    lying.liar.tamper = only("share.GetNamespaceData", lambda found: [*found[:full], lie, *found[full + 1 :]])
    with pytest.raises(InvalidProof, match="may hold more"):
        await lying.da.blobs(placements[0].height, NAMESPACE)


async def test_absence_is_proven_too(lying: Scene) -> None:
    placement = await two_blobs(lying)
    for absent in (Namespace.user(b"rollua"), Namespace.user(b"rollup0"), Namespace.user(b"\1"), Namespace.user(b"\xff" * 10)):
        assert (await lying.da.blobs(placement.height, absent)).blobs == ()
    lying.liar.tamper = only(
        "share.GetNamespaceData", lambda rows: [{**row, "proof": {**row["proof"], "nodes": []}} for row in rows]
    )
    found = await lying.world.layer.blobs(placement.height, Namespace.user(b"rollua"))
    assert found.rows, "its neighbours' rows cover it, so that a proof is due"
    with pytest.raises(InvalidProof):
        await lying.da.blobs(placement.height, Namespace.user(b"rollua"))


async def test_other_answers_are_proven_as_well(lying: Scene) -> None:
    placement = await two_blobs(lying)
    da, liar = lying.da, lying.liar

    def flipped(share: str) -> str:
        raw = bytearray(base64.b64decode(share))
        raw[-1] ^= 1
        return base64.b64encode(raw).decode()

    liar.tamper = only("share.GetSamples", lambda samples: [{**samples[0], "share": flipped(samples[0]["share"])}])
    with pytest.raises(InvalidProof):
        await da.sample(placement.height, 0, 0)
    liar.tamper = only("share.GetSamples", lambda samples: [])
    with pytest.raises(InvalidProof):
        await da.sample(placement.height, 0, 0)
    liar.tamper = lambda method, params, result: result
    other = await lying.node.call("share.GetSamples", placement.height, [{"row": 0, "col": 1}])
    liar.tamper = only("share.GetSamples", lambda samples: other)
    with pytest.raises(InvalidProof):
        await da.sample(placement.height, 0, 0)

    liar.tamper = only(
        "share.GetRange", lambda found: {**found, "Proof": {**found["Proof"], "data": found["Proof"]["data"][:-1]}}
    )
    with pytest.raises(InvalidProof):
        await da.prove(placement)
    liar.tamper = only(
        "share.GetEDS", lambda eds: {**eds, "data_square": [flipped(eds["data_square"][0]), *eds["data_square"][1:]]}
    )
    with pytest.raises(InvalidHeader):
        await da.shares(placement.height)
    liar.tamper = only("share.GetEDS", lambda eds: {**eds, "data_square": eds["data_square"][:-1]})
    with pytest.raises(InvalidProof):
        await da.shares(placement.height)


# --- headers ----------------------------------------------------------------------------------------------------------


def in_header(**changes: object) -> Callable[[Any], Any]:
    return lambda shape: {**shape, "header": {**shape["header"], **changes}}


BAD_HEADERS: dict[str, Callable[[Any], Any]] = {
    "another time": in_header(time="2020-01-01T00:00:00Z"),
    "another chain": in_header(chain_id="celestia"),
    "another app hash": in_header(app_hash="00" * 32),
    "another height": in_header(height="1"),
    "no header": lambda shape: {**shape, "header": None},
    "no commit": lambda shape: {**shape, "commit": None},
    "no signatures": lambda shape: {**shape, "commit": {**shape["commit"], "signatures": []}},
    "no validators": lambda shape: {**shape, "validator_set": {"validators": None}},
    "no roots": lambda shape: {**shape, "dah": {"row_roots": None, "column_roots": None}},
    "roots the other way round": lambda shape: {
        **shape,
        "dah": {"row_roots": shape["dah"]["row_roots"][::-1], "column_roots": shape["dah"]["column_roots"]},
    },
    "no word of what was signed": lambda shape: {**shape, "consensus": None},
    "another data hash": lambda shape: {**shape, "consensus": {**shape["consensus"], "data_hash": shape["header"]["data_hash"]}},
    "no proof of the data root": lambda shape: {**shape, "consensus": {**shape["consensus"], "data_root_proof": None}},
    "a data root at another place": lambda shape: {
        **shape,
        "consensus": {**shape["consensus"], "data_root_proof": {**shape["consensus"]["data_root_proof"], "index": "1"}},
    },
    "text": lambda shape: "header",
    "null": lambda shape: None,
}


def honest(method: str, params: list[Any], result: Any) -> Any:
    return result


async def test_a_header_that_was_not_signed_is_refused(lying: Scene) -> None:
    placement = await two_blobs(lying)
    await lying.world.chain.wait_for_height(placement.height + 2)
    for name, lie in BAD_HEADERS.items():
        lying.liar.tamper = only("header.GetByHeight", _behind_the_first(lie))
        anew = CelestiaClient(lying.node, VerifiedHeaders(lying.node, await start_of(lying.world)), lying.da.address)
        await anew.latest()
        with pytest.raises(InvalidHeader):
            await anew.header(placement.height)
            pytest.fail(f"not refused: {name}")
        lying.liar.tamper = honest
        found = await anew.header(placement.height)
        assert found.data_root == placement.data_root, f"a lie is forgotten once it is found out: {name}"


def _behind_the_first(lie: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda shape: shape if shape["header"]["height"] == "1" else lie(shape)


async def test_a_false_head_is_refused(lying: Scene) -> None:
    for lie in ("another time", "another app hash", "no signatures", "text"):
        await lying.world.chain.wait_for_height(await lying.world.layer.latest() + 1)
        lying.liar.tamper = only("header.LocalHead", BAD_HEADERS[lie])
        with pytest.raises(InvalidHeader):
            await lying.da.latest()
        lying.liar.tamper = honest
        assert await lying.da.latest() >= 1


async def test_one_starts_from_a_header_that_one_trusts(tmp_path: Path) -> None:
    async with running(tmp_path / "chain") as world, CelestiaNode(world.url, world.token("read")) as node:
        await world.chain.wait_for_height(6)
        start = await start_of(world, 4)
        with pytest.raises(InvalidHeader, match="not the trusted"):
            await VerifiedHeaders(node, TrustedHeader(CHAIN_ID, 4, bytes(32))).header(5)
        with pytest.raises(InvalidHeader):
            await VerifiedHeaders(node, TrustedHeader("celestia", 4, start.hash)).header(5)
        store = Store(tmp_path / "headers", HEADER_TABLES)
        headers = VerifiedHeaders(node, start, store=store)
        assert (await headers.header(6)).data_root == (await world.layer.header(6)).data_root
        with pytest.raises(NotFound, match="below"):
            await headers.header(3)
        old = LightOptions(trusting_period=0.001)
        with pytest.raises(InvalidHeader, match="trusting period"):
            await VerifiedHeaders(node, start, options=old).header(6)
        store.close()

        store = Store(tmp_path / "headers", HEADER_TABLES)
        newer = VerifiedHeaders(node, await start_of(world, 5), store=store)
        assert (await newer.header(6)).height == 6
        assert (await newer.header(4)).height == 4, "what was verified before is kept"
        store.close()


# --- paying -----------------------------------------------------------------------------------------------------------


async def test_a_budget_is_what_the_node_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path, options=CelestiaOptions(LIMIT, Fraction(4, 1000), Fraction(1, 10))) as found:
        blob = Blob(NAMESPACE, b"x" * 1_000)
        quote = await found.da.quote(1_000)
        assert (quote.price, quote.unit) == (352, "utia"), "87,988 gas at 0.004 utia"
        await found.da.submit(blob)
        assert told_to(found) == {"max_gas_price": 0.1}
        await found.da.submit(blob, budget=2 * quote.price)
        told = told_to(found)
        assert told["gas"] == 87_988
        assert told["gas"] * told["max_gas_price"] <= 2 * quote.price
        with pytest.raises(Underpaid) as underpaid:
            await found.da.submit(blob, budget=quote.price - 1)
        assert underpaid.value.wanted == quote.price
        for size in (0, -1, LIMIT + 1):
            with pytest.raises(InvalidBlob):
                await found.da.quote(size)


def told_to(found: Scene) -> Any:
    return [params[1] for method, params in found.liar.asked if method == "blob.Submit"][-1]


async def test_a_token_that_may_not_write_is_told_so(tmp_path: Path) -> None:
    async with scene(tmp_path, level="read") as found:
        with pytest.raises(Rejected, match="missing permission"):
            await found.da.submit(Blob(NAMESPACE, b"x"))
    async with running(tmp_path / "other") as world, CelestiaNode(world.url, "nonsense", attempts=1) as node:
        with pytest.raises(Rejected, match="401"):
            await node.call("header.LocalHead")


async def test_a_node_that_lies_about_publishing_is_caught(lying: Scene) -> None:
    lying.liar.tamper = only("blob.Submit", lambda height: height - 1)
    with pytest.raises(Unavailable, match="provably does not hold"):
        await lying.da.submit(Blob(NAMESPACE, b"where is it"))
    lying.liar.tamper = only("blob.Submit", lambda height: "soon")
    with pytest.raises(InvalidProof):
        await lying.da.submit(Blob(NAMESPACE, b"where is it"))


async def test_the_commitment_that_the_client_sends_is_the_blobs(lying: Scene) -> None:
    blob = Blob(NAMESPACE, b"x" * 2_000)
    await lying.da.submit(blob)
    sent = next(params for method, params in lying.liar.asked if method == "blob.Submit")[0][0]
    assert base64.b64decode(sent["commitment"]) == share_commitment(blob)


async def test_a_chain_that_charges_is_paid_through_the_api(tmp_path: Path) -> None:
    funds, floor = 10_000_000, 4_000_000  # 0.004 utia for a unit of gas
    holder = account_address(ACCOUNT.public_key)
    market: dict[str, object] = {"min_base_fee": floor, "accounts": {bech32.encode("celestia", holder): funds}}
    async with scene(tmp_path, options=CelestiaOptions(LIMIT), market=market) as found:
        blob = Blob(NAMESPACE, b"x" * 1_000)
        quote = await found.da.quote(1_000)
        await found.da.submit(blob, budget=quote.price)
        left = int((await found.node.call("state.Balance"))["amount"])
        assert funds - quote.price <= left < funds, "at most the quote was paid"
        cheap = CelestiaClient(found.node, VerifiedHeaders(found.node, await start_of(found.world)), found.da.address)
        with pytest.raises(Underpaid):
            await cheap.submit(blob, budget=quote.price - 1)
        tight = CelestiaOptions(LIMIT, Fraction(1, 10**6), Fraction(1, 10**5))
        cheap = CelestiaClient(found.node, VerifiedHeaders(found.node, await start_of(found.world)), found.da.address, tight)
        with pytest.raises(Underpaid, match="exceeds max gas price") as underpaid:
            await cheap.submit(blob)
        assert underpaid.value.wanted > 0
        assert int((await found.node.call("state.Balance"))["amount"]) == left, "what was refused costs nothing"


async def test_an_account_without_money_is_told_so(tmp_path: Path) -> None:
    async with scene(tmp_path, options=CelestiaOptions(LIMIT), market={"min_base_fee": 4_000_000}) as found:
        with pytest.raises(Underpaid, match="insufficient funds"):
            await found.da.submit(Blob(NAMESPACE, b"x"))
