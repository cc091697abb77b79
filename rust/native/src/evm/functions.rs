//! What needs no chain: decoding, signing, checking proofs.

use dougong_evm::alloy::B256;
use dougong_evm::batch::{self, Batch, DeclaredBlock};
use dougong_evm::block::Sealed;
use dougong_evm::chain::HeadInfo;
use dougong_evm::tx::{decode_all, decode_all_any, encoded_root};
use dougong_evm::{proof, sign};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::bridge::{self, fixed, integer, owned, senders, work};
use super::values::{HeaderInfo, TxInfo};
use crate::errors::{detached, raise};

#[pyfunction]
#[pyo3(signature = (txs, *, blobs = false))]
pub fn decode_transactions(
    py: Python<'_>,
    txs: Vec<Vec<u8>>,
    blobs: bool,
) -> PyResult<Vec<Py<PyAny>>> {
    let decode = || {
        let decoded = match blobs {
            true => decode_all_any(&txs, senders()),
            false => decode_all(&txs, senders()),
        };
        let infos = decoded.into_iter().map(|tx| tx.map(TxInfo::from));
        infos.collect::<Vec<_>>()
    };
    detached(py, decode)?
        .into_iter()
        .map(|tx| match tx {
            Ok(info) => Ok(Py::new(py, info)?.into_any()),
            Err(reason) => Ok(PyString::new(py, &reason).into_any().unbind()),
        })
        .collect()
}

#[pyfunction]
pub fn transactions_root<'py>(py: Python<'py>, txs: Vec<Vec<u8>>) -> PyResult<Bound<'py, PyBytes>> {
    let root = detached(py, || encoded_root(&txs))?;
    Ok(PyBytes::new(py, root.as_slice()))
}

#[pyfunction]
pub fn sign_transaction<'py>(
    py: Python<'py>,
    fields_json: &str,
    private_key: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let signed = work(py, || sign::sign_transaction(fields_json, private_key))?;
    Ok(PyBytes::new(py, &signed))
}

#[pyfunction]
pub fn sign_transactions<'py>(
    py: Python<'py>,
    fields_json: Vec<String>,
    private_keys: Vec<Vec<u8>>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let signed = work(py, || sign::sign_transactions(&fields_json, &private_keys))?;
    Ok(signed.iter().map(|tx| PyBytes::new(py, tx)).collect())
}

#[pyfunction]
pub fn sign_authorization(
    py: Python<'_>,
    fields_json: &str,
    private_key: &[u8],
) -> PyResult<String> {
    work(py, || sign::sign_authorization(fields_json, private_key))
}

#[pyfunction]
#[allow(clippy::type_complexity)]
pub fn verify_account_proof<'py>(
    py: Python<'py>,
    state_root: &[u8],
    address: &[u8],
    proof: Vec<Vec<u8>>,
) -> PyResult<Option<(u64, Py<PyAny>, Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
    let root = B256::new(fixed(py, "a state root", state_root)?);
    let address = bridge::address(py, address)?;
    let account = detached(py, || proof::verify_account(root, address, &proof))?
        .map_err(|why| raise(py, "InvalidProof", why, ""))?;
    let Some(account) = account else {
        return Ok(None);
    };
    let bytes = |hash: &B256| PyBytes::new(py, hash.as_slice());
    Ok(Some((
        account.nonce,
        integer(py, account.balance)?,
        bytes(&account.storage_root),
        bytes(&account.code_hash),
    )))
}

#[pyfunction]
pub fn verify_storage_proof<'py>(
    py: Python<'py>,
    storage_root: &[u8],
    slot: &[u8],
    proof: Vec<Vec<u8>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let root = B256::new(fixed(py, "a storage root", storage_root)?);
    let slot = B256::new(fixed(py, "a storage slot", slot)?);
    let value = detached(py, || proof::verify_storage(root, slot, &proof))?
        .map_err(|why| raise(py, "InvalidProof", why, ""))?;
    Ok(PyBytes::new(py, &value.to_be_bytes::<32>()))
}

#[pyfunction]
pub fn decode_header(py: Python<'_>, header_rlp: &[u8]) -> PyResult<HeaderInfo> {
    let sealed = Sealed::decode(header_rlp).map_err(|why| raise(py, "InvalidInput", why, ""))?;
    Ok(HeaderInfo(HeadInfo {
        sealed,
        outbox_root: B256::ZERO,
    }))
}

type Blocks<T> = Vec<(u64, u64, Vec<T>)>;

#[pyfunction]
pub fn encode_batch<'py>(
    py: Python<'py>,
    parent_hash: &[u8],
    blocks: Blocks<Vec<u8>>,
    level: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    let parent_hash = B256::new(fixed(py, "a block hash", parent_hash)?);
    let blocks = blocks
        .into_iter()
        .map(|(timestamp, inbox_end, txs)| DeclaredBlock {
            timestamp,
            inbox_end,
            txs: owned(txs),
        })
        .collect();
    detached(py, || {
        batch::encode(
            &Batch {
                parent_hash,
                blocks,
            },
            level,
        )
    })?
    .map(|data| PyBytes::new(py, &data))
    .ok_or_else(|| {
        raise(
            py,
            "InvalidInput",
            "the blocks are over the limits of a batch".into(),
            "make two of them",
        )
    })
}

#[pyfunction]
#[allow(clippy::type_complexity)]
pub fn decode_batch<'py>(
    py: Python<'py>,
    data: &[u8],
    gas_limit: u64,
) -> PyResult<Option<(Bound<'py, PyBytes>, Blocks<Bound<'py, PyBytes>>)>> {
    let Some(batch) = detached(py, || batch::decode(data, gas_limit))? else {
        return Ok(None);
    };
    let blocks = batch.blocks.into_iter().map(|block| {
        let txs = block.txs.iter().map(|tx| PyBytes::new(py, tx)).collect();
        (block.timestamp, block.inbox_end, txs)
    });
    Ok(Some((
        PyBytes::new(py, batch.parent_hash.as_slice()),
        blocks.collect(),
    )))
}
