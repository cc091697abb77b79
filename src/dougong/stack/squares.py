"""A DA chain of a stack, and the attestors and relayers that carry its data roots to settlement.

square = await open_square(context, "square", config, closing)
attested = await square.attested_on(base)           # contract, attestor and relayer; one for each settlement chain
da = square.client("sequencer.alpha")
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry

from dougong.availability.chain.app import SquareApplication
from dougong.availability.chain.client import SquareClient
from dougong.availability.chain.cosmos_tx import account_address, address_text
from dougong.availability.chain.layer import SquareLayer
from dougong.availability.chain.paying import pay
from dougong.availability.square.archive import SquareArchive
from dougong.consensus.genesis import Genesis
from dougong.consensus.solo import Solo, SoloOptions
from dougong.errors import Underpaid
from dougong.rpc.celestia import NO_TOKEN, CelestiaApi, CelestiaServer, allowed_by_level
from dougong.rpc.node import availability_methods, chain_health, consensus_methods, fraud_proof_methods
from dougong.services.archiving import ArchiveService, Floor, Window
from dougong.services.attesting import AttestorService, DataRootHistory
from dougong.services.nodes.fraud_proofs import FRAUD_TABLES, FraudProofs
from dougong.services.relayer import Relayer, RelayerConfig
from dougong.services.rollup.batches import Publish
from dougong.services.rollup.fixing import SettledFix
from dougong.services.rollup.publishing import SubmitThenFix
from dougong.services.threads import in_thread
from dougong.settlement.attestations import AttestationsClient
from dougong.settlement.transactor import Receipt
from dougong.stack.attestors import open_attestors
from dougong.stack.config import SquareAvailability, host_and_port
from dougong.stack.context import Context
from dougong.stack.data_window import attest_every
from dougong.stack.events import Event
from dougong.stack.layers import Bear, Place
from dougong.stack.parts import HONEST
from dougong.stack.settlements import SettlementChain
from dougong.store import Store
from dougong.types import Attestor as AttestorKey
from dougong.types import Namespace

__all__ = ["AttestedSquare", "Square", "blob_room", "open_square", "token_role"]

SHARE_ROOM = 450  # bytes of a blob that a share surely holds
MAX_BLOB_BYTES = 1_500_000
FIX_POLL_S = 0.2
EAGER_BLOCKS = 32  # while the rollups' sequencers get their first money
ATTESTOR_POWER = 10
ROLE_UTIA = 10**12  # a million TIA
ATTEST_EVERY_S = 30.0  # where nobody waits; a batcher that waits is served at once


class Waits(Protocol):
    """Who may wait for an attestation: 0, or a height."""

    @property
    def waiting_for(self) -> int: ...


@dataclass(slots=True)
class AttestedSquare:
    """A DA chain's data roots on one settlement chain. `wanted` are those who may wait for a height, `bearers` those who share
    what attesting costs."""

    attestations: AttestationsClient
    history: DataRootHistory
    wanted: list[Waits] = field(default_factory=list)
    bearers: list[Bear] = field(default_factory=list)

    def height_wanted(self) -> int:
        return max((fix.waiting_for for fix in self.wanted), default=0)


class Square:
    """One DA chain in this process: a `Layer`."""

    def __init__(
        self,
        context: Context,
        name: str,
        config: SquareAvailability,
        genesis: Genesis,
        layer: SquareLayer,
        proofs: FraudProofs,
    ) -> None:
        self._context = context
        self._width = config.max_square_size
        self._block_time_ms = config.block_time_ms
        self.name = name
        self.da_id = genesis.hash
        self.first_height = 1
        self.layer = layer
        self.proofs = proofs
        # A rollup's floor is unknown, and so everything is kept, until the rollup is up.
        rollups = [rollup for rollup, config in context.config.rollup.items() if config.availability == name]
        self._floors: dict[str, Floor] = dict.fromkeys(rollups, _unknown)
        self._attestors: list[AttestorService] = []
        self._attested: dict[str, AttestedSquare] = {}
        self._opening = asyncio.Lock()
        self._paying = asyncio.Lock()
        self._publishers: dict[str, bytes] = {}

    async def publisher(self, role: str) -> SquareClient:
        """The client of an account that publishes, once it can pay."""
        await self.fund(role)
        return self.client(role)

    async def fund(self, role: str) -> None:
        """A new account that publishes gets `ROLE_UTIA` from the treasury, unless publishing is free."""
        keys = self._context.keys
        address = account_address(keys.account(role).public_key)
        self._publishers[role] = address
        async with self._paying:
            account = await self.layer.account(address)
            if not self.layer.params.min_base_fee or account.balance or account.sequence:
                return
            try:
                await pay(self.layer, keys.account(f"treasury.{self.name}"), address, ROLE_UTIA)
            except Underpaid as error:
                self._context.log.warning(
                    "the treasury is empty", chain=self.name, role=role, error=str(error), remedy=error.remedy
                )

    async def market(self) -> dict[str, object]:
        """For `GET /stack`: prices of the next block, and what those who publish have left."""
        prices = asdict(await self.layer.market())
        roles = {"treasury": account_address(self._context.keys.account(f"treasury.{self.name}").public_key)} | self._publishers
        balances = {
            role: {"address": address_text(address), "utia": self.layer.app.balance(address)} for role, address in roles.items()
        }
        return {**prices, "balances": balances}

    @property
    def max_blob_bytes(self) -> int:
        """A blob that fits well into a square, other rollups' beside it."""
        return blob_room(self._width)

    def signer(self, role: str) -> bytes:
        return self.client(role).address

    @property
    def attestors(self) -> tuple[AttestorService, ...]:
        """In the order of their addresses; none before a settlement chain wants them."""
        return tuple(self._attestors)

    def client(self, role: str) -> SquareClient:
        """The layer for one account. One client a role: it counts the account's sequence."""
        return SquareClient(self.layer, self._context.keys.account(role))

    def floors(self) -> tuple[Floor, ...]:
        """What a pruning must ask."""
        return tuple(self._floors.values())

    def set_floor(self, rollup: str, floor: Floor) -> None:
        """Called once a rollup can say which heights it may yet need."""
        self._floors[rollup] = floor

    async def attestations_on(self, settlement: SettlementChain, closing: AsyncExitStack) -> bytes:
        return (await self.attested_on(settlement, closing)).attestations.contract

    def publishing(
        self, role: str, namespace: Namespace, place: Place | None, *, budget: int | None, bear: Bear = lambda wei: None
    ) -> Publish:
        da = self.client(role)
        fix = None
        if place is not None:
            attested = self._attested[place.base.name]
            fix = SettledFix(
                place.client,
                attested.attestations,
                da,
                attested.history,
                rollup_id=place.rollup_id,
                data_window=place.data_window,
                poll_s=FIX_POLL_S,
                log=self._context.log,
            )
            attested.wanted.append(fix)
            attested.bearers.append(bear)
        return SubmitThenFix(da, namespace, da.address, fix=fix, budget=budget)

    async def attested_on(self, settlement: SettlementChain, closing: AsyncExitStack) -> AttestedSquare:
        """Deploys the attestations contract and starts attestor and relayer, once for each settlement chain."""
        async with self._opening:
            if settlement.name not in self._attested:
                self._attested[settlement.name] = await self._attest(settlement, closing)
            return self._attested[settlement.name]

    async def _attest(self, settlement: SettlementChain, closing: AsyncExitStack) -> AttestedSquare:
        context = self._context
        if not self._attestors:
            self._attestors = await open_attestors(context, self.name, self.layer, self.da_id, self.proofs, closing)
            for number, attestor in enumerate(self._attestors, start=1):
                self._floors[f"attestor {number}"] = partial(_next_to_check, attestor)
        attestors = tuple(AttestorKey(attestor.address, ATTESTOR_POWER) for attestor in self._attestors)
        contract = await settlement.deployment.attestations(self.name, self.da_id, attestors)
        settlement.attestations[self.name] = contract
        bearers: list[Bear] = []
        client = AttestationsClient(
            settlement.rpc,
            contract,
            settlement.transactor(context, f"relayer.{settlement.name}"),
            observe=partial(_share, bearers),
        )
        attested = AttestedSquare(client, DataRootHistory(self.client(f"attestor.{self.name}")), bearers=bearers)
        relayer = Relayer(
            client,
            attestors,
            {attestor.address: attestor for attestor in self._attestors},
            self.da_id,
            RelayerConfig(interval=self._attest_every(settlement.name), poll_s=0.1),
            wanted=attested.height_wanted,
            log=context.log,
        )
        context.supervisor.add(self.name, f"relayer to {settlement.name}", relayer.run)
        return attested

    def _attest_every(self, settlement: str) -> float:
        rollups = self._context.config.rollup.items()
        here = [name for name, rollup in rollups if (rollup.availability, rollup.settlement) == (self.name, settlement)]
        windows = map(self._context.documents.data_window, here)
        return attest_every(windows, self._block_time_ms, at_most=ATTEST_EVERY_S)


