//! Stored blocks as Ethereum JSON-RPC shows them.
//!
//! Source: ethereum/execution-apis. Quantities are hex without leading zeros, bytes are hex, absent values are null.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use serde_json::{Map, Value, json};

use crate::block::Sealed;
use crate::error::{Error, Result};
use crate::store::{
    HeaderRecord, Place, Receipts, ReceiptsRecord, Store, Txn, ommers, transactions, withdrawals,
};
use crate::tx::{self, Envelope, effective_gas_price};

pub(crate) fn hex(value: impl core::fmt::LowerHex) -> Value {
    Value::String(format!("{value:#x}"))
}

pub(crate) fn missing(number: u64) -> Error {
    Error::NotFound(format!("there is no block {number}"))
}

pub(crate) fn to_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

pub(crate) fn object(value: impl serde::Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Error::Corrupt(
            "a stored record cannot be shown as JSON".into(),
        )),
    }
}

/// A stored block with all that its JSON forms need.
pub(crate) struct Stored {
    pub(crate) record: HeaderRecord,
    pub(crate) txs: Vec<Bytes>,
    pub(crate) receipts: ReceiptsRecord,
    body_len: usize,
    ommers: Vec<Header>,
    withdrawals: Option<Vec<alloy_eips::eip4895::Withdrawal>>,
}

impl Stored {
    pub(crate) fn load(store: &Store, txn: &Txn, number: u64) -> Result<Self> {
        let receipts = store
            .receipts(txn, number)?
            .ok_or_else(|| missing(number))?;
        Self::of(store, txn, number, receipts)
    }

    /// The block whose receipts were read already.
    pub(crate) fn of(
        store: &Store,
        txn: &Txn,
        number: u64,
        receipts: ReceiptsRecord,
    ) -> Result<Self> {
        let record = store.header(txn, number)?.ok_or_else(|| missing(number))?;
        let body = store.body(txn, number)?.ok_or_else(|| missing(number))?;
        let txs = transactions(body)?;
        if receipts.senders.len() != txs.len() || receipts.receipts.len() != txs.len() {
            return Err(Error::Corrupt(format!(
                "block {number} has not one receipt for each transaction"
            )));
        }
        Ok(Self {
            ommers: ommers(body)?,
            withdrawals: withdrawals(body)?,
            body_len: body.len(),
            record,
            txs,
            receipts,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.record.sealed.header.number
    }

    pub(crate) fn base_fee(&self) -> u64 {
        self.record
            .sealed
            .header
            .base_fee_per_gas
            .unwrap_or_default()
    }

    pub(crate) fn envelope(&self, index: usize) -> Result<Envelope> {
        tx::parse(&self.txs[index])
            .map_err(|why| Error::Corrupt(format!("a stored transaction: {why}")))
    }

    fn member(&self, index: usize, logs_before: usize) -> Member<'_> {
        let gas = |last: usize| self.receipts.receipts[last].cumulative_gas_used;
        Member {
            sealed: &self.record.sealed,
            raw: &self.txs[index],
            index,
            sender: self.receipts.senders[index],
            hash: self.receipts.hashes[index],
            gas_before: index.checked_sub(1).map_or(0, gas),
            logs_before,
            blob_price: self.receipts.blob_price,
        }
    }

    pub(crate) fn transaction(&self, index: usize) -> Result<Value> {
        self.member(index, 0).transaction()
    }

    pub(crate) fn receipt(&self, index: usize) -> Result<Value> {
        let before = self.receipts.receipts[..index].iter();
        let logs_before = before.map(|receipt| receipt.logs.len()).sum();
        let mut out = Vec::new();
        self.member(index, logs_before)
            .write_receipt(&self.receipts.receipts[index], &mut out)?;
        serde_json::from_slice(&out)
            .map_err(|_| Error::Corrupt("a stored receipt cannot be shown as JSON".into()))
    }

    pub(crate) fn log(&self, log: &Log, tx_hash: &B256, index: usize, log_index: usize) -> Value {
        show_log(&self.record.sealed, log, tx_hash, index, log_index)
    }

    pub(crate) fn block(&self, full: bool) -> Result<Value> {
        let mut map = object(&self.record.sealed.header)?;
        let payload_length = self.record.rlp.len() + self.body_len;
        let size = payload_length
            + alloy_rlp::Header {
                list: true,
                payload_length,
            }
            .length();
        let txs: Vec<Value> = if full {
            (0..self.txs.len())
                .map(|index| self.transaction(index))
                .collect::<Result<_>>()?
        } else {
            self.receipts
                .hashes
                .iter()
                .map(|hash| json!(hash))
                .collect()
        };
        map.insert("hash".into(), json!(self.record.sealed.hash));
        map.insert("size".into(), hex(size as u64));
        map.insert("transactions".into(), Value::Array(txs));
        let ommers: Vec<_> = self.ommers.iter().map(Header::hash_slow).collect();
        map.insert("uncles".into(), json!(ommers));
        if let Some(withdrawals) = &self.withdrawals {
            map.insert("withdrawals".into(), json!(withdrawals));
        }
        Ok(Value::Object(map))
    }
}

/// One transaction of a stored block, and what its JSON forms need of the others.
pub(crate) struct Member<'b> {
    pub(crate) sealed: &'b Sealed,
    pub(crate) raw: &'b [u8],
    pub(crate) index: usize,
    pub(crate) sender: Address,
    pub(crate) hash: B256,
    pub(crate) gas_before: u64,
    pub(crate) logs_before: usize,
    pub(crate) blob_price: u128,
}

