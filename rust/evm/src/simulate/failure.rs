//! Why a simulation ends without a result, with the code that JSON-RPC has for it.
//!
//! Sources: ethereum/execution-apis `src/eth/execute.yaml`; go-ethereum `internal/ethapi/errors.go`.

use crate::error::Error;
use crate::overrides::Refusal;

pub const REVERTED: i64 = 3;
pub const INVALID_REQUEST: i64 = -32000;
pub const VM_ERROR: i64 = -32015;
pub const TIMEOUT: i64 = -32016;
pub const INVALID_PARAMS: i64 = -32602;
pub const INTERNAL: i64 = -32603;
pub const NONCE_TOO_LOW: i64 = -38010;
pub const NONCE_TOO_HIGH: i64 = -38011;
pub const BASE_FEE_TOO_LOW: i64 = -38012;
pub const INTRINSIC_GAS: i64 = -38013;
pub const INSUFFICIENT_FUNDS: i64 = -38014;
pub const BLOCK_GAS_LIMIT: i64 = -38015;
pub const BLOCK_NUMBER: i64 = -38020;
pub const BLOCK_TIMESTAMP: i64 = -38021;
pub const MOVED_ONTO_ITSELF: i64 = -38022;
pub const INIT_CODE_SIZE: i64 = -38025;
pub const CLIENT_LIMIT: i64 = -38026;

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: i64,
    pub message: String,
}

/// Why a simulation stopped: the caller's doing, or a store that failed.
#[derive(Debug)]
pub enum Stop {
    Caller(Failure),
    Store(Error),
}

pub type Simulated<T> = Result<T, Stop>;

pub fn fail<T>(code: i64, message: impl Into<String>) -> Simulated<T> {
    Err(Stop::Caller(Failure {
        code,
        message: message.into(),
    }))
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Invalid(_) => INVALID_PARAMS,
            Error::InvalidTransaction(_) => INVALID_REQUEST,
            _ => return Self::Store(error),
        };
        Self::Caller(Failure {
            code,
            message: error.to_string(),
        })
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal {
            Refusal::Malformed(why) => (INVALID_PARAMS, why),
            Refusal::Contradiction(why) => (INVALID_REQUEST, why),
            Refusal::OntoItself(why) => (MOVED_ONTO_ITSELF, why),
            Refusal::TooMuch(why) => (CLIENT_LIMIT, why),
            Refusal::Failed(error) => return Self::Store(error),
        };
        Self::Caller(Failure { code, message })
    }
}
