//! States to read from: the latest one through the flat tables, any stored block's through its trie.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, Bytes, U256};
use std::cell::RefCell;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::node::{Link, Node, NodeId, NodeSource};
use crate::state::{Account, Fork, StateReader};
use crate::store::{HeaderRecord, Store, Txn};
use crate::world;

fn known_hash(store: &Store, txn: &Txn, number: u64) -> Result<B256> {
    Ok(store.block_hash(txn, number)?.unwrap_or_default())
}

/// The flat tables, through a transaction that the chain's writer renews.
pub struct Latest {
    store: Arc<Store>,
    txn: Option<Txn<'static>>,
}

impl Latest {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, txn: None }
    }

    /// Starts reading from what is committed now.
    pub fn begin(&mut self) -> Result<()> {
        self.txn = Some(self.store.read_static()?);
        Ok(())
    }

    pub fn end(&mut self) {
        self.txn = None;
    }

    fn txn(&self) -> Result<&Txn<'static>> {
        self.txn
            .as_ref()
            .ok_or_else(|| Error::Store("the state was read outside of a transaction".into()))
    }
}

impl StateReader for Latest {
    type Error = Error;

    fn account(&self, address: Address) -> Result<Option<Account>> {
        self.store.account(self.txn()?, &address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256> {
        self.store.storage(self.txn()?, &address, &slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes> {
        self.store.code(self.txn()?, &hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256> {
        known_hash(&self.store, self.txn()?, number)
    }
}

impl Fork for Latest {
    type Fork = Self;

    /// Nobody commits while a block is executed, so a transaction that begins now sees the same state.
    fn fork(&self) -> Result<Self> {
        let mut fork = Self::new(self.store.clone());
        fork.begin()?;
        Ok(fork)
    }
}

/// A snapshot of the store, and the state after one of its blocks.
pub struct At<'s> {
    pub store: &'s Store,
    pub txn: Txn<'s>,
    pub root: Option<Link>,
    /// The block is the snapshot's head, whose state the flat tables hold.
    pub latest: bool,
    storages: RefCell<AddressMap<Option<Link>>>,
}

impl<'s> At<'s> {
    /// The state after block `number` (None: after the head), and its header.
    pub fn open(store: &'s Store, number: Option<u64>) -> Result<(HeaderRecord, Self)> {
        let txn = store.read()?;
        let head = store
            .head_number(&txn)?
            .ok_or_else(|| Error::Corrupt("the store has no head".into()))?;
        let number = number.unwrap_or(head);
        let record = store
            .header(&txn, number)?
            .ok_or_else(|| Error::NotFound(format!("there is no block {number}")))?;
        if number < store.kept(&txn)?.states {
            return Err(Error::StatePruned(format!(
                "historical state {} is not available",
                record.sealed.header.state_root
            )));
        }
        let root = record.state();
        Ok((
            record,
            Self {
                store,
                txn,
                root,
                latest: number == head,
                storages: RefCell::default(),
            },
        ))
    }
}

impl NodeSource for At<'_> {
    fn record(&self, id: NodeId) -> Result<Arc<Node>> {
        self.store.node(&self.txn, id)
    }
}

impl StateReader for At<'_> {
    type Error = Error;

    fn account(&self, address: Address) -> Result<Option<Account>> {
        if self.latest {
            return self.store.account(&self.txn, &address);
        }
        let found = world::account(self, self.root.as_ref(), &address)?;
        let account = found.as_ref().map(|(account, _)| Account::from(account));
        self.storages
            .borrow_mut()
            .insert(address, found.and_then(|(_, storage)| storage));
        Ok(account)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256> {
        if self.latest {
            return self.store.storage(&self.txn, &address, &slot);
        }
        if !self.storages.borrow().contains_key(&address) {
            self.account(address)?;
        }
        let storage = self.storages.borrow().get(&address).cloned().flatten();
        world::slot(self, storage.as_ref(), &slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes> {
        self.store.code(&self.txn, &hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256> {
        known_hash(self.store, &self.txn, number)
    }
}
