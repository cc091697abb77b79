//! Blocks that others made.

use pyo3::prelude::*;

use super::Evm;
use super::values::HeaderInfo;

#[pymethods]
impl Evm {
    fn import_blocks(&self, py: Python<'_>, blocks: &[u8]) -> PyResult<Vec<HeaderInfo>> {
        let heads = self.with(py, |chain| chain.import(blocks))?;
        Ok(heads.into_iter().map(HeaderInfo).collect())
    }
}
