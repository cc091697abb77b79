//! Bindings of `dougong-square`. Long calls release the GIL; malformed arguments raise `ValueError`. Shares go in and out without
//! being copied here: in as whatever lends its memory (the buffer protocol), out as a view of the square's own.

use crate::list::list;
use dougong_square::nmt::{NODE, Node};
use dougong_square::{
    Axis, ExtendedSquare, NAMESPACE, RepairError, Repaired, SHARE, SquareError, axis_root, repair,
    sha,
};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

#[pyclass(name = "ExtendedSquare", module = "dougong._native", frozen)]
struct PyExtendedSquare(ExtendedSquare);

pub type NamespaceProof<'py> = (usize, usize, Bound<'py, PyList>, Bound<'py, PyBytes>);

pub fn axis_of(axis: u8) -> PyResult<Axis> {
    match axis {
        0 => Ok(Axis::Row),
        1 => Ok(Axis::Column),
        _ => Err(PyValueError::new_err("an axis is 0 (row) or 1 (column)")),
    }
}

/// The bytes that a Python object lends, which can be neither freed nor resized until `buffer` is dropped.
#[allow(unsafe_code)]
fn lent(buffer: &PyBuffer<u8>) -> PyResult<&[u8]> {
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer is not contiguous"));
    }
    if buffer.len_bytes() == 0 {
        return Ok(&[]);
    }
    // SAFETY: the pointer is valid for so many bytes while the buffer is held, and any bytes are valid. Python code that writes to
    // them in another thread meanwhile changes what is read, which is copied before it is worked on, and nothing else.
    Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) })
}

fn refusal(error: SquareError) -> PyErr {
    match error {
        SquareError::Memory => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

pub fn outside(start: usize, end: usize) -> PyErr {
    PyIndexError::new_err(format!(
        "leaves [{start}, {end}) are outside the tree, or none"
    ))
}

pub fn namespace_of(raw: &[u8]) -> PyResult<[u8; NAMESPACE]> {
    raw.try_into().map_err(|_| {
        PyValueError::new_err(format!(
            "a namespace is {NAMESPACE} bytes, not {}",
            raw.len()
        ))
    })
}

impl PyExtendedSquare {
    fn check(&self, index: usize) -> PyResult<usize> {
        if index < 2 * self.0.k() {
            return Ok(index);
        }
        Err(PyIndexError::new_err(format!(
            "{index} is outside a square of width {}",
            2 * self.0.k()
        )))
    }
}

#[pymethods]
impl PyExtendedSquare {
    #[new]
    fn new(py: Python<'_>, original: PyBuffer<u8>) -> PyResult<Self> {
        let original = lent(&original)?;
        py.detach(|| ExtendedSquare::new(original))
            .map(Self)
            .map_err(refusal)
    }

    #[staticmethod]
    fn from_cells(py: Python<'_>, cells: PyBuffer<u8>) -> PyResult<Self> {
        let cells = lent(&cells)?;
        py.detach(|| ExtendedSquare::from_cells(cells))
            .map(Self)
            .map_err(refusal)
    }

    /// All cells, row by row, to be read only.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let cells = slf.get().0.cells();
        let (pointer, length) = (cells.as_ptr().cast_mut(), cells.len());
        // SAFETY: the view keeps a reference to the object, whose cells stay where they are and as they are until it is dropped;
        // it is made read-only. The interpreter gives a view to fill.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                pointer.cast(),
                length as isize,
                1,
                flags,
            )
        };
        match filled {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }

    #[getter]
    fn k(&self) -> usize {
        self.0.k()
    }

    fn share<'py>(
        &self,
        py: Python<'py>,
        row: usize,
        column: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(
            py,
            self.0.share(self.check(row)?, self.check(column)?),
        ))
    }

    fn axis<'py>(&self, py: Python<'py>, axis: u8, index: usize) -> PyResult<Bound<'py, PyList>> {
        list(py, self.0.axis(axis_of(axis)?, self.check(index)?))
    }

    fn row_roots<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, self.0.row_roots())
    }

    fn column_roots<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, self.0.column_roots())
    }

    fn data_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.data_root())
    }

    fn prove_range<'py>(
        &self,
        py: Python<'py>,
        axis: u8,
        index: usize,
        start: usize,
        end: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let (axis, index) = (axis_of(axis)?, self.check(index)?);
        if start >= end || end > 2 * self.0.k() {
            return Err(outside(start, end));
        }
        let nodes = py.detach(|| self.0.prove_range(axis, index, start, end));
        list(py, nodes)
    }

    fn prove_namespace<'py>(
        &self,
        py: Python<'py>,
        row: usize,
        namespace: &[u8],
    ) -> PyResult<Option<NamespaceProof<'py>>> {
        let row = self.check(row)?;
        let namespace = namespace_of(namespace)?;
        let Some(proof) = py.detach(|| self.0.prove_namespace(row, &namespace)) else {
            return Ok(None);
        };
        let leaf = PyBytes::new(py, proof.leaf.as_ref().map_or(&[], |leaf| leaf.as_slice()));
        Ok(Some((proof.start, proof.end, list(py, proof.nodes)?, leaf)))
    }
}

