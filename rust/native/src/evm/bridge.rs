//! Arguments and errors on their way between Python and the EVM.

use dougong_evm::alloy::{Address, Bytes, U256};
use dougong_evm::derivation::Message;
use dougong_evm::error::{Error, Result as EvmResult};
use dougong_evm::tx::SenderCache;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Arc, OnceLock};

use crate::errors::{detached, raise};

/// Senders of the transactions seen last. A memory of a pure function: it can be stale, never wrong.
pub fn senders() -> &'static Arc<SenderCache> {
    static SENDERS: OnceLock<Arc<SenderCache>> = OnceLock::new();
    SENDERS.get_or_init(|| Arc::new(SenderCache::new(1 << 16)))
}

pub fn to_py(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Invalid(_) => raise(py, "InvalidInput", message, ""),
        Error::InvalidTransaction(_) => raise(py, "InvalidTransaction", message, ""),
        Error::Genesis(_) => raise(py, "ConfigError", message, "correct the genesis document"),
        Error::Limit(_) => raise(py, "Rejected", message, ""),
        Error::NotFound(_) => raise(py, "NotFound", message, ""),
        Error::Pruned(_) => raise(py, "Pruned", message, ""),
        Error::StatePruned(_) => raise(py, "StatePruned", message, ""),
        Error::Snapshot(_) => raise(
            py,
            "InvalidSnapshot",
            message,
            "take it from somebody else, or check the trusted hash",
        ),
        Error::Full(_) => raise(
            py,
            "StoreFull",
            message,
            "free disk space, or raise map_bytes, and try again",
        ),
        Error::Corrupt(_) => raise(
            py,
            "StoreCorrupt",
            message,
            "restore the store's folder, or remove it and rebuild from the layers below",
        ),
        Error::Store(_) => raise(
            py,
            "StoreError",
            message,
            "see the operating system's message",
        ),
    }
}

/// Runs without the GIL and bridges errors.
pub fn work<T: Send>(py: Python<'_>, work: impl FnOnce() -> EvmResult<T> + Send) -> PyResult<T> {
    detached(py, work)?.map_err(|error| to_py(py, error))
}

pub fn fixed<const N: usize>(py: Python<'_>, what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| {
        raise(
            py,
            "InvalidInput",
            format!("{what} is {N} bytes, not {}", bytes.len()),
            "",
        )
    })
}

pub fn address(py: Python<'_>, bytes: &[u8]) -> PyResult<Address> {
    fixed(py, "an address", bytes).map(Address::new)
}

pub fn slot(py: Python<'_>, bytes: &[u8]) -> PyResult<U256> {
    fixed::<32>(py, "a storage slot", bytes).map(U256::from_be_bytes)
}

pub fn messages(messages: Vec<(u8, Vec<u8>)>) -> Vec<Message> {
    messages
        .into_iter()
        .map(|(kind, payload)| Message {
            kind,
            payload: payload.into(),
        })
        .collect()
}

pub fn owned(txs: Vec<Vec<u8>>) -> Vec<Bytes> {
    txs.into_iter().map(Bytes::from).collect()
}

/// A 256-bit integer as a Python int.
pub fn integer(py: Python<'_>, value: U256) -> PyResult<Py<PyAny>> {
    if let Ok(small) = u64::try_from(value) {
        return Ok(small.into_pyobject(py)?.into_any().unbind()); // in one step, where a larger one needs several
    }
    match u128::try_from(value) {
        Ok(small) => Ok(small.into_pyobject(py)?.into_any().unbind()),
        Err(_) => {
            let bytes = PyBytes::new(py, &value.to_be_bytes::<32>());
            Ok(py
                .get_type::<pyo3::types::PyInt>()
                .call_method1("from_bytes", (bytes, "big"))?
                .unbind())
        }
    }
}
