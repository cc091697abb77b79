//! The calls that carry a chain's load, a request at a time: no Python for each.

use dougong_evm::calls::{self, Asked, Outcome};
use dougong_evm::receipts;
use dougong_evm::state::StateReader;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::collections::BTreeSet;

use super::Evm;
use super::bridge::integer;
use super::values::TxInfo;
use crate::errors::detached;

#[pyclass(frozen, module = "dougong._native")]
pub struct Calls(calls::Calls);

#[pymethods]
impl Calls {
    #[staticmethod]
    fn parse(py: Python<'_>, body: &[u8], most: usize, tx_bytes: usize) -> PyResult<Option<Self>> {
        Ok(detached(py, || calls::Calls::parse(body, most, tx_bytes))?.map(Self))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn method(&self) -> &'static str {
        match self.0.asked {
            Asked::Send(_) => "eth_sendRawTransaction",
            Asked::Receipts(_) => "eth_getTransactionReceipt",
        }
    }

    fn transactions<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        match &self.0.asked {
            Asked::Send(txs) => txs.iter().map(|tx| PyBytes::new(py, tx)).collect(),
            Asked::Receipts(_) => Vec::new(),
        }
    }

    fn reply<'py>(
        &self,
        py: Python<'py>,
        outcomes: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if outcomes.len() != self.0.len() {
            return Err(PyValueError::new_err("want one outcome for each call"));
        }
        let outcomes = outcomes
            .iter()
            .map(|outcome| match outcome.cast::<PyBytes>() {
                Ok(hash) => Ok(Outcome::Hash(hash.as_bytes())),
                Err(_) => Ok(Outcome::Error(
                    outcome.cast::<PyString>()?.to_str()?.as_bytes(),
                )),
            })
            .collect::<PyResult<Vec<_>>>()?;
        Ok(PyBytes::new(py, &self.0.reply(outcomes.into_iter())))
    }
}

#[pymethods]
impl Evm {
    /// The reply to a request for receipts; None once they are over `limit` bytes together.
    fn answer_receipts<'py>(
        &self,
        py: Python<'py>,
        calls: &Calls,
        limit: usize,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Asked::Receipts(hashes) = &calls.0.asked else {
            return Err(PyValueError::new_err("these calls ask for no receipts"));
        };
        let reply = self.with(py, |chain| {
            let found = receipts::many(chain.store(), hashes, limit)?;
            Ok(found.map(|found| {
                let outcomes = found
                    .iter()
                    .map(|receipt| Outcome::Result(receipt.as_deref().unwrap_or(b"null")));
                calls.0.reply(outcomes)
            }))
        })?;
        Ok(reply.map(|reply| PyBytes::new(py, &reply)))
    }

    /// Nonce and balance after the head, of every sender, all of one state.
    fn sender_accounts<'py>(
        &self,
        py: Python<'py>,
        senders: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut wanted = BTreeSet::new();
        for sender in &senders {
            match sender.cast::<TxInfo>() {
                Ok(info) => wanted.insert(info.get().0.sender),
                Err(_) => wanted.insert(super::bridge::address(py, sender.extract()?)?),
            };
        }
        let found = self.with(py, |chain| {
            let (_, state) = chain.at(None)?;
            wanted
                .into_iter()
                .map(|address| Ok((address, state.account(address)?.unwrap_or_default())))
                .collect::<dougong_evm::error::Result<Vec<_>>>()
        })?;
        let accounts = PyDict::new(py);
        for (address, account) in found {
            let value = (account.nonce, integer(py, account.balance)?);
            accounts.set_item(PyBytes::new(py, address.as_slice()), value)?;
        }
        Ok(accounts)
    }
}
