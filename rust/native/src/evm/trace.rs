//! Traces: executions of the past, watched, and what lies beside them.

use dougong_evm::trace::{self, Bounds};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::time::Duration;

use super::Evm;

fn bounds(seconds: f64, max_bytes: usize) -> Bounds {
    Bounds {
        time: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        bytes: max_bytes,
    }
}

type Found<'py> = Option<Bound<'py, PyBytes>>;

#[pymethods]
impl Evm {
    fn trace_transaction<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
        options_json: &str,
        seconds: f64,
        max_bytes: usize,
    ) -> PyResult<Found<'py>> {
        let bounds = bounds(seconds, max_bytes);
        self.of_transaction(py, tx_hash, |chain, hash| {
            trace::transaction(&chain.config, chain.store(), hash, options_json, &bounds)
        })
    }

    fn trace_block<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        options_json: &str,
        seconds: f64,
        max_bytes: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let bounds = bounds(seconds, max_bytes);
        self.bytes(py, |chain| {
            trace::block(&chain.config, chain.store(), number, options_json, &bounds)
        })
    }

    fn trace_block_rlp<'py>(
        &self,
        py: Python<'py>,
        block_rlp: &[u8],
        options_json: &str,
        seconds: f64,
        max_bytes: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let bounds = bounds(seconds, max_bytes);
        self.bytes(py, |chain| {
            trace::raw_block(
                &chain.config,
                chain.store(),
                block_rlp,
                options_json,
                &bounds,
            )
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn trace_call<'py>(
        &self,
        py: Python<'py>,
        request_json: &str,
        number: u64,
        gas_cap: u64,
        options_json: &str,
        seconds: f64,
        max_bytes: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let bounds = bounds(seconds, max_bytes);
        self.bytes(py, |chain| {
            trace::call(
                &chain.config,
                chain.store(),
                request_json,
                number,
                gas_cap,
                options_json,
                &bounds,
            )
        })
    }

    #[pyo3(signature = (request_json, number, gas_cap, seconds, max_bytes, overrides_json = "null"))]
    #[allow(clippy::too_many_arguments)]
    fn access_list_json<'py>(
        &self,
        py: Python<'py>,
        request_json: &str,
        number: u64,
        gas_cap: u64,
        seconds: f64,
        max_bytes: usize,
        overrides_json: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let bounds = bounds(seconds, max_bytes);
        self.bytes(py, |chain| {
            trace::access_list(
                &chain.config,
                chain.store(),
                request_json,
                overrides_json,
                number,
                gas_cap,
                &bounds,
            )
        })
    }

    fn trace_entries_json<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
        seconds: f64,
        max_bytes: usize,
    ) -> PyResult<Found<'py>> {
        let bounds = bounds(seconds, max_bytes);
        self.of_transaction(py, tx_hash, |chain, hash| {
            trace::entries(&chain.config, chain.store(), hash, &bounds)
        })
    }

    fn internal_operations_json<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
        seconds: f64,
        max_bytes: usize,
    ) -> PyResult<Found<'py>> {
        let bounds = bounds(seconds, max_bytes);
        self.of_transaction(py, tx_hash, |chain, hash| {
            trace::internal_operations(&chain.config, chain.store(), hash, &bounds)
        })
    }

    fn revert_data<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
        seconds: f64,
        max_bytes: usize,
    ) -> PyResult<Found<'py>> {
        let bounds = bounds(seconds, max_bytes);
        self.of_transaction(py, tx_hash, |chain, hash| {
            trace::revert_data(&chain.config, chain.store(), hash, &bounds)
        })
    }

    fn raw_receipts<'py>(
        &self,
        py: Python<'py>,
        number: u64,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let receipts = self.with(py, |chain| trace::raw_receipts(chain.store(), number))?;
        Ok(receipts
            .iter()
            .map(|receipt| PyBytes::new(py, receipt))
            .collect())
    }
}
