//! The EVM execution layer for Python (see `dougong/_native.pyi`).

use dougong_evm::alloy::{Address, Bytes, B256, U256};
use dougong_evm::block::Sealed;
use dougong_evm::chain::{Built, Chain, HeadInfo};
use dougong_evm::derivation::Message;
use dougong_evm::error::{Error, Result as EvmResult};
use dougong_evm::state::StateReader;
use dougong_evm::tx::{decode_all, SenderCache, SignedTx};
use dougong_evm::{call, json, proof, sign, store};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::errors::{detached, raise};

/// Senders of the transactions seen last. A memory of a pure function: it can be stale, never wrong.
fn senders() -> &'static Arc<SenderCache> {
    static SENDERS: OnceLock<Arc<SenderCache>> = OnceLock::new();
    SENDERS.get_or_init(|| Arc::new(SenderCache::new(1 << 16)))
}

fn to_py(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Invalid(_) => raise(py, "InvalidInput", message, ""),
        Error::InvalidTransaction(_) => raise(py, "InvalidTransaction", message, ""),
        Error::Genesis(_) => raise(py, "ConfigError", message, "correct the genesis document"),
        Error::NotFound(_) => raise(py, "NotFound", message, ""),
        Error::Full(_) => raise(py, "StoreFull", message, "free disk space, or raise map_bytes, and try again"),
        Error::Corrupt(_) => {
            raise(py, "StoreCorrupt", message, "restore the store's folder, or remove it and rebuild from the layers below")
        }
        Error::Store(_) => raise(py, "StoreError", message, "see the operating system's message"),
    }
}

/// Runs without the GIL and bridges errors.
fn work<T: Send>(py: Python<'_>, work: impl FnOnce() -> EvmResult<T> + Send) -> PyResult<T> {
    detached(py, work)?.map_err(|error| to_py(py, error))
}

fn fixed<const N: usize>(py: Python<'_>, what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| raise(py, "InvalidInput", format!("{what} is {N} bytes, not {}", bytes.len()), ""))
}

fn address(py: Python<'_>, bytes: &[u8]) -> PyResult<Address> {
    fixed(py, "an address", bytes).map(Address::new)
}

fn slot(py: Python<'_>, bytes: &[u8]) -> PyResult<U256> {
    fixed::<32>(py, "a storage slot", bytes).map(U256::from_be_bytes)
}

fn messages(messages: Vec<(u8, Vec<u8>)>) -> Vec<Message> {
    messages.into_iter().map(|(kind, payload)| Message { kind, payload: payload.into() }).collect()
}

fn owned(txs: Vec<Vec<u8>>) -> Vec<Bytes> {
    txs.into_iter().map(Bytes::from).collect()
}

#[pyclass(frozen, module = "dougong._native")]
pub struct TxInfo(SignedTx);

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
    fn max_fee_per_gas(&self) -> u128 {
        self.0.max_fee_per_gas()
    }
    #[getter]
    fn max_priority_fee_per_gas(&self) -> u128 {
        self.0.max_priority_fee_per_gas()
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
    fn __repr__(&self) -> String {
        format!("TxInfo({} from {} nonce {})", self.0.hash(), self.0.sender, self.0.nonce())
    }
}

/// A 256-bit integer as a Python int.
fn integer(py: Python<'_>, value: U256) -> PyResult<Py<PyAny>> {
    match u128::try_from(value) {
        Ok(small) => Ok(small.into_pyobject(py)?.into_any().unbind()),
        Err(_) => {
            let bytes = PyBytes::new(py, &value.to_be_bytes::<32>());
            Ok(py.get_type::<pyo3::types::PyInt>().call_method1("from_bytes", (bytes, "big"))?.unbind())
        }
    }
}

#[pyclass(frozen, module = "dougong._native")]
#[derive(Clone)]
pub struct HeaderInfo(HeadInfo);

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
    fn inbox_end(&self) -> u64 {
        self.0.sealed.inbox_end()
    }
    #[getter]
    fn outbox_root(&self) -> &[u8] {
        self.0.outbox_root.as_slice()
    }
    fn __repr__(&self) -> String {
        format!("HeaderInfo(number {} hash {})", self.0.sealed.header.number, self.0.sealed.hash)
    }
}

