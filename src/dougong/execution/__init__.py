"""Deterministic state transitions over ordered transactions. `evm` is Ethereum's."""
