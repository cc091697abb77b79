"""What a chain's rules are and how much of it is kept: `eth_config`, `eth_capabilities`.

Sources: EIP-7910; ethereum/execution-apis `src/eth/client.yaml`. What is pruned moves `oldestBlock` up.
"""

from __future__ import annotations

import orjson

from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import hex_data, quantity
from dougong.rpc.protocol import Methods

__all__ = ["rule_methods"]

STATES = ("state", "stateproofs")
BODIES = ("tx", "logs", "receipts", "blocks")


def rule_methods(chain: Chain) -> Methods:
    methods = Methods()

    async def config() -> orjson.Fragment:
        return orjson.Fragment(await chain.read(chain.evm.config_json, chain.backend.heads().latest))

    async def capabilities() -> dict[str, object]:
        head = await chain.read(chain.evm.header, chain.backend.heads().latest)
        states, bodies, _ = await chain.read(chain.evm.kept)
        oldest = dict.fromkeys(STATES, states) | dict.fromkeys(BODIES, bodies)
        kept = {resource: {"disabled": False, "oldestBlock": quantity(first)} for resource, first in oldest.items()}
        return {"head": {"number": quantity(head.number), "hash": hex_data(head.hash)}, **kept}

    methods.add("eth_config", config)
    methods.add("eth_capabilities", capabilities)
    return methods
