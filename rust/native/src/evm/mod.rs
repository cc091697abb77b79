//! The EVM execution layer for Python (see `dougong/_native.pyi`).

mod bridge;
mod calls;
mod forks;
mod functions;
mod import;
mod members;
mod parallel;
mod simulate;
mod snapshot;
mod streams;
mod trace;
mod values;

use dougong_evm::alloy::B256;
use dougong_evm::chain::{Chain, HeadInfo};
use dougong_evm::error::{Error, Result as EvmResult};
use dougong_evm::state::StateReader;
use dougong_evm::{call, json, prove, receipts, store};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use crate::errors::detached;
use bridge::{fixed, integer, owned, senders, work};
use values::{BuiltBlock, HeaderInfo, TxInfo};

#[pyclass(frozen, module = "dougong._native")]
pub struct Evm {
    chain: RwLock<Option<Arc<Chain>>>,
    #[pyo3(get)]
    chain_id: u64,
    genesis_hash: B256,
}

impl Evm {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        run: impl FnOnce(&Chain) -> EvmResult<T> + Send,
    ) -> PyResult<T> {
        let chain = self
            .chain
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
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

    /// What `find` knows of the transaction of that hash.
    fn of_transaction<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
        find: impl FnOnce(&Chain, &B256) -> EvmResult<Option<Vec<u8>>> + Send,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let hash = B256::new(fixed(py, "a transaction hash", tx_hash)?);
        let found = self.with(py, |chain| find(chain, &hash))?;
        Ok(shown(py, found))
    }

    fn outcome<'py>(
        &self,
        py: Python<'py>,
        run: impl FnOnce(&Chain) -> EvmResult<call::Outcome> + Send,
    ) -> PyResult<(bool, Bound<'py, PyBytes>, u64)> {
        let outcome = self.with(py, run)?;
        let data = PyBytes::new(py, &outcome.data);
        Ok((outcome.success, data, outcome.gas))
    }
}

