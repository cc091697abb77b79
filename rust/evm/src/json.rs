//! Stored blocks as Ethereum JSON-RPC shows them.
//!
//! Source: ethereum/execution-apis. Quantities are hex without leading zeros, bytes are hex, absent values are null.

use alloy_consensus::{Header, Transaction, Typed2718};
use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use alloy_trie::KECCAK_EMPTY;
use serde_json::{Map, Value, json};

use crate::block::StoredReceipt;
use crate::error::{Error, Result};
use crate::node::root_hash;
use crate::store::{HeaderRecord, ReceiptsRecord, Store, Txn, ommers, transactions, withdrawals};
use crate::trie;
use crate::tx::{self, Envelope, effective_gas_price};
use crate::view::At;
use crate::world;

pub(crate) fn hex(value: impl core::fmt::LowerHex) -> Value {
    Value::String(format!("{value:#x}"))
}

pub(crate) fn missing(number: u64) -> Error {
    Error::NotFound(format!("there is no block {number}"))
}

pub(crate) fn to_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn object(value: impl serde::Serialize) -> Result<Map<String, Value>> {
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

    pub(crate) fn hash(&self) -> B256 {
        self.record.sealed.hash
    }

    /// Bytes of its body.
    pub(crate) fn weight(&self) -> usize {
        self.body_len
    }

    pub(crate) fn receipts(&self) -> &[StoredReceipt] {
        &self.receipts.receipts
    }

    pub(crate) fn sender(&self, index: usize) -> Address {
        self.receipts.senders[index]
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

    pub(crate) fn transaction(&self, index: usize) -> Result<Value> {
        let envelope = self.envelope(index)?;
        let mut map = object(&envelope)?;
        map.insert("hash".into(), json!(envelope.tx_hash()));
        map.insert("from".into(), json!(self.receipts.senders[index]));
        map.insert(
            "gasPrice".into(),
            hex(effective_gas_price(&envelope, self.base_fee())),
        );
        self.place(&mut map, Some(index));
        Ok(Value::Object(map))
    }

    /// Where the block, or one of its transactions, lies.
    fn place(&self, map: &mut Map<String, Value>, index: Option<usize>) {
        map.insert("blockHash".into(), json!(self.record.sealed.hash));
        map.insert("blockNumber".into(), hex(self.number()));
        map.insert(
            "blockTimestamp".into(),
            hex(self.record.sealed.header.timestamp),
        );
        if let Some(index) = index {
            map.insert("transactionIndex".into(), hex(index as u64));
        }
    }

    /// How many logs the block has before transaction `index`.
    fn logs_before(&self, index: usize) -> usize {
        self.receipts.receipts[..index]
            .iter()
            .map(|receipt| receipt.logs.len())
            .sum()
    }

    pub(crate) fn log(&self, log: &Log, tx_hash: &B256, index: usize, log_index: usize) -> Value {
        let mut map = Map::new();
        map.insert("address".into(), json!(log.address));
        map.insert("topics".into(), json!(log.topics()));
        map.insert("data".into(), json!(log.data.data));
        map.insert("transactionHash".into(), json!(tx_hash));
        map.insert("logIndex".into(), hex(log_index as u64));
        map.insert("removed".into(), json!(false));
        self.place(&mut map, Some(index));
        Value::Object(map)
    }

    pub(crate) fn receipt(&self, index: usize) -> Result<Value> {
        let envelope = self.envelope(index)?;
        let receipt = &self.receipts.receipts[index];
        let sender = self.receipts.senders[index];
        let before = index
            .checked_sub(1)
            .map_or(0, |last| self.receipts.receipts[last].cumulative_gas_used);
        let first_log = self.logs_before(index);
        let logs: Vec<Value> = receipt
            .logs
            .iter()
            .enumerate()
            .map(|(i, log)| self.log(log, envelope.tx_hash(), index, first_log + i))
            .collect();
        let created = envelope
            .to()
            .is_none()
            .then(|| sender.create(envelope.nonce()));
        let mut shown = json!({
            "type": hex(envelope.ty()),
            "transactionHash": envelope.tx_hash(),
            "transactionIndex": hex(index as u64),
            "blockHash": self.record.sealed.hash,
            "blockNumber": hex(self.number()),
            "from": sender,
            "to": envelope.to(),
            "contractAddress": created,
            "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
            "gasUsed": hex(receipt.cumulative_gas_used - before),
            "effectiveGasPrice": hex(effective_gas_price(&envelope, self.base_fee())),
            "logs": logs,
            "logsBloom": receipt.bloom(),
        });
        match receipt.state_root {
            Some(root) => shown["root"] = json!(root),
            None => shown["status"] = hex(u8::from(receipt.success)),
        }
        Ok(shown)
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
            self.txs.iter().map(|tx| json!(keccak256(tx))).collect()
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

pub fn block(store: &Store, number: u64, full: bool) -> Result<Vec<u8>> {
    let txn = store.read()?;
    Ok(to_bytes(&Stored::load(store, &txn, number)?.block(full)?))
}

pub fn transaction(store: &Store, hash: &B256) -> Result<Option<Vec<u8>>> {
    at_place(store, hash, Stored::transaction)
}

pub fn receipt(store: &Store, hash: &B256) -> Result<Option<Vec<u8>>> {
    at_place(store, hash, Stored::receipt)
}

fn at_place(
    store: &Store,
    hash: &B256,
    show: fn(&Stored, usize) -> Result<Value>,
) -> Result<Option<Vec<u8>>> {
    let txn = store.read()?;
    let Some((number, index)) = store.tx_place(&txn, hash)? else {
        return Ok(None);
    };
    let stored = Stored::load(store, &txn, number)?;
    if index >= stored.txs.len() {
        return Err(Error::Corrupt(format!(
            "block {number} has no transaction {index}"
        )));
    }
    Ok(Some(to_bytes(&show(&stored, index)?)))
}

pub fn block_receipts(store: &Store, number: u64) -> Result<Vec<u8>> {
    let txn = store.read()?;
    let stored = Stored::load(store, &txn, number)?;
    let receipts: Vec<Value> = (0..stored.txs.len())
        .map(|index| stored.receipt(index))
        .collect::<Result<_>>()?;
    Ok(to_bytes(&Value::Array(receipts)))
}

/// EIP-1186: an account and some of its slots, with proofs under the state root of block `number`.
pub fn proof(store: &Store, address: Address, slots: &[B256], number: u64) -> Result<Vec<u8>> {
    let (_, at) = At::open(store, Some(number))?;
    let (account_proof, leaf) = trie::prove(&at, at.root.as_ref(), &world::address_key(&address))?;
    let (account, storage) = match leaf {
        Some(leaf) => world::parse(leaf)?,
        None => (
            alloy_trie::TrieAccount {
                code_hash: KECCAK_EMPTY,
                ..Default::default()
            },
            None,
        ),
    };
    let storage_proof: Vec<Value> = slots
        .iter()
        .map(|slot| {
            let key = world::slot_key(&U256::from_be_bytes(slot.0));
            let (proof, leaf) = trie::prove(&at, storage.as_ref(), &key)?;
            let value = match leaf {
                Some(leaf) => alloy_rlp::decode_exact::<U256>(&leaf.value)?,
                None => U256::ZERO,
            };
            Ok(json!({ "key": slot, "value": hex(value), "proof": proof }))
        })
        .collect::<Result<_>>()?;
    Ok(to_bytes(&json!({
        "address": address,
        "accountProof": account_proof,
        "balance": hex(account.balance),
        "codeHash": account.code_hash,
        "nonce": hex(account.nonce),
        "storageHash": root_hash(storage.as_ref()),
        "storageProof": storage_proof,
    })))
}