fn nodes(roots: &[PyBackedBytes]) -> PyResult<Vec<Node>> {
    roots
        .iter()
        .map(|root| {
            (**root).try_into().map_err(|_| {
                PyValueError::new_err(format!("a root is {NODE} bytes, not {}", root.len()))
            })
        })
        .collect()
}

/// The square; or (axis, index, shares, nodes that prove them) of a bad encoding; or how many cells are known where that is not enough.
#[pyfunction]
#[pyo3(signature = (cells, row_roots, column_roots, present=None))]
fn repair_square<'py>(
    py: Python<'py>,
    cells: &Bound<'py, PyAny>,
    row_roots: Vec<PyBackedBytes>,
    column_roots: Vec<PyBackedBytes>,
    present: Option<PyBuffer<u8>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (rows, columns) = (nodes(&row_roots)?, nodes(&column_roots)?);
    let (listed, buffer): (Vec<Option<PyBackedBytes>>, PyBuffer<u8>);
    let given: Vec<Option<&[u8]>> = match &present {
        None => {
            listed = cells.extract()?;
            listed.iter().map(|cell| cell.as_deref()).collect()
        }
        Some(present) => {
            buffer = cells.extract()?;
            let (present, cells) = (lent(present)?, lent(&buffer)?);
            if Some(cells.len()) != present.len().checked_mul(SHARE) {
                return Err(PyValueError::new_err(format!(
                    "{} cells take as many times {SHARE} bytes, not {}",
                    present.len(),
                    cells.len()
                )));
            }
            let cells = cells.chunks_exact(SHARE).zip(present);
            cells
                .map(|(cell, &present)| (present != 0).then_some(cell))
                .collect()
        }
    };
    let repaired = py
        .detach(|| repair(&given, &rows, &columns))
        .map_err(|error| match error {
            RepairError::Memory => {
                PyMemoryError::new_err("no memory is left for the extended square")
            }
            RepairError::Shape => PyValueError::new_err(format!(
                "repair takes 2k row and 2k column roots and 4k² cells of {SHARE} bytes or None"
            )),
        })?;
    match repaired {
        Repaired::Square(square) => Ok(Bound::new(py, PyExtendedSquare(*square))?.into_any()),
        Repaired::BadEncoding {
            axis,
            index,
            shares,
            nodes,
        } => {
            let shares: Vec<_> = shares
                .iter()
                .map(|s| s.as_ref().map(|s| PyBytes::new(py, s)))
                .collect();
            let nodes = nodes
                .into_iter()
                .map(|proof| proof.map(|nodes| list(py, nodes)).transpose())
                .collect::<PyResult<Vec<_>>>()?;
            Ok((axis as u8, index, shares, nodes)
                .into_pyobject(py)?
                .into_any())
        }
        Repaired::NotEnough(known) => Ok(known.into_pyobject(py)?.into_any()),
    }
}

/// A number of any size, so that one from elsewhere is refused for its value and not for its type.
fn number(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    value
        .extract()
        .map_err(|_| PyValueError::new_err("an index and a width are small whole numbers"))
}

/// The root of an axis from any k of its cells.
#[pyfunction(name = "axis_root")]
fn axis_root_of<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = number)] k: usize,
    #[pyo3(from_py_with = number)] axis: usize,
    #[pyo3(from_py_with = number)] index: usize,
    shares: Vec<Option<PyBackedBytes>>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let axis = axis_of(axis.try_into().unwrap_or(u8::MAX))?;
    let given: Vec<Option<&[u8]>> = shares.iter().map(|share| share.as_deref()).collect();
    let root = py
        .detach(|| axis_root(k, axis, index, &given))
        .map_err(|_| {
            PyValueError::new_err(format!(
                "a root takes an axis of a square and 2k shares of {SHARE} bytes or None, k or more of them given"
            ))
        })?;
    Ok(root.map(|root| PyBytes::new(py, &root)))
}

#[pyfunction]
fn sha256_many<'py>(
    py: Python<'py>,
    messages: PyBuffer<u8>,
    #[pyo3(from_py_with = number)] size: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let messages = lent(&messages)?;
    if size == 0 || !messages.len().is_multiple_of(size) {
        return Err(PyValueError::new_err(format!(
            "{} bytes are not messages of {size} each",
            messages.len()
        )));
    }
    let digests = py.detach(|| sha::many(messages, size));
    Ok(PyBytes::new(py, digests.as_flattened()))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyExtendedSquare>()?;
    module.add_function(wrap_pyfunction!(repair_square, module)?)?;
    module.add_function(wrap_pyfunction!(axis_root_of, module)?)?;
    module.add_function(wrap_pyfunction!(sha256_many, module)?)?;
    Ok(())
}
