"""Nodes that check a stack which somebody else runs: a light node, and one that verifies a rollup by rebuilding it.

    async with light_check(api, trust, folder) as check:
        findings = await check()                      # again for what is new since
    async with verifying_node(api, trust, "alpha", folder) as node:
        await node.reach(120)

Both start from a trust file and an empty folder, and see the stack through sockets only; `api` is its URL without a chain's path.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

from dougong.crypto.hashing import sha256
from dougong.errors import ConfigError, Divergence, InvalidHeader, NotFound, Unavailable
from dougong.interfaces import DataAvailability
from dougong.net.document import fetch_json
from dougong.net.jsonrpc import JsonRpc
from dougong.net.node import Meter, NodeClient
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from dougong.rpc.server import RpcServer
from dougong.services.nodes.deception import Deception
from dougong.services.nodes.light_blobs import BlobSettlementCheck
from dougong.services.nodes.light_node import LightConfig, LightNode, LightReport, Withheld
from dougong.services.nodes.light_settlement import RollupCheck, SettlementCheck, SettlementReport, check_data_window
from dougong.services.nodes.proven_settlement import ProvenSettlement
from dougong.services.nodes.rejections import ChainRejected
from dougong.services.nodes.settled_storage import EmbeddedChain, SettledStorage
from dougong.services.nodes.verifying_node import Ahead, ClaimWatch, Soft, VerifyingNode
from dougong.services.rollup.forwarding import Submit, forwarding, refuse
from dougong.services.rollup.from_snapshot import find_claim, take_up
from dougong.services.rollup.sources import BatchSource, Position, SettledSource, SovereignSource
from dougong.settlement.client import SettlementClient
from dougong.stack.remote_layers import RemoteLayer, chain_clients, remote_blobs, remote_layer
from dougong.stack.trust import RollupTrust, SettlementTrust, Trust
from dougong.types import BatchReference, InboxMessage, Namespace, NamespaceData

__all__ = ["LightCheck", "LightFindings", "MeteredNode", "Refused", "light_check", "rollup_document", "verifying_node"]

Log = structlog.typing.FilteringBoundLogger
POLL_S = 0.2
SOFT_S = 3.0  # for the sequencer to answer: what is published does not wait longer


# --- light ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    """A DA chain that is not believed from a block on, why, and what each settlement chain accepted of it all the same."""

    name: str
    error: Withheld | ChainRejected
    settlements: dict[str, Deception]

    @property
    def lines(self) -> list[str]:
        lines = [f"{self.name}: from block {self.error.height} on: {self.error}"]
        for settlement, found in self.settlements.items():
            upon = ", ".join(
                f"{_count(batches, 'batch', 'batches')} and {_count(found.claims[rollup], 'claim', 'claims')} of {rollup}"
                for rollup, batches in found.batches.items()
            )
            if found.deceived:
                lines.append(
                    f"settlement {settlement} alone was deceived: its attestors signed {self.name} up to block {found.attested}, "
                    f"and it took {upon} upon what is refused here"
                )
            else:
                lines.append(f"settlement {settlement} was not deceived: it holds {self.name} up to block {found.attested} only")
        return lines


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


@dataclass(frozen=True, slots=True)
class LightFindings:
    """What one pass found: each DA chain, and each settlement chain as it stands on each of them that is believed."""

    squares: tuple[LightReport, ...]
    settlements: tuple[SettlementReport, ...]
    refused: tuple[Refused, ...] = ()

    @property
    def verified(self) -> list[str]:
        return [line for square in self.squares for line in square.verified] + [
            line for settlement in self.settlements for line in settlement.verified
        ]

    @property
    def trusted(self) -> list[str]:
        return [line for square in self.squares for line in square.trusted] + [
            line for settlement in self.settlements for line in settlement.trusted
        ]


class LightCheck:
    """Call it for a pass over everything that is new."""

    def __init__(
        self,
        trust: Trust,
        lights: dict[str, LightNode],
        checks: list[tuple[str, str, SettlementCheck, list[RollupCheck]]],
        on_blobs: list[tuple[BlobSettlementCheck, list[RollupCheck]]],
    ) -> None:
        self._trust = trust
        self.lights = lights
        self._checks = checks
        self._on_blobs = on_blobs

    async def __call__(self) -> LightFindings:
        """Raises `InvalidHeader`, `InvalidProof`, and `Divergence` between what settlement holds and what was sampled. A DA chain
        that is withheld or rejected is a finding."""
        bad: dict[str, Withheld | ChainRejected] = {}
        for name, light in self.lights.items():
            try:
                await light.catch_up()
            except (Withheld, ChainRejected) as error:
                bad[name] = error
        settlements = [await check.run(rollups) for _, square, check, rollups in self._checks if square not in bad]
        settlements += [await check.run(rollups) for check, rollups in self._on_blobs]
        refused = []
        for name, why in bad.items():
            upon = [(settlement, check, rollups) for settlement, square, check, rollups in self._checks if square == name]
            found = {settlement: await check.deception(why.height, rollups) for settlement, check, rollups in upon}
            refused.append(Refused(name, why, found))
        return LightFindings(tuple(light.report() for light in self.lights.values()), tuple(settlements), tuple(refused))


@asynccontextmanager
async def light_check(
    api: str, trust: Trust, folder: Path, config: LightConfig | None = None, *, log: Log | None = None
) -> AsyncIterator[LightCheck]:
    """The stack at `api`, whose DA chains are read from the trust file's peers too. `config`: how much is sampled."""
    async with AsyncExitStack() as closing:
        lights: dict[str, LightNode] = {}
        for name, genesis in trust.availability.items():
            nodes = await chain_clients(closing, api, trust, name)
            lights[name] = await LightNode.open(folder / name, nodes, bytes.fromhex(genesis), config, log=log)
            closing.push_async_callback(lights[name].close)
        meter = Meter(httpx.AsyncHTTPTransport())
        closing.push_async_callback(meter.aclose)
        checks, on_blobs = [], []
        for name, settlement in trust.settlement.items():
            url = settlement.url or f"{api}/{name}"
            rpc = await closing.enter_async_context(JsonRpc(url))
            chain = await _embedded(closing, settlement, url)
            for square, attestations in settlement.attestations.items():
                contracts = bytes.fromhex(settlement.contract), bytes.fromhex(attestations)
                check = SettlementCheck(rpc, *contracts, lights[square], chain=chain)
                checks.append((name, square, check, _rollups_on(trust, name, square)))
            for blobs in trust.blobs:
                if rollups := _rollups_on(trust, name, blobs):
                    layer = await remote_blobs(trust.blobs[blobs], meter, closing)
                    contract = bytes.fromhex(settlement.contract)
                    window_s = (config or LightConfig()).window_s
                    on_blobs.append((BlobSettlementCheck(rpc, contract, layer.da, da_id=layer.da_id, window_s=window_s), rollups))
        yield LightCheck(trust, lights, checks, on_blobs)


