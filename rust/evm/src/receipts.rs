//! Receipts as JSON: one, a block's, or many at a time on all cores; each is read alone, in place, whatever its block holds.

use alloy_consensus::{Transaction, Typed2718};
use alloy_primitives::{B256, hex};
use rayon::prelude::*;
use std::collections::HashMap;
use std::io::Write;

use crate::block::StoredReceipt;
use crate::error::{Error, Result};
use crate::json::{Member, Members, show_log};
use crate::store::Store;

/// Receipts that one core writes before another is worth asking.
const AT_A_TIME: usize = 32;

/// The receipt of one transaction, if a block holds it.
pub fn one(store: &Store, hash: &B256) -> Result<Option<Vec<u8>>> {
    let txn = store.read()?;
    let Some((number, index)) = store.tx_place(&txn, hash)? else {
        return Ok(None);
    };
    Members::open(store, &txn, number)?.receipt(index).map(Some)
}

/// All receipts of block `number`, as an array.
pub fn block(store: &Store, number: u64) -> Result<Vec<u8>> {
    let txn = store.read()?;
    let members = Members::open(store, &txn, number)?;
    let written: Vec<Vec<u8>> = (0..members.receipts.count())
        .into_par_iter()
        .with_min_len(AT_A_TIME)
        .map(|index| members.receipt(index))
        .collect::<Result<_>>()?;
    Ok([b"[", written.join(&b","[..]).as_slice(), b"]"].concat())
}

/// The receipts of many, on all cores; None once they are over `limit` bytes together.
pub fn many(store: &Store, hashes: &[B256], limit: usize) -> Result<Option<Vec<Option<Vec<u8>>>>> {
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
        let members = Members::open(store, &txn, number)?;
        for some in wanted.chunks(1024) {
            let written: Vec<Vec<u8>> = some
                .par_iter()
                .with_min_len(AT_A_TIME)
                .map(|(_, index)| members.receipt(*index))
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

impl Members<'_> {
    fn receipt(&self, index: usize) -> Result<Vec<u8>> {
        self.with(index, |member, place| {
            let receipt = self.receipts.receipt(place)?;
            let mut out = Vec::with_capacity(1400 + receipt.logs.len() * 600);
            member.write_receipt(&receipt, &mut out)?;
            Ok(out)
        })
    }
}

impl Member<'_> {
    pub(crate) fn write_receipt(&self, receipt: &StoredReceipt, out: &mut Vec<u8>) -> Result<()> {
        let envelope = self.envelope()?;
        let text = |out: &mut Vec<u8>, name: &str, bytes: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\"0x");
            out.extend_from_slice(hex::encode(bytes).as_bytes());
            out.push(b'"');
        };
        // A vector takes every write.
        let _ = write!(
            out,
            r#"{{"type":"{:#x}","transactionIndex":"{:#x}","blockNumber":"{:#x}","cumulativeGasUsed":"{:#x}","gasUsed":"{:#x}","effectiveGasPrice":"{:#x}""#,
            envelope.ty(),
            self.index,
            self.sealed.header.number,
            receipt.cumulative_gas_used,
            receipt.cumulative_gas_used.saturating_sub(self.gas_before),
            self.price(&envelope),
        );
        match &receipt.state_root {
            Some(root) => text(out, r#","root":"#, root.as_slice()),
            None => {
                let _ = write!(out, r#","status":"{:#x}""#, u8::from(receipt.success));
            }
        }
        if let Some(gas) = envelope.blob_gas_used() {
            let price = self.blob_price;
            let _ = write!(
                out,
                r#","blobGasUsed":"{gas:#x}","blobGasPrice":"{price:#x}""#
            );
        }
        text(out, r#","transactionHash":"#, self.hash.as_slice());
        text(out, r#","blockHash":"#, self.sealed.hash.as_slice());
        text(out, r#","from":"#, self.sender.as_slice());
        match envelope.to() {
            Some(to) => {
                text(out, r#","to":"#, to.as_slice());
                out.extend_from_slice(br#","contractAddress":null"#);
            }
            None => {
                out.extend_from_slice(br#","to":null"#);
                let created = self.sender.create(envelope.nonce());
                text(out, r#","contractAddress":"#, created.as_slice());
            }
        }
        text(out, r#","logsBloom":"#, receipt.bloom().as_slice());
        out.extend_from_slice(br#","logs":["#);
        for (i, log) in receipt.logs.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let at = self.logs_before + i;
            let shown = show_log(self.sealed, log, &self.hash, self.index, at);
            serde_json::to_writer(&mut *out, &shown)
                .map_err(|_| Error::Corrupt("a stored log cannot be shown as JSON".into()))?;
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }
}
