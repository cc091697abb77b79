//! A state as a file: written from one consistent view of the store while the chain goes on, and taken up by an empty store.
//!
//! The format is docs/spec/snapshot.md: frames whose digests are chained, one head (the block, the headers that BLOCKHASH can
//! reach), accounts in the order of their addresses with their slots and codes, one end. The same state has the same bytes.
//!
//! Who takes one up trusts a block's hash and nothing else: the headers, the body, the receipts, the outbox root and all of the
//! state are held against it before the store can be opened as a chain. Memory is that of a frame and a batch, whatever the size.

mod export;
mod frames;
mod import;
mod records;
mod sorted;

pub use export::{Exported, export};
pub use import::{block_of, import};

/// Why a snapshot is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("is none: it does not begin as one")]
    Foreign,
    #[error("is of version {0}, which this program does not read")]
    Version(u32),
    #[error("ends too early")]
    Truncated,
    #[error("has a frame of {0} bytes, which is over the limit")]
    Oversized(u64),
    #[error("is damaged, or not in order, at frame {0}")]
    Damaged(u64),
    #[error("has a malformed record: {0}")]
    Malformed(&'static str),
    #[error("has entries twice or not in order")]
    Unordered,
    #[error("goes on after its end")]
    Trailing,
    #[error("is of another chain")]
    OtherChain,
    #[error("is of block {0}, not of the trusted one")]
    Untrusted(alloy_primitives::B256),
    #[error("does not hold what its header says: {0}")]
    Untrue(String),
}
