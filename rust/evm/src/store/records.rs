//! How the tables' values are laid out.

use alloy_consensus::Header as BlockHeader;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

use crate::block::Executed;
use crate::error::{Error, Result};
use crate::state::{Account, AccountChange};

#[derive(RlpEncodable, RlpDecodable)]
pub(super) struct UndoSlot {
    pub(super) slot: U256,
    pub(super) value: U256,
}

#[derive(RlpEncodable, RlpDecodable)]
pub(super) struct UndoAccount {
    pub(super) address: Address,
    pub(super) account: Bytes,
    pub(super) storage: Vec<UndoSlot>,
}

pub(super) fn encode_account(account: &Account) -> Vec<u8> {
    let mut out = Vec::with_capacity(72);
    out.extend_from_slice(&account.nonce.to_be_bytes());
    out.extend_from_slice(&account.balance.to_be_bytes::<32>());
    if account.code_hash != Account::default().code_hash {
        out.extend_from_slice(account.code_hash.as_slice());
    }
    out
}

pub(super) fn decode_account(data: &[u8]) -> Result<Account> {
    let damaged = || Error::Corrupt("a stored account does not decode".into());
    let (nonce, rest) = data.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (balance, rest) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    let code_hash = match rest.len() {
        0 => Account::default().code_hash,
        32 => B256::from_slice(rest),
        _ => return Err(damaged()),
    };
    Ok(Account {
        nonce: u64::from_be_bytes(*nonce),
        balance: U256::from_be_bytes(*balance),
        code_hash,
    })
}

pub(super) fn slot_key(address: &Address, slot: &U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

pub(super) fn number_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(super) fn to_u64(data: &[u8]) -> Result<u64> {
    data.try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| Error::Corrupt("a stored number is not 8 bytes".into()))
}

/// A block's body, and where in it each transaction begins.
pub(super) fn encode_body(block: &Executed) -> (Vec<u8>, Vec<u32>) {
    let mut txs = Vec::new();
    let mut starts = Vec::with_capacity(block.txs.len());
    for tx in &block.txs {
        starts.push(txs.len() as u32);
        // In a block a legacy transaction is a list, a typed one a string.
        if tx.envelope.is_legacy() {
            txs.extend_from_slice(&tx.raw)
        } else {
            tx.raw.encode(&mut txs)
        }
    }
    let mut body = Vec::with_capacity(txs.len() + 16);
    alloy_rlp::Header {
        list: true,
        payload_length: txs.len(),
    }
    .encode(&mut body);
    for start in &mut starts {
        *start += body.len() as u32;
    }
    body.extend_from_slice(&txs);
    block.ommers.encode(&mut body);
    if block.sealed.header.withdrawals_root.is_some() {
        block.withdrawals.encode(&mut body);
    }
    (body, starts)
}

/// The EIP-2718 encodings of a stored body's transactions.
pub fn transactions(body: &[u8]) -> Result<Vec<Bytes>> {
    let mut rest = body;
    let mut items = alloy_rlp::Header::decode_bytes(&mut rest, true)?;
    let mut txs = Vec::new();
    while !items.is_empty() {
        let before = items;
        let header = alloy_rlp::Header::decode(&mut items)?;
        let payload = items
            .split_at_checked(header.payload_length)
            .ok_or(alloy_rlp::Error::InputTooShort)?;
        items = payload.1;
        let whole = &before[..before.len() - items.len()];
        txs.push(Bytes::copy_from_slice(if header.list {
            whole
        } else {
            payload.0
        }));
    }
    Ok(txs)
}

/// A stored body's ommers.
pub fn ommers(body: &[u8]) -> Result<Vec<BlockHeader>> {
    let mut rest = body;
    alloy_rlp::Header::decode_bytes(&mut rest, true)?;
    Ok(Decodable::decode(&mut rest)?)
}

/// A stored body's withdrawals; None before Shanghai.
pub fn withdrawals(body: &[u8]) -> Result<Option<Vec<Withdrawal>>> {
    let mut rest = body;
    for _transactions_then_ommers in 0..2 {
        alloy_rlp::Header::decode_bytes(&mut rest, true)?;
    }
    if rest.is_empty() {
        return Ok(None);
    }
    Ok(Some(Decodable::decode(&mut rest)?))
}

/// What the changes replace. `lost` are the slots that go with an account and that its change does not name.
pub(super) fn encode_undo(changes: &[AccountChange], mut lost: Vec<Vec<UndoSlot>>) -> Vec<u8> {
    lost.resize_with(changes.len(), Vec::new);
    let undo: Vec<UndoAccount> = changes
        .iter()
        .zip(lost)
        .map(|(change, mut storage)| {
            storage.extend(change.storage.iter().map(|(slot, value, _)| UndoSlot {
                slot: *slot,
                value: *value,
            }));
            let before = change.before.as_ref();
            UndoAccount {
                address: change.address,
                account: before.map(encode_account).unwrap_or_default().into(),
                storage,
            }
        })
        .collect();
    alloy_rlp::encode(undo)
}
