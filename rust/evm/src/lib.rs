//! The EVM execution layer: blocks, tries, store and derivation, on revm. Free of Python.
//!
//! From the bottom up: `state` (the seam to whatever holds the state), `executor` (one block on revm), `journal` (its
//! transactions in order), `parallel` (on all cores), `block` (its exact header), `derivation` and `batch` (from batches and inbox to blocks), `import`
//! (blocks that others made), none of which does I/O; `node`, `trie`, `world` (the Merkle
//! Patricia tries), `store` (LMDB), `chain` (all of it, durable), and the readers above it.

pub mod batch;
pub mod block;
pub mod call;
pub mod calls;
pub mod chain;
pub mod config;
mod deposits;
pub mod derivation;
pub mod error;
pub mod executor;
pub mod fork_json;
pub mod forks;
pub mod header_rules;
pub mod import;
pub mod index;
pub mod journal;
pub mod json;
mod keccak;
pub mod logs;
pub mod node;
pub mod otterscan;
pub mod overrides;
pub mod parallel;
pub mod proof;
pub mod prove;
pub mod quantity;
pub mod receipts;
pub mod roots;
pub mod sign;
pub mod simulate;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod trace;
mod transfer;
pub mod trie;
pub mod tx;
pub mod view;
pub mod words;
pub mod world;

/// The types of the formats' crates that callers name.
pub mod alloy {
    pub use alloy_primitives::{Address, B256, Bytes, U256};
}
