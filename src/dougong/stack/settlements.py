"""Settlement as the rollups of a stack meet it: a chain behind JSON-RPC, with the contracts on it.

base = await open_embedded(context, "base", closing)        # the EVM application under solo, served at /base
base = await open_ethereum(context, "base", closing)        # any Ethereum node
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from dougong.consensus.genesis import Genesis
from dougong.consensus.solo import Solo, SoloOptions
from dougong.crypto.hashing import sha256
from dougong.errors import ConfigError, Rejected
from dougong.execution.evm.app import EvmApplication
from dougong.execution.evm.ordered import OrderedEvm
from dougong.net.jsonrpc import JsonRpc, quantity
from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.node import consensus_methods
from dougong.settlement.client import Observer, SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.config import EmbeddedSettlement, EthereumSettlement
from dougong.stack.context import Context
from dougong.stack.deployment import Deployment
from dougong.stack.events import Event
from dougong.stack.genesis import OPERATOR_ETHER, operators
from dougong.stack.keys import DEV_ACCOUNTS

__all__ = ["SettlementChain", "open_settlement", "start_settlement"]

ETHER = 10**18
EAGER_BLOCKS = 32  # while the contracts are deployed, one after the other
LEAST_ETHER = ETHER // 100
DEV_SHARE = OPERATOR_ETHER // 100 * ETHER


@dataclass(frozen=True, slots=True)
class SettlementChain:
    """`contract` is the settlement contract's address, `attestations` those of the DA chains'. `genesis` is None for a chain that
    is not ours."""

    name: str
    chain_id: int
    rpc: JsonRpc
    deployment: Deployment
    contract: bytes
    genesis: bytes | None
    attestations: dict[str, bytes] = field(default_factory=dict)
    transactors: dict[str, Transactor] = field(default_factory=dict)

    def transactor(self, context: Context, role: str) -> Transactor:
        """One for each role, for it counts the account's nonces."""
        if role not in self.transactors:
            self.transactors[role] = Transactor(self.rpc, context.keys.account(role), self.chain_id)
        return self.transactors[role]

    def client(self, context: Context, role: str, *, observe: Observer | None = None) -> SettlementClient:
        """The contract, with a role's key to send with. `observe` hears of what is sent."""
        return SettlementClient(self.rpc, self.contract, self.transactor(context, role), observe=observe)


async def start_settlement(context: Context, name: str, closing: AsyncExitStack) -> str:
    """The URL of the chain's JSON-RPC; starts the chain if it is ours. Whole or not at all."""
    config = context.config.settlement[name]
    if isinstance(config, EmbeddedSettlement):
        return await _start_embedded(context, name, config, closing)
    return config.url


async def open_settlement(context: Context, name: str, url: str, closing: AsyncExitStack) -> SettlementChain:
    """Deploys what is not deployed yet. May be tried again."""
    config = context.config.settlement[name]
    async with AsyncExitStack() as opened:
        rpc = JsonRpc(url)
        opened.push_async_callback(rpc.aclose)
        if isinstance(config, EthereumSettlement):
            await _check_node(context, name, config, rpc)
        deployment = await Deployment.open(context.disk, name, rpc, context.keys.account(f"deployer.{name}"))
        rollups = [rollup for rollup in context.config.rollup.values() if rollup.settlement == name]
        if rollups and all(rollup.follows for rollup in rollups) and not deployment.knows_settlement():
            raise ConfigError(
                f"every rollup on {name} is somebody else's to sequence, and this data_dir does not know {name}'s contract",
                remedy="copy keys, genesis and deployment from the data_dir of the stack that sequences them",
            )
        contract = await deployment.settlement()
        closing.push_async_exit(opened.pop_all())
    context.report(Event("deployed", name, {"settlement": "0x" + contract.hex()}))
    document = context.documents.settlement.get(name)
    return SettlementChain(name, config.chain_id, rpc, deployment, contract, None if document is None else sha256(document))


async def _start_embedded(context: Context, name: str, config: EmbeddedSettlement, closing: AsyncExitStack) -> str:
    genesis = Genesis.parse(context.documents.settlement[name])
    home = context.disk.home("settlement", name)
    async with AsyncExitStack() as opened:
        app = await EvmApplication.open(home / "evm", genesis.app_state.decode())
        opened.push_async_callback(app.close)
        options = SoloOptions(block_time=config.block_time_ms / 1000, eager_blocks=EAGER_BLOCKS)
        chain = await Solo.open(home / "consensus", genesis, context.keys.validator(name), app, options)
        opened.push_async_callback(chain.close)
        api = EthereumApi(OrderedEvm(app, chain))
        opened.callback(api.close)
        context.server.mount(name, api.methods.include(consensus_methods(genesis.raw, chain)), api.health)
        closing.push_async_exit(opened.pop_all())
    context.supervisor.add(name, "consensus", chain.run)
    url = context.server.url(name)
    context.report(
        Event("chain", name, {"layer": "settlement", "url": url, "chain_id": config.chain_id, "genesis": genesis.hash.hex()})
    )
    return url


async def _check_node(context: Context, name: str, config: EthereumSettlement, rpc: JsonRpc) -> None:
    """Is it the chain that stack.toml means, and can our accounts pay there?"""
    chain_id = quantity(await rpc.call("eth_chainId"))
    if chain_id != config.chain_id:
        raise ConfigError(
            f"[settlement.{name}] names chain {config.chain_id}, but the node at {config.url} is on chain {chain_id}",
            remedy="correct chain_id or url",
        )
    poor = [role for role in operators(context.config, name) if await _balance(rpc, context, role) < LEAST_ETHER]
    if poor and context.config.dev:
        await _endow(rpc, context, poor)
    elif poor:
        accounts = ", ".join(f"0x{context.keys.account(role).address.hex()} ({role})" for role in poor)
        raise Rejected(f"these accounts need ether on the chain at {config.url}: {accounts}", remedy="fund them and start again")
    context.report(Event("chain", name, {"layer": "settlement", "url": config.url, "chain_id": chain_id, "genesis": None}))


async def _balance(rpc: JsonRpc, context: Context, role: str) -> int:
    return quantity(await rpc.call("eth_getBalance", "0x" + context.keys.account(role).address.hex(), "latest"))


async def _endow(rpc: JsonRpc, context: Context, roles: list[str]) -> None:
    """A development node has funded the accounts that everybody knows."""
    giver = await Transactor.connect(rpc, DEV_ACCOUNTS[0])
    for role in roles:
        await giver.send(context.keys.account(role).address, b"", DEV_SHARE)
