"""Ethereum's transition: blocks on revm in the Rust core, with the pool, the genesis document and the application around it."""
