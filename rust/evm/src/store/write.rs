//! What changes the tables.

use alloy_primitives::{Address, B256, U256};
use alloy_rlp::{Decodable, Encodable};
use heed::{PutFlags, RwTxn};
use std::ops::Bound;

use super::records::{
    UndoAccount, UndoSlot, decode_account, encode_account, encode_body, encode_undo, number_key,
    slot_key, transactions,
};
use super::{Store, receipts};
use crate::block::Executed;
use crate::error::{Error, Result};
use crate::node::NodeId;
use crate::state::{Account, AccountChange, Changes};

impl Store {
    pub fn put_node(&self, txn: &mut RwTxn, id: NodeId, record: &[u8]) -> Result<()> {
        Ok(self
            .nodes
            .put_with_flags(txn, PutFlags::APPEND, &number_key(id), record)?)
    }

    /// Stores a block as the new head, with its changes to the flat tables. Its trie nodes are stored already.
    pub fn put_block(
        &self,
        txn: &mut RwTxn,
        block: &Executed,
        changes: &Changes,
        state_node: NodeId,
        next_node: NodeId,
    ) -> Result<()> {
        let header = &block.sealed.header;
        let key = number_key(header.number);
        let mut record = Vec::with_capacity(800);
        for number in [state_node, next_node, block.forced as u64] {
            record.extend_from_slice(&number.to_be_bytes());
        }
        record.extend_from_slice(block.outbox_root.as_slice());
        record.extend_from_slice(block.sealed.hash.as_slice());
        header.encode(&mut record);
        self.headers.put(txn, &key, &record)?;
        let (body, starts) = encode_body(block);
        self.bodies.put(txn, &key, &body)?;
        self.receipts
            .put(txn, &key, &receipts::encode(block, &starts))?;
        self.hashes.put(txn, block.sealed.hash.as_slice(), &key)?;
        for (index, tx) in block.txs.iter().enumerate() {
            let place = [key, number_key(index as u64)].concat();
            self.txs.put(txn, tx.hash().as_slice(), &place)?;
        }
        let lost = changes
            .accounts
            .iter()
            .map(|change| self.lost_slots(txn, change))
            .collect::<Result<_>>()?;
        self.undo
            .put(txn, &key, &encode_undo(&changes.accounts, lost))?;
        for (hash, code) in &changes.codes {
            self.codes.put(txn, hash.as_slice(), code)?;
        }
        for change in &changes.accounts {
            self.put_change(txn, change)?;
        }
        self.put_index(txn, block)?;
        Ok(self.meta.put(txn, b"head", &key)?)
    }

    /// The slots that go with an account that is reset, and that nobody had read before: its change does not name them.
    fn lost_slots(&self, txn: &RwTxn, change: &AccountChange) -> Result<Vec<UndoSlot>> {
        let mut lost = Vec::new();
        if !change.reset {
            return Ok(lost);
        }
        let (first, last) = (
            slot_key(&change.address, &U256::ZERO),
            slot_key(&change.address, &U256::MAX),
        );
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        for entry in self.storage.range(txn, &range)? {
            let (key, value) = entry?;
            let slot = U256::from_be_slice(&key[20..]);
            if change
                .storage
                .binary_search_by_key(&slot, |(named, ..)| *named)
                .is_err()
            {
                let value = U256::try_from_be_slice(value)
                    .ok_or_else(|| Error::Corrupt("a stored slot is too long".into()))?;
                lost.push(UndoSlot { slot, value });
            }
        }
        Ok(lost)
    }

    fn put_change(&self, txn: &mut RwTxn, change: &AccountChange) -> Result<()> {
        let address = &change.address;
        if change.reset {
            let (first, last) = (
                slot_key(address, &U256::ZERO),
                slot_key(address, &U256::MAX),
            );
            self.storage.delete_range(
                txn,
                &(Bound::Included(&first[..]), Bound::Included(&last[..])),
            )?;
        }
        self.put_account(txn, address, change.after.as_ref())?;
        for (slot, _, value) in &change.storage {
            self.put_slot(txn, address, slot, value)?;
        }
        Ok(())
    }

    fn put_account(
        &self,
        txn: &mut RwTxn,
        address: &Address,
        account: Option<&Account>,
    ) -> Result<()> {
        match account {
            Some(account) => {
                self.accounts
                    .put(txn, address.as_slice(), &encode_account(account))?
            }
            None => {
                self.accounts.delete(txn, address.as_slice())?;
            }
        }
        Ok(())
    }

    fn put_slot(
        &self,
        txn: &mut RwTxn,
        address: &Address,
        slot: &U256,
        value: &U256,
    ) -> Result<()> {
        let key = slot_key(address, slot);
        if value.is_zero() {
            self.storage.delete(txn, &key)?;
        } else {
            self.storage
                .put(txn, &key, &value.to_be_bytes_trimmed_vec())?;
        }
        Ok(())
    }

    /// Forgets the head block. Its nodes stay until `drop_nodes`.
    pub fn pop_block(&self, txn: &mut RwTxn, number: u64) -> Result<()> {
        let key = number_key(number);
        let damaged =
            |what: &str| Error::Corrupt(format!("the {what} of block {number} is missing"));
        let hash = self
            .block_hash(txn, number)?
            .ok_or_else(|| damaged("header"))?;
        let hashes: Vec<B256> = {
            let body = self.bodies.get(txn, &key)?.ok_or_else(|| damaged("body"))?;
            transactions(body)?
                .iter()
                .map(alloy_primitives::keccak256)
                .collect()
        };
        let undo = {
            let mut data = self
                .undo
                .get(txn, &key)?
                .ok_or_else(|| damaged("undo record"))?;
            Vec::<UndoAccount>::decode(&mut data)?
        };
        for tx in hashes {
            self.txs.delete(txn, tx.as_slice())?;
        }
        for old in undo {
            let account = if old.account.is_empty() {
                None
            } else {
                Some(decode_account(&old.account)?)
            };
            self.put_account(txn, &old.address, account.as_ref())?;
            for UndoSlot { slot, value } in &old.storage {
                self.put_slot(txn, &old.address, slot, value)?;
            }
        }
        for table in [&self.headers, &self.bodies, &self.receipts, &self.undo] {
            table.delete(txn, &key)?;
        }
        self.pop_index(txn, number)?;
        self.hashes.delete(txn, hash.as_slice())?;
        Ok(self.meta.put(txn, b"head", &number_key(number - 1))?)
    }

    /// Forgets the trie nodes from `first` on.
    pub fn drop_nodes(&self, txn: &mut RwTxn, first: NodeId) -> Result<()> {
        self.nodes.delete_range(
            txn,
            &(Bound::Included(&number_key(first)[..]), Bound::Unbounded),
        )?;
        Ok(())
    }
}