impl Member<'_> {
    pub(crate) fn envelope(&self) -> Result<Envelope> {
        tx::parse(self.raw).map_err(|why| Error::Corrupt(format!("a stored transaction: {why}")))
    }

    /// What a unit of its gas cost.
    pub(crate) fn price(&self, envelope: &Envelope) -> U256 {
        let base_fee = self.sealed.header.base_fee_per_gas.unwrap_or_default();
        effective_gas_price(envelope, base_fee)
    }

    fn transaction(&self) -> Result<Value> {
        let envelope = self.envelope()?;
        let mut map = object(&envelope)?;
        map.insert("hash".into(), json!(self.hash));
        map.insert("from".into(), json!(self.sender));
        map.insert("gasPrice".into(), hex(self.price(&envelope)));
        place(self.sealed, &mut map, self.index);
        Ok(Value::Object(map))
    }
}

/// Where a transaction, or a log of it, lies.
fn place(sealed: &Sealed, map: &mut Map<String, Value>, index: usize) {
    map.insert("blockHash".into(), json!(sealed.hash));
    map.insert("blockNumber".into(), hex(sealed.header.number));
    map.insert("blockTimestamp".into(), hex(sealed.header.timestamp));
    map.insert("transactionIndex".into(), hex(index as u64));
}

pub(crate) fn show_log(
    sealed: &Sealed,
    log: &Log,
    tx_hash: &B256,
    index: usize,
    log_index: usize,
) -> Value {
    let mut map = Map::new();
    map.insert("address".into(), json!(log.address));
    map.insert("topics".into(), json!(log.topics()));
    map.insert("data".into(), json!(log.data.data));
    map.insert("transactionHash".into(), json!(tx_hash));
    map.insert("logIndex".into(), hex(log_index as u64));
    map.insert("removed".into(), json!(false));
    place(sealed, &mut map, index);
    Value::Object(map)
}

pub fn block(store: &Store, number: u64, full: bool) -> Result<Vec<u8>> {
    let txn = store.read()?;
    Ok(to_bytes(&Stored::load(store, &txn, number)?.block(full)?))
}

pub fn transaction(store: &Store, hash: &B256) -> Result<Option<Vec<u8>>> {
    let txn = store.read()?;
    match store.tx_place(&txn, hash)? {
        None => Ok(None),
        Some((number, index)) => one(store, &txn, number, index),
    }
}

