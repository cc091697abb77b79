//! Python bindings: each kernel's module is a thin file of its own; nothing is computed here.

#[cfg(feature = "square")]
mod axis;
#[cfg(feature = "evm")]
mod errors;
#[cfg(feature = "evm")]
mod evm;
#[cfg(feature = "kzg")]
mod kzg;
#[cfg(any(feature = "square", feature = "kzg"))]
mod list;
#[cfg(feature = "square")]
mod square;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyfunction]
fn keccak256<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &keccak_asm::Keccak256::digest(data))
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(keccak256, module)?)?;
    #[cfg(feature = "square")]
    square::register(module)?;
    #[cfg(feature = "square")]
    axis::register(module)?;
    #[cfg(feature = "evm")]
    evm::register(module)?;
    #[cfg(feature = "kzg")]
    kzg::register(module)?;
    Ok(())
}
