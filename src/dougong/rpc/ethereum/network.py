"""Methods about the node itself. Source: ethereum/execution-apis `src/eth/client.yaml`; go-ethereum for net_ and web3_."""

from __future__ import annotations

from dougong import __version__
from dougong._native import keccak256
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import hex_data, quantity, read_data
from dougong.rpc.protocol import Methods, Param

__all__ = ["network_methods"]


def network_methods(chain: Chain) -> Methods:
    methods = Methods()
    client = f"dougong/{__version__}"

    async def chain_id() -> str:
        return quantity(chain.evm.chain_id)

    async def syncing() -> bool:
        return False

    async def accounts() -> list[str]:
        return []  # keys are the wallet's business

    async def network_id() -> str:
        return str(chain.evm.chain_id)

    async def listening() -> bool:
        return True

    async def peer_count() -> str:
        return quantity(0)

    async def client_version() -> str:
        return client

    async def sha3(data: bytes) -> str:
        return hex_data(keccak256(data))

    methods.add("eth_chainId", chain_id)
    methods.add("eth_syncing", syncing)
    methods.add("eth_accounts", accounts)
    methods.add("net_version", network_id)
    methods.add("net_listening", listening)
    methods.add("net_peerCount", peer_count)
    methods.add("web3_clientVersion", client_version)
    methods.add("web3_sha3", sha3, Param("data", read_data))
    return methods
