//! The threads that execute blocks.

use dougong_evm::parallel::Workers;
use pyo3::prelude::*;

use super::Evm;

#[pymethods]
impl Evm {
    #[pyo3(signature = (threads, *, always = false))]
    fn set_threads(&self, py: Python<'_>, threads: usize, always: bool) -> PyResult<()> {
        self.with(py, |chain| {
            let workers = Workers::new(threads)?;
            chain.set_workers(if always { workers.always() } else { workers })
        })
    }

    fn parallel(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        self.with(py, |chain| chain.parallel())
    }
}