def _rollups_on(trust: Trust, settlement: str, square: str) -> list[RollupCheck]:
    return [
        RollupCheck(name, rollup.rollup_id, bytes.fromhex(rollup.state), rollup.proof or "none", rollup.data_window or 0)
        for name, rollup in trust.rollup.items()
        if rollup.rollup_id is not None and (rollup.settlement, rollup.availability) == (settlement, square)
    ]


async def _embedded(
    closing: AsyncExitStack, settlement: SettlementTrust, url: str, transport: httpx.AsyncBaseTransport | None = None
) -> EmbeddedChain | None:
    """The settlement chain whose headers `url` shows; None for an Ethereum node, whose consensus is not checked."""
    if settlement.genesis is None:
        return None
    node = await closing.enter_async_context(NodeClient(url, transport=transport))
    return EmbeddedChain(node, bytes.fromhex(settlement.genesis))


# --- verifying -----------------------------------------------------------------------------------------------------------


class MeteredNode:
    """A verifying node and what it has spent. `batch_bytes` are the blobs' own, `share_bytes` the shares' that hold them."""

    def __init__(
        self, node: VerifyingNode, read: Sequence[_Read], layer: RemoteLayer, meter: Meter, window: _RegisteredWindow | None
    ) -> None:
        """`read`: what has read batches, fixed ones and published ones."""
        self._window = window
        self.node = node
        self._read = read
        self._layer = layer
        self._meter = meter
        self._started = time.perf_counter()

    async def reach(self, height: int) -> None:
        """Returns once block `height` is derived, and each claim on what is derived was compared. Raises `Divergence` for the
        first claim that is not true, `ChainRejected` if a batch lies on a DA block that is proven bad."""
        while True:
            await self._layer.hear()
            await self.node.catch_up()
            if self._window is not None and self.node.follower.position.index:
                await self._window.check()
            self._layer.check(max(read.highest for read in self._read))
            if self.node.alarms:
                raise self.node.alarms[0]
            if self.node.follower.position.number >= height:
                return
            await asyncio.sleep(POLL_S)

    async def report(self, height: int) -> dict[str, object]:
        header = await self.node.chain.header(height)
        return {
            "height": height,
            "block_hash": header.hash.hex(),
            "state_root": header.state_root.hex(),
            "outbox_root": header.outbox_root.hex(),
            "data_window": None if self._window is None else self._window.expected,
            "batches": self.node.follower.position.index,
            "batch_bytes": sum(read.batch_bytes for read in self._read),
            "share_bytes": sum(read.share_bytes for read in self._read),
            "claims_checked": 0 if self.node.claims is None else self.node.claims.checked,
            "bytes_received": self._layer.bytes_received + self._meter.received,
            "seconds": round(time.perf_counter() - self._started, 3),
        }