#[pyclass(frozen, module = "dougong._native")]
pub struct BuiltBlock(Built);

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

#[pyfunction]
fn decode_transactions(py: Python<'_>, txs: Vec<Vec<u8>>) -> PyResult<Vec<Py<PyAny>>> {
    detached(py, || decode_all(&txs, senders()))?
        .into_iter()
        .map(|tx| match tx {
            Ok(tx) => Ok(Py::new(py, TxInfo(tx))?.into_any()),
            Err(reason) => Ok(PyString::new(py, &reason).into_any().unbind()),
        })
        .collect()
}

#[pyfunction]
fn sign_transaction<'py>(py: Python<'py>, fields_json: &str, private_key: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let signed = work(py, || sign::sign_transaction(fields_json, private_key))?;
    Ok(PyBytes::new(py, &signed))
}

#[pyfunction]
fn sign_transactions<'py>(
    py: Python<'py>,
    fields_json: Vec<String>,
    private_keys: Vec<Vec<u8>>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let signed = work(py, || sign::sign_transactions(&fields_json, &private_keys))?;
    Ok(signed.iter().map(|tx| PyBytes::new(py, tx)).collect())
}

#[pyfunction]
fn sign_authorization(py: Python<'_>, fields_json: &str, private_key: &[u8]) -> PyResult<String> {
    work(py, || sign::sign_authorization(fields_json, private_key))
}

#[pyfunction]
#[allow(clippy::type_complexity)]
fn verify_account_proof<'py>(
    py: Python<'py>,
    state_root: &[u8],
    address: &[u8],
    proof: Vec<Vec<u8>>,
) -> PyResult<Option<(u64, Py<PyAny>, Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
    let root = B256::new(fixed(py, "a state root", state_root)?);
    let address = self::address(py, address)?;
    let account =
        detached(py, || proof::verify_account(root, address, &proof))?.map_err(|why| raise(py, "InvalidProof", why, ""))?;
    let Some(account) = account else { return Ok(None) };
    let bytes = |hash: &B256| PyBytes::new(py, hash.as_slice());
    Ok(Some((account.nonce, integer(py, account.balance)?, bytes(&account.storage_root), bytes(&account.code_hash))))
}

#[pyfunction]
fn verify_storage_proof<'py>(
    py: Python<'py>,
    storage_root: &[u8],
    slot: &[u8],
    proof: Vec<Vec<u8>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let root = B256::new(fixed(py, "a storage root", storage_root)?);
    let slot = B256::new(fixed(py, "a storage slot", slot)?);
    let value =
        detached(py, || proof::verify_storage(root, slot, &proof))?.map_err(|why| raise(py, "InvalidProof", why, ""))?;
    Ok(PyBytes::new(py, &value.to_be_bytes::<32>()))
}

#[pyfunction]
fn decode_header(py: Python<'_>, header_rlp: &[u8]) -> PyResult<HeaderInfo> {
    let sealed = Sealed::decode(header_rlp).map_err(|why| raise(py, "InvalidInput", why, ""))?;
    Ok(HeaderInfo(HeadInfo { sealed, outbox_root: B256::ZERO }))
}

#[pyclass(frozen, module = "dougong._native")]
pub struct Evm {
    chain: RwLock<Option<Arc<Chain>>>,
    #[pyo3(get)]
    chain_id: u64,
    genesis_hash: B256,
}

impl Evm {
    fn with<T: Send>(&self, py: Python<'_>, run: impl FnOnce(&Chain) -> EvmResult<T> + Send) -> PyResult<T> {
        let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner).clone();
        work(py, move || match chain {
            Some(chain) => run(&chain),
            None => Err(Error::Store("the chain is closed".into())),
        })
    }

    fn bytes<'py>(
        &self,
        py: Python<'py>,
        run: impl FnOnce(&Chain) -> EvmResult<Vec<u8>> + Send,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.with(py, run)?))
    }
}

