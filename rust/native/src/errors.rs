//! The error bridge: `dougong.errors` raised by name, and panics kept on this side of the boundary.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An error of `dougong.errors`.
pub fn raise(py: Python<'_>, class: &str, message: String, remedy: &str) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let class = py.import("dougong.errors")?.getattr(class)?;
        let keywords = PyDict::new(py);
        keywords.set_item("remedy", remedy)?;
        Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
    };
    make().unwrap_or_else(|error| error)
}

/// Runs `work` without the GIL. A panic becomes a `DougongError`.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(value) => Ok(value),
        Err(panic) => {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_string())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(raise(
                py,
                "DougongError",
                format!("the native core failed: {what}"),
                "report this as a bug",
            ))
        }
    }
}
