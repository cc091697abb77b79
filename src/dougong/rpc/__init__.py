"""What wallets and nodes talk to: JSON-RPC servers over the chains of a stack."""
