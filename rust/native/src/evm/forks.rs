//! What the rules of a chain are, and what they make of its fees.

use dougong_evm::{fork_json, header_rules};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::Evm;

#[pymethods]
impl Evm {
    fn config_json<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| {
            let genesis = chain.header(0)?.sealed;
            let head = chain.header(number)?.sealed.header;
            Ok(fork_json::config(
                &chain.config,
                (genesis.hash, genesis.header.timestamp),
                (head.number, head.timestamp),
            ))
        })
    }

    fn fees(&self, py: Python<'_>, number: u64) -> PyResult<(u64, u64, u128, u128, u64)> {
        let fees = self.with(py, |chain| {
            let header = chain.header(number)?.sealed.header;
            Ok(header_rules::fees(&chain.config, &header))
        })?;
        Ok((
            fees.base_fee,
            fees.next_base_fee,
            fees.blob_fee,
            fees.next_blob_fee,
            fees.blob_gas_limit,
        ))
    }
}