@asynccontextmanager
async def verifying_node(
    api: str,
    trust: Trust,
    name: str,
    folder: Path,
    *,
    celestia_token: str = "",
    server: RpcServer | None = None,
    sequencer: str | None = None,
    snapshot: tuple[Path, bytes] | None = None,
    soft: bool = False,
) -> AsyncIterator[MeteredNode]:
    """Raises `NotFound` for a rollup that the trust file does not have, `InvalidHeader` where the stack serves another.
    `celestia_token` is for the node of a Celestia network, where the rollup is on one. With a `server` the rollup's whole
    JSON-RPC is served at /name; transactions go on to the `sequencer` at that URL, or are refused. An empty folder begins
    with the `snapshot`, a file and the id of the claim that is trusted for it. `soft`: `latest` follows the sequencer's word."""
    rollup = trust.rollup.get(name)
    if rollup is None:
        raise NotFound(f"the trust file knows no rollup {name}", remedy=f"it knows: {', '.join(trust.rollup) or 'none'}")
    async with AsyncExitStack() as closing:
        document = await rollup_document(api, name, rollup)
        meter = Meter(httpx.AsyncHTTPTransport())
        closing.push_async_callback(meter.aclose)
        layer = await remote_layer(api, trust, rollup.availability, folder, meter, closing, celestia_token)
        namespace = Namespace(bytes.fromhex(str(document["namespace"])))
        source: BatchSource
        claims = ahead = published = contract = window = None
        if rollup.settlement is None or rollup.rollup_id is None:
            signer = bytes.fromhex(str(document["batch_signer"]))
            if snapshot is not None:
                raise ConfigError(f"{name} is sovereign: no claim vouches for a snapshot", remedy="begin with the genesis block")
            source = SovereignSource(layer.da, da_id=layer.da_id, namespace=namespace, sequencer=signer)
        else:
            settlement = trust.settlement[rollup.settlement]
            url = settlement.url or f"{api}/{rollup.settlement}"
            rpc = await closing.enter_async_context(JsonRpc(url, transport=meter))
            chain = await _embedded(closing, settlement, url, meter)  # on the same bill
            client = SettlementClient(rpc, bytes.fromhex(settlement.contract))
            contract = proven = ProvenSettlement(client, SettledStorage(rpc, chain))
            source = SettledSource(
                proven, layer.da, rollup_id=rollup.rollup_id, da_id=layer.da_id, namespace=namespace, final_only=True
            )
            claims = ClaimWatch(proven, rollup_id=rollup.rollup_id)
            window = _RegisteredWindow(proven, name, rollup.rollup_id, rollup.data_window or 0)
            if snapshot is not None:
                claim, last = await find_claim(proven, rollup.rollup_id, snapshot[1])
                await take_up(folder, json.dumps(document["evm"]), snapshot[0], claim, last)
            if rollup.availability not in trust.blobs:  # there publishing and fixing are one step
                signer = bytes.fromhex(str(document["batch_signer"]))
                published = _CountedBlobs(layer.da, layer.share_bytes)
                ahead = Ahead(published, proven, rollup.rollup_id, namespace, signer)
        counted = _Counted(source, layer.share_bytes)
        first, genesis = int(str(document.get("da_start", 1))), json.dumps(document["evm"])
        submit: Submit = refuse
        options = EthereumOptions()
        if sequencer is not None:
            submit = forward = await closing.enter_async_context(forwarding(sequencer))
            options = EthereumOptions(least_tip=forward.least_tip)
        word = None
        if soft:
            if sequencer is None:
                raise ConfigError("nobody's soft blocks can be followed", remedy="name the sequencer's JSON-RPC")
            said = await closing.enter_async_context(JsonRpc(sequencer, timeout=SOFT_S, attempts=1))
            word = Soft(said, contract, rollup.rollup_id or 0)
        verifying = await VerifyingNode.open(
            folder,
            genesis,
            counted,
            claims=claims,
            ahead=ahead,
            soft=word,
            submit=submit,
            first_da_height=first,
            name=name,
            poll_s=POLL_S,
        )
        closing.push_async_callback(verifying.close)
        if verifying.evm.genesis_hash.hex() != rollup.state:
            raise Divergence(f"{name}'s genesis document makes the block {verifying.evm.genesis_hash.hex()}, not {rollup.state}")
        if server is not None:
            ethereum = EthereumApi(verifying, options)
            closing.callback(ethereum.close)
            server.mount(name, ethereum.methods, ethereum.health)
            closing.callback(server.unmount, name)
        yield MeteredNode(verifying, (counted, published) if published else (counted,), layer, meter, window)