/// The transaction in place `index` of block `number`, if there are so many.
pub fn transaction_at(store: &Store, number: u64, index: u64) -> Result<Option<Vec<u8>>> {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    one(store, &store.read()?, number, index)
}

/// A transaction, read without the others of its block.
fn one(store: &Store, txn: &Txn, number: u64, index: usize) -> Result<Option<Vec<u8>>> {
    let members = Members::open(store, txn, number)?;
    if index >= members.receipts.count() {
        return Ok(None);
    }
    members.with(index, |member, _| {
        Ok(Some(to_bytes(&member.transaction()?)))
    })
}

/// A stored block whose transactions and receipts are read one by one, in place.
pub(crate) struct Members<'t> {
    sealed: Sealed,
    body: &'t [u8],
    pub(crate) receipts: Receipts<'t>,
}

impl<'t> Members<'t> {
    pub(crate) fn open(store: &Store, txn: &'t Txn, number: u64) -> Result<Self> {
        let missing = || missing(number);
        Ok(Self {
            sealed: store.header(txn, number)?.ok_or_else(missing)?.sealed,
            body: store.body(txn, number)?.ok_or_else(missing)?,
            receipts: store.receipts_in_place(txn, number)?.ok_or_else(missing)?,
        })
    }

    pub(crate) fn with<T>(
        &self,
        index: usize,
        show: impl FnOnce(&Member<'_>, &Place) -> Result<T>,
    ) -> Result<T> {
        let place = self.receipts.place(index)?;
        let member = Member {
            sealed: &self.sealed,
            raw: &place.transaction(self.body)?,
            index,
            sender: place.sender,
            hash: place.hash,
            gas_before: place.gas_before,
            logs_before: place.logs_before,
            blob_price: self.receipts.blob_price,
        };
        show(&member, &place)
    }
}

/// A transaction's EIP-2718 bytes.
pub fn raw_transaction(store: &Store, hash: &B256) -> Result<Option<Vec<u8>>> {
    let txn = store.read()?;
    let Some((number, index)) = store.tx_place(&txn, hash)? else {
        return Ok(None);
    };
    let (Some(receipts), Some(body)) = (
        store.receipts_in_place(&txn, number)?,
        store.body(&txn, number)?,
    ) else {
        return Ok(None);
    };
    Ok(Some(receipts.place(index)?.transaction(body)?.to_vec()))
}

/// The ommer in place `index` of block `number`, as a block without transactions.
pub fn ommer(store: &Store, number: u64, index: u64) -> Result<Option<Vec<u8>>> {
    let txn = store.read()?;
    let body = store.body(&txn, number)?.ok_or_else(|| missing(number))?;
    let ommers = ommers(body)?;
    let Some(ommer) = usize::try_from(index)
        .ok()
        .and_then(|index| ommers.get(index))
    else {
        return Ok(None);
    };
    let mut map = object(ommer)?;
    // As geth counts it: the header between two empty lists.
    let payload_length = alloy_rlp::encode(ommer).len() + 2;
    let size = alloy_rlp::Header {
        list: true,
        payload_length,
    }
    .length_with_payload();
    map.insert("hash".into(), json!(ommer.hash_slow()));
    map.insert("size".into(), hex(size as u64));
    map.insert("uncles".into(), json!([]));
    Ok(Some(to_bytes(&Value::Object(map))))
}

pub fn ommer_count(store: &Store, number: u64) -> Result<usize> {
    let txn = store.read()?;
    let body = store.body(&txn, number)?.ok_or_else(|| missing(number))?;
    Ok(ommers(body)?.len())
}

pub fn transaction_count(store: &Store, number: u64) -> Result<usize> {
    let txn = store.read()?;
    let receipts = store.receipts_in_place(&txn, number)?;
    Ok(receipts.ok_or_else(|| missing(number))?.count())
}
