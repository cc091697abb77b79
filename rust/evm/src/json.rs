//! Stored blocks as Ethereum JSON-RPC shows them.
//!
//! Source: ethereum/execution-apis. Quantities are hex without leading zeros, bytes are hex, absent values are null.

use alloy_consensus::{Transaction, Typed2718};
use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes, Log, U256, keccak256};
use alloy_trie::KECCAK_EMPTY;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::node::root_hash;
use crate::quantity;
use crate::store::{HeaderRecord, ReceiptsRecord, Store, Txn, transactions, withdrawals};
use crate::trie;
use crate::tx::{self, Envelope, effective_gas_price};
use crate::view::At;
use crate::world;

fn hex(value: impl core::fmt::LowerHex) -> Value {
    Value::String(format!("{value:#x}"))
}

fn missing(number: u64) -> Error {
    Error::NotFound(format!("there is no block {number}"))
}

fn to_bytes(value: &Value) -> Vec<u8> {
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
struct Stored {
    record: HeaderRecord,
    txs: Vec<Bytes>,
    receipts: ReceiptsRecord,
    body_len: usize,
    withdrawals: Vec<alloy_eips::eip4895::Withdrawal>,
}

impl Stored {
    fn load(store: &Store, txn: &Txn, number: u64) -> Result<Self> {
        let record = store.header(txn, number)?.ok_or_else(|| missing(number))?;
        let body = store.body(txn, number)?.ok_or_else(|| missing(number))?;
        let receipts = store
            .receipts(txn, number)?
            .ok_or_else(|| missing(number))?;
        let txs = transactions(body)?;
        if receipts.senders.len() != txs.len() || receipts.receipts.len() != txs.len() {
            return Err(Error::Corrupt(format!(
                "block {number} has not one receipt for each transaction"
            )));
        }
        Ok(Self {
            withdrawals: withdrawals(body)?,
            body_len: body.len(),
            record,
            txs,
            receipts,
        })
    }

    fn number(&self) -> u64 {
        self.record.sealed.header.number
    }

    fn base_fee(&self) -> u64 {
        self.record
            .sealed
            .header
            .base_fee_per_gas
            .unwrap_or_default()
    }

    fn envelope(&self, index: usize) -> Result<Envelope> {
        tx::parse(&self.txs[index])
            .map_err(|why| Error::Corrupt(format!("a stored transaction: {why}")))
    }

    fn transaction(&self, index: usize) -> Result<Value> {
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

    fn log(&self, log: &Log, tx_hash: &B256, index: usize, log_index: usize) -> Value {
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

    fn receipt(&self, index: usize) -> Result<Value> {
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
        Ok(json!({
            "type": hex(envelope.ty()),
            "status": hex(u8::from(receipt.success)),
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
        }))
    }

    fn block(&self, full: bool) -> Result<Value> {
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
        let withdrawals: Vec<Value> = self
            .withdrawals
            .iter()
            .map(|withdrawal| {
                json!({
                    "index": hex(withdrawal.index),
                    "validatorIndex": hex(withdrawal.validator_index),
                    "address": withdrawal.address,
                    "amount": hex(withdrawal.amount),
                })
            })
            .collect();
        map.insert("hash".into(), json!(self.record.sealed.hash));
        map.insert("size".into(), hex(size as u64));
        map.insert("transactions".into(), Value::Array(txs));
        map.insert("uncles".into(), json!([]));
        map.insert("withdrawals".into(), Value::Array(withdrawals));
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

/// What eth_getLogs selects by. An empty list of alternatives matches everything.
struct LogFilter {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

/// Most positions that a log's topics have.
const MAX_TOPICS: usize = 4;
/// Most alternatives in one place of a filter.
const MAX_ALTERNATIVES: usize = 1000;

impl LogFilter {
    fn parse(json: &str) -> Result<Self> {
        let wrong = |why: &str| Error::Invalid(format!("the log filter {why}"));
        let filter: Value =
            serde_json::from_str(json).map_err(|error| wrong(&format!("is not JSON: {error}")))?;
        let addresses = alternatives::<20>(filter.get("address"))
            .ok_or_else(|| wrong("has an address that is none"))?;
        let topics = match filter.get("topics") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(topics)) if topics.len() <= MAX_TOPICS => topics
                .iter()
                .map(|topic| {
                    alternatives::<32>(Some(topic))
                        .map(|topic| topic.into_iter().map(B256::new).collect())
                })
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("has a topic that is not 32 bytes"))?,
            Some(_) => return Err(wrong("has topics that are not a list of at most 4")),
        };
        Ok(Self {
            addresses: addresses.into_iter().map(Address::new).collect(),
            topics,
        })
    }

    fn may_match(&self, bloom: &Bloom) -> bool {
        let any = |mut items: core::slice::Iter<'_, B256>| {
            items.any(|item| bloom.contains_input(BloomInput::Raw(item.as_slice())))
        };
        (self.addresses.is_empty()
            || self
                .addresses
                .iter()
                .any(|address| bloom.contains_input(BloomInput::Raw(address.as_slice()))))
            && self
                .topics
                .iter()
                .all(|alternatives| alternatives.is_empty() || any(alternatives.iter()))
    }

    fn matches(&self, log: &Log) -> bool {
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && log.topics().len() >= self.topics.len()
            && self
                .topics
                .iter()
                .zip(log.topics())
                .all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }
}

/// null (anything), one value, or a list of alternatives.
fn alternatives<const N: usize>(value: Option<&Value>) -> Option<Vec<[u8; N]>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) if items.len() <= MAX_ALTERNATIVES => {
            items.iter().map(quantity::fixed).collect()
        }
        Some(one) => Some(vec![quantity::fixed(one)?]),
    }
}

/// The logs of blocks first..=last that a filter selects.
pub fn logs(
    store: &Store,
    filter_json: &str,
    first: u64,
    last: u64,
    limit: usize,
) -> Result<Vec<u8>> {
    let filter = LogFilter::parse(filter_json)?;
    let txn = store.read()?;
    let mut found = Vec::new();
    for number in first..=last {
        let Some(record) = store.header(&txn, number)? else {
            return Err(missing(number));
        };
        if record.sealed.header.logs_bloom.is_zero()
            || !filter.may_match(&record.sealed.header.logs_bloom)
        {
            continue;
        }
        let stored = Stored::load(store, &txn, number)?;
        let mut log_index = 0;
        for (index, receipt) in stored.receipts.receipts.iter().enumerate() {
            for log in &receipt.logs {
                if filter.matches(log) {
                    if found.len() == limit {
                        return Err(Error::Invalid(format!(
                            "more than {limit} logs match: ask for fewer blocks"
                        )));
                    }
                    found.push(stored.log(log, &keccak256(&stored.txs[index]), index, log_index));
                }
                log_index += 1;
            }
        }
    }
    Ok(to_bytes(&Value::Array(found)))
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
