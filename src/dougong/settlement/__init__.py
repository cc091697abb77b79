"""The settlement layer as its users see it: a client for the contracts in `dougong.contracts`, over JSON-RPC only."""
