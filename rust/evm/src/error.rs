//! What can go wrong, by who has to act on it.

/// Errors of the chain. Every variant names one remedy's owner: the caller, the operator, or nobody (a store that failed).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be done.
    #[error("{0}")]
    Invalid(String),
    /// A transaction that the chain will not take.
    #[error("{0}")]
    InvalidTransaction(String),
    /// A genesis document that does not describe a chain that we run.
    #[error("{0}")]
    Genesis(String),
    #[error("{0}")]
    NotFound(String),
    /// The chain had it, and this store let go of it.
    #[error("{0}")]
    Pruned(String),
    /// As `Pruned`, of a state.
    #[error("{0}")]
    StatePruned(String),
    /// A snapshot that cannot be taken up.
    #[error("the snapshot {0}")]
    Snapshot(#[from] crate::snapshot::Flaw),
    /// The answer would cost more than the caller may have.
    #[error("{0}")]
    Limit(String),
    /// The disk or the map is full.
    #[error("the store has no room left: {0}")]
    Full(String),
    /// The store does not hold what it must.
    #[error("{0}")]
    Corrupt(String),
    /// The store failed in another way.
    #[error("the store failed: {0}")]
    Store(String),
}

pub type Result<T, E = Error> = core::result::Result<T, E>;

impl revm::database_interface::DBErrorMarker for Error {}

impl From<heed::Error> for Error {
    fn from(error: heed::Error) -> Self {
        use heed::{Error as Heed, MdbError};
        match error {
            Heed::Mdb(MdbError::MapFull) => Self::Full("the map is full".into()),
            Heed::Mdb(
                inner @ (MdbError::Corrupted
                | MdbError::PageNotFound
                | MdbError::Invalid
                | MdbError::VersionMismatch
                | MdbError::Incompatible
                | MdbError::Panic),
            ) => Self::Corrupt(format!("the store is damaged: {inner}")),
            Heed::Io(inner) if inner.kind() == std::io::ErrorKind::StorageFull => {
                Self::Full(inner.to_string())
            }
            Heed::Io(inner) if inner.kind() == std::io::ErrorKind::QuotaExceeded => {
                Self::Full(inner.to_string())
            }
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<alloy_rlp::Error> for Error {
    fn from(error: alloy_rlp::Error) -> Self {
        Self::Corrupt(format!("a stored record does not decode: {error}"))
    }
}
