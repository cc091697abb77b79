//! Values that Python reads attributes of.

use dougong_evm::alloy::U256;
use dougong_evm::chain::{Built, HeadInfo};
use dougong_evm::tx::SignedTx;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::bridge::integer;

/// With its flaw, which was looked for where it was decoded: on all cores, and without the GIL.
#[pyclass(frozen, module = "dougong._native")]
pub struct TxInfo(pub SignedTx, Option<String>);

impl From<SignedTx> for TxInfo {
    fn from(tx: SignedTx) -> Self {
        let flaw = tx.flaw();
        Self(tx, flaw)
    }
}

#[pymethods]
impl TxInfo {
    #[getter]
    fn hash(&self) -> &[u8] {
        self.0.hash().as_slice()
    }
    #[getter]
    fn sender(&self) -> &[u8] {
        self.0.sender.as_slice()
    }
    #[getter]
    fn nonce(&self) -> u64 {
        self.0.nonce()
    }
    #[getter]
    fn gas_limit(&self) -> u64 {
        self.0.gas_limit()
    }
    #[getter]
    fn max_fee_per_gas(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        integer(py, U256::from(self.0.max_fee_per_gas()))
    }
    #[getter]
    fn max_priority_fee_per_gas(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        integer(py, U256::from(self.0.max_priority_fee_per_gas()))
    }
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        integer(py, self.0.value())
    }
    #[getter]
    fn to(&self) -> Option<Vec<u8>> {
        self.0.to().map(|to| to.to_vec())
    }
    #[getter]
    fn blob_versioned_hashes<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let hashes = self.0.blob_versioned_hashes().iter();
        hashes
            .map(|hash| PyBytes::new(py, hash.as_slice()))
            .collect()
    }
    #[getter]
    fn max_fee_per_blob_gas(&self) -> Option<u128> {
        self.0.max_fee_per_blob_gas()
    }
    #[getter]
    fn tx_type(&self) -> u8 {
        self.0.tx_type()
    }
    #[getter]
    fn chain_id(&self) -> Option<u64> {
        self.0.chain_id()
    }
    #[getter]
    fn size(&self) -> usize {
        self.0.raw.len()
    }
    #[getter]
    fn flaw(&self) -> Option<&str> {
        self.1.as_deref()
    }
    fn __repr__(&self) -> String {
        format!(
            "TxInfo({} from {} nonce {})",
            self.0.hash(),
            self.0.sender,
            self.0.nonce()
        )
    }
}

#[pyclass(frozen, module = "dougong._native")]
#[derive(Clone)]
pub struct HeaderInfo(pub HeadInfo);

#[pymethods]
impl HeaderInfo {
    #[getter]
    fn number(&self) -> u64 {
        self.0.sealed.header.number
    }
    #[getter]
    fn hash(&self) -> &[u8] {
        self.0.sealed.hash.as_slice()
    }
    #[getter]
    fn parent_hash(&self) -> &[u8] {
        self.0.sealed.header.parent_hash.as_slice()
    }
    #[getter]
    fn state_root(&self) -> &[u8] {
        self.0.sealed.header.state_root.as_slice()
    }
    #[getter]
    fn transactions_root(&self) -> &[u8] {
        self.0.sealed.header.transactions_root.as_slice()
    }
    #[getter]
    fn receipts_root(&self) -> &[u8] {
        self.0.sealed.header.receipts_root.as_slice()
    }
    #[getter]
    fn timestamp(&self) -> u64 {
        self.0.sealed.header.timestamp
    }
    #[getter]
    fn gas_used(&self) -> u64 {
        self.0.sealed.header.gas_used
    }
    #[getter]
    fn gas_limit(&self) -> u64 {
        self.0.sealed.header.gas_limit
    }
    #[getter]
    fn base_fee(&self) -> u64 {
        self.0.sealed.header.base_fee_per_gas.unwrap_or_default()
    }
    #[getter]
    fn blob_gas_used(&self) -> u64 {
        self.0.sealed.header.blob_gas_used.unwrap_or_default()
    }
    #[getter]
    fn inbox_end(&self) -> u64 {
        self.0.sealed.inbox_end()
    }
    #[getter]
    fn outbox_root(&self) -> &[u8] {
        self.0.outbox_root.as_slice()
    }
    fn __repr__(&self) -> String {
        format!(
            "HeaderInfo(number {} hash {})",
            self.0.sealed.header.number, self.0.sealed.hash
        )
    }
}

#[pyclass(frozen, module = "dougong._native")]
pub struct BuiltBlock(pub Built);

#[pymethods]
impl BuiltBlock {
    #[getter]
    fn header(&self) -> HeaderInfo {
        HeaderInfo(self.0.head.clone())
    }
    #[getter]
    fn included(&self) -> Vec<usize> {
        self.0.included.clone()
    }
    #[getter]
    fn skipped(&self) -> Vec<(usize, String)> {
        self.0.skipped.clone()
    }
}