async def rollup_document(api: str, name: str, rollup: RollupTrust) -> dict[str, object]:
    """The rollup's genesis document, if it is the one that is trusted."""
    try:
        document = (await fetch_json(f"{api}/stack"))["documents"][name].encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(
            f"{api} does not tell {name}'s genesis document: {error!r}", remedy="check the URL of the stack"
        ) from error
    if sha256(document).hex() != rollup.genesis:
        raise InvalidHeader(f"{api} has another genesis document for {name} than the trusted one", remedy="check the URL")
    parsed: dict[str, object] = json.loads(document)
    return parsed


class _RegisteredWindow:
    """How old a batch's data may be when it is appended: what the trust file says, held once to what settlement's chain shows."""

    def __init__(self, settlement: ProvenSettlement, name: str, rollup_id: int, expected: int) -> None:
        self.expected = expected
        self._settlement = settlement
        self._name = name
        self._rollup_id = rollup_id
        self._checked = False

    async def check(self) -> None:
        """Once there is a batch, the rollup is registered. Raises `Divergence`."""
        if not self._checked:
            check_data_window(self._name, await self._settlement.data_window(self._rollup_id), self.expected)
            self._checked = True


class _Read:
    """What was read of a DA layer: the highest block that anything was taken from, and bytes as `MeteredNode` counts them."""

    def __init__(self, share_bytes: int) -> None:
        self._bytes_per_share = share_bytes
        self.highest = 0
        self.batch_bytes = 0
        self.share_bytes = 0


class _CountedBlobs(_Read):
    """`Namespaces` of a layer, counted."""

    def __init__(self, da: DataAvailability, share_bytes: int) -> None:
        super().__init__(share_bytes)
        self._da = da

    async def latest(self) -> int:
        return await self._da.latest()

    async def blobs(self, height: int, namespace: Namespace) -> NamespaceData:
        found = await self._da.blobs(height, namespace)
        for placed in found.blobs:
            self.highest = max(self.highest, height)
            self.batch_bytes += len(placed.blob.data)
            self.share_bytes += self._bytes_per_share * placed.placement.share_count
        return found


class _Counted(_Read):
    """A `BatchSource` that counts what it gives."""

    def __init__(self, source: BatchSource, share_bytes: int) -> None:
        super().__init__(share_bytes)
        self._source = source

    async def holds(self, position: Position) -> bool:
        return await self._source.holds(position)

    async def references(self, position: Position) -> tuple[Sequence[BatchReference], int]:
        return await self._source.references(position)

    async def data(self, reference: BatchReference) -> bytes | None:
        data = await self._source.data(reference)
        self.highest = max(self.highest, 0 if reference.placement is None else reference.placement.height)
        self.batch_bytes += len(data or b"")
        self.share_bytes += 0 if reference.placement is None else self._bytes_per_share * reference.placement.share_count
        return data

    async def messages(self, position: Position, reference: BatchReference) -> Sequence[InboxMessage]:
        return await self._source.messages(position, reference)
