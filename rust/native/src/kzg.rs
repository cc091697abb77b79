//! Bindings of c-kzg (EIP-4844, EIP-7594) with Ethereum's trusted setup. Every call releases the GIL; malformed arguments
//! raise `ValueError`.

use crate::list::list;
use c_kzg::{Blob, Bytes48, Cell, Error, KzgSettings, ethereum_kzg_settings};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

/// As revm's point evaluation has it: a process loads one setup (100 MB; without tables proofs cost 1.6 times as much).
const PRECOMPUTE: u64 = 8;

type CellsAndProofs<'py> = (Bound<'py, PyList>, Bound<'py, PyList>);

fn settings() -> &'static KzgSettings {
    ethereum_kzg_settings(PRECOMPUTE)
}

fn wrong(error: Error) -> PyErr {
    PyValueError::new_err(match error {
        Error::CError(code) => format!("c-kzg refuses the arguments: {code:?}"),
        other => other.to_string(),
    })
}

fn all<T>(
    items: &[PyBackedBytes],
    read: impl Fn(&[u8]) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    items.iter().map(|item| read(item)).collect()
}

#[pyfunction]
fn kzg_commitment<'py>(py: Python<'py>, blob: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let commitment = py
        .detach(|| settings().blob_to_kzg_commitment(&Blob::from_bytes(blob)?))
        .map_err(wrong)?;
    Ok(PyBytes::new(py, commitment.to_bytes().as_ref()))
}

#[pyfunction]
fn kzg_cells_and_proofs<'py>(py: Python<'py>, blob: &[u8]) -> PyResult<CellsAndProofs<'py>> {
    let (cells, proofs) = py
        .detach(|| settings().compute_cells_and_kzg_proofs(&Blob::from_bytes(blob)?))
        .map_err(wrong)?;
    Ok((
        list(py, cells.iter().map(Cell::to_bytes))?,
        list(py, proofs.iter().map(|proof| proof.to_bytes().into_inner()))?,
    ))
}

#[pyfunction]
fn kzg_recover<'py>(
    py: Python<'py>,
    indices: Vec<u64>,
    cells: Vec<PyBackedBytes>,
) -> PyResult<CellsAndProofs<'py>> {
    let (cells, proofs) = py
        .detach(|| {
            settings().recover_cells_and_kzg_proofs(&indices, &all(&cells, Cell::from_bytes)?)
        })
        .map_err(wrong)?;
    Ok((
        list(py, cells.iter().map(Cell::to_bytes))?,
        list(py, proofs.iter().map(|proof| proof.to_bytes().into_inner()))?,
    ))
}

#[pyfunction]
fn kzg_verify_cells(
    py: Python<'_>,
    commitments: Vec<PyBackedBytes>,
    indices: Vec<u64>,
    cells: Vec<PyBackedBytes>,
    proofs: Vec<PyBackedBytes>,
) -> PyResult<bool> {
    py.detach(|| {
        settings().verify_cell_kzg_proof_batch(
            &all(&commitments, Bytes48::from_bytes)?,
            &indices,
            &all(&cells, Cell::from_bytes)?,
            &all(&proofs, Bytes48::from_bytes)?,
        )
    })
    .map_err(wrong)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(kzg_commitment, module)?)?;
    module.add_function(wrap_pyfunction!(kzg_cells_and_proofs, module)?)?;
    module.add_function(wrap_pyfunction!(kzg_recover, module)?)?;
    module.add_function(wrap_pyfunction!(kzg_verify_cells, module)?)
}
