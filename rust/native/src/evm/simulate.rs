//! Simulations: blocks that never were.

use dougong_evm::simulate::{Limits, simulate};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Evm;

/// Ends work that another thread does.
#[pyclass(frozen, module = "dougong._native")]
pub struct Cancellation(Arc<AtomicBool>);

#[pymethods]
impl Cancellation {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[pymethods]
impl Evm {
    #[pyo3(signature = (payload_json, number, *, gas_cap, seconds, max_bytes, cancellation))]
    #[allow(clippy::too_many_arguments)]
    fn simulate_json<'py>(
        &self,
        py: Python<'py>,
        payload_json: &str,
        number: u64,
        gas_cap: u64,
        seconds: f64,
        max_bytes: usize,
        cancellation: &Cancellation,
    ) -> PyResult<(i64, Bound<'py, PyBytes>)> {
        let limits = Limits {
            gas: gas_cap,
            time: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3_600)),
            bytes: max_bytes,
        };
        let cancelled = cancellation.0.clone();
        let outcome = self.with(py, |chain| {
            let store = chain.store();
            simulate(
                &chain.config,
                store,
                payload_json,
                number,
                &limits,
                &cancelled,
            )
        })?;
        Ok(match outcome {
            Ok(json) => (0, PyBytes::new(py, &json)),
            Err(failure) => (failure.code, PyBytes::new(py, failure.message.as_bytes())),
        })
    }
}
