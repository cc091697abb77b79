//! What frames hold.
//!
//! ```text
//! head    RLP [chain, outbox root, block, [receipt …], [ancestor's header …, parent first]]
//! state   account  1 · address 20 · nonce u64 · balance 32 · 0 no code | 1 · code hash 32 | 2 · length u32 · code
//!         slot     2 · slot 32 · length u8 · value without leading zeros            of the account before it
//! end     accounts u64 · slots u64 · codes u64
//! ```
//!
//! A code comes with the first account that has it. Accounts ascend, an account's slots ascend, records lie in one frame.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

use super::Flaw;
use crate::block::StoredReceipt;
use crate::state::Account;

#[derive(Debug, RlpEncodable, RlpDecodable)]
pub struct Head {
    pub chain: B256,
    pub outbox_root: B256,
    pub block: Bytes,
    pub receipts: Vec<StoredReceipt>,
    pub ancestors: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accounts: u64,
    pub slots: u64,
    pub codes: u64,
}

impl Counts {
    pub fn encode(&self) -> Vec<u8> {
        let fields = [self.accounts, self.slots, self.codes];
        fields.into_iter().flat_map(u64::to_be_bytes).collect()
    }
}

/// An account's code: how much of it a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    None,
    Known(B256),
    New(Bytes),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Account(Address, Account, Code),
    Slot(U256, U256),
}

pub fn put_account(out: &mut Vec<u8>, address: &Address, account: &Account, code: &Code) {
    out.push(1);
    out.extend_from_slice(address.as_slice());
    out.extend_from_slice(&account.nonce.to_be_bytes());
    out.extend_from_slice(&account.balance.to_be_bytes::<32>());
    match code {
        Code::None => out.push(0),
        Code::Known(hash) => {
            out.push(1);
            out.extend_from_slice(hash.as_slice());
        }
        Code::New(code) => {
            out.push(2);
            out.extend_from_slice(&(code.len() as u32).to_be_bytes());
            out.extend_from_slice(code);
        }
    }
}

pub fn put_slot(out: &mut Vec<u8>, slot: &[u8], value: &[u8]) {
    out.push(2);
    out.extend_from_slice(slot);
    out.push(value.len() as u8);
    out.extend_from_slice(value);
}

fn take<'a>(data: &mut &'a [u8], count: usize) -> Result<&'a [u8], Flaw> {
    let (head, tail) = data
        .split_at_checked(count)
        .ok_or(Flaw::Malformed("it is cut off"))?;
    *data = tail;
    Ok(head)
}

/// The first record of `data`, which is taken off.
pub fn take_record(data: &mut &[u8]) -> Result<Record, Flaw> {
    match take(data, 1)? {
        [1] => {
            let address = Address::from_slice(take(data, 20)?);
            let nonce = U256::from_be_slice(take(data, 8)?).to::<u64>();
            let balance = U256::from_be_slice(take(data, 32)?);
            let code = match take(data, 1)? {
                [0] => Code::None,
                [1] => Code::Known(B256::from_slice(take(data, 32)?)),
                [2] => {
                    let length = U256::from_be_slice(take(data, 4)?).to::<usize>();
                    Code::New(Bytes::copy_from_slice(take(data, length)?))
                }
                _ => return Err(Flaw::Malformed("its kind of code is unknown")),
            };
            let code_hash = match &code {
                Code::None => Account::default().code_hash,
                Code::Known(hash) => *hash,
                Code::New(code) if code.is_empty() => {
                    return Err(Flaw::Malformed("an empty code is none"));
                }
                Code::New(code) => keccak256(code),
            };
            let account = Account {
                nonce,
                balance,
                code_hash,
            };
            Ok(Record::Account(address, account, code))
        }
        [2] => {
            let slot = U256::from_be_slice(take(data, 32)?);
            let length = usize::from(take(data, 1)?[0]);
            let value = take(data, length)?;
            if length > 32 || value.first().is_none_or(|first| *first == 0) {
                return Err(Flaw::Malformed("a slot's value is not minimal"));
            }
            Ok(Record::Slot(slot, U256::from_be_slice(value)))
        }
        _ => Err(Flaw::Malformed("its kind is unknown")),
    }
}
