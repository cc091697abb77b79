"""Ethereum's JSON-RPC over an `EvmBackend`: what wallets, web3.py, ethers, viem and cast speak.

    api = EthereumApi(backend)
    server.mount("alpha", api.methods, api.health)

`latest` is the soft head, `safe` the published one, `finalized` the one whose inputs are final; `pending` reads the latest state,
and for nonces counts the transactions that wait.
"""

from __future__ import annotations

from dougong.rpc.backend import EvmBackend
from dougong.rpc.ethereum.access_list import access_list_methods
from dougong.rpc.ethereum.accounts import account_methods
from dougong.rpc.ethereum.blocks import block_methods
from dougong.rpc.ethereum.chain import Chain, EthereumOptions
from dougong.rpc.ethereum.debug import debug_methods
from dougong.rpc.ethereum.events import Events
from dougong.rpc.ethereum.express import Express
from dougong.rpc.ethereum.fees import fee_methods
from dougong.rpc.ethereum.filling import filling_methods
from dougong.rpc.ethereum.filters import Filters, filter_methods
from dougong.rpc.ethereum.logs import log_methods
from dougong.rpc.ethereum.network import network_methods
from dougong.rpc.ethereum.otterscan import otterscan_methods
from dougong.rpc.ethereum.otterscan_traces import otterscan_trace_methods
from dougong.rpc.ethereum.replaying import replaying_methods
from dougong.rpc.ethereum.rules import rule_methods
from dougong.rpc.ethereum.simulate import simulate_methods
from dougong.rpc.ethereum.state import state_methods
from dougong.rpc.ethereum.storage import storage_methods
from dougong.rpc.ethereum.subscriptions import subscription_methods
from dougong.rpc.ethereum.tracing import tracing_methods
from dougong.rpc.ethereum.transactions import transaction_methods
from dougong.rpc.ethereum.txpool import txpool_methods
from dougong.rpc.ethereum.waiting import waiting_methods
from dougong.rpc.protocol import Methods

__all__ = ["EthereumApi", "EthereumOptions"]

SUBJECTS = (
    network_methods,
    block_methods,
    rule_methods,
    state_methods,
    storage_methods,
    simulate_methods,
    transaction_methods,
    waiting_methods,
    account_methods,
    fee_methods,
    filling_methods,
    log_methods,
    txpool_methods,
    otterscan_methods,
    access_list_methods,
    tracing_methods,
    replaying_methods,
    debug_methods,
    otterscan_trace_methods,
)


class EthereumApi:
    """One chain's methods and health. `close` ends its threads, after the server has stopped."""

    def __init__(self, backend: EvmBackend, options: EthereumOptions | None = None) -> None:
        self._chain = Chain(backend, options or EthereumOptions())
        self.methods = Methods()
        for subject in SUBJECTS:
            self.methods.include(subject(self._chain))
        self._events = Events(self._chain)
        self.methods.include(subscription_methods(self._events))
        self.methods.include(filter_methods(Filters(self._chain, self._events)))
        self.methods.lane = Express(self._chain).answer

    async def health(self) -> dict[str, object]:
        heads = self._chain.backend.heads()
        return {
            "kind": "evm",
            "chainId": self._chain.evm.chain_id,
            "genesis": "0x" + self._chain.evm.genesis_hash.hex(),
            "latest": heads.latest,
            "safe": heads.safe,
            "finalized": heads.finalized,
        }

    def close(self) -> None:
        self._events.close()
        self._chain.close()
