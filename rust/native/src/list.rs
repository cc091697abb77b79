//! Byte strings of Rust as Python's list of bytes.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

pub fn list<'py, T: AsRef<[u8]>>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T>,
) -> PyResult<Bound<'py, PyList>> {
    PyList::new(
        py,
        items
            .into_iter()
            .map(|item| PyBytes::new(py, item.as_ref()))
            .collect::<Vec<_>>(),
    )
}
