//! What subscriptions and explorers read: a block's logs one by one, and an address's history.

use dougong_evm::alloy::B256;
use dougong_evm::{logs, otterscan};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::time::Duration;

use super::Evm;
use super::bridge::{address, fixed};

type LogEntry<'py> = (
    Bound<'py, PyBytes>,
    Vec<Bound<'py, PyBytes>>,
    Bound<'py, PyBytes>,
);
type Creation<'py> = (u64, Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, bool)>);

#[pymethods]
impl Evm {
    #[pyo3(signature = (filter_json, first, last, limit, max_bytes = 64 << 20, seconds = 10.0))]
    #[allow(clippy::too_many_arguments)]
    fn logs_json<'py>(
        &self,
        py: Python<'py>,
        filter_json: &str,
        first: u64,
        last: u64,
        limit: usize,
        max_bytes: usize,
        seconds: f64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let budget = logs::Budget {
            count: limit,
            bytes: max_bytes,
            time: time(seconds),
        };
        self.bytes(py, |chain| {
            logs::logs(chain.store(), filter_json, (first, last), budget)
        })
    }

    fn block_logs<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        block_hash: &[u8],
    ) -> PyResult<Option<Vec<LogEntry<'py>>>> {
        let hash = B256::new(fixed(py, "a block hash", block_hash)?);
        let items = self.with(py, |chain| logs::block_logs(chain.store(), number, &hash))?;
        Ok(items.map(|items| {
            items
                .iter()
                .map(|item| {
                    let topics = item
                        .topics
                        .iter()
                        .map(|topic| PyBytes::new(py, topic.as_slice()));
                    (
                        PyBytes::new(py, item.address.as_slice()),
                        topics.collect(),
                        PyBytes::new(py, &item.json),
                    )
                })
                .collect()
        }))
    }

    fn header_json<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| otterscan::header(chain.store(), number))
    }

    fn block_details_json<'py>(
        &self,
        py: Python<'py>,
        number: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| otterscan::block_details(chain.store(), number))
    }

    fn block_transactions_json<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        page: u64,
        size: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, |chain| {
            otterscan::block_transactions(chain.store(), number, page, size)
        })
    }

    #[pyo3(signature = (account, block, head, *, forward, size, seconds = 10.0))]
    #[allow(clippy::too_many_arguments)]
    fn search_transactions_json<'py>(
        &self,
        py: Python<'py>,
        account: &[u8],
        block: u64,
        head: u64,
        forward: bool,
        size: usize,
        seconds: f64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let account = address(py, account)?;
        let page = otterscan::Page {
            block,
            forward,
            size,
            time: time(seconds),
        };
        self.bytes(py, |chain| {
            otterscan::search(chain.store(), account, page, head)
        })
    }

    fn transaction_by_nonce<'py>(
        &self,
        py: Python<'py>,
        sender: &[u8],
        nonce: u64,
        head: u64,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let sender = address(py, sender)?;
        let hash = self.with(py, |chain| {
            otterscan::by_nonce(chain.store(), sender, nonce, head)
        })?;
        Ok(hash.map(|hash| PyBytes::new(py, hash.as_slice())))
    }

    fn contract_creation<'py>(
        &self,
        py: Python<'py>,
        account: &[u8],
        head: u64,
    ) -> PyResult<Option<Creation<'py>>> {
        let account = address(py, account)?;
        let found = self.with(py, |chain| {
            otterscan::creation(chain.store(), account, head)
        })?;
        Ok(found.map(|(number, txs)| {
            let txs = txs.iter().map(|(hash, sender, made)| {
                (
                    PyBytes::new(py, hash.as_slice()),
                    PyBytes::new(py, sender.as_slice()),
                    *made,
                )
            });
            (number, txs.collect())
        }))
    }
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600))
}
