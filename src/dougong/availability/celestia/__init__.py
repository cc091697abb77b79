"""Celestia as a DA layer behind celestia-node's JSON-RPC: `CelestiaClient`, and the JSON shapes that both ends share."""

from dougong.availability.celestia.client import CelestiaClient, CelestiaHeaders, CelestiaOptions
from dougong.availability.celestia.node import CelestiaNode

__all__ = ["CelestiaClient", "CelestiaHeaders", "CelestiaNode", "CelestiaOptions"]
