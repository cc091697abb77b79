"""A Celestia network as a DA layer of a stack: the node that is asked, and the headers that are trusted.

    layer = await open_celestia(context, "celestia", closing)
    da = layer.client("sequencer.free")                 # DataAvailability; the node signs and pays

The network is not ours: nothing of it is kept but verified headers. Settlement needs attestations of a chain's history from its
first block on, which nobody makes of Celestia here, so the rollups on it are sovereign.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from fractions import Fraction
from pathlib import Path

from dougong.availability.celestia import CelestiaClient, CelestiaNode, CelestiaOptions
from dougong.availability.chain.cosmos_tx import parse_address
from dougong.consensus.light import TrustedHeader
from dougong.errors import ConfigError
from dougong.services.archiving import Floor
from dougong.services.nodes.celestia import HEADER_TABLES, VerifiedHeaders
from dougong.services.rollup.batches import Publish
from dougong.services.rollup.publishing import SubmitThenFix
from dougong.services.threads import in_thread
from dougong.stack.config import CelestiaAvailability
from dougong.stack.context import Context
from dougong.stack.events import Event
from dougong.stack.layers import Bear, Place
from dougong.stack.settlements import SettlementChain
from dougong.stack.trust import CelestiaTrust
from dougong.store import Store
from dougong.types import Namespace

__all__ = ["CelestiaNetwork", "open_celestia"]


class CelestiaNetwork:
    """One network, through one node: a `Layer`. `first_height` is where rollups on it begin."""

    def __init__(self, name: str, config: CelestiaAvailability, da_id: bytes, client: CelestiaClient) -> None:
        self.name = name
        self.config = config
        self.da_id = da_id
        self.first_height = config.start_height
        self.max_blob_bytes = config.max_blob_bytes
        self._client = client

    def client(self, role: str) -> CelestiaClient:
        """The same for every role: the node has one account."""
        return self._client

    async def publisher(self, role: str) -> CelestiaClient:
        return self.client(role)

    def signer(self, role: str) -> bytes:
        return self._client.address

    async def attestations_on(self, settlement: SettlementChain, closing: AsyncExitStack) -> bytes:
        # Refused when stack.toml is read.
        raise ConfigError(f"nothing can be settled on {settlement.name}: {self.name} has no attestations", remedy="leave it out")

    def publishing(
        self, role: str, namespace: Namespace, place: Place | None, *, budget: int | None, bear: Bear = lambda wei: None
    ) -> Publish:
        return SubmitThenFix(self._client, namespace, self._client.address, fix=None, budget=budget)

    def set_floor(self, rollup: str, floor: Floor) -> None:
        pass  # what the network keeps, and for how long, is not ours to say

    def trust(self) -> CelestiaTrust:
        """What a node that verifies a rollup on it starts from. Not the token, which is a secret."""
        config = self.config
        return CelestiaTrust(
            url=config.url, chain_id=config.chain_id, height=config.trusted_height, hash=config.trusted_hash.lower()
        )


async def open_celestia(
    context: Context, name: str, config: CelestiaAvailability, closing: AsyncExitStack, *, headers: Path | None = None
) -> CelestiaNetwork:
    """`headers` is where verified ones are kept (None: with the stack; another process has its own).
    Raises `ConfigError` where the node's account or token is not what stack.toml says, `InvalidHeader` where it is on another
    chain than the trusted header, `Unavailable` while it is away."""
    async with AsyncExitStack() as opened:
        node = await opened.enter_async_context(CelestiaNode(config.url, await in_thread(_token, config.token_file)))
        account = parse_address(config.account)
        if await node.address() != account:
            raise ConfigError(
                f"the node at {config.url} signs with another account than {config.account}",
                remedy=f"set account in [availability.{name}] to what its state.AccountAddress answers",
            )
        store = await in_thread(Store, headers or context.disk.home("availability", name, "headers"), HEADER_TABLES)
        opened.callback(store.close)
        start = TrustedHeader(config.chain_id, config.trusted_height, bytes.fromhex(config.trusted_hash))
        verified = await in_thread(lambda: VerifiedHeaders(node, start, store=store))
        height = await verified.latest()
        limit = None if config.max_gas_price is None else Fraction(str(config.max_gas_price))
        options = CelestiaOptions(config.max_blob_bytes, Fraction(str(config.gas_price)), limit)
        client = CelestiaClient(node, verified, account, options)
        closing.push_async_exit(opened.pop_all())
    facts: dict[str, object] = {"layer": "availability", "url": config.url, "chain_id": config.chain_id, "height": height}
    context.report(Event("chain", name, facts))
    return CelestiaNetwork(name, config, context.documents.da_id(name), client)


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the token file {path} cannot be read: {error}", remedy="write what `celestia light auth write` prints to it"
        ) from error
    if not token or any(character.isspace() for character in token):
        raise ConfigError(f"{path} does not hold one token", remedy="write what `celestia light auth write` prints to it")
    return token
