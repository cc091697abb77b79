//! The header that a simulated block comes to, and the block as JSON-RPC shows it, with its calls.

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::proofs::{calculate_withdrawals_root, ordered_trie_root_with_encoder};
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::Requests;
use alloy_primitives::Bytes;
use alloy_rlp::{BufMut, Encodable};
use revm::primitives::hardfork::SpecId;
use serde_json::{Map, Value, json};

use super::calls::{Done, Progress};
use super::logs::Indexed;
use crate::block::{Sealed, receipts_root};
use crate::error::Result;
use crate::json::{hex, object, to_bytes};
use crate::node::{Link, root_hash};

/// Fills in what is known after a block's calls.
pub fn complete(
    header: &mut Header,
    spec: SpecId,
    progress: &Progress,
    withdrawals: &[Withdrawal],
    requests: &Requests,
    root: Option<&Link>,
) {
    header.ommers_hash = EMPTY_OMMER_ROOT_HASH;
    header.state_root = root_hash(root);
    header.gas_used = progress.gas_used;
    header.transactions_root = ordered_trie_root_with_encoder(&progress.done, |done, out| {
        out.put_slice(&done.tx.encoded());
    });
    (header.receipts_root, header.logs_bloom) = receipts_root(&progress.receipts);
    if spec.is_enabled_in(SpecId::SHANGHAI) {
        header.withdrawals_root = Some(calculate_withdrawals_root(withdrawals));
    }
    if spec.is_enabled_in(SpecId::CANCUN) {
        header.blob_gas_used = Some(progress.blob_gas_used);
    }
    if spec.is_enabled_in(SpecId::PRAGUE) {
        header.requests_hash = Some(requests.requests_hash());
    }
}

/// The block and its calls, as JSON.
pub fn show(
    sealed: &Sealed,
    progress: &Progress,
    withdrawals: &[Withdrawal],
    full: bool,
) -> Result<Vec<u8>> {
    let header = &sealed.header;
    let mut map = object(header)?;
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let mut transactions = Vec::with_capacity(progress.done.len());
    for (index, done) in progress.done.iter().enumerate() {
        transactions.push(match full {
            false => json!(done.hash),
            true => {
                let mut tx = done.tx.json(done.sender, base_fee)?;
                place(&mut tx, sealed, index);
                Value::Object(tx)
            }
        });
    }
    let calls: Vec<Value> = progress
        .done
        .iter()
        .enumerate()
        .map(|(index, done)| call(sealed, index, done))
        .collect();
    map.insert("hash".into(), json!(sealed.hash));
    map.insert("size".into(), hex(size(header, progress, withdrawals)));
    map.insert("transactions".into(), Value::Array(transactions));
    map.insert("uncles".into(), json!([]));
    if header.withdrawals_root.is_some() {
        let shown = withdrawals.iter().map(|withdrawal| {
            json!({
                "index": hex(withdrawal.index),
                "validatorIndex": hex(withdrawal.validator_index),
                "address": withdrawal.address,
                "amount": hex(withdrawal.amount),
            })
        });
        map.insert("withdrawals".into(), Value::Array(shown.collect()));
    }
    map.insert("calls".into(), Value::Array(calls));
    Ok(to_bytes(&Value::Object(map)))
}

fn place(map: &mut Map<String, Value>, sealed: &Sealed, index: usize) {
    map.insert("blockHash".into(), json!(sealed.hash));
    map.insert("blockNumber".into(), hex(sealed.header.number));
    map.insert("blockTimestamp".into(), hex(sealed.header.timestamp));
    map.insert("transactionIndex".into(), hex(index as u64));
}

fn call(sealed: &Sealed, index: usize, done: &Done) -> Value {
    let log = |(log, log_index): &Indexed| {
        let mut map = Map::new();
        map.insert("address".into(), json!(log.address));
        map.insert("topics".into(), json!(log.topics()));
        map.insert("data".into(), json!(log.data.data));
        map.insert("transactionHash".into(), json!(done.hash));
        map.insert("logIndex".into(), hex(*log_index));
        map.insert("removed".into(), json!(false));
        place(&mut map, sealed, index);
        Value::Object(map)
    };
    let logs: Vec<Value> = done.logs.iter().map(log).collect();
    let mut shown = json!({
        "returnData": done.data,
        "logs": logs,
        "gasUsed": hex(done.gas_used),
        "maxUsedGas": hex(done.max_gas_used),
        "status": hex(u8::from(done.error.is_none())),
    });
    if let Some(error) = &done.error {
        shown["error"] = json!({"message": error.message, "code": error.code});
        if let Some(data) = &error.data {
            shown["error"]["data"] = json!(data);
        }
    }
    shown
}

/// Bytes of the block's RLP.
fn size(header: &Header, progress: &Progress, withdrawals: &[Withdrawal]) -> u64 {
    let list = |payload_length: usize| {
        payload_length
            + alloy_rlp::Header {
                list: true,
                payload_length,
            }
            .length()
    };
    let one = |done: &Done| {
        let encoded = done.tx.encoded();
        match done.tx.tx_type() {
            0 => encoded.len(),
            _ => Bytes::from(encoded).length(),
        }
    };
    let mut payload = header.length() + list(progress.done.iter().map(one).sum()) + list(0);
    if header.withdrawals_root.is_some() {
        payload += list(withdrawals.iter().map(Encodable::length).sum());
    }
    list(payload) as u64
}
