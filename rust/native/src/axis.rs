//! Bindings of one axis of a square. The GIL is released while it is made; malformed arguments raise `ValueError`.

use crate::list::list;
use crate::square::{NamespaceProof, axis_of, namespace_of, outside};
use dougong_square::{ExtendedAxis, SquareError};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

#[pyclass(name = "ExtendedAxis", module = "dougong._native", frozen)]
struct PyExtendedAxis(ExtendedAxis);

impl PyExtendedAxis {
    fn check(&self, start: usize, end: usize) -> PyResult<()> {
        if start < end && end <= self.0.width() {
            return Ok(());
        }
        Err(outside(start, end))
    }
}

#[pymethods]
impl PyExtendedAxis {
    #[new]
    fn new(py: Python<'_>, axis: u8, index: usize, half: &[u8]) -> PyResult<Self> {
        let axis = axis_of(axis)?;
        py.detach(|| ExtendedAxis::new(axis, index, half))
            .map(Self)
            .map_err(|error| {
                PyValueError::new_err(match error {
                    SquareError::Shape(bytes) => {
                        format!("{bytes} bytes are not half of axis {index} of a square")
                    }
                    other => other.to_string(),
                })
            })
    }

    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.root())
    }

    fn shares<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        end: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        self.check(start, end)?;
        list(py, self.0.shares(start, end))
    }

    fn prove_range<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        end: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        self.check(start, end)?;
        list(py, self.0.prove_range(start, end))
    }

    fn prove_namespace<'py>(
        &self,
        py: Python<'py>,
        namespace: &[u8],
    ) -> PyResult<Option<NamespaceProof<'py>>> {
        let Some(proof) = self.0.prove_namespace(&namespace_of(namespace)?) else {
            return Ok(None);
        };
        let leaf = PyBytes::new(py, proof.leaf.as_ref().map_or(&[], |leaf| leaf.as_slice()));
        Ok(Some((proof.start, proof.end, list(py, proof.nodes)?, leaf)))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyExtendedAxis>()
}
