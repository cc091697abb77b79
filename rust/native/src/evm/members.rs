//! Single parts of a stored block, read without the rest of it.

use dougong_evm::json;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{Evm, shown};

#[pymethods]
impl Evm {
    fn transaction_at_json<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        index: u64,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = self.with(py, |chain| {
            json::transaction_at(chain.store(), number, index)
        })?;
        Ok(shown(py, found))
    }

    fn raw_transaction<'py>(
        &self,
        py: Python<'py>,
        tx_hash: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.of_transaction(py, tx_hash, |chain, hash| {
            json::raw_transaction(chain.store(), hash)
        })
    }

    fn ommer_json<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        index: u64,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = self.with(py, |chain| json::ommer(chain.store(), number, index))?;
        Ok(shown(py, found))
    }

    fn transaction_count(&self, py: Python<'_>, number: u64) -> PyResult<usize> {
        self.with(py, |chain| json::transaction_count(chain.store(), number))
    }

    fn ommer_count(&self, py: Python<'_>, number: u64) -> PyResult<usize> {
        self.with(py, |chain| json::ommer_count(chain.store(), number))
    }
}