#[pymethods]
impl Evm {
    #[new]
    #[pyo3(signature = (path, genesis_json, *, map_bytes = store::DEFAULT_MAP_BYTES))]
    fn new(py: Python<'_>, path: &str, genesis_json: &str, map_bytes: usize) -> PyResult<Self> {
        let chain = work(py, || Chain::open(Path::new(path), genesis_json, map_bytes, senders().clone()))?;
        Ok(Self {
            chain_id: chain.config.chain_id,
            genesis_hash: chain.genesis_hash,
            chain: RwLock::new(Some(Arc::new(chain))),
        })
    }

    #[getter]
    fn genesis_hash(&self) -> &[u8] {
        self.genesis_hash.as_slice()
    }

    #[pyo3(signature = (timestamp, txs, *, skip_invalid, beneficiary))]
    fn execute(
        &self,
        py: Python<'_>,
        timestamp: u64,
        txs: Vec<Vec<u8>>,
        skip_invalid: bool,
        beneficiary: &[u8],
    ) -> PyResult<BuiltBlock> {
        let beneficiary = address(py, beneficiary)?;
        self.with(py, |chain| chain.execute(timestamp, &owned(txs), skip_invalid, beneficiary)).map(BuiltBlock)
    }

    fn execute_rollup(
        &self,
        py: Python<'_>,
        timestamp: u64,
        inbox_end: u64,
        messages: Vec<(u8, Vec<u8>)>,
        txs: Vec<Vec<u8>>,
    ) -> PyResult<BuiltBlock> {
        let messages = self::messages(messages);
        self.with(py, |chain| chain.execute_rollup(timestamp, inbox_end, &messages, &owned(txs))).map(BuiltBlock)
    }

    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, Chain::commit)
    }

    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, Chain::discard)
    }

    fn rollback(&self, py: Python<'_>, number: u64) -> PyResult<()> {
        self.with(py, |chain| chain.rollback(number))
    }

    fn encode_batch<'py>(&self, py: Python<'py>, first: u64, last: u64, level: i32) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| chain.encode_batch(first, last, level))
    }

    fn apply_batch(
        &self,
        py: Python<'_>,
        data: Option<Vec<u8>>,
        timestamp: u64,
        inbox_end: u64,
        messages: Vec<(u8, Vec<u8>)>,
    ) -> PyResult<Vec<HeaderInfo>> {
        let messages = self::messages(messages);
        let heads = self.with(py, |chain| chain.apply_batch(data.as_deref(), timestamp, inbox_end, &messages))?;
        Ok(heads.into_iter().map(HeaderInfo).collect())
    }

    fn head(&self, py: Python<'_>) -> PyResult<HeaderInfo> {
        self.with(py, |chain| Ok(HeaderInfo(HeadInfo::from(&chain.head()?))))
    }

    fn header(&self, py: Python<'_>, number: u64) -> PyResult<HeaderInfo> {
        self.with(py, |chain| Ok(HeaderInfo(HeadInfo::from(&chain.header(number)?))))
    }

    fn number_of(&self, py: Python<'_>, block_hash: &[u8]) -> PyResult<Option<u64>> {
        let hash = B256::new(fixed(py, "a block hash", block_hash)?);
        self.with(py, |chain| chain.number_of(&hash))
    }

    fn block_rlp<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| chain.block_rlp(number))
    }

    fn header_rlp<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| Ok(chain.header(number)?.rlp.to_vec()))
    }

    fn transactions<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let txs = self.with(py, |chain| chain.transactions(number))?;
        Ok(txs.iter().map(|tx| PyBytes::new(py, tx)).collect())
    }

    #[pyo3(signature = (address, number = None))]
    fn account(&self, py: Python<'_>, address: &[u8], number: Option<u64>) -> PyResult<(u64, Py<PyAny>)> {
        let address = self::address(py, address)?;
        let account = self.with(py, |chain| Ok(chain.at(number)?.1.account(address)?.unwrap_or_default()))?;
        Ok((account.nonce, integer(py, account.balance)?))
    }

    fn code<'py>(&self, py: Python<'py>, address: &[u8], number: u64) -> PyResult<Bound<'py, PyBytes>> {
        let address = self::address(py, address)?;
        self.bytes(py, |chain| {
            let (_, state) = chain.at(Some(number))?;
            let account = state.account(address)?.unwrap_or_default();
            Ok(state.code(account.code_hash)?.to_vec())
        })
    }

    fn storage<'py>(&self, py: Python<'py>, address: &[u8], slot: &[u8], number: u64) -> PyResult<Bound<'py, PyBytes>> {
        let (address, slot) = (self::address(py, address)?, self::slot(py, slot)?);
        self.bytes(py, |chain| Ok(chain.at(Some(number))?.1.storage(address, slot)?.to_be_bytes_vec()))
    }

    fn block_json<'py>(&self, py: Python<'py>, number: u64, full: bool) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| json::block(chain.store(), number, full))
    }

    fn transaction_json<'py>(&self, py: Python<'py>, tx_hash: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let hash = B256::new(fixed(py, "a transaction hash", tx_hash)?);
        Ok(self.with(py, |chain| json::transaction(chain.store(), &hash))?.map(|json| PyBytes::new(py, &json)))
    }

    fn receipt_json<'py>(&self, py: Python<'py>, tx_hash: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let hash = B256::new(fixed(py, "a transaction hash", tx_hash)?);
        Ok(self.with(py, |chain| json::receipt(chain.store(), &hash))?.map(|json| PyBytes::new(py, &json)))
    }

    fn block_receipts_json<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| json::block_receipts(chain.store(), number))
    }

    fn logs_json<'py>(
        &self,
        py: Python<'py>,
        filter_json: &str,
        first: u64,
        last: u64,
        limit: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| json::logs(chain.store(), filter_json, first, last, limit))
    }

    fn call_json<'py>(
        &self,
        py: Python<'py>,
        request_json: &str,
        number: u64,
        gas_cap: u64,
    ) -> PyResult<(bool, Bound<'py, PyBytes>, u64)> {
        let outcome = self.with(py, |chain| call::call(&chain.config, chain.store(), request_json, number, gas_cap))?;
        Ok((outcome.success, PyBytes::new(py, &outcome.data), outcome.gas))
    }

    fn estimate_gas_json<'py>(
        &self,
        py: Python<'py>,
        request_json: &str,
        number: u64,
        gas_cap: u64,
    ) -> PyResult<(bool, Bound<'py, PyBytes>, u64)> {
        let outcome = self.with(py, |chain| call::estimate_gas(&chain.config, chain.store(), request_json, number, gas_cap))?;
        Ok((outcome.success, PyBytes::new(py, &outcome.data), outcome.gas))
    }

    fn proof_json<'py>(
        &self,
        py: Python<'py>,
        address: &[u8],
        slots: Vec<Vec<u8>>,
        number: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let address = self::address(py, address)?;
        let slots: Vec<B256> =
            slots.iter().map(|slot| fixed(py, "a storage slot", slot).map(B256::new)).collect::<PyResult<_>>()?;
        self.bytes(py, |chain| json::proof(chain.store(), address, &slots, number))
    }

    /// Releases the store once the calls that are under way are done.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let chain = self.chain.write().unwrap_or_else(PoisonError::into_inner).take();
        detached(py, || drop(chain))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TxInfo>()?;
    module.add_class::<HeaderInfo>()?;
    module.add_class::<BuiltBlock>()?;
    module.add_class::<Evm>()?;
    module.add_function(wrap_pyfunction!(decode_transactions, module)?)?;
    module.add_function(wrap_pyfunction!(sign_transaction, module)?)?;
    module.add_function(wrap_pyfunction!(sign_transactions, module)?)?;
    module.add_function(wrap_pyfunction!(sign_authorization, module)?)?;
    module.add_function(wrap_pyfunction!(verify_account_proof, module)?)?;
    module.add_function(wrap_pyfunction!(verify_storage_proof, module)?)?;
    module.add_function(wrap_pyfunction!(decode_header, module)?)?;
    Ok(())
}
