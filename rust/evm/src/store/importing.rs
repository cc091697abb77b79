//! The flat tables as a whole: read in order as they were after a block, and filled in order from a snapshot.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use heed::{PutFlags, RwTxn};
use std::collections::BTreeMap;

use super::records::{UndoAccount, decode_account, encode_account, number_key, slot_key};
use super::{HeaderRecord, Store, Txn};
use crate::error::{Error, Result};
use crate::state::Account;

/// Accounts and slots that blocks between a snapshot's and the head may have replaced.
const MOST_REPLACED: usize = 4_000_000;

/// The flat tables, less what the blocks after one replaced.
pub struct Flat<'s> {
    store: &'s Store,
    accounts: BTreeMap<Vec<u8>, Vec<u8>>,
    slots: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Two ascending runs as one. Of a key in both the second's value counts, and an empty one stands for none.
struct Merged<'m, T: Iterator<Item = heed::Result<(&'m [u8], &'m [u8])>>> {
    table: core::iter::Peekable<T>,
    over: core::iter::Peekable<std::collections::btree_map::Iter<'m, Vec<u8>, Vec<u8>>>,
}

impl<'m, T: Iterator<Item = heed::Result<(&'m [u8], &'m [u8])>>> Iterator for Merged<'m, T> {
    type Item = heed::Result<(&'m [u8], &'m [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let below = match self.table.peek() {
                Some(Ok((key, _))) => Some(*key),
                Some(Err(_)) => return self.table.next(),
                None => None,
            };
            let Some((key, value)) = self.over.peek() else {
                return self.table.next();
            };
            match below {
                Some(below) if below < key.as_slice() => return self.table.next(),
                Some(below) if below == key.as_slice() => {
                    self.table.next();
                }
                _ => {}
            }
            let (key, value) = (key.as_slice(), value.as_slice());
            self.over.next();
            if !value.is_empty() {
                return Some(Ok((key, value)));
            }
        }
    }
}

impl<'s> Flat<'s> {
    /// The state after block `number`, under `head`.
    pub fn after(store: &'s Store, txn: &Txn, number: u64, head: u64) -> Result<Self> {
        let floor = store.kept(txn)?.floor();
        if number > head {
            return Err(Error::NotFound(format!("there is no block {number}")));
        }
        if number < floor {
            return Err(Error::Pruned(format!(
                "a snapshot of block {number} cannot be made: what that takes is kept from block {floor} on"
            )));
        }
        let (mut accounts, mut slots) = (BTreeMap::new(), BTreeMap::new());
        for block in (number + 1..=head).rev() {
            let mut data = store.undo.get(txn, &number_key(block))?.ok_or_else(|| {
                Error::Corrupt(format!("the undo record of block {block} is missing"))
            })?;
            for old in Vec::<UndoAccount>::decode(&mut data)? {
                for slot in &old.storage {
                    let key = slot_key(&old.address, &slot.slot).to_vec();
                    slots.insert(key, slot.value.to_be_bytes_trimmed_vec());
                }
                accounts.insert(old.address.to_vec(), old.account.to_vec());
            }
            if accounts.len() + slots.len() > MOST_REPLACED {
                return Err(Error::Limit(format!(
                    "the blocks after {number} replaced too much: take a later one"
                )));
            }
        }
        Ok(Self {
            store,
            accounts,
            slots,
        })
    }

    /// Every account, in the order of addresses, followed by its slots.
    pub fn visit<C>(
        &self,
        txn: &Txn,
        context: &mut C,
        mut account: impl FnMut(&mut C, &Address, &Account) -> Result<()>,
        mut slot: impl FnMut(&mut C, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let accounts = Merged {
            table: self.store.accounts.iter(txn)?.peekable(),
            over: self.accounts.iter().peekable(),
        };
        let mut slots = Merged {
            table: self.store.storage.iter(txn)?.peekable(),
            over: self.slots.iter().peekable(),
        }
        .peekable();
        for entry in accounts {
            let (address, data) = entry?;
            account(
                context,
                &Address::from_slice(address),
                &decode_account(data)?,
            )?;
            while let Some(found) = slots.next_if(|next| {
                next.as_ref()
                    .map_or(true, |(key, _)| key.starts_with(address))
            }) {
                let (key, value) = found?;
                slot(context, &key[20..], value)?;
            }
        }
        match slots.next() {
            None => Ok(()),
            Some(_) => Err(Error::Corrupt("storage without an account".into())),
        }
    }
}

impl Store {
    /// Whether a snapshot's import was begun and not finished.
    pub fn is_importing(&self, txn: &Txn) -> Result<bool> {
        Ok(self.meta.get(txn, b"importing")?.is_some())
    }

    /// Empties every table and marks the store as unfinished.
    pub fn begin_import(&self) -> Result<()> {
        let mut txn = self.write()?;
        for table in [
            &self.meta,
            &self.headers,
            &self.bodies,
            &self.receipts,
            &self.hashes,
            &self.txs,
            &self.accounts,
            &self.storage,
            &self.codes,
            &self.nodes,
            &self.undo,
            &self.index,
            &self.outbox,
        ] {
            table.clear(&mut txn)?;
        }
        self.meta.put(&mut txn, b"importing", &[1])?;
        Ok(txn.commit()?)
    }

    /// In the transaction that makes the store a chain's. There is nothing that could undo its blocks.
    pub fn finish_import(&self, txn: &mut RwTxn) -> Result<()> {
        self.undo.clear(txn)?;
        self.meta.delete(txn, b"importing")?;
        Ok(())
    }

    /// A header whose block's body and state the store does not hold.
    pub fn put_header(&self, txn: &mut RwTxn, record: &HeaderRecord) -> Result<()> {
        let key = number_key(record.sealed.header.number);
        let mut data = Vec::with_capacity(800);
        for number in [record.state_node, record.next_node, record.forced] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        data.extend_from_slice(record.outbox_root.as_slice());
        data.extend_from_slice(record.sealed.hash.as_slice());
        record.sealed.header.encode(&mut data);
        self.headers.put(txn, &key, &data)?;
        Ok(self.hashes.put(txn, record.sealed.hash.as_slice(), &key)?)
    }

    /// The next account. False if it is not after the one before.
    pub fn append_account(
        &self,
        txn: &mut RwTxn,
        address: &Address,
        account: &Account,
    ) -> Result<bool> {
        let data = encode_account(account);
        append(
            self.accounts
                .put_with_flags(txn, PutFlags::APPEND, address.as_slice(), &data),
        )
    }

    /// The next slot of the last account. False if it is not after the one before.
    pub fn append_slot(
        &self,
        txn: &mut RwTxn,
        address: &Address,
        slot: &U256,
        value: &[u8],
    ) -> Result<bool> {
        let key = slot_key(address, slot);
        append(
            self.storage
                .put_with_flags(txn, PutFlags::APPEND, &key, value),
        )
    }

    pub fn has_code(&self, txn: &Txn, hash: &B256) -> Result<bool> {
        Ok(self.codes.get(txn, hash.as_slice())?.is_some())
    }

    pub fn put_code(&self, txn: &mut RwTxn, hash: &B256, code: &Bytes) -> Result<()> {
        Ok(self.codes.put(txn, hash.as_slice(), code)?)
    }
}

fn append(put: heed::Result<()>) -> Result<bool> {
    match put {
        Ok(()) => Ok(true),
        Err(heed::Error::Mdb(heed::MdbError::KeyExist)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