fn shown(py: Python<'_>, found: Option<Vec<u8>>) -> Option<Bound<'_, PyBytes>> {
    found.map(|bytes| PyBytes::new(py, &bytes))
}

#[pymethods]
impl Evm {
    #[new]
    #[pyo3(signature = (path, genesis_json, *, map_bytes = store::DEFAULT_MAP_BYTES, imported = false))]
    fn new(
        py: Python<'_>,
        path: &str,
        genesis_json: &str,
        map_bytes: usize,
        imported: bool,
    ) -> PyResult<Self> {
        let open = if imported {
            Chain::open_imported
        } else {
            Chain::open
        };
        let chain = work(py, || {
            open(Path::new(path), genesis_json, map_bytes, senders().clone())
        })?;
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
        let beneficiary = bridge::address(py, beneficiary)?;
        self.with(py, |chain| {
            chain.execute(timestamp, &owned(txs), skip_invalid, beneficiary)
        })
        .map(BuiltBlock)
    }

    fn execute_rollup(
        &self,
        py: Python<'_>,
        timestamp: u64,
        inbox_end: u64,
        messages: Vec<(u8, Vec<u8>)>,
        txs: Vec<Vec<u8>>,
    ) -> PyResult<BuiltBlock> {
        let messages = bridge::messages(messages);
        self.with(py, |chain| {
            chain.execute_rollup(timestamp, inbox_end, &messages, &owned(txs))
        })
        .map(BuiltBlock)
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

    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        first: u64,
        last: u64,
        level: i32,
    ) -> PyResult<Bound<'py, PyBytes>> {
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
        let messages = bridge::messages(messages);
        let heads = self.with(py, |chain| {
            chain.apply_batch(data.as_deref(), timestamp, inbox_end, &messages)
        })?;
        Ok(heads.into_iter().map(HeaderInfo).collect())
    }

    fn head(&self, py: Python<'_>) -> PyResult<HeaderInfo> {
        self.with(py, |chain| Ok(HeaderInfo(HeadInfo::from(&chain.head()?))))
    }

    fn header(&self, py: Python<'_>, number: u64) -> PyResult<HeaderInfo> {
        self.with(py, |chain| {
            Ok(HeaderInfo(HeadInfo::from(&chain.header(number)?)))
        })
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

    fn transactions<'py>(
        &self,
        py: Python<'py>,
        number: u64,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let txs = self.with(py, |chain| chain.transactions(number))?;
        Ok(txs.iter().map(|tx| PyBytes::new(py, tx)).collect())
    }

    #[pyo3(signature = (address, number = None))]
    fn account(
        &self,
        py: Python<'_>,
        address: &[u8],
        number: Option<u64>,
    ) -> PyResult<(u64, Py<PyAny>)> {
        let address = bridge::address(py, address)?;
        let account = self.with(py, |chain| {
            Ok(chain.at(number)?.1.account(address)?.unwrap_or_default())
        })?;
        Ok((account.nonce, integer(py, account.balance)?))
    }

    fn code<'py>(
        &self,
        py: Python<'py>,
        address: &[u8],
        number: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let address = bridge::address(py, address)?;
        self.bytes(py, |chain| {
            let (_, state) = chain.at(Some(number))?;
            let account = state.account(address)?.unwrap_or_default();
            Ok(state.code(account.code_hash)?.to_vec())
        })
    }

    fn storage<'py>(
        &self,
        py: Python<'py>,
        address: &[u8],
        slot: &[u8],
        number: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (address, slot) = (bridge::address(py, address)?, bridge::slot(py, slot)?);
        self.bytes(py, |chain| {
            Ok(chain
                .at(Some(number))?
                .1
                .storage(address, slot)?
                .to_be_bytes_vec())
        })
    }

    fn block_json<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        full: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| json::block(chain.store(), number, full))
    }

    fn transaction_json<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.of_transaction(py, tx_hash, |chain, hash| {
            json::transaction(chain.store(), hash)
        })
    }

    fn receipt_json<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.of_transaction(py, tx_hash, |chain, hash| {
            receipts::one(chain.store(), hash)
        })
    }

    fn block_receipts_json<'py>(
        &self,
        py: Python<'py>,
        number: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| receipts::block(chain.store(), number))
    }

    #[pyo3(signature = (request_json, number, gas_cap, overrides_json = ("null", "null")))]
    fn call_json<'py>(
        &self,
        py: Python<'py>,
        request_json: &str,
        number: u64,
        gas_cap: u64,
        overrides_json: (&str, &str),
    ) -> PyResult<(bool, Bound<'py, PyBytes>, u64)> {
        self.outcome(py, |chain| {
            let request = call::Request::parse(request_json, overrides_json)?;
            call::call(&chain.config, chain.store(), &request, number, gas_cap)
        })
    }

    #[pyo3(signature = (request_json, number, gas_cap, overrides_json = ("null", "null")))]
    fn estimate_gas_json<'py>(
        &self,
        py: Python<'py>,
        request_json: &str,
        number: u64,
        gas_cap: u64,
        overrides_json: (&str, &str),
    ) -> PyResult<(bool, Bound<'py, PyBytes>, u64)> {
        self.outcome(py, |chain| {
            let request = call::Request::parse(request_json, overrides_json)?;
            call::estimate_gas(&chain.config, chain.store(), &request, number, gas_cap)
        })
    }

    fn proof_json<'py>(
        &self,
        py: Python<'py>,
        address: &[u8],
        slots: Vec<Vec<u8>>,
        number: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let address = bridge::address(py, address)?;
        self.bytes(py, |chain| {
            prove::proof(chain.store(), address, &slots, number)
        })
    }

    /// Releases the store once the calls that are under way are done.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let chain = self
            .chain
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        detached(py, || drop(chain))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TxInfo>()?;
    module.add_class::<HeaderInfo>()?;
    module.add_class::<BuiltBlock>()?;
    module.add_class::<Evm>()?;
    module.add_class::<calls::Calls>()?;
    module.add_class::<simulate::Cancellation>()?;
    module.add_function(wrap_pyfunction!(snapshot::import_snapshot, module)?)?;
    module.add_function(wrap_pyfunction!(snapshot::snapshot_block, module)?)?;
    module.add_function(wrap_pyfunction!(functions::decode_transactions, module)?)?;
    module.add_function(wrap_pyfunction!(functions::transactions_root, module)?)?;
    module.add_function(wrap_pyfunction!(functions::sign_transaction, module)?)?;
    module.add_function(wrap_pyfunction!(functions::sign_transactions, module)?)?;
    module.add_function(wrap_pyfunction!(functions::sign_authorization, module)?)?;
    module.add_function(wrap_pyfunction!(functions::verify_account_proof, module)?)?;
    module.add_function(wrap_pyfunction!(functions::verify_storage_proof, module)?)?;
    module.add_function(wrap_pyfunction!(functions::decode_header, module)?)?;
    module.add_function(wrap_pyfunction!(functions::encode_batch, module)?)?;
    module.add_function(wrap_pyfunction!(functions::decode_batch, module)?)?;
    Ok(())
}
