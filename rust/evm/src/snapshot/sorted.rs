//! From the flat state to its tries: entries are sorted by their hashed keys on disk, and tries grow from left to right.
//!
//! What is left of the path to the last key of a growing trie cannot change any more: it goes to the node table at once, and only
//! that path stays in memory.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{Nibbles, TrieAccount};
use heed::types::Bytes as Raw;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, RwTxn, WithoutTls};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::node::{Kind, Link, Node, NodeId, Pointer, persist, root_hash};
use crate::store::Store;
use crate::trie::{self, Change, Value};

/// Leaves that are added at once.
const LEAVES: usize = 10_000;
/// Nodes of one write transaction, about.
const NODES: u64 = 50_000;

/// The state under its hashed keys, in a folder of its own that is worth nothing later.
pub struct Sorting {
    env: Option<Env<WithoutTls>>,
    folder: PathBuf,
    addresses: Database<Raw, Raw>,
    slots: Database<Raw, Raw>,
}

impl Sorting {
    pub fn open(beside: &Path, map_bytes: usize) -> Result<Self> {
        let folder = beside.join("sorting");
        let failed = |error: std::io::Error| Error::Store(format!("{}: {error}", folder.display()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(failed)?;
        }
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_bytes).max_dbs(2);
        // SAFETY: the store's lock, which the caller holds, keeps everybody else from the folder; nothing of it is read after a crash.
        #[allow(unsafe_code)]
        let env = unsafe {
            options.flags(EnvFlags::NO_SYNC);
            options.open(&folder)
        }?;
        let mut txn = env.write_txn()?;
        let addresses = env.create_database(&mut txn, Some("addresses"))?;
        let slots = env.create_database(&mut txn, Some("slots"))?;
        txn.commit()?;
        Ok(Self {
            env: Some(env),
            folder,
            addresses,
            slots,
        })
    }

    fn env(&self) -> Result<&Env<WithoutTls>> {
        self.env
            .as_ref()
            .ok_or_else(|| Error::Store("the sorting folder is closed".into()))
    }

    pub fn write(&self) -> Result<RwTxn<'_>> {
        Ok(self.env()?.write_txn()?)
    }

    pub fn put_account(&self, txn: &mut RwTxn, address: &Address) -> Result<()> {
        Ok(self
            .addresses
            .put(txn, keccak256(address).as_slice(), address.as_slice())?)
    }

    pub fn put_slot(
        &self,
        txn: &mut RwTxn,
        hashed: &B256,
        slot: &U256,
        value: &[u8],
    ) -> Result<()> {
        let key = [hashed.0, keccak256(B256::from(*slot)).0].concat();
        Ok(self.slots.put(txn, &key, value)?)
    }

    /// Builds all tries into the node table, and tells the root and the next node's number.
    pub fn tries(&self, store: &Store) -> Result<(Option<Link>, NodeId)> {
        let txn = self.env()?.read_txn()?;
        let mut nodes = Nodes {
            store,
            txn: None,
            next: 1,
            committed: 1,
        };
        let mut state = Growing::default();
        let mut leaves: Vec<Change> = Vec::new();
        let mut slots = self.slots.iter(&txn)?.peekable();
        for entry in self.addresses.iter(&txn)? {
            let (hashed, address) = entry?;
            let address = Address::from_slice(address);
            let mut storage = Growing::default();
            let mut changes: Vec<Change> = Vec::new();
            while let Some(found) = slots.next_if(|next| {
                next.as_ref()
                    .map_or(true, |(key, _)| key.starts_with(hashed))
            }) {
                let (key, value) = found?;
                let bytes = alloy_rlp::encode(U256::from_be_slice(value));
                changes.push((
                    Nibbles::unpack(&key[32..]),
                    Some(Value {
                        bytes,
                        storage: None,
                    }),
                ));
                if changes.len() >= LEAVES {
                    storage.grow(core::mem::take(&mut changes), &mut nodes)?;
                }
            }
            storage.grow(changes, &mut nodes)?;
            let storage = storage.end(&mut nodes)?;
            let account = store
                .account(nodes.txn()?, &address)?
                .ok_or_else(|| Error::Corrupt("an account got lost".into()))?;
            let bytes = alloy_rlp::encode(TrieAccount {
                nonce: account.nonce,
                balance: account.balance,
                storage_root: root_hash(storage.as_ref()),
                code_hash: account.code_hash,
            });
            leaves.push((Nibbles::unpack(hashed), Some(Value { bytes, storage })));
            if leaves.len() >= LEAVES {
                state.grow(core::mem::take(&mut leaves), &mut nodes)?;
            }
        }
        state.grow(leaves, &mut nodes)?;
        let root = state.end(&mut nodes)?;
        let next = nodes.next;
        if let Some(txn) = nodes.txn.take() {
            txn.commit()?;
        }
        Ok((root, next))
    }

    pub fn remove(mut self) {
        self.env = None;
        // Left over, it is removed by the next import.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Nodes<'s> {
    store: &'s Store,
    txn: Option<RwTxn<'s>>,
    next: NodeId,
    committed: NodeId,
}

impl<'s> Nodes<'s> {
    /// The link, of which everything is stored now.
    fn keep(&mut self, link: &Link) -> Result<Link> {
        let (store, mut next) = (self.store, self.next);
        let txn = self.txn()?;
        let id = persist(link, &mut next, &mut |id, record| {
            store.put_node(txn, id, record)
        })?;
        self.next = next;
        Ok(Link {
            rlp: link.rlp.clone(),
            pointer: Pointer::Stored(id),
        })
    }

    /// Commits now and then: a transaction's dirty pages are in memory.
    fn breathe(&mut self) -> Result<()> {
        if self.next - self.committed >= NODES {
            self.committed = self.next;
            if let Some(txn) = self.txn.take() {
                txn.commit()?;
            }
        }
        Ok(())
    }

    fn txn(&mut self) -> Result<&mut RwTxn<'s>> {
        match &mut self.txn {
            Some(txn) => Ok(txn),
            none => Ok(none.insert(self.store.write()?)),
        }
    }
}

#[derive(Default)]
struct Growing {
    root: Option<Link>,
}

impl Growing {
    /// Adds leaves, which come after all those before.
    fn grow(&mut self, leaves: Vec<Change>, nodes: &mut Nodes) -> Result<()> {
        if leaves.is_empty() {
            return Ok(());
        }
        let root = trie::update(nodes.store, self.root.take(), leaves)?;
        self.root = root.map(|root| settle(&root, nodes)).transpose()?;
        nodes.breathe()
    }

    fn end(self, nodes: &mut Nodes) -> Result<Option<Link>> {
        self.root.map(|root| nodes.keep(&root)).transpose()
    }
}

/// Stores all of a trie but the path to its last key.
fn settle(link: &Link, nodes: &mut Nodes) -> Result<Link> {
    let Pointer::Loaded(node) = &link.pointer else {
        return Ok(link.clone());
    };
    match &node.kind {
        Kind::Leaf(_) => Ok(link.clone()),
        Kind::Extension { path, child } => Ok(Node::link(Kind::Extension {
            path: *path,
            child: settle(child, nodes)?,
        })),
        Kind::Branch(children) => {
            let mut children = children.clone();
            let last = children.iter().rposition(Option::is_some);
            for (nibble, child) in children.iter_mut().enumerate() {
                if let Some(link) = child {
                    *link = if Some(nibble) == last {
                        settle(link, nodes)?
                    } else {
                        nodes.keep(link)?
                    };
                }
            }
            Ok(Node::link(Kind::Branch(children)))
        }
    }
}
