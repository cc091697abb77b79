//! What the explorer Otterscan reads of stored blocks.
//!
//! Source: otterscan `docs/custom-jsonrpc.md`; erigon `turbo/jsonrpc/otterscan_*.go` for the shapes. A transaction is an address's
//! if the address sent it, received it, was created by it, or was called, paid or created by an inner call that was not undone
//! (`crate::index`). Deviation: a log that only names an address, as a token's transfer does, does not make it take part.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::index::{self, Kind, List, Walk};
use crate::json::{Stored, hex, missing, to_bytes};
use crate::logs::timer;
use crate::state::StateReader;
use crate::store::{Store, Txn};
use crate::tx::effective_gas_price;
use crate::view::At;

/// Most transactions that one block adds to a page.
const MOST_IN_PAGE: usize = 10_000;

/// Most transactions of a contract's first block that are looked through for the one that created it.
const MOST_CANDIDATES: usize = 16;

/// ots_getBlockDetails.
pub fn block_details(store: &Store, number: u64) -> Result<Vec<u8>> {
    let txn = store.read()?;
    let stored = Stored::load(store, &txn, number)?;
    let mut block = fields(stored.block(false)?)?;
    block.remove("transactions");
    block.insert("transactionCount".into(), json!(stored.txs.len()));
    block.insert("logsBloom".into(), Value::Null);
    block.insert("totalDifficulty".into(), json!("0x0"));
    let mut fees = U256::ZERO;
    for (index, gas) in gas_used(&stored).enumerate() {
        let price = effective_gas_price(&stored.envelope(index)?, stored.base_fee());
        fees += U256::from(gas) * U256::from(price);
    }
    Ok(to_bytes(&json!({
        "block": block,
        "issuance": { "blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0" },
        "totalFees": hex(fees),
    })))
}

fn gas_used(stored: &Stored) -> impl Iterator<Item = u64> {
    let mut before = 0;
    stored.receipts.receipts.iter().map(move |receipt| {
        let gas = receipt.cumulative_gas_used - before;
        before = receipt.cumulative_gas_used;
        gas
    })
}

/// ots_getBlockTransactions: page 0 holds the block's last transactions.
pub fn block_transactions(store: &Store, number: u64, page: u64, size: u64) -> Result<Vec<u8>> {
    let txn = store.read()?;
    let stored = Stored::load(store, &txn, number)?;
    let count = stored.txs.len();
    let skipped = usize::try_from(page.saturating_mul(size)).unwrap_or(usize::MAX);
    let end = count.saturating_sub(skipped);
    let start = end.saturating_sub(usize::try_from(size).unwrap_or(usize::MAX));
    let mut block = fields(stored.block(false)?)?;
    let (mut txs, mut receipts) = (Vec::new(), Vec::new());
    for index in start..end {
        let mut tx = fields(stored.transaction(index)?)?;
        if let Some(Value::String(input)) = tx.get_mut("input") {
            input.truncate(10);
        }
        txs.push(tx);
        let mut receipt = fields(stored.receipt(index)?)?;
        receipt.insert("logs".into(), Value::Null);
        receipt.insert("logsBloom".into(), Value::Null);
        receipts.push(receipt);
    }
    block.insert("transactions".into(), json!(txs));
    block.insert("transactionCount".into(), json!(count));
    block.insert("logsBloom".into(), Value::Null);
    block.insert("totalDifficulty".into(), json!("0x0"));
    Ok(to_bytes(
        &json!({ "fullblock": block, "receipts": receipts }),
    ))
}

fn fields(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(Error::Corrupt("a block's JSON is no object".into())),
    }
}

/// Which page of an address's history.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Blocks above it, or below; 0: from the chain's end.
    pub block: u64,
    pub forward: bool,
    pub size: usize,
    pub time: Duration,
}

/// ots_searchTransactionsBefore and After: whole blocks until the page is full, the newest transaction first.
pub fn search(store: &Store, address: Address, page: Page, head: u64) -> Result<Vec<u8>> {
    let txn = store.read()?;
    let range = match (page.forward, page.block) {
        (true, 0) => (0, head),
        (true, block) => (block.saturating_add(1), head),
        (false, 0) => (0, head),
        (false, block) => (0, (block - 1).min(head)),
    };
    let mark = [index::of_address(&address)];
    let (mut blocks, mut more) = (Vec::new(), false);
    let mut count = 0;
    let walk = Walk {
        kind: Kind::Participants,
        range,
        backwards: !page.forward,
    };
    store.walk_index(
        &txn,
        walk,
        |list: List<'_>| list.has_any(&mark),
        timer(page.time),
        |number| {
            let stored = Stored::load(store, &txn, number)?;
            let places = places(store, &txn, &stored, &address)?;
            if places.is_empty() {
                return Ok(true);
            }
            more = count >= page.size;
            if !more {
                count += places.len();
                blocks.push(shown(&stored, &places)?);
            }
            Ok(!more)
        },
    )?;
    if page.forward {
        blocks.reverse();
    }
    let (mut txs, mut receipts) = (Vec::new(), Vec::new());
    for (tx, receipt) in blocks.into_iter().flatten() {
        txs.push(tx);
        receipts.push(receipt);
    }
    let (first, last) = if page.forward {
        (!more, page.block == 0)
    } else {
        (page.block == 0, !more)
    };
    Ok(to_bytes(&json!({
        "txs": txs, "receipts": receipts, "firstPage": first, "lastPage": last,
    })))
}

