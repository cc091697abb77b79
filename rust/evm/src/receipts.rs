//! Receipts as JSON, many at a time and without reading a block again for each: the latest blocks that were asked for stay in memory.
//!
//! A block is kept under its hash, and looked up under the hash that the store holds for its number in the same snapshot: one that
//! was rolled back is never shown.

use alloy_consensus::{Transaction, Typed2718};
use alloy_primitives::{B256, hex};
use rayon::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::json::Stored;
use crate::store::{Store, Txn};
use crate::tx::effective_gas_price;

/// Bytes of blocks' bodies that stay in memory; receipts and what goes with them are a few times that.
const KEPT_BYTES: usize = 16 << 20;
const KEPT_BLOCKS: usize = 256;
/// Receipts that one core writes before another is worth asking.
const AT_A_TIME: usize = 32;

/// A block whose receipts can be shown.
struct Shown {
    stored: Stored,
    /// How many logs the block has before each transaction.
    logs_before: Vec<usize>,
}

/// The latest blocks whose receipts were asked for.
#[derive(Default)]
pub struct Recent {
    blocks: Mutex<VecDeque<Arc<Shown>>>,
}

impl Recent {
    fn block(&self, store: &Store, txn: &Txn, number: u64) -> Result<Arc<Shown>> {
        let hash = store.block_hash(txn, number)?.unwrap_or_default();
        {
            let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = blocks.iter().find(|shown| shown.stored.hash() == hash) {
                return Ok(found.clone());
            }
        }
        let stored = Stored::load(store, txn, number)?;
        let mut before = 0;
        let logs_before = stored
            .receipts()
            .iter()
            .map(|receipt| {
                let first = before;
                before += receipt.logs.len();
                first
            })
            .collect();
        let shown = Arc::new(Shown {
            stored,
            logs_before,
        });
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.push_back(shown.clone());
        let mut bytes: usize = blocks.iter().map(|shown| shown.stored.weight()).sum();
        while blocks.len() > 1 && (blocks.len() > KEPT_BLOCKS || bytes > KEPT_BYTES) {
            bytes -= blocks.pop_front().map_or(0, |shown| shown.stored.weight());
        }
        Ok(shown)
    }
}

/// The receipt of one transaction, if a block holds it.
pub fn one(store: &Store, recent: &Recent, hash: &B256) -> Result<Option<Vec<u8>>> {
    let txn = store.read()?;
    let Some((number, index)) = store.tx_place(&txn, hash)? else {
        return Ok(None);
    };
    recent
        .block(store, &txn, number)?
        .write(hash, index)
        .map(Some)
}

/// The receipts of many, on all cores; None once they are over `limit` bytes together.
pub fn many(
    store: &Store,
    recent: &Recent,
    hashes: &[B256],
    limit: usize,
) -> Result<Option<Vec<Option<Vec<u8>>>>> {
    let txn = store.read()?;
    let mut places: HashMap<u64, Vec<(usize, usize)>> = HashMap::new();
    for (position, hash) in hashes.iter().enumerate() {
        if let Some((number, index)) = store.tx_place(&txn, hash)? {
            places.entry(number).or_default().push((position, index));
        }
    }
    let mut found: Vec<Option<Vec<u8>>> = vec![None; hashes.len()];
    let mut bytes = 0;
    for (number, wanted) in places {
        let block = recent.block(store, &txn, number)?;
        for some in wanted.chunks(1024) {
            let written: Vec<Vec<u8>> = some
                .par_iter()
                .with_min_len(AT_A_TIME)
                .map(|(position, index)| block.write(&hashes[*position], *index))
                .collect::<Result<_>>()?;
            for ((position, _), receipt) in some.iter().zip(written) {
                bytes += receipt.len();
                found[*position] = Some(receipt);
            }
            if bytes > limit {
                return Ok(None);
            }
        }
    }
    Ok(Some(found))
}

impl Shown {
    /// As `Stored::receipt` shows it, field for field.
    fn write(&self, hash: &B256, index: usize) -> Result<Vec<u8>> {
        let stored = &self.stored;
        let Some(receipt) = stored.receipts().get(index) else {
            return Err(Error::Corrupt(format!(
                "block {} has no transaction {index}",
                stored.number()
            )));
        };
        let envelope = stored.envelope(index)?;
        let sender = stored.sender(index);
        let before = index
            .checked_sub(1)
            .map_or(0, |last| stored.receipts()[last].cumulative_gas_used);
        let mut out = Vec::with_capacity(1400 + receipt.logs.len() * 600);
        let text = |out: &mut Vec<u8>, name: &str, bytes: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\"0x");
            out.extend_from_slice(hex::encode(bytes).as_bytes());
            out.push(b'"');
        };
        // A vector takes every write.
        let _ = write!(
            out,
            r#"{{"type":"{:#x}","status":"{:#x}","transactionIndex":"{index:#x}","blockNumber":"{:#x}","cumulativeGasUsed":"{:#x}","gasUsed":"{:#x}","effectiveGasPrice":"{:#x}""#,
            envelope.ty(),
            u8::from(receipt.success),
            stored.number(),
            receipt.cumulative_gas_used,
            receipt.cumulative_gas_used - before,
            effective_gas_price(&envelope, stored.base_fee()),
        );
        text(&mut out, r#","transactionHash":"#, hash.as_slice());
        text(&mut out, r#","blockHash":"#, stored.hash().as_slice());
        text(&mut out, r#","from":"#, sender.as_slice());
        match envelope.to() {
            Some(to) => {
                text(&mut out, r#","to":"#, to.as_slice());
                out.extend_from_slice(br#","contractAddress":null"#);
            }
            None => {
                out.extend_from_slice(br#","to":null"#);
                let created = sender.create(envelope.nonce());
                text(&mut out, r#","contractAddress":"#, created.as_slice());
            }
        }
        text(&mut out, r#","logsBloom":"#, receipt.bloom().as_slice());
        out.extend_from_slice(br#","logs":["#);
        for (i, log) in receipt.logs.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let shown = stored.log(log, hash, index, self.logs_before[index] + i);
            serde_json::to_writer(&mut out, &shown)
                .map_err(|_| Error::Corrupt("a stored log cannot be shown as JSON".into()))?;
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }
}
