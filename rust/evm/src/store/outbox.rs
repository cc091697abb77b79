//! The outbox's logs of blocks whose bodies went: a withdrawal is proven from every message since the first block, so these stay.
//!
//! `outbox`: number → RLP of its logs, each with its transaction's hash and place and its own place in the block. Under the meta key
//! `outbox` is the first block from which on none is missing: above 0 where a store began with a snapshot.

use alloy_primitives::{B256, Log};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use heed::RwTxn;
use std::ops::Bound;

use super::records::{number_key, to_u64};
use super::{Store, Txn};
use crate::config::OUTBOX;
use crate::error::Result;
use crate::index;

#[derive(Debug, RlpEncodable, RlpDecodable)]
pub struct KeptLog {
    pub tx_hash: B256,
    pub index: u64,
    pub log_index: u64,
    pub log: Log,
}

impl Store {
    /// Sets the outbox's logs of a block aside, before its receipts go. Returns how many there are.
    pub(super) fn keep_outbox(&self, txn: &mut RwTxn, number: u64) -> Result<usize> {
        if !self.may_log(txn, number, index::of_address(&OUTBOX))? {
            return Ok(0);
        }
        let Some(record) = self.receipts(txn, number)? else {
            return Ok(0);
        };
        let logs: Vec<KeptLog> = record
            .receipts
            .iter()
            .zip(&record.hashes)
            .enumerate()
            .flat_map(|(index, (receipt, hash))| {
                receipt.logs.iter().map(move |log| (index, hash, log))
            })
            .enumerate()
            .filter(|(_, (_, _, log))| log.address == OUTBOX)
            .map(|(place, (index, hash, log))| KeptLog {
                tx_hash: *hash,
                index: index as u64,
                log_index: place as u64,
                log: log.clone(),
            })
            .collect();
        if logs.is_empty() {
            return Ok(0); // the fingerprint was another's
        }
        let mut data = Vec::new();
        logs.encode(&mut data);
        self.outbox.put(txn, &number_key(number), &data)?;
        Ok(logs.len())
    }

    /// The first block from which on no log of the outbox is missing.
    pub fn outbox_from(&self, txn: &Txn) -> Result<u64> {
        self.meta.get(txn, b"outbox")?.map_or(Ok(0), to_u64)
    }

    pub fn set_outbox_from(&self, txn: &mut RwTxn, number: u64) -> Result<()> {
        Ok(self.meta.put(txn, b"outbox", &number_key(number))?)
    }

    /// Calls `visit` with each block from `first` to `last` that left logs of the outbox.
    pub fn walk_outbox(
        &self,
        txn: &Txn,
        (first, last): (u64, u64),
        mut visit: impl FnMut(u64, Vec<KeptLog>) -> Result<()>,
    ) -> Result<()> {
        if first > last {
            return Ok(());
        }
        let (first, last) = (number_key(first), number_key(last));
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        for entry in self.outbox.range(txn, &range)? {
            let (key, mut data) = entry?;
            visit(to_u64(key)?, Vec::<KeptLog>::decode(&mut data)?)?;
        }
        Ok(())
    }
}