/// The places of a block's transactions in which an address takes part, in order.
fn places(store: &Store, txn: &Txn, stored: &Stored, address: &Address) -> Result<Vec<usize>> {
    let mut places = match store.participants(txn, stored.number())? {
        Some(record) => record.inner(address)?,
        None => Vec::new(),
    };
    for index in 0..stored.txs.len() {
        if stored.receipts.senders[index] == *address || target(stored, index)? == *address {
            places.push(index);
        }
    }
    places.sort_unstable();
    places.dedup();
    places.retain(|place| *place < stored.txs.len());
    Ok(places)
}

fn target(stored: &Stored, index: usize) -> Result<Address> {
    use alloy_consensus::Transaction;
    let tx = stored.envelope(index)?;
    Ok(tx
        .to()
        .unwrap_or_else(|| stored.receipts.senders[index].create(tx.nonce())))
}

/// Transactions and receipts, the last first.
fn shown(stored: &Stored, places: &[usize]) -> Result<Vec<(Value, Value)>> {
    let timestamp = stored.record.sealed.header.timestamp;
    let newest = places.iter().rev().take(MOST_IN_PAGE);
    newest
        .map(|place| {
            let mut receipt = fields(stored.receipt(*place)?)?;
            receipt.insert("timestamp".into(), json!(timestamp));
            Ok((stored.transaction(*place)?, Value::Object(receipt)))
        })
        .collect()
}

/// The hash of the transaction that `sender` sent with this nonce: found by halving, since nonces only grow.
pub fn by_nonce(store: &Store, sender: Address, nonce: u64, head: u64) -> Result<Option<B256>> {
    let after = |number: u64| -> Result<bool> {
        let account = At::open(store, Some(number))?.1.account(sender)?;
        Ok(account.is_some_and(|account| account.nonce > nonce))
    };
    let Some(number) = first_block(head, after)? else {
        return Ok(None);
    };
    let txn = store.read()?;
    let stored = Stored::load(store, &txn, number)?;
    for index in 0..stored.txs.len() {
        use alloy_consensus::Transaction;
        if stored.receipts.senders[index] == sender && stored.envelope(index)?.nonce() == nonce {
            return Ok(Some(stored.receipts.hashes[index]));
        }
    }
    Ok(None) // the genesis gave the account its nonce
}

/// A block, and transactions of it: (hash, sender, whether the transaction itself created the contract in question).
pub type Creation = (u64, Vec<(B256, Address, bool)>);

/// The block that created the contract, with the successful transactions in which it takes part there. None if there is no contract, or the genesis put it there.
pub fn creation(store: &Store, address: Address, head: u64) -> Result<Option<Creation>> {
    let there = |number: u64| -> Result<bool> {
        let account = At::open(store, Some(number))?.1.account(address)?;
        Ok(account.is_some_and(|account| account.code_hash != alloy_trie::KECCAK_EMPTY))
    };
    let Some(number) = first_block(head, there)? else {
        return Ok(None);
    };
    let txn = store.read()?;
    let stored = Stored::load(store, &txn, number)?;
    let mut found = Vec::new();
    let places = places(store, &txn, &stored, &address)?;
    for place in places.into_iter().take(MOST_CANDIDATES) {
        use alloy_consensus::Transaction;
        let made = stored.envelope(place)?.to().is_none() && target(&stored, place)? == address;
        let success = stored.receipts.receipts[place].success;
        if success {
            let sender = stored.receipts.senders[place];
            found.push((stored.receipts.hashes[place], sender, made));
        }
    }
    Ok(Some((number, found)))
}

/// The first block up to `head` after which `holds`, if it holds after `head`.
fn first_block(head: u64, holds: impl Fn(u64) -> Result<bool>) -> Result<Option<u64>> {
    if !holds(head)? {
        return Ok(None);
    }
    let (mut low, mut high) = (0, head);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(low))
}

/// The header as erigon_getHeaderByNumber shows it: the block without what follows its header.
pub fn header(store: &Store, number: u64) -> Result<Vec<u8>> {
    let txn = store.read()?;
    let record = store.header(&txn, number)?.ok_or_else(|| missing(number))?;
    let mut header = fields(
        serde_json::to_value(&record.sealed.header)
            .map_err(|error| Error::Corrupt(format!("a header cannot be shown: {error}")))?,
    )?;
    header.insert("hash".into(), json!(record.sealed.hash));
    Ok(to_bytes(&Value::Object(header)))
}
