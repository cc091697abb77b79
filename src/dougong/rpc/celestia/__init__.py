"""celestia-node's JSON-RPC over a DA chain: what rollups written for Celestia speak.

    api = CelestiaApi(layer, account, secret)
    server = CelestiaServer.bind("127.0.0.1", 26658, api)

One room a module: `blob`, `header`, `share` (and `das`), `account` (`state` and `node`). What matches celestia-node and what does
not: docs/celestia.md.
"""

from __future__ import annotations

from dougong.rpc.celestia.node import Account, CelestiaLayer, CelestiaLimits
from dougong.rpc.celestia.server import CelestiaApi, CelestiaServer
from dougong.rpc.celestia.tokens import LEVELS, NO_TOKEN, Permissions, allowed_by_level, make_token, permissions_of

__all__ = [
    "LEVELS",
    "NO_TOKEN",
    "Account",
    "CelestiaApi",
    "CelestiaLayer",
    "CelestiaLimits",
    "CelestiaServer",
    "Permissions",
    "allowed_by_level",
    "make_token",
    "permissions_of",
]