def blob_room(width: int) -> int:
    """The most bytes of a blob that fits well into a square so wide, other rollups' beside it."""
    return min(MAX_BLOB_BYTES, width * width * SHARE_ROOM * 3 // 4)


async def open_square(context: Context, name: str, config: SquareAvailability, closing: AsyncExitStack) -> Square:
    """Starts the chain and serves it at /name. Whole or not at all."""
    genesis = Genesis.parse(context.documents.availability[name])
    home = context.disk.home("availability", name)
    async with AsyncExitStack() as opened:
        parts = context.squares.get(name, HONEST)
        app = await SquareApplication.open(home / "application", lay_out=parts.lay_out)
        opened.push_async_callback(app.close)
        options = SoloOptions(block_time=config.block_time_ms / 1000, eager_blocks=EAGER_BLOCKS)
        chain = await Solo.open(home / "consensus", genesis, context.keys.validator(name), app, options)
        opened.push_async_callback(chain.close)
        archive = await in_thread(SquareArchive, home / "archive")
        opened.push_async_callback(in_thread, archive.close)
        layer = SquareLayer(chain, app, archive)
        await layer.check_archive()
        store = await in_thread(Store, home / "fraud-proofs", FRAUD_TABLES)
        opened.callback(store.close)
        proofs = await in_thread(FraudProofs, store, layer.header, log=context.log)
        methods = consensus_methods(genesis.raw, chain).include(availability_methods(parts.serve(layer), chain))
        methods.include(fraud_proof_methods(proofs))
        context.server.mount(name, methods, chain_health(chain))
        celestia = _celestia(context, name, config, layer)
        if celestia is not None:
            opened.callback(celestia.close)
        closing.push_async_exit(opened.pop_all())
    context.supervisor.add(name, "consensus", chain.run)
    facts: dict[str, object] = {"layer": "availability", "url": context.server.url(name), "genesis": genesis.hash.hex()}
    if celestia is not None:
        context.supervisor.add(name, "celestia api", celestia.run)
        facts["celestia"] = celestia.origin
    context.report(Event("chain", name, facts))
    square = Square(context, name, config, genesis, layer, proofs)
    registry = CollectorRegistry()
    archiving = ArchiveService(
        layer,
        chain,
        archive,
        Window(config.window_blocks, config.window_s),
        first=chain.base,
        floors=square.floors,
        registry=registry,
        name=name,
        log=context.log,
    )
    context.metrics.join(registry)
    context.supervisor.add(name, "archive", archiving.run)
    if celestia is not None:
        context.supervisor.add(name, "celestia account", lambda: square.fund(f"celestia.{name}"))
    return square


def _celestia(context: Context, name: str, config: SquareAvailability, layer: SquareLayer) -> CelestiaServer | None:
    """celestia-node's API before the chain, if stack.toml wants it. Raises `ConfigError` if its port is taken."""
    if config.celestia_api is None:
        return None
    account = SquareClient(layer, context.keys.account(f"celestia.{name}"))
    without_token = allowed_by_level("read") if config.celestia_auth == "writes" else NO_TOKEN
    api = CelestiaApi(
        layer, account, context.keys.secret(token_role(name)), without_token=without_token, proxies=context.config.api.proxies
    )
    return CelestiaServer.bind(*host_and_port(config.celestia_api), api)


def token_role(name: str) -> str:
    """Whose secret signs the tokens of a DA chain's API."""
    return f"tokens.{name}"


def _share(bearers: Sequence[Bear], receipt: Receipt) -> None:
    """Attestations are for all rollups alike."""
    for bear in bearers:
        bear(receipt.gas_used * receipt.gas_price // len(bearers))


async def _unknown() -> int:
    return 0


async def _next_to_check(attestor: AttestorService) -> int:
    return attestor.height + 1
