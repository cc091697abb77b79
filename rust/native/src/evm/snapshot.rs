//! Snapshots and pruning.

use dougong_evm::alloy::B256;
use dougong_evm::error::Error;
use dougong_evm::snapshot;
use dougong_evm::store::DEFAULT_MAP_BYTES;
use pyo3::prelude::*;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use super::Evm;
use super::bridge::{fixed, work};
use super::values::HeaderInfo;

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| match error.kind() {
        std::io::ErrorKind::StorageFull => Error::Full(error.to_string()),
        std::io::ErrorKind::NotFound => Error::NotFound(format!("{}: {error}", path.display())),
        _ => Error::Store(format!("{}: {error}", path.display())),
    }
}

#[pymethods]
impl Evm {
    /// Writes the file whole or not at all.
    #[pyo3(signature = (path, number = None))]
    fn export_snapshot(
        &self,
        py: Python<'_>,
        path: PathBuf,
        number: Option<u64>,
    ) -> PyResult<(u64, B256Bytes, B256Bytes, u64, u64, u64)> {
        let told = self.with(py, |chain| {
            let failed = failed(&path);
            let mut part = path.clone().into_os_string();
            part.push(".part");
            let part = PathBuf::from(part);
            let file = File::create(&part).map_err(&failed)?;
            let told = snapshot::export(chain, number, BufWriter::new(&file));
            let told = told.and_then(|told| {
                file.sync_all().map_err(&failed)?;
                std::fs::rename(&part, &path).map_err(&failed)?;
                Ok(told)
            });
            if told.is_err() {
                let _ = std::fs::remove_file(&part);
            }
            told
        })?;
        Ok((
            told.number,
            told.hash.into(),
            told.digest.into(),
            told.accounts,
            told.slots,
            told.codes,
        ))
    }

    fn prune(&self, py: Python<'_>, states: u64, bodies: u64) -> PyResult<bool> {
        self.with(py, |chain| chain.prune(states, bodies))
    }

    /// The first block whose state, whose body and receipts, and whose header the store holds.
    fn kept(&self, py: Python<'_>) -> PyResult<(u64, u64, u64)> {
        let kept = self.with(py, |chain| chain.kept())?;
        Ok((kept.states, kept.bodies, kept.headers))
    }
}

/// 32 bytes that Python gets as `bytes`.
pub struct B256Bytes(B256);

impl From<B256> for B256Bytes {
    fn from(hash: B256) -> Self {
        Self(hash)
    }
}

impl<'py> IntoPyObject<'py> for B256Bytes {
    type Target = pyo3::types::PyBytes;
    type Output = Bound<'py, Self::Target>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(pyo3::types::PyBytes::new(py, self.0.as_slice()))
    }
}

/// Makes an empty folder the chain of the genesis document as of a trusted block.
#[pyfunction]
#[pyo3(signature = (path, genesis_json, trusted, snapshot_path, *, map_bytes = DEFAULT_MAP_BYTES))]
pub fn import_snapshot(
    py: Python<'_>,
    path: PathBuf,
    genesis_json: &str,
    trusted: &[u8],
    snapshot_path: PathBuf,
    map_bytes: usize,
) -> PyResult<HeaderInfo> {
    let trusted = B256::new(fixed(py, "a block hash", trusted)?);
    let head = work(py, || {
        let file = File::open(&snapshot_path).map_err(failed(&snapshot_path))?;
        snapshot::import(
            &path,
            genesis_json,
            map_bytes,
            &trusted,
            BufReader::new(file),
        )
    })?;
    Ok(HeaderInfo(head))
}

/// Number and hash of the block that a snapshot says it is of.
#[pyfunction]
pub fn snapshot_block(py: Python<'_>, snapshot_path: PathBuf) -> PyResult<(u64, B256Bytes)> {
    let sealed = work(py, || {
        let file = File::open(&snapshot_path).map_err(failed(&snapshot_path))?;
        snapshot::block_of(BufReader::new(file))
    })?;
    Ok((sealed.header.number, sealed.hash.into()))
}
