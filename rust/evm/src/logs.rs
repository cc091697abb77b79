//! eth_getLogs: which logs of many blocks a filter selects, found by the index (`crate::index`).

use alloy_primitives::{Address, B256, Log};
use serde_json::Value;
use std::time::{Duration, Instant};

use crate::config::OUTBOX;
use crate::error::{Error, Result};
use crate::index::{self, Fingerprint, Kind, List, Walk};
use crate::json::{Stored, missing, show_log};
use crate::quantity;
use crate::store::{ReceiptsRecord, Store, Txn};

/// Most positions that a log's topics have.
const MAX_TOPICS: usize = 4;
/// Most alternatives in one place of a filter.
const MAX_ALTERNATIVES: usize = 1000;

/// What eth_getLogs selects by. An empty list of alternatives matches everything.
struct LogFilter {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

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
        let mut filter = Self {
            addresses: addresses.into_iter().map(Address::new).collect(),
            topics,
        };
        filter.addresses.sort_unstable();
        filter
            .topics
            .iter_mut()
            .for_each(|topic| topic.sort_unstable());
        Ok(filter)
    }

    /// For each place that is not open, the fingerprints of which a block must have one.
    fn fingerprints(&self) -> Vec<Vec<Fingerprint>> {
        let addresses = self.addresses.iter().map(index::of_address).collect();
        let topics = self.topics.iter().enumerate();
        let topics = topics.map(|(place, wanted)| {
            wanted
                .iter()
                .map(|topic| index::of_topic(place, topic))
                .collect()
        });
        let mut groups: Vec<Vec<Fingerprint>> = core::iter::once(addresses).chain(topics).collect();
        groups.retain(|group| !group.is_empty());
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort_by_key(Vec::len);
        groups
    }

    fn matches(&self, log: &Log) -> bool {
        (self.addresses.is_empty() || self.addresses.binary_search(&log.address).is_ok())
            && log.topics().len() >= self.topics.len()
            && self
                .topics
                .iter()
                .zip(log.topics())
                .all(|(wanted, topic)| wanted.is_empty() || wanted.binary_search(topic).is_ok())
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

/// What one search may cost: results, bytes of JSON, time.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub count: usize,
    pub bytes: usize,
    pub time: Duration,
}

/// The end of the time that a search may take.
pub fn timer(time: Duration) -> impl FnMut() -> Result<()> {
    let end = Instant::now() + time;
    move || match Instant::now() < end {
        true => Ok(()),
        false => Err(Error::Invalid(
            "query timeout exceeded: ask for fewer blocks".into(),
        )),
    }
}

/// The logs of blocks first..=last that a filter selects, as a JSON array.
pub fn logs(
    store: &Store,
    filter_json: &str,
    range: (u64, u64),
    budget: Budget,
) -> Result<Vec<u8>> {
    let filter = LogFilter::parse(filter_json)?;
    let txn = store.read()?;
    if store.block_hash(&txn, range.1)?.is_none() {
        return Err(missing(range.1));
    }
    let groups = filter.fingerprints();
    let wanted = |list: List<'_>| groups.iter().all(|group| list.has_any(group));
    let mut found = Found::new(budget);
    let mut pulse = timer(budget.time);
    let mut in_block = timer(budget.time);
    let mut first = range.0;
    // Of the outbox alone the logs are there after the bodies went.
    let bodies = store.kept(&txn)?.bodies;
    if filter.addresses == [OUTBOX] && first < bodies && store.outbox_from(&txn)? <= first {
        store.walk_outbox(&txn, (first, range.1.min(bodies - 1)), |number, logs| {
            pulse()?;
            let header = store.header(&txn, number)?.ok_or_else(|| missing(number))?;
            for kept in logs.iter().filter(|kept| filter.matches(&kept.log)) {
                let (index, place) = (kept.index as usize, kept.log_index as usize);
                found.add(&show_log(
                    &header.sealed,
                    &kept.log,
                    &kept.tx_hash,
                    index,
                    place,
                ))?;
            }
            Ok(())
        })?;
        first = bodies;
    }
    let walk = Walk {
        kind: Kind::Logs,
        range: (first, range.1),
        backwards: false,
    };
    store.walk_index(&txn, walk, wanted, &mut pulse, |number| {
        // Most blocks hold few of the logs that a filter selects: only then is more than their receipts read.
        let receipts = store
            .receipts(&txn, number)?
            .ok_or_else(|| missing(number))?;
        if !selected(&receipts).any(|(_, _, log)| filter.matches(log)) {
            return Ok(true);
        }
        let stored = Stored::of(store, &txn, number, receipts)?;
        for (index, log_index, log) in selected(&stored.receipts) {
            if filter.matches(log) {
                let tx_hash = &stored.receipts.hashes[index];
                found.add(&stored.log(log, tx_hash, index, log_index))?;
            }
        }
        in_block()?;
        Ok(true)
    })?;
    Ok(found.end())
}

/// A JSON array of logs that grows within its budget.
struct Found {
    out: Vec<u8>,
    count: usize,
    budget: Budget,
}

impl Found {
    fn new(budget: Budget) -> Self {
        Self {
            out: vec![b'['],
            count: 0,
            budget,
        }
    }

    fn add(&mut self, log: &Value) -> Result<()> {
        self.count += 1;
        if self.count > self.budget.count {
            return Err(Error::Invalid(format!(
                "query returned more than {} results: ask for fewer blocks",
                self.budget.count
            )));
        }
        write(&mut self.out, log);
        if self.out.len() > self.budget.bytes {
            return Err(Error::Invalid(format!(
                "query returned more than {} bytes: ask for fewer blocks",
                self.budget.bytes
            )));
        }
        Ok(())
    }

    fn end(mut self) -> Vec<u8> {
        if self.out.len() > 1 {
            self.out.pop();
        }
        self.out.push(b']');
        self.out
    }
}

/// Each log with its transaction's place and its own in the block.
fn selected(receipts: &ReceiptsRecord) -> impl Iterator<Item = (usize, usize, &Log)> {
    receipts
        .receipts
        .iter()
        .enumerate()
        .flat_map(|(index, receipt)| receipt.logs.iter().map(move |log| (index, log)))
        .enumerate()
        .map(|(place, (index, log))| (index, place, log))
}

fn write(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(&mut *out, value).unwrap_or_default();
    out.push(b',');
}

/// One log as those who listen need it: what to compare, and its JSON.
pub struct LogItem {
    pub address: Address,
    pub topics: Vec<B256>,
    pub json: Vec<u8>,
}

/// All logs of block `number`, if it is the one with this hash; None if it is not.
pub fn block_logs(store: &Store, number: u64, hash: &B256) -> Result<Option<Vec<LogItem>>> {
    let txn: Txn = store.read()?;
    if store.block_hash(&txn, number)?.as_ref() != Some(hash) {
        return Ok(None);
    }
    let receipts = store
        .receipts(&txn, number)?
        .ok_or_else(|| missing(number))?;
    if receipts
        .receipts
        .iter()
        .all(|receipt| receipt.logs.is_empty())
    {
        return Ok(Some(Vec::new()));
    }
    let stored = Stored::of(store, &txn, number, receipts)?;
    let items = selected(&stored.receipts).map(|(index, place, log)| LogItem {
        address: log.address,
        topics: log.topics().to_vec(),
        json: crate::json::to_bytes(&stored.log(log, &stored.receipts.hashes[index], index, place)),
    });
    Ok(Some(items.collect()))
}
