"""Celestia as a DA layer behind celestia-node's JSON-RPC."""
